// A row of pictures before and after a change: one slider, or a finger on any picture, moves the border in all of them.
let place = 50;
const put = (value) => {
  place = Math.max(0, Math.min(100, value));
  element.style.setProperty("--wipe", `${place}%`);
  const range = element.querySelector("[data-wipe]");
  if (range) range.value = place;
};
const follow = (event, picture) => {
  const box = picture.getBoundingClientRect();
  put(100 * (event.clientX - box.left) / box.width);
};
let held = null;
element.addEventListener("input", (event) => {
  if (event.target.matches("[data-wipe]")) put(Number(event.target.value));
});
element.addEventListener("pointerdown", (event) => {
  held = event.target.closest(".pg-wipe");
  if (!held) return;
  held.setPointerCapture(event.pointerId);
  follow(event, held);
});
element.addEventListener("pointermove", (event) => { if (held && held.isConnected) follow(event, held); });
for (const end of ["pointerup", "pointercancel"]) element.addEventListener(end, () => { held = null; });
watch("value", () => put(place));
put(place);
