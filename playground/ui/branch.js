// the trunk: pressing a step chooses it, and the chosen step is marked; data-order: how many steps each column stands for
const SLIDER = "#branch-branch-at input[type=range]";
const chosen = () => { const slider = document.querySelector(SLIDER); return slider ? Number(slider.value) : 0; };
const mark = () => {
  const cells = [...element.querySelectorAll("[data-k]")];
  const nearest = cells.filter((cell) => Number(cell.dataset.k) <= chosen()).at(-1);
  cells.forEach((cell) => cell.classList.toggle("pg-chosen", nearest && cell.dataset.k === nearest.dataset.k));
};
element.addEventListener("click", (e) => {
  const cell = e.target.closest("[data-k]"), slider = document.querySelector(SLIDER);
  if (!cell || !slider) return;
  slider.value = cell.dataset.k;
  for (const kind of ["input", "change"]) slider.dispatchEvent(new Event(kind, { bubbles: true }));
});
for (const kind of ["input", "change"]) document.addEventListener(kind, (e) => {
  if (element.isConnected && e.target.matches && e.target.matches("#branch-branch-at input")) setTimeout(mark);
});
watch("value", () => setTimeout(mark));
mark();
