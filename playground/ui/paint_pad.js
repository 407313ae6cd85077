// props: value (levels packed as a drawing is, 0 = left as it was), background (a sprite to paint on, its pictures in a row)
// data-size: pixels a side; data-columns-by: the slider that says which of the sprite's pictures is meant
const canvas = element.querySelector("canvas");
const size = Number(canvas.dataset.size), side = canvas.width;
const pen = canvas.getContext("2d");
const isMask = canvas.dataset.kind === "mask";
let levels = new Uint8Array(size * size), level = 15, down = false, last = null, own = null, back = null;

const slider = () => (canvas.dataset.columnsBy ? document.querySelector(canvas.dataset.columnsBy) : null);
const draw = () => {
  pen.imageSmoothingEnabled = false;
  pen.fillStyle = "#888";
  pen.fillRect(0, 0, side, side);
  if (back) {
    const columns = Math.max(1, Math.round(back.width / size));
    const column = Math.min(columns - 1, slider() ? Number(slider().value) : 0);
    pen.drawImage(back, column * size, 0, size, size, 0, 0, side, side);
  }
  const cell = side / size;
  for (let k = 0; k < size * size; k++) if (levels[k]) {
    const grey = Math.round((levels[k] - 1) / 14 * 255);
    pen.fillStyle = isMask ? "rgba(124, 58, 237, .78)" : `rgb(${grey}, ${grey}, ${grey})`;
    pen.fillRect((k % size) * cell, Math.floor(k / size) * cell, cell, cell);
    if (!isMask) { pen.fillStyle = "#7c3aed"; pen.fillRect((k % size + 0.4) * cell, (Math.floor(k / size) + 0.4) * cell, cell * 0.2, cell * 0.2); }
  }
};
const dab = ([x, y]) => {
  const radius = size * (isMask ? 0.075 : 0.045);
  for (let v = Math.floor(y - radius); v <= y + radius; v++) for (let u = Math.floor(x - radius); u <= x + radius; u++) {
    if (u < 0 || v < 0 || u >= size || v >= size || (u + 0.5 - x) ** 2 + (v + 0.5 - y) ** 2 > radius ** 2) continue;
    levels[v * size + u] = level;
  }
};
const stroke = (from, to) => {
  const steps = Math.ceil(Math.hypot(to[0] - from[0], to[1] - from[1]) * 2) + 1;
  for (let k = 0; k <= steps; k++) dab([0, 1].map((i) => from[i] + (to[i] - from[i]) * k / steps));
  draw();
};
const at = (e) => {
  const box = canvas.getBoundingClientRect();
  return [(e.clientX - box.left) / box.width * size, (e.clientY - box.top) / box.height * size];
};
const through = async (bytes, stream) =>
  new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());
const pack = async () => {
  if (!levels.some((l) => l)) return "";
  const pairs = new Uint8Array(size * size / 2);
  levels.forEach((l, k) => { pairs[k >> 1] |= l << (k % 2 ? 0 : 4); });
  const packed = await through(pairs, new CompressionStream("deflate"));
  return btoa(String.fromCharCode(...packed)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
};
const unpack = async (text) => {
  levels = new Uint8Array(size * size);
  if (text) {
    try {
      const raw = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
      const pairs = await through(Uint8Array.from(raw, (c) => c.charCodeAt(0)), new DecompressionStream("deflate"));
      for (let k = 0; k < size * size; k++) levels[k] = k % 2 ? pairs[k >> 1] & 15 : pairs[k >> 1] >> 4;
    } catch (e) { console.info("paint", e); }
  }
  draw();
};
const say = async () => { own = await pack(); props.value = own; trigger("painted", { length: own.length }); };
const lay = () => {
  if (!props.background) { back = null; draw(); return; }
  const image = new Image();
  image.onload = () => { back = image; draw(); };
  image.src = props.background;
};

canvas.onpointerdown = (e) => { down = true; canvas.setPointerCapture(e.pointerId); last = at(e); stroke(last, last); };
canvas.onpointermove = (e) => { if (down) { const here = at(e); stroke(last, here); last = here; } };
canvas.onpointerup = canvas.onpointercancel = () => { if (down) { down = false; say(); } };
const brushes = [...element.querySelectorAll("[data-level]")];
for (const brush of brushes) brush.onclick = () => {
  level = Number(brush.dataset.level);
  brushes.forEach((other) => other.setAttribute("aria-pressed", String(other === brush)));
};
element.querySelector("[data-clear]").onclick = () => { levels.fill(0); draw(); say(); };
for (const kind of ["input", "change"]) document.addEventListener(kind, (e) => {
  if (element.isConnected && canvas.dataset.columnsBy && e.target.matches && e.target.matches(canvas.dataset.columnsBy)) draw();
});
watch("value", () => { if (props.value !== own) { own = props.value; unpack(own); } });
watch("background", lay);
unpack(props.value);
lay();
