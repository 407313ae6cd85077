// props: value (the packed drawing); data-size: pixels a side of the picture; data-extent: share of a side for the ink
const canvas = element.querySelector("canvas");
const size = Number(canvas.dataset.size), extent = Number(canvas.dataset.extent);
const ink = canvas.getContext("2d", { willReadFrequently: true });
const side = canvas.width;
let down = false, last = null, own = null;

const wipe = () => { ink.fillStyle = "#000"; ink.fillRect(0, 0, side, side); };
const at = (e) => {
  const box = canvas.getBoundingClientRect();
  return [(e.clientX - box.left) / box.width * side, (e.clientY - box.top) / box.height * side];
};
const stroke = (from, to) => {
  ink.strokeStyle = "#fff"; ink.lineCap = "round"; ink.lineWidth = side * 0.085;
  ink.beginPath(); ink.moveTo(...from); ink.lineTo(to[0] + 0.01, to[1]); ink.stroke();
};
const inkBox = () => {
  const pixels = ink.getImageData(0, 0, side, side).data;
  let [left, top, right, bottom] = [side, side, -1, -1];
  for (let y = 0; y < side; y++) for (let x = 0; x < side; x++) if (pixels[4 * (y * side + x)] > 40) {
    left = Math.min(left, x); right = Math.max(right, x); top = Math.min(top, y); bottom = Math.max(bottom, y);
  }
  return right < 0 ? null : [left, top, right - left + 1, bottom - top + 1];
};
const through = async (bytes, stream) =>
  new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());
const pack = async () => {
  const box = inkBox();
  if (!box) return "";
  const [left, top, width, height] = box;
  const small = new OffscreenCanvas(size, size).getContext("2d");
  const scale = Math.min(extent * size / Math.max(width, height), 1.5 * size / side);
  small.fillRect(0, 0, size, size);
  small.imageSmoothingQuality = "high";
  const [w, h] = [width * scale, height * scale];
  small.drawImage(canvas, left, top, width, height, (size - w) / 2, (size - h) / 2, w, h);
  const grey = small.getImageData(0, 0, size, size).data;
  const pairs = new Uint8Array(size * size / 2);
  for (let k = 0; k < size * size; k++) pairs[k >> 1] |= Math.round(grey[4 * k] / 17) << (k % 2 ? 0 : 4);
  const packed = await through(pairs, new CompressionStream("deflate"));
  return btoa(String.fromCharCode(...packed)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
};
const show = async (text) => {
  wipe();
  if (!text) return;
  try {
    const raw = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    const pairs = await through(Uint8Array.from(raw, (c) => c.charCodeAt(0)), new DecompressionStream("deflate"));
    const small = new OffscreenCanvas(size, size), paint = small.getContext("2d");
    const picture = paint.createImageData(size, size);
    for (let k = 0; k < size * size; k++) {
      const level = (k % 2 ? pairs[k >> 1] & 15 : pairs[k >> 1] >> 4) * 17;
      picture.data.set([level, level, level, 255], 4 * k);
    }
    paint.putImageData(picture, 0, 0);
    ink.drawImage(small, 0, 0, side, side);
  } catch (e) { console.info("drawing", e); }
};
const say = async () => { own = await pack(); props.value = own; trigger("drawn", { length: own.length }); };

canvas.onpointerdown = (e) => { down = true; canvas.setPointerCapture(e.pointerId); last = at(e); stroke(last, last); };
canvas.onpointermove = (e) => { if (down) { const here = at(e); stroke(last, here); last = here; } };
canvas.onpointerup = canvas.onpointercancel = () => { if (down) { down = false; say(); } };
element.querySelector("[data-clear]").onclick = () => { wipe(); say(); };
watch("value", () => { if (props.value !== own) { own = props.value; show(own); } });
show(props.value);
