// The forward process on one picture and one noise, drawn here at every t without a request.
// props: value (t), scene {x0, noise: base64 of int16, 4096 to one; shape: [channels, h, w]}, schedule
const root = element.querySelector("[data-forward]");
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
const schedules = JSON.parse(atob(root.dataset.schedules));
for (const schedule of Object.values(schedules)) schedule.levels = new Float32Array(bytes(schedule.levels));
const range = root.querySelector("input[type=range]"), last = Number(range.max);
const all = (name) => root.querySelectorAll(`[data-${name}]`);
let t = Number(range.value), x0 = null, noise = null, film = 0, told = null;

const paint = (canvas, shares, cells = 1) => {  // shares(cell) -> how much of the picture, how much of the noise
  const [channels, height, width] = props.scene.shape;
  if (canvas.width !== cells * width || canvas.height !== height) { canvas.width = cells * width; canvas.height = height; }
  const ink = canvas.getContext("2d"), picture = ink.createImageData(cells * width, height), plane = height * width;
  for (let cell = 0; cell < cells; cell++) {
    const [a, b] = shares(cell);
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
      const to = 4 * ((y * cells + cell) * width + x), from = y * width + x;
      for (let c = 0; c < 3; c++) {
        const k = (channels === 3 ? c * plane : 0) + from;
        picture.data[to + c] = Math.round((Math.max(-1, Math.min(1, a * x0[k] + b * noise[k])) + 1) * 127.5);
      }
      picture.data[to + 3] = 255;
    }
  }
  ink.putImageData(picture, 0, 0);
};
const sharesAt = (name, at) => { const level = schedules[name].levels[at]; return [Math.sqrt(level), Math.sqrt(1 - level)]; };
const ratio = (snr) => (snr >= 100 ? snr.toFixed(0) : snr >= 0.1 ? snr.toFixed(2) : snr.toPrecision(2));
const chosen = () => props.schedule || root.dataset.schedule;

const showTime = () => {
  const [signal, spread] = sharesAt(chosen(), t), snr = (signal / spread) ** 2;
  root.style.setProperty("--t", t);
  range.value = t;
  for (const [name, text] of [["t", t], ["signal", signal.toFixed(3)], ["spread", spread.toFixed(3)], ["snr", ratio(snr)]]) {
    for (const place of all(name)) place.textContent = text;
  }
  const drowned = schedules[chosen()].drowned;
  root.classList.toggle("pg-drowned", drowned !== null && t >= drowned);
  range.setAttribute("aria-valuetext", `t = ${t}, SNR = ${ratio(snr)}`);
  if (!x0) return;
  for (const canvas of all("noisy")) paint(canvas, () => sharesAt(canvas.dataset.noisy || chosen(), t));
};
const showScene = () => {
  if (!props.scene || !props.scene.x0) return;
  [x0, noise] = [props.scene.x0, props.scene.noise].map((text) => Float32Array.from(new Int16Array(bytes(text)), (v) => v / 4096));
  for (const canvas of all("clean")) paint(canvas, () => [1, 0]);
  for (const canvas of all("pure")) paint(canvas, () => [0, 1]);
  for (const canvas of all("strip")) {
    const cells = Number(canvas.dataset.cells);
    paint(canvas, (cell) => sharesAt(canvas.dataset.strip, Math.round((cell + 0.5) / cells * last)), cells);
  }
  root.classList.add("pg-ready");
  showTime();
};
const showSchedule = () => {
  for (const part of all("of")) part.classList.toggle("pg-on", part.dataset.of === chosen());
  showTime();
};
root.playgroundFrames = (times) => {  // x_t as it drowns under the chosen schedule, and what it is mixed of
  const [, height, width] = props.scene.shape, factor = Math.max(1, Math.floor(160 / height));
  const drawn = (shares) => {
    const canvas = document.createElement("canvas");
    paint(canvas, () => shares);
    return (ink, x, y) => ink.drawImage(canvas, x, y, factor * width, factor * height);
  };
  const [clean, pure] = [drawn([1, 0]), drawn([0, 1])];
  return times.map((at) => window.playgroundFrame([drawn(sharesAt(chosen(), at)), clean, pure], factor * width, factor * height, `t = ${at}`));
};
const go = (to) => { t = Math.max(0, Math.min(last, Math.round(to))); showTime(); };
const say = () => { if (told !== t) { told = t; props.value = t; trigger("pick", { t }); } };  // once the hand rests
const play = root.querySelector("[data-run]");
const stop = () => { cancelAnimationFrame(film); film = 0; play.textContent = "▶\ufe0e"; };
const roll = (before) => (now) => {
  if (!root.isConnected) return;
  go(t + Math.max(1, (now - before) * last / 7000));  // seven seconds from the picture to the noise
  if (t >= last) { stop(); say(); } else film = requestAnimationFrame(roll(now));
};
play.onclick = () => {
  if (film) { stop(); say(); return; }
  if (t >= last) go(0);
  play.textContent = "❚❚";
  film = requestAnimationFrame(roll(performance.now()));
};
range.oninput = () => { stop(); go(Number(range.value)); };
range.onchange = say;
for (const area of all("axis")) {  // curves and strips are as good to drag on as the slider
  let held = false;
  const follow = (e) => { const box = area.getBoundingClientRect(); go((e.clientX - box.left) / box.width * last); };
  area.onpointerdown = (e) => { held = true; stop(); area.setPointerCapture(e.pointerId); follow(e); };
  area.onpointermove = (e) => { if (held) follow(e); };
  area.onpointerup = area.onpointercancel = () => { if (held) { held = false; say(); } };
}
watch("value", () => { if (props.value !== told && props.value !== null) { told = props.value; go(Number(props.value)); } });
watch("scene", showScene);
watch("schedule", showSchedule);
go(Number(props.value ?? t));
told = t;
showSchedule();
showScene();
