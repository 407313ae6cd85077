// props: value (what to draw); whoever draws it may come later, and says when a network has finished learning
const figure = element.querySelector("[data-panel]");
const panel = { name: figure.dataset.panel, kind: figure.dataset.room, element, props, watch, learnt: () => trigger("learnt", {}) };
if (window.planeJoin) window.planeJoin(panel); else (window.planePanels ||= []).push(panel);
