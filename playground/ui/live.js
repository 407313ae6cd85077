// The view of a live tab: says where it is, and how it is asked for.
// props: tab (its name), failed (what is said when no answer comes)
(async () => {
  while (!window.playgroundLive) await new Promise((resolve) => setTimeout(resolve, 20));
  window.playgroundLive(props.tab).meet(server.answer, (html) => { props.value = html; }, props.failed);
})();
