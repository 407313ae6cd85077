"""Tabs within a tab, in a real browser: opened by hand and by a link, in both languages, drawn when somebody looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from playground import app
from playground.ui import compare, diffusion, gan, vae
from playground.ui.group import Group
from playground.zoo import Zoo
from tests.browser import DESKTOP, PHONE, serving, visiting
from tests.journey import fits_the_screen, pictures, shown_recipe

Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def grouped(tiny_zoo: Zoo, chromium: Browser) -> Iterator[Visit]:
    """A page whose second tab holds Diffusion, a job, and GAN, a live tab."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "TABS", (vae, Group("both", ("Both of them", "둘 다"), (diffusion, gan)), compare))
        with serving(tiny_zoo) as address, visiting(address, chromium) as visit:
            yield visit


def asked_of(page: Page) -> list[str]:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.post_data or "") if request.method == "POST" else None)
    return asked


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_what_a_group_hides_is_drawn_when_it_is_opened(grouped: Visit, width: int) -> None:
    page = grouped(width)
    pictures(page, "vae")
    page.wait_for_timeout(500)
    asked = asked_of(page)
    tabs = page.get_by_role("tab")
    expect(tabs).to_have_text(["VAE", "Both of them", "Compare"])
    tabs.nth(1).click()
    expect(tabs).to_have_text(["VAE", "Both of them", "Compare", "Diffusion", "GAN"])
    expect(page.locator("#diffusion-view a.pg-save")).to_be_visible()
    expect(page.locator("#gan-view")).to_be_hidden()
    num_asked = len(asked)
    page.wait_for_timeout(500)
    assert len(asked) == num_asked, "the hidden tab asks for nothing"
    page.get_by_role("tab", name="GAN").click()
    assert pictures(page, "gan")
    assert fits_the_screen(page)


@pytest.mark.parametrize("model", ["ddpm", "gan"])
def test_a_link_opens_the_tab_within_the_group(grouped: Visit, model: str) -> None:
    page = grouped(query=f"model={model}&seed=41&count=2&steps=3")
    tab = {"ddpm": "diffusion", "gan": "gan"}[model]
    expect(page.locator(f"#{tab}-view [data-query*='seed=41']")).to_be_visible()
    expect(page.locator(f"#{tab}-view a.pg-save")).to_be_visible()
    assert (shown_recipe(page, tab).seed, shown_recipe(page, tab).count) == (41, 2)
    other = "gan" if tab == "diffusion" else "diffusion"
    expect(page.locator(f"#tab-{other}")).to_be_hidden()
    page.locator("#tab-vae-button").click()
    assert shown_recipe(page, "vae").seed != 41


def test_titles_within_a_group_follow_the_language(grouped: Visit) -> None:
    page = grouped(locale="ko-KR")
    pictures(page, "vae")
    tabs = page.get_by_role("tab")
    expect(tabs).to_have_text(["VAE", "둘 다", "비교"])
    page.locator("[data-language=en]").click()
    tabs.nth(1).click()  # this row of tabs is made only now
    expect(tabs).to_have_text(["VAE", "Both of them", "Compare", "Diffusion", "GAN"])
    page.locator("[data-language=ko]").click()
    expect(tabs).to_have_text(["VAE", "둘 다", "비교", "확산", "GAN"])


def test_a_row_within_a_tab_comes_in_the_language_of_the_page_not_of_the_browser(grouped: Visit) -> None:
    page = grouped(query="lang=ko")
    pictures(page, "vae")
    page.get_by_role("tab", name="둘 다").click()
    expect(page.get_by_role("tab")).to_have_text(["VAE", "둘 다", "비교", "확산", "GAN"])


def test_a_group_without_a_model_for_any_of_its_tabs_is_not_there(tiny_zoo: Zoo, tmp_path: object) -> None:
    (dataset,) = tiny_zoo.datasets()
    (tmp_path / dataset.name).mkdir()
    (tmp_path / dataset.name / "vae").symlink_to(tiny_zoo.root / dataset.name / "vae")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "TABS", (vae, Group("both", ("Both of them", "둘 다"), (diffusion, gan))))
        config = app.build(Zoo(tmp_path)).get_config_file()
    ids = {component["props"].get("elem_id") for component in config["components"]} - {None}
    assert {name for name in ids if name.startswith("tab-")} == {"tab-vae"}
