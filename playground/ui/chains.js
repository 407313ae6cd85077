// Draws every panel of the page of chains and plays the panels of a room together. Panels queue in window.planePanels:
// { room, element, props, watch }; a room is a player's element with data-player. Nothing here asks the server.
const MARKED = ["#e8590c", "#0b7285", "#c2255c", "#2b8a3e", "#1864ab"];  // chains with a colour and a trace of their own
const OTHERS = "#495057", PAPER = "#fdfdff", INK = "#1f2937", REJECTED = "#d6336c", ACCEPTED = "#2b8a3e";
const TRAIL = 14, STALLED_MS = 3000, SPEEDS = { slow: 3, normal: 20, fast: 90 };
const FAMILY = { diffusion: "#7c3aed", gan: "#d9480f", vae: "#2563eb", learned: "#7c3aed" };
const LOSSES = { diffusion: ["#7c3aed"], gan: ["#1971c2", "#d9480f"], vae: ["#2563eb", "#0ca678"] };

const isSame = (a, b) => a.positions === b.positions && a.pictures === b.pictures && a.arrows === b.arrows;
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const places = (text) => new Int16Array(bytes(text).buffer);
const signed = (text) => new Int8Array(bytes(text).buffer);
const mix = (from, to, share) => from.map((v, k) => Math.round(v + (to[k] - v) * share));
const density = (share) => mix([253, 253, 255], [109, 93, 211], share);
const verdict = (share) => (share > 0.5 ? mix([255, 255, 255], [116, 192, 252], 2 * share - 1) : mix([255, 192, 120], [255, 255, 255], 2 * share));
const picture = (values, side, colour) => {  // uint8 -> a small canvas to be stretched over the plane
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  const paint = canvas.getContext("2d"), image = paint.createImageData(side, side);
  values.forEach((value, k) => image.data.set([...colour(value / 255), 255], 4 * k));
  paint.putImageData(image, 0, 0);
  return canvas;
};

// a canvas as wide as the page shows it, drawn in CSS pixels
const sized = (canvas, height) => {
  const width = canvas.clientWidth, scale = Math.min(2, window.devicePixelRatio || 1);
  if (!width) return null;
  const tall = height || width;
  const [columns, rows] = [Math.round(width * scale), Math.round(tall * scale)];
  if (canvas.width !== columns || canvas.height !== rows) { canvas.width = columns; canvas.height = rows; }
  const paint = canvas.getContext("2d");
  paint.setTransform(scale, 0, 0, scale, 0, 0);
  paint.clearRect(0, 0, width, tall);
  return { paint, width, height: tall };
};
const dot = (paint, x, y, radius) => { paint.beginPath(); paint.arc(x, y, radius, 0, 2 * Math.PI); };
const field = (paint, arrows, offset, side, width) => {
  const gap = width / side, reach = 0.46 * gap / 127;
  paint.strokeStyle = "rgba(31, 41, 55, .38)";
  paint.lineWidth = 1;
  paint.beginPath();
  for (let k = 0; k < side * side; k++) {
    const x = (k % side + 0.5) * gap, y = (Math.floor(k / side) + 0.5) * gap;
    const [dx, dy] = [arrows[offset + 2 * k] * reach, -arrows[offset + 2 * k + 1] * reach];
    paint.moveTo(x - dx, y - dy);
    paint.lineTo(x + dx, y + dy);
    paint.lineTo(x + 0.45 * dx - 0.35 * dy, y + 0.45 * dy + 0.35 * dx);
    paint.moveTo(x + dx, y + dy);
    paint.lineTo(x + 0.45 * dx + 0.35 * dy, y + 0.45 * dy - 0.35 * dx);
  }
  paint.stroke();
};
const curve = (paint, values, x, y) => {  // a line through what is known
  paint.beginPath();
  let isDown = false;
  values.forEach((value, k) => {
    if (value === null) { isDown = false; return; }
    if (isDown) paint.lineTo(x(k), y(value)); else paint.moveTo(x(k), y(value));
    isDown = true;
  });
  paint.stroke();
};
const marker = (paint, x, height) => {
  paint.strokeStyle = "rgba(31, 41, 55, .55)";
  paint.lineWidth = 1;
  paint.beginPath(); paint.moveTo(x, 0); paint.lineTo(x, height); paint.stroke();
};

