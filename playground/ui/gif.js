// An animated GIF out of canvases (GIF89a): one palette for all frames, made of colours that must be there (#rrggbb) and of
// their own most frequent ones. Few colours make long runs, and those a small file.
const GIF_COLOURS = 96;
const gifPalette = (frames, musts) => {
  const counts = new Float64Array(32768);  // 5 bits a channel
  const key = (r, g, b) => (r >> 3 << 10) | (g >> 3 << 5) | (b >> 3);
  for (const { data } of frames) for (let k = 0; k < data.length; k += 4) counts[key(data[k], data[k + 1], data[k + 2])]++;
  for (const must of musts) counts[key(...[1, 3, 5].map((k) => parseInt(must.slice(k, k + 2), 16)))] = Infinity;
  const frequent = Array.from(counts.keys()).filter((c) => counts[c]).sort((a, b) => (counts[b] === counts[a] ? a - b : counts[b] - counts[a])).slice(0, GIF_COLOURS);
  const colours = frequent.map((c) => [c >> 10, (c >> 5) & 31, c & 31].map((v) => Math.round(v * 255 / 31)));
  const nearest = new Int16Array(32768).fill(-1);
  frequent.forEach((c, k) => { nearest[c] = k; });
  return { colours, index: (r, g, b) => {
    const c = key(r, g, b);
    if (nearest[c] >= 0) return nearest[c];
    let best = 0, least = Infinity;
    colours.forEach(([x, y, z], k) => {
      const far = (x - r) ** 2 + (y - g) ** 2 + (z - b) ** 2;
      if (far < least) { least = far; best = k; }
    });
    return nearest[c] = best;
  } };
};
const gifLzw = (indices) => {  // variable-length codes of 8-bit indices, in sub-blocks of at most 255 bytes
  const out = [];
  let bits = 0, held = 0, block = [];
  const flush = () => { if (block.length) { out.push(block.length, ...block); block = []; } };
  const put = (code, size) => {
    held |= code << bits;
    bits += size;
    while (bits >= 8) { block.push(held & 255); held >>>= 8; bits -= 8; if (block.length === 255) flush(); }
  };
  let table = new Map(), next = 258, size = 9, prefix = indices[0];
  put(256, size);
  for (let k = 1; k < indices.length; k++) {
    const key = (prefix << 8) | indices[k], known = table.get(key);
    if (known !== undefined) { prefix = known; continue; }
    put(prefix, size);
    table.set(key, next);
    if (next === 1 << size) size++;
    next++;
    if (next === 4096) { put(256, size); table = new Map(); next = 258; size = 9; }
    prefix = indices[k];
  }
  put(prefix, size);
  if (next === 1 << size && size < 12) size++;
  put(257, size);
  if (bits) block.push(held & 255);
  flush();
  out.push(0);
  return out;
};
const gif = async (frames, delays_ms, musts) => {  // ImageData of one size -> Blob; the page goes on between frames
  const { width, height } = frames[0], { colours, index } = gifPalette(frames, musts);
  const pair = (n) => [n & 255, n >> 8];
  const table = new Uint8Array(768);
  colours.forEach((colour, k) => table.set(colour, 3 * k));
  const loop = [0x21, 0xff, 11, ...new TextEncoder().encode("NETSCAPE2.0"), 3, 1, 0, 0, 0];
  const parts = [new TextEncoder().encode("GIF89a"), Uint8Array.from([...pair(width), ...pair(height), 0xf7, 0, 0]), table,
    Uint8Array.from(loop)];
  for (const [k, { data }] of frames.entries()) {
    const indices = new Uint8Array(width * height);
    for (let p = 0; p < indices.length; p++) indices[p] = index(data[4 * p], data[4 * p + 1], data[4 * p + 2]);
    parts.push(Uint8Array.from([0x21, 0xf9, 4, 0, ...pair(Math.round(delays_ms[k] / 10)), 0, 0,
      0x2c, 0, 0, 0, 0, ...pair(width), ...pair(height), 0, 8]), Uint8Array.from(gifLzw(indices)));
    await new Promise((resolve) => setTimeout(resolve));
  }
  return new Blob([...parts, Uint8Array.from([0x3b])], { type: "image/gif" });
};
// a button's GIF: made while the button waits, then saved under the name that the button carries
window.playgroundKeepGif = async (button, name, make, delays_ms, musts) => {
  const words = button.innerHTML;
  button.disabled = true;
  button.textContent = "…";
  await new Promise((resolve) => setTimeout(resolve, 30));  // the page shows that first
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await gif(await make(), delays_ms, musts));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  button.innerHTML = words;
  button.disabled = false;
};
