async () => {
  const root = document.documentElement;
  const say = async (code) => {
    root.dataset.lang = code;
    root.lang = code;
    try { localStorage.setItem("playground_language", code); } catch (e) { /* storage may be off */ }
    // gradio keeps the language of its own labels in a module of its page; there is no public call for it yet
    const chunk = performance.getEntriesByType("resource").map((r) => r.name).find((n) => /\/core-[\w-]+\.js/.test(n));
    try { (await import(chunk)).changeLocale(code); } catch (e) { console.info("labels keep the browser's language", e); }
  };
  window.playgroundSay = say;
  let remembered = null;
  try { remembered = localStorage.getItem("playground_language"); } catch (e) { /* storage may be off */ }
  const wanted = new URLSearchParams(location.search).get("lang") || remembered || navigator.language || "en";
  await say(wanted.startsWith("ko") ? "ko" : "en");

  const copy = async (text) => {
    if (navigator.clipboard && window.isSecureContext) {
      try { await navigator.clipboard.writeText(text); return; } catch (e) { /* fall through */ }
    }
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  };
  document.addEventListener("click", async (event) => {
    const language = event.target.closest("[data-language]");
    if (language) { await say(language.dataset.language); return; }
    const button = event.target.closest("[data-query]");
    if (!button) return;
    const link = `${location.origin}${location.pathname}?${button.dataset.query}`;
    history.replaceState(null, "", link);
    await copy(link);
    button.classList.add("pg-done");
    const words = button.innerHTML;
    button.innerHTML = button.dataset.done;
    setTimeout(() => { button.innerHTML = words; }, 1500);
  });

  const seeds = {};
  window.playgroundDice = (field, current) => {
    (seeds[field] ||= []).push(current);
    return Math.floor(Math.random() * 4294967296);
  };
  window.playgroundLast = (field, current) => (seeds[field] && seeds[field].length ? seeds[field].pop() : current);
}