// a finished walk of chains
class Walk {
  constructor(message) {
    Object.assign(this, message, { message });
    this.xy = places(message.positions);
    this.wanted = message.proposals ? places(message.proposals) : null;
    this.taken = message.accepted ? bytes(message.accepted) : null;
    const pictures = bytes(message.pictures), area = this.side ** 2;
    this.backgrounds = Array.from({ length: pictures.length / area }, (_, k) => picture(pictures.subarray(k * area, (k + 1) * area), this.side, density));
    this.field = message.arrows ? signed(message.arrows) : null;
  }
  get last() { return this.steps; }
  level(at) { return this.pictureOf[Math.max(0, at - 1)]; }
  draw({ paint, width }, at) {
    const scale = this.reach / 32767, half = width / 2, unit = half / this.plane;
    const x = (value) => half + value * scale * unit, y = (value) => half - value * scale * unit;
    const place = (step, chain) => { const k = 2 * (step * this.chains + chain); return [x(this.xy[k]), y(this.xy[k + 1])]; };
    paint.fillStyle = PAPER;
    paint.fillRect(0, 0, width, width);
    paint.imageSmoothingEnabled = true;
    paint.drawImage(this.backgrounds[this.level(at)], 0, 0, width, width);
    if (this.field) field(paint, this.field, this.level(at) * 2 * this.arrowSide ** 2, this.arrowSide, width);
    if (this.isChain) this.drawVisited(paint, at, place);
    this.drawTrails(paint, at, place);
    const size = Math.max(1.6, width / 130);
    for (let c = this.chains - 1; c >= 0; c--) {
      const [px, py] = place(at, c), isMarked = c < MARKED.length;
      dot(paint, px, py, isMarked ? size * 1.5 : size);
      paint.fillStyle = isMarked ? MARKED[c] : OTHERS;
      paint.fill();
      paint.lineWidth = isMarked ? 1.4 : 0.8;
      paint.strokeStyle = "#fff";
      paint.stroke();
    }
    if (this.wanted && at > 0) this.drawProposals(paint, at, place, x, y, size);
  }
  drawVisited(paint, at, place) {  // every step of such a chain is a draw: what they add up to
    const every = Math.max(1, Math.ceil(at * this.chains / 2500));
    paint.fillStyle = "rgba(73, 80, 87, .28)";
    for (let k = 0; k < at * this.chains; k += every) {
      const [px, py] = place(Math.floor(k / this.chains), k % this.chains);
      paint.fillRect(px - 0.8, py - 0.8, 1.6, 1.6);
    }
  }
  drawTrails(paint, at, place) {
    for (let c = Math.min(this.chains, 60) - 1; c >= 0; c--) {
      const isMarked = c < MARKED.length;
      paint.strokeStyle = isMarked ? MARKED[c] : OTHERS;
      paint.lineWidth = isMarked ? 1.3 : 0.7;
      for (let s = Math.max(1, at - TRAIL + 1); s <= at; s++) {
        paint.globalAlpha = (isMarked ? 0.75 : 0.3) * (s - at + TRAIL) / TRAIL;
        paint.beginPath();
        paint.moveTo(...place(s - 1, c));
        paint.lineTo(...place(s, c));
        paint.stroke();
      }
    }
    paint.globalAlpha = 1;
  }
  drawProposals(paint, at, place, x, y, size) {
    paint.lineWidth = 1.4;
    for (let c = 0; c < Math.min(this.chains, MARKED.length); c++) {
      const k = (at - 1) * this.chains + c, [px, py] = [x(this.wanted[2 * k]), y(this.wanted[2 * k + 1])];
      const [fx, fy] = place(at - 1, c);
      paint.strokeStyle = this.taken[k] ? ACCEPTED : REJECTED;
      paint.setLineDash(this.taken[k] ? [] : [3, 3]);
      paint.beginPath(); paint.moveTo(fx, fy); paint.lineTo(px, py); paint.stroke();
      paint.setLineDash([]);
      if (this.taken[k]) { dot(paint, px, py, 2.2 * size); paint.stroke(); continue; }
      const arm = 1.3 * size;
      paint.beginPath();
      paint.moveTo(px - arm, py - arm); paint.lineTo(px + arm, py + arm);
      paint.moveTo(px - arm, py + arm); paint.lineTo(px + arm, py - arm);
      paint.stroke();
    }
  }
  strip({ paint, width, height }, at, kind) {
    if (kind === "autocorrelation") { this.drawAutocorrelation(paint, width, height); return; }
    if (kind === "distance") { this.drawDistance(paint, width, height, at); return; }
    const scale = this.reach / 32767, x = (s) => s / this.steps * width, y = (v) => height / 2 * (1 - v * scale / this.plane);
    for (let c = Math.min(this.chains, MARKED.length) - 1; c >= 0; c--) {
      paint.strokeStyle = MARKED[c];
      paint.lineWidth = 1;
      paint.beginPath();
      for (let s = 0; s <= this.steps; s++) paint.lineTo(x(s), y(this.xy[2 * (s * this.chains + c)]));
      paint.stroke();
    }
    marker(paint, x(at), height);
  }
  drawAutocorrelation(paint, width, height) {
    const bars = this.autocorrelation, gap = width / Math.max(1, bars.length), y = (v) => height * 0.8 * (1 - v) + 2;
    paint.fillStyle = "#6d5dd3";
    bars.forEach((v, k) => { if (v !== null) paint.fillRect(k * gap, Math.min(y(v), y(0)), Math.max(1, gap - 0.6), Math.abs(y(v) - y(0))); });
    paint.strokeStyle = "rgba(31, 41, 55, .5)";
    if (bars.length) { paint.beginPath(); paint.moveTo(0, y(0)); paint.lineTo(width, y(0)); paint.stroke(); }
  }
  drawDistance(paint, width, height, at) {
    const most = Math.max(0.05, this.floor || 0, ...this.distances.filter((v) => v !== null));
    const x = (step) => step / this.steps * width, y = (v) => height - 3 - (height - 6) * Math.max(0, v) / most;
    if (this.floor !== null) {
      paint.strokeStyle = ACCEPTED;
      paint.setLineDash([4, 3]);
      paint.beginPath(); paint.moveTo(0, y(this.floor)); paint.lineTo(width, y(this.floor)); paint.stroke();
      paint.setLineDash([]);
    }
    paint.strokeStyle = "#6d5dd3";
    paint.lineWidth = 1.5;
    curve(paint, this.distances, (k) => x(this.measured[k]), y);
    marker(paint, x(at), height);
  }
  now(at) {
    let k = 0;
    while (k + 1 < this.measured.length && this.measured[k + 1] <= at) k++;
    return { distance: this.distances[k], modes: this.modes[k], level: at ? this.levels[at - 1] : this.levels[0] };
  }
}

