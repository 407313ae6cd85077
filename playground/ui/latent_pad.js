// props: value [x, y] in latent units or [], map {uri, codes, extent: [x, y]} of the model that is shown, {} before there is one
const map = element.querySelector("[data-map]");
const codes = element.querySelector("[data-codes]");
const marks = element.querySelectorAll(".pg-mark");
const pad = element.querySelector("[data-pad]");
let down = false, own = null;
const here = () => props.map && props.map.uri ? props.map : null;
const place = () => {
  if (!here()) return;
  if (map.getAttribute("src") !== here().uri) { map.src = here().uri; codes.src = here().codes; }
  const [ex, ey] = here().extent, [x, y] = props.value && props.value.length ? props.value : [0, 0];
  for (const mark of marks) {
    mark.style.left = `${50 + 50 * x / ex}%`;
    mark.style.top = `${50 - 50 * y / ey}%`;
  }
};
const say = (x, y) => {
  const [ex, ey] = here().extent, clamp = (v, e) => Math.round(1000 * Math.max(-e, Math.min(e, v))) / 1000;
  own = [clamp(x, ex), clamp(y, ey)];
  props.value = own;
  place();
  trigger("pick", { point: own });
};
const fromPointer = (e) => {
  if (!here()) return;
  const box = e.currentTarget.getBoundingClientRect(), [ex, ey] = here().extent;
  say((2 * (e.clientX - box.left) / box.width - 1) * ex, (1 - 2 * (e.clientY - box.top) / box.height) * ey);
};
for (const area of element.querySelectorAll(".pg-map")) {
  area.onpointerdown = (e) => { down = true; area.setPointerCapture(e.pointerId); fromPointer(e); };
  area.onpointermove = (e) => { if (down) fromPointer(e); };
  area.onpointerup = area.onpointercancel = () => { down = false; };
  area.onkeydown = (e) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[e.key];
    if (!step || !here()) return;
    e.preventDefault();
    const [ex, ey] = here().extent, [x, y] = props.value && props.value.length ? props.value : [0, 0];
    say(x + step[0] * ex / 30, y + step[1] * ey / 30);
  };
}
watch("value", place);
watch("map", place);
place();
