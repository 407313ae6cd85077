// props: value (two letters a point, across and up); data-grid: places a side; data-most: points; data-letters: the alphabet
const canvas = element.querySelector("canvas"), paint = canvas.getContext("2d");
const { letters } = canvas.dataset, grid = Number(canvas.dataset.grid), most = Number(canvas.dataset.most);
let points = [], down = false, own = null;
const read = (text) => {
  points = [];
  for (let k = 0; k + 1 < (text || "").length; k += 2) points.push([letters.indexOf(text[k]), letters.indexOf(text[k + 1])]);
};
const show = () => {
  const cell = canvas.width / grid;
  paint.fillStyle = "#fdfdff";
  paint.fillRect(0, 0, canvas.width, canvas.height);
  for (const [column, row] of points) {
    paint.beginPath();
    paint.arc((column + 0.5) * cell, canvas.height - (row + 0.5) * cell, 1.5 * cell, 0, 2 * Math.PI);
    paint.fillStyle = "rgba(109, 93, 211, .75)";
    paint.fill();
  }
  for (const left of element.querySelectorAll("[data-left]")) left.textContent = most - points.length;
};
const put = (event) => {
  const box = canvas.getBoundingClientRect(), inside = (v) => Math.max(0, Math.min(grid - 1, Math.floor(v * grid)));
  const place = [inside((event.clientX - box.left) / box.width), inside(1 - (event.clientY - box.top) / box.height)];
  const isFree = points.every(([column, row]) => (column - place[0]) ** 2 + (row - place[1]) ** 2 >= 4);
  if (isFree && points.length < most) { points.push(place); show(); }
};
const say = () => {
  own = points.map(([column, row]) => letters[column] + letters[row]).join("");
  props.value = own;
  trigger("drawn", { length: points.length });
};
canvas.onpointerdown = (event) => { down = true; canvas.setPointerCapture(event.pointerId); put(event); };
canvas.onpointermove = (event) => { if (down) put(event); };
canvas.onpointerup = canvas.onpointercancel = () => { if (down) { down = false; say(); } };
element.querySelector("[data-clear]").onclick = () => { points = []; show(); say(); };
watch("value", () => { if (props.value !== own) { own = props.value; read(own); } show(); });
read(props.value);
show();
