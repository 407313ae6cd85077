// props: value ([x, y] where all chains begin, or [] for noise); data-most: how far a coordinate may reach
const most = Number(element.querySelector("[data-most]").dataset.most);
const boxes = ["x", "y"].map((name) => element.querySelector(`[data-${name}]`));
const noise = element.querySelector("[data-noise]");
const show = () => {
  const value = props.value || [];
  boxes.forEach((box, k) => { if (document.activeElement !== box) box.value = value.length ? value[k] : ""; });
  noise.setAttribute("aria-pressed", !value.length);
};
const say = (value) => { props.value = value; show(); trigger("pick", { start: value }); };
const clamp = (value) => Math.max(-most, Math.min(most, Number(value) || 0));
boxes.forEach((box) => { box.onchange = () => say(boxes.map((one) => clamp(one.value))); });
noise.onclick = () => say([]);
window.planeStart = (place) => say(place.map(clamp));
watch("value", show);
show();
