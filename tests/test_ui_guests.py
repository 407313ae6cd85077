"""A visitor's journey with a guest, in a real browser; what the page and the programs' door say of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Browser, Page, expect

from playground.datasets import DATASETS
from playground.generate import last
from playground.guests import invited
from playground.recipe import Recipe, from_query
from playground.render import recipe_of, to_png, to_uint8
from playground.sampling.reverse import Step
from playground.ui import api, diffusion, guest
from playground.ui.text import Words
from playground.zoo import Zoo
from tests.browser import DESKTOP, PHONE, serving, visiting
from tests.journey import choose, finished, fits_the_screen, open_tab, pictures, query
from tests.test_guests import SIDE, tiny_pipeline

Visit = Callable[..., Page]
FIRST, SECOND = list(DATASETS)[:2]


@pytest.fixture(scope="module")
def hosting(wide_zoo: Zoo, tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """The tiny models of two data sets, a small guest in colour, and one that may be asked for 12 passes at most."""
    root = tmp_path_factory.mktemp("guests")
    for name in ("colours", "slow"):
        tiny_pipeline({"num_train_timesteps": 100}).save_pretrained(root / name)
    light, heavy = invited([str(root / "colours"), str(root / "slow")])
    limited = {**heavy.facts, "facts": {**heavy.facts["facts"], "most_evaluations": 12}}
    return Zoo(wide_zoo.root, guests=[light, replace(heavy, facts=limited)])


@pytest.fixture(scope="module")
def address(hosting: Zoo) -> Iterator[str]:
    with serving(hosting) as address:
        yield address


@pytest.fixture
def open_page(address: str, chromium: Browser) -> Iterator[Visit]:
    with visiting(address, chromium) as visit:
        yield visit


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_a_guest_is_chosen_introduced_and_draws_pictures_of_its_own_shape(
    open_page: Visit, width: int, hosting: Zoo
) -> None:
    page = open_page(width, query="model=ddpm&steps=4&count=2&labels=3&sampler=ddim")
    finished(page, "diffusion", model="ddpm")
    expect(page.locator("#diffusion-labels-0")).to_be_visible()
    choose(page, "diffusion-model", "colours (guest)")
    recipe = finished(page, "diffusion", model="guest-colours")
    assert (recipe.labels, recipe.guidance_scale, recipe.steps) == ((), Recipe().guidance_scale, 4)
    expect(page.locator("#diffusion-guest")).to_contain_text("neither trained nor measured here")
    expect(page.locator("#diffusion-guest")).to_contain_text(f"{SIDE} × {SIDE} pixels")
    expect(page.locator("#diffusion-labels-0")).to_be_hidden()
    expect(page.locator("#diffusion-guidance-scale")).to_be_hidden()
    gallery = pictures(page, "diffusion")[:2]
    assert gallery == [to_png(pixels, recipe) for pixels in to_uint8(last(recipe, hosting).pictures)]
    assert recipe_of(gallery[0]) == recipe
    assert fits_the_screen(page)
    choose(page, "diffusion-model", "Diffusion, many steps")
    finished(page, "diffusion", model="ddpm", labels=(3,))
    expect(page.locator("#diffusion-guest")).to_be_empty()
    expect(page.locator("#diffusion-labels-0")).to_be_visible()


def test_the_link_of_a_guest_opens_it_again_on_every_page(open_page: Visit) -> None:
    for path, dataset in (("", FIRST), (SECOND, SECOND)):
        page = open_page(path=path, query="model=guest-colours&seed=9&count=1&steps=3&sampler=ddim", locale="ko-KR")
        recipe = finished(page, "diffusion", model="guest-colours")
        assert (recipe.dataset, recipe.seed, recipe.steps, recipe.text) == (dataset, 9, 3, "")
        expect(page.locator("#diffusion-guest")).to_contain_text("여기서 학습하지 않았고 품질도 재지 않았습니다")
        again = open_page(path=path, query=query(page, "diffusion"))
        assert finished(again, "diffusion") == recipe
        assert pictures(again, "diffusion") == pictures(page, "diffusion")


def test_who_turns_to_a_slow_guest_gets_as_much_as_it_may_do_and_more_is_refused(open_page: Visit) -> None:
    page = open_page(query="model=ddpm&steps=50&count=4&sampler=ddim")
    finished(page, "diffusion", model="ddpm")
    choose(page, "diffusion-model", "slow (guest)")
    recipe = finished(page, "diffusion", model="guest-slow")
    assert (recipe.steps, recipe.count) == (12, 1)
    expect(page.locator("#diffusion-cost")).to_contain_text("at most 12")
    page.locator("#diffusion-steps-50").click()
    expect(page.locator("#diffusion-status [role=alert]")).to_contain_text(
        "at most 12 network evaluations for guest-slow, this recipe needs 50"
    )


def test_compare_sets_guests_in_rows_of_their_own_without_figures(open_page: Visit, hosting: Zoo) -> None:
    page = open_page(query="task=compare&models=vae,guest-colours,guest-slow&count=3&steps=6&labels=2&sampler=ddim")
    recipe = finished(page, "compare")
    assert recipe.models == ("vae", "guest-colours", "guest-slow")
    rows = page.locator("#compare-view section.pg-guest")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("colours (guest)")
    expect(rows.first).to_contain_text("neither trained nor measured here")
    assert "Fréchet" not in rows.first.inner_text()
    assert "not measured yet" not in rows.first.inner_text()
    expect(rows.last).to_contain_text("It takes 4 steps here instead of 6")
    again = open_page(query=query(page, "compare"))
    finished(again, "compare")
    sources = "images => images.map((image) => image.src)"
    guests_of = [p.locator("section.pg-guest img").evaluate_all(sources) for p in (page, again)]
    assert guests_of[0] == guests_of[1]
    assert len(guests_of[0]) == 6


def test_compare_does_not_tick_guests_by_itself(open_page: Visit) -> None:
    page = open_page()
    open_tab(page, "compare")
    finished(page, "compare")
    expect(page.locator("#compare-models")).to_contain_text("colours (guest)")
    expect(page.locator("#compare-view section.pg-guest")).to_have_count(0)


@pytest.mark.parametrize("task", ["edit", "branch", "ladder"])
def test_links_that_ask_a_guest_for_more_than_it_can_do_open_the_usual_page(open_page: Visit, task: str) -> None:
    page = open_page(query=f"model=guest-colours&task={task}")
    expect(page.locator("#notice [role=alert]")).to_contain_text("cannot be shown")


def test_programs_find_a_guest_and_ask_it(hosting: Zoo) -> None:
    (listed,) = [m for m in api.inventory(hosting)["datasets"][1]["models"] if m["model"] == "guest-slow"]
    assert (listed["family"], listed["shape"], listed["metrics"]) == ("guest", [3, SIDE, SIDE], {})
    assert listed["most_network_evaluations"] == 12
    *_, answer = api.run(Recipe(dataset=SECOND, model="guest-slow", steps=3, count=2), hosting)
    assert len(answer["pictures"]) == 2
    assert from_query(answer["link"]).model == "guest-slow"


def test_large_pictures_are_kept_small_for_the_scrubber_and_noise_stays_as_strong() -> None:
    noise = torch.randn(2, 3, 200, 200, generator=torch.Generator().manual_seed(0))
    picture = torch.linspace(-1, 1, 200).expand(2, 3, 200, 200)
    steps = [Step(k, 5, 999.0, noise, picture, lambda: (picture, noise)) for k in range(5)]
    replay = diffusion.Replay.of(steps[0])
    for k, step in enumerate(steps):
        replay.add(step, k == 4)
    assert sum(cells.numel() for cells in replay.cells) <= diffusion.REPLAY_VALUES
    x_t, _, x0, change = (replay.cells[-1][panel, 0] for panel in range(4))
    assert x_t.shape == (3, diffusion.REPLAY_SIDE, diffusion.REPLAY_SIDE)
    assert abs(float(x_t.std()) - 1) < 0.03
    torch.testing.assert_close(x0.mean(), torch.tensor(0.0), atol=1e-2, rtol=0)
    assert not change.any()


def test_no_name_of_a_folder_becomes_html(wide_zoo: Zoo, tmp_path: Path) -> None:
    tiny_pipeline().save_pretrained(tmp_path / "<b onload=x>{title}&amp;")
    zoo = Zoo(wide_zoo.root, guests=invited([str(tmp_path / "<b onload=x>{title}&amp;")]))
    (card,) = zoo.guests(FIRST)
    words = Words(guest.TEXT, guest.titles([card]))
    said = words.both(guest.title_key(card)) + guest.note(words, card)
    assert "_b onload_x__title__amp_" in said
    assert "<b o" not in said
