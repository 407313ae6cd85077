"""How a live tab asks for its view, in a real browser: the newest values, two answers on their way, in turn."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from tests.journey import changes, pictures, slider

Visit = Callable[..., Page]
WATCHED = """async () => {
  const waiting = [], shown = [], asked = () => waiting.map(({ values }) => values.join("-"));
  const tab = window.playgroundLive("probe"), turn = () => new Promise((resolve) => setTimeout(resolve, 0));
  document.body.dispatchEvent(new Event("input", { bubbles: true }));  // a visitor is there, so no link is waited for
  tab.move(0, 9);  // nobody knows the other values yet
  tab.begin([0, 0]);
  tab.meet((values) => new Promise((resolve, reject) => waiting.push({ values, resolve, reject })),
           (html) => shown.push(html), "no answer");
  for (const value of [1, 2, 3]) tab.move(1, value);
  const first = asked();
  waiting[1].resolve("second");
  await turn();
  waiting[0].resolve("first");
  await turn();
  const then = asked();
  tab.begin([0, 3]);
  tab.move(1, 3);
  const unchanged = asked();
  waiting[2].reject(new Error("gone"));
  await turn();
  tab.move(1, 3);
  waiting[3].resolve(null);
  await turn();
  tab.move(1, 3);
  waiting[4].resolve("third");
  await turn();
  return { first, then, unchanged, last: asked(), shown };
}"""


def test_the_newest_values_are_answered_and_no_older_answer_follows_a_newer(open_page: Visit) -> None:
    page = open_page()
    pictures(page, "vae")
    seen = page.evaluate(WATCHED)
    assert seen["first"] == ["0-0", "0-1"]  # two on their way, the others wait
    assert seen["then"] == seen["unchanged"] == ["0-0", "0-1", "0-3"]  # the newest only, and once
    assert seen["last"] == [*seen["then"], "0-3", "0-3"]  # no answer, or nothing new from a busy machine: asked again
    assert seen["shown"] == ["second", "no answer", "third"]


def test_no_answer_is_a_sentence_and_the_next_touch_is_answered(open_page: Visit) -> None:
    page = open_page()
    pictures(page, "vae")
    page.route("**/component_server**", lambda route: route.abort())
    slider(page, "vae-temperature").fill("0.3")
    expect(page.locator("#vae-view [role=alert]")).to_be_visible()
    page.unroute("**/component_server**")
    slider(page, "vae-temperature").fill("0.4")
    expect(page.locator("#vae-view [role=alert]")).to_have_count(0)
    changes(page, "vae", lambda: slider(page, "vae-temperature").fill("0.9"))