// a training, as far as it has come: lines of JSON, the first about all of it
class Lessons {
  constructor(name) { this.name = name; this.text = ""; this.frames = []; this.head = null; }
  read(text) {  // true when something else began
    const goesOn = this.text && text.startsWith(this.text);
    if (!goesOn) { this.text = ""; this.frames = []; this.head = null; }
    const lines = text.slice(this.text.length).split("\n").filter(Boolean);
    if (!this.head && lines.length) {
      this.head = JSON.parse(lines.shift());
      this.points = places(this.head.points);
    }
    for (const line of lines) this.frames.push(JSON.parse(line));
    this.grownAt = performance.now();
    this.text = text;
    return !goesOn;
  }
  get last() { return Math.max(0, this.frames.length - 1); }
  get isGrowing() { return this.frames.length > 0 && !this.isComplete && performance.now() - this.grownAt < STALLED_MS; }
  get isComplete() { return Boolean(this.frames.length) && this.frames.at(-1).update === this.head.total; }
  frame(at) { return this.frames[Math.min(at, this.last)]; }
  draw({ paint, width }, at) {
    paint.fillStyle = PAPER;
    paint.fillRect(0, 0, width, width);
    if (!this.head || !this.frames.length) return;
    const frame = this.frame(at), half = width / 2, unit = half / this.head.plane * this.head.reach / 32767;
    const x = (v) => half + v * unit, y = (v) => half - v * unit;
    if (frame.surface) {
      const values = bytes(frame.surface);
      paint.drawImage(picture(values, Math.sqrt(values.length), verdict), 0, 0, width, width);
    }
    paint.fillStyle = "rgba(73, 80, 87, .3)";
    for (let k = 0; k < this.points.length; k += 2) paint.fillRect(x(this.points[k]) - 0.8, y(this.points[k + 1]) - 0.8, 1.6, 1.6);
    if (frame.arrows) { const arrows = signed(frame.arrows); field(paint, arrows, 0, Math.sqrt(arrows.length / 2), width); }
    if (frame.mesh) this.drawMesh(paint, places(frame.mesh), x, y);
    const samples = places(frame.samples), size = Math.max(1.5, width / 150);
    paint.fillStyle = FAMILY[this.name];
    paint.strokeStyle = "#fff";
    paint.lineWidth = 0.7;
    for (let k = 0; k < samples.length; k += 2) { dot(paint, x(samples[k]), y(samples[k + 1]), size); paint.fill(); paint.stroke(); }
  }
  drawMesh(paint, mesh, x, y) {
    const side = Math.sqrt(mesh.length / 2);
    paint.strokeStyle = "rgba(31, 41, 55, .3)";
    paint.lineWidth = 0.8;
    for (let turn = 0; turn < 2; turn++) for (let line = 0; line < side; line++) {
      paint.beginPath();
      for (let k = 0; k < side; k++) { const p = 2 * (turn ? k * side + line : line * side + k); paint.lineTo(x(mesh[p]), y(mesh[p + 1])); }
      paint.stroke();
    }
  }
  strip({ paint, width, height }, at) {
    if (this.frames.length < 2) return;
    const total = this.head.total, known = this.frames.slice(1), values = known.flatMap((f) => f.losses).filter((v) => v !== null);
    const sorted = values.sort((a, b) => a - b), low = Math.min(0, sorted[0]), high = Math.max(low + 0.1, sorted[Math.floor(0.985 * (sorted.length - 1))]);
    const x = (k) => known[k].update / total * width, y = (v) => height - 3 - (height - 6) * Math.min(1, (v - low) / (high - low));
    LOSSES[this.name].forEach((colour, n) => {
      paint.strokeStyle = colour;
      paint.lineWidth = 1.2;
      curve(paint, known.map((f) => f.losses[n]), x, y);
    });
    marker(paint, this.frame(at).update / total * width, height);
  }
  now(at) { const frame = this.frame(at); return frame ? { distance: frame.distance, modes: frame.modes, update: frame.update } : {}; }
}

