// props: value [place of the attribute, label]; one button a value of an attribute
const chips = [...element.querySelectorAll("[data-place]")];
const says = (chip) => [Number(chip.dataset.place), Number(chip.dataset.label)];
const show = () => {
  const chosen = String(props.value || []);
  for (const chip of chips) chip.setAttribute("aria-pressed", String(says(chip)) === chosen);
};
for (const chip of chips) {
  chip.onclick = () => { props.value = says(chip); show(); trigger("pick", { change: props.value }); };
}
watch("value", show);
show();
