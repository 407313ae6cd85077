  // changes in a tab that was never opened wait until it is
  const shown = (id) => new Promise((resolve) => {
    if (document.getElementById(id)) { resolve(); return; }
    const observer = new MutationObserver(() => {
      if (document.getElementById(id)) { observer.disconnect(); resolve(); }
    });
    observer.observe(document.body, { childList: true, subtree: true });
  });

  // changes that follow each other closely (a slider being dragged, a link being restored) become one: the last; they
  // wait for a pause, but no longer than patience_ms
  const paused = {};
  window.playgroundAfterPause = (id, values, pause_ms = 80, patience_ms = Infinity) => new Promise((resolve, reject) => {
    if (!isSettled) { reject("the link's own drawing follows"); return; }
    const now = performance.now();
    const first = paused[id] ? paused[id].first : now;
    if (paused[id]) { clearTimeout(paused[id].timer); paused[id].reject("a newer change follows"); }
    const answer = () => { delete paused[id]; resolve(shown(id).then(() => values)); };
    const wait_ms = Math.max(0, Math.min(pause_ms, first + patience_ms - now));
    paused[id] = { reject, first, timer: setTimeout(answer, wait_ms) };
  });

  // a link sets one control after the other: nothing is drawn of what stands between, but for a visitor who is quicker
  let isTouched = false, isSettled = false;
  const settled = new Promise((resolve) => {
    const touched = () => { isTouched = isSettled = true; resolve(); };
    for (const touch of ["pointerdown", "keydown", "input"])
      document.addEventListener(touch, touched, { capture: true, once: true });
    window.playgroundHeld = (said, values) => {
      const wanted = isTouched || !said ? [] : Object.entries(JSON.parse(said));
      const lost = new Map(wanted.filter(([place, value]) => JSON.stringify(values[place]) !== JSON.stringify(value)));
      isSettled = true;
      resolve();
      if (!lost.size) return Promise.reject("every control holds what the link says");
      return values.map((_, place) => lost.has(`${place}`) ? lost.get(`${place}`) : { __type__: "update" });
    };
  });
  // a page that nobody sees yet draws no frames
  const frames = () => Promise.race([
    new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))),
    new Promise((resolve) => setTimeout(resolve, 1000)),
  ]);
  const drawn = async () => { await frames(); await new Promise((resolve) => setTimeout(resolve, 50)); };
  window.playgroundRestored = drawn;
  window.playgroundOnceSettled = (values) => isSettled ? values : Promise.reject("the link's own drawing follows");
  // what is asked of a tab that has just been opened is known a moment later: it first has to come to the page
  window.playgroundSettled = () => settled.then(drawn);

  // a live tab: the newest values of its controls are answered. Two answers may be on their way, so that the machine
  // draws one while the page shows another; an older one is never shown after a newer one
  const liveTab = () => {
    let values = null, asked = null, ask = null, show = null, failed = "", sent = 0, shown = 0, onTheWay = 0;
    const go = async () => {
      const wanted = JSON.stringify(values);
      if (!ask || !values || wanted === asked || onTheWay === 2) return;
      const number = ++sent;
      asked = wanted;
      onTheWay++;
      const answer = await ask(values).catch(() => undefined);
      const html = answer === undefined ? failed : answer;  // gradio's client has told the console why none came
      onTheWay--;
      if (html !== null && number > shown) { shown = number; show(html); }
      if (html === null || html === failed) asked = null;
      if (JSON.stringify(values) !== wanted) go();
    };
    settled.then(go);  // what a link moved meanwhile
    return {
      meet: (...its) => { [ask, show, failed] = its; asked = null; go(); },
      begin: (all) => { values = all; go(); },
      move: (place, value) => {
        if (values) values = values.map((held, k) => (k === place ? value : held));
        if (isSettled) go();
      },
    };
  };
  const liveTabs = {};
  window.playgroundLive = (name) => liveTabs[name] ||= liveTab();

  const root = document.documentElement;
  const asked = () => new URLSearchParams(location.search);
  let isRemembered = false;
  const say = async (code) => {
    root.dataset.lang = code;
    root.lang = code;
    try { localStorage.setItem("playground_language", code); isRemembered = true; } catch (e) { /* storage may be off */ }
    if (asked().has("lang")) {
      const query = asked();
      query.set("lang", code);
      history.replaceState(null, "", `${location.pathname}?${query}`);
    }
    // gradio keeps the language of its own labels in a module of its page; there is no public call for it yet
    const chunk = performance.getEntriesByType("resource").map((r) => r.name).find((n) => /\/core-[\w-]+\.js/.test(n));
    try { (await import(chunk)).changeLocale(code); } catch (e) { console.info("labels keep the browser's language", e); }
    entitle();
  };
  // a row of tabs within a tab comes to the page when that is opened, and then in the language of the browser
  const entitle = () => {
    for (const title of document.querySelectorAll("[data-title-of]")) {
      const button = document.getElementById(title.dataset.titleOf);
      const said = title.querySelector(`[lang=${root.dataset.lang}]`).textContent;
      if (button && button.textContent !== said) button.textContent = said;
    }
  };
  let isEntitling = false;
  new MutationObserver(() => {
    if (isEntitling) return;
    isEntitling = true;
    requestAnimationFrame(() => { isEntitling = false; entitle(); });
  }).observe(document.body, { childList: true, subtree: true });
  window.playgroundSay = say;
  let remembered = null;
  try { remembered = localStorage.getItem("playground_language"); } catch (e) { /* storage may be off */ }
  const wanted = asked().get("lang") || remembered || navigator.language || "en";
  await say(wanted.startsWith("ko") ? "ko" : "en");

  // the way to another data set keeps the language and what the host needs (names that begin with __), not the recipe
  const follow = (event) => {
    const link = event.target.closest("a[data-page]");
    if (!link) return;
    const kept = new URLSearchParams([...asked()].filter(([name]) => name.startsWith("__")));
    if (asked().has("lang") || !isRemembered) kept.set("lang", root.dataset.lang);
    link.search = kept;
  };
  // the way to another recipe on this page keeps them, too
  const open = (event) => {
    const link = event.target.closest("a[data-recipe]");
    if (!link) return;
    const kept = new URLSearchParams(link.dataset.recipe);
    for (const [name, value] of asked()) if (name === "lang" || name.startsWith("__")) kept.set(name, value);
    link.search = kept;
  };
  for (const click of ["click", "auxclick"]) for (const way of [follow, open]) document.addEventListener(click, way);

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

  // the scrubber over a finished trajectory: a window that moves over pictures that hold every step; no request
  const films = new WeakMap();
  const stopFilm = (scrub) => {
    clearInterval(films.get(scrub));
    films.delete(scrub);
    scrub.querySelector("[data-play]").textContent = "▶\ufe0e";
  };
  const showColumn = (scrub, column) => {
    const range = scrub.querySelector("input[type=range]");
    const [number, t] = [scrub.dataset.steps, scrub.dataset.times].map((list) => list?.split(",")[column]);
    range.value = column;
    range.setAttribute("aria-valuetext", t === undefined ? number : `${number}, t = ${t}`);
    scrub.style.setProperty("--column", column);
    for (const [place, said] of [["[data-step]", number], ["[data-t]", t]])
      if (scrub.querySelector(place)) scrub.querySelector(place).textContent = said;
    for (const place of scrub.querySelectorAll("[data-follows]"))
      place.textContent = place.dataset.follows.split("|")[column];
  };
  const playFilm = (scrub) => {
    const range = scrub.querySelector("input[type=range]");
    const last = Number(range.max);
    if (Number(range.value) >= last) showColumn(scrub, 0);
    scrub.querySelector("[data-play]").textContent = "❚❚";
    films.set(scrub, setInterval(() => {
      const next = Number(range.value) + 1;
      if (scrub.isConnected && next <= last) showColumn(scrub, next);
      if (!scrub.isConnected || next >= last) stopFilm(scrub);
    }, Math.min(200, Math.max(50, 4000 / (last + 1)))));
  };
  // an animation to keep: every step of a scrubber (at most 40), or the frames that another view draws of itself
  const INK = "#1f2937", MOST_FRAMES = 40;
  window.playgroundEvenly = (count) => {
    const frames = Math.min(MOST_FRAMES, count);
    return Array.from({ length: frames }, (_, k) => Math.round(k * (count - 1) / Math.max(1, frames - 1)));
  };
  window.playgroundFrame = (cells, width, height, words) => {  // draw(paint, x, y) of each side by side, words below
    const pad = 8, canvas = document.createElement("canvas");
    canvas.width = cells.length * (width + pad) + pad;
    canvas.height = height + 2 * pad + 20;
    const paint = canvas.getContext("2d", { willReadFrequently: true });
    paint.fillStyle = "#fff";
    paint.fillRect(0, 0, canvas.width, canvas.height);
    paint.imageSmoothingEnabled = false;
    cells.forEach((draw, k) => draw(paint, pad + k * (width + pad), pad));
    paint.fillStyle = INK;
    paint.font = "600 13px system-ui, sans-serif";
    paint.fillText(words, pad, height + pad + 16);
    return paint.getImageData(0, 0, canvas.width, canvas.height);
  };
  const scrubFrames = async (scrub, columns) => {
    const count = scrub.dataset.steps.split(",").length, row = Number(getComputedStyle(scrub).getPropertyValue("--row"));
    const rows = Number(getComputedStyle(scrub).getPropertyValue("--rows"));
    const sprites = await Promise.all([...scrub.querySelectorAll(".pg-cell")].map(async (cell) => {
      const image = new Image();
      image.src = cell.style.backgroundImage.slice(4, -1).replace(/"/g, "");
      await image.decode();
      return image;
    }));
    const [width, height] = [sprites[0].width / count, sprites[0].height / rows], factor = Math.max(1, Math.floor(160 / height));
    const [numbers, times] = [scrub.dataset.steps, scrub.dataset.times].map((list) => list.split(","));
    return columns.map((column) => window.playgroundFrame(sprites.map((sprite) => (paint, x, y) =>
      paint.drawImage(sprite, column * width, row * height, width, height, x, y, factor * width, factor * height)),
      factor * width, factor * height, `${numbers[column]}   t = ${times[column]}`));
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-keep]");
    if (!button) return;
    const view = button.dataset.of ? document.querySelector(button.dataset.of) : button.closest(".pg-view").querySelector("[data-scrub]");
    const columns = window.playgroundEvenly(view.playgroundFrames ? Number(view.dataset.frames) : view.dataset.steps.split(",").length);
    const make = () => (view.playgroundFrames || ((all) => scrubFrames(view, all)))(columns);
    const delays = columns.map((_, k) => (k === columns.length - 1 ? 1500 : 120));
    await window.playgroundKeepGif(button, button.dataset.keep, make, delays, [INK, "#ffffff"]);
  });

  document.addEventListener("input", (event) => {
    const scrub = event.target.closest("[data-scrub]");
    if (!scrub) return;
    stopFilm(scrub);
    showColumn(scrub, Number(event.target.value));
  });
  document.addEventListener("click", (event) => {
    const scrub = event.target.closest("[data-scrub]");
    if (!scrub) return;
    if (event.target.closest("[data-play]")) {
      if (films.has(scrub)) stopFilm(scrub); else playFilm(scrub);
    }
    const row = event.target.closest("[data-row]");
    if (row) {
      scrub.style.setProperty("--row", row.dataset.row);
      scrub.querySelectorAll("[data-row]").forEach((button) => button.setAttribute("aria-pressed", button === row));
      scrub.querySelectorAll("[data-change]").forEach((curve) => { curve.hidden = curve.dataset.change !== row.dataset.row; });
    }
  });