class Room {
  constructor(player) {
    this.player = player;
    this.panels = [];
    this.at = 0;
    this.speed = "normal";
    this.strip = "trace";
    this.isPlaying = false;
    this.isHeld = false;  // the visitor stopped it: what comes next does not play by itself
    const part = (name) => player.querySelector(`[data-${name}]`);
    this.range = part("range");
    this.range.oninput = () => { this.pause(); this.show(Number(this.range.value)); };
    part("play").onclick = () => (this.isPlaying ? this.pause() : this.play());
    part("back").onclick = () => { this.pause(); this.show(this.at - 1); };
    part("forth").onclick = () => { this.pause(); this.show(this.at + 1); };
    part("save").onclick = (event) => this.save(event.currentTarget);
    for (const button of player.querySelectorAll("[data-speed]")) button.onclick = () => { this.speed = button.dataset.speed; this.press("speed", button); if (!this.isPlaying) this.play(); };
    for (const button of player.querySelectorAll("[data-strip]")) button.onclick = () => { this.strip = button.dataset.strip; this.press("strip", button); this.show(this.at); };
    new ResizeObserver(() => this.show(this.at)).observe(player);
  }
  press(kind, button) {
    for (const other of this.player.querySelectorAll(`[data-${kind}]`)) other.setAttribute("aria-pressed", other === button);
  }
  get last() { return Math.max(0, ...this.panels.map((panel) => (panel.made ? panel.made.last : 0))); }
  add(panel) {
    this.panels = this.panels.filter((other) => other.element.isConnected && other.element !== panel.element);
    this.panels.push(panel);
    this.panels.sort((a, b) => (a.element.compareDocumentPosition(b.element) & 4 ? -1 : 1));
  }
  begin() {  // something new to see: from its start, unless the visitor holds a step
    if (this.isHeld) { this.show(this.at); return; }
    if (window.matchMedia("(prefers-reduced-motion: reduce)").matches) { this.show(this.last); return; }
    this.at = 0;
    this.play();
  }
  pause() { this.isPlaying = false; this.isHeld = true; this.label(); }
  play() {
    if (this.at >= this.last && !this.isGrowing()) this.at = 0;
    this.isHeld = false;
    if (this.isPlaying) return;
    this.isPlaying = true;
    this.label();
    let before = performance.now(), owed = 0;
    const tick = (time) => {
      if (!this.isPlaying || !this.player.isConnected) return;
      owed += (time - before) / 1000 * SPEEDS[this.speed];
      before = time;
      const steps = Math.floor(owed);
      owed -= steps;
      if (steps) this.show(Math.min(this.last, this.at + Math.min(steps, 30)));
      if (this.at >= this.last && !this.isGrowing()) { this.isPlaying = false; this.label(); return; }
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }
  isGrowing() { return this.panels.some(({ made }) => made && made.isGrowing); }
  label() {
    const play = this.player.querySelector("[data-play]");
    play.textContent = this.isPlaying ? "❚❚" : "▶\ufe0e";
    play.setAttribute("aria-pressed", this.isPlaying);
  }
  show(at) {
    this.at = Math.max(0, Math.min(this.last, at));
    this.range.max = this.last;
    this.range.value = this.at;
    const longest = this.panels.map((panel) => panel.made).filter(Boolean).sort((a, b) => b.last - a.last)[0];
    const isLessons = longest && longest.frames;
    this.player.querySelector("[data-at]").textContent = isLessons ? (longest.now(this.at).update ?? 0) : this.at;
    this.player.querySelector("[data-total]").textContent = isLessons ? (longest.head ? longest.head.total : 0) : this.last;
    this.player.parentElement.parentElement.dataset.shownStrip = this.strip;
    for (const panel of this.panels) this.drawPanel(panel);
  }
  drawPanel({ element, made }) {
    const figure = element.querySelector("[data-panel]");
    figure.dataset.strip = this.strip;
    figure.classList.toggle("pg-empty", !made);
    if (!made) return;
    const at = Math.min(this.at, made.last);
    const plane = sized(figure.querySelector("[data-plane]"));
    if (!plane) return;
    made.draw(plane, at);
    const strip = sized(figure.querySelector("[data-under]"), 56);
    if (strip) made.strip(strip, at, this.strip);
    const now = made.now(at);
    const say = (name, text) => { for (const place of figure.querySelectorAll(`[data-${name}]`)) place.textContent = text; };
    say("distance", now.distance === null || now.distance === undefined ? "–" : Math.max(0, now.distance).toFixed(3));
    const floor = made.head ? made.head.floor : made.floor, isThere = floor !== null && now.distance <= floor && now.distance !== null;
    say("floor", floor === null ? "–" : floor.toFixed(3));
    figure.classList.toggle("pg-there", Boolean(isThere));
    const numModes = made.head ? made.head.numModes : made.numModes;
    figure.classList.toggle("pg-one-mode", numModes < 2);
    say("modes", `${now.modes ?? 0} / ${numModes}`);
    if (now.level !== undefined) say("level", now.level.toFixed(2));
  }
  async save(button) {
    const shown = this.panels.filter((panel) => panel.made);
    if (!shown.length) return;
    const steps = window.playgroundEvenly(this.last + 1);
    const delays = steps.map((_, k) => (k === steps.length - 1 ? 1500 : 80));
    const musts = [...MARKED, ...Object.values(FAMILY), OTHERS, REJECTED, ACCEPTED, INK, "#ffffff"];
    await window.playgroundKeepGif(button, button.dataset.save, () => this.film(shown, steps), delays, musts);
  }
  film(shown, steps) {  // all panels side by side, one picture a step
    const side = 200, pad = 8, head = 22, canvas = document.createElement("canvas");
    canvas.width = shown.length * (side + pad) + pad;
    canvas.height = side + head + 2 * pad;
    const paint = canvas.getContext("2d", { willReadFrequently: true });
    const language = document.documentElement.lang === "ko" ? "ko" : "en";
    return steps.map((at) => {
      paint.setTransform(1, 0, 0, 1, 0, 0);
      paint.fillStyle = "#fff";
      paint.fillRect(0, 0, canvas.width, canvas.height);
      shown.forEach(({ element, made }, k) => {
        const left = pad + k * (side + pad);
        paint.fillStyle = INK;
        paint.font = "600 13px system-ui, sans-serif";
        paint.fillText(element.querySelector(`h3 [lang=${language}]`).textContent, left, pad + 13);
        paint.save();
        paint.translate(left, pad + head - 4);
        paint.beginPath(); paint.rect(0, 0, side, side); paint.clip();
        made.draw({ paint, width: side }, Math.min(at, made.last));
        paint.restore();
      });
      return paint.getImageData(0, 0, canvas.width, canvas.height);
    });
  }
}

const rooms = {};
const roomOf = (name) => {
  const player = document.querySelector(`[data-player="${name}"]`);
  if (player && (!rooms[name] || rooms[name].player !== player)) {
    const panels = rooms[name] ? rooms[name].panels : [];
    rooms[name] = new Room(player);
    rooms[name].panels = panels;
  }
  return rooms[name];
};
const join = ({ name, kind, element, props, watch, learnt }) => {
  const panel = { element, made: null };
  const read = () => {
    const room = roomOf(kind);
    if (!room) { setTimeout(read, 100); return; }
    if (!room.panels.includes(panel)) room.add(panel);
    const value = props.value;
    if (!value) { panel.made = null; room.show(room.at); return; }
    if (kind === "learn") {
      panel.made ||= new Lessons(name);
      if (value === panel.made.text) return;
      const isNew = panel.made.read(value);
      if (name === "diffusion" && panel.made.isComplete) learnt();
      if (isNew) room.begin(); else if (!room.isPlaying && !room.isHeld) room.play(); else room.show(room.at);
      return;
    }
    if (panel.made && value.positions && isSame(panel.made.message, value)) return;
    panel.made = value.positions ? new Walk(value) : null;
    clearTimeout(room.starting);
    room.starting = setTimeout(() => room.begin(), 0);
  };
  watch("value", read);
  read();
  const canvas = element.querySelector("[data-plane]");
  if (kind === "walk") canvas.onclick = (event) => {
    const box = canvas.getBoundingClientRect(), plane = panel.made ? panel.made.plane : 3.2;
    const place = [2 * (event.clientX - box.left) / box.width - 1, 1 - 2 * (event.clientY - box.top) / box.height];
    if (window.planeStart) window.planeStart(place.map((v) => Math.round(100 * v * plane) / 100));
  };
};
window.planeJoin = join;
for (const waiting of (window.planePanels ||= []).splice(0)) join(waiting);
