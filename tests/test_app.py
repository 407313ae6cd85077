"""One page a data set: each complete, each found by its links, in a real browser and over plain HTTP."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from playground.app import TABS, build
from playground.datasets import DATASETS, Dataset
from playground.generate import as_text, by_word, last, usual
from playground.recipe import Recipe, from_query, to_query
from playground.render import to_png, to_uint8
from playground.sampling.reverse import STOCHASTIC
from playground.ui.controls import picker_rows
from playground.ui.group import every
from playground.ui.pages import RightPage, paths_of, said_by
from playground.ui.text import COMMON
from playground.zoo import Zoo
from tests.browser import DESKTOP, PHONE, serving, visiting
from tests.journey import choose_from_list, fits_the_screen, open_tab, pictures, query, shown_recipe

Visit = Callable[..., Page]
FIRST, SECOND = list(DATASETS.values())[:2]
PATHS = paths_of([FIRST, SECOND])


@pytest.fixture(scope="module")
def wide_server(wide_zoo: Zoo) -> Iterator[str]:
    """The address of the playground over tiny random models of two data sets."""
    with serving(wide_zoo) as address:
        yield address


@pytest.fixture
def open_wide(wide_server: str, chromium: Browser) -> Iterator[Visit]:
    with visiting(wide_server, chromium) as visit:
        yield visit


def picked(dataset: Dataset) -> range:
    """The attributes that have a picker: a text says the others."""
    said = 0 if dataset.writing is None else len(dataset.writing.spell(dataset.writing.example)[0])
    return range(said, len(dataset.attributes))


def config_of(page: str) -> dict:
    """What a page tells gradio's script about itself."""
    return json.loads(re.search(r"window\.gradio_config = (\{.*?\});</script>", page, re.DOTALL).group(1))


def elem_ids(config: dict) -> set[str]:
    return {component["props"].get("elem_id") for component in config["components"]} - {None}


# ---- over plain HTTP


def test_every_data_set_has_a_page_with_a_tab_for_every_family(wide_server: str) -> None:
    home, other = (elem_ids(config_of(httpx.get(wide_server + path).text)) for path in PATHS.values())
    for ids, dataset in ((home, FIRST), (other, SECOND)):
        assert {"tab-vae", "tab-gan", "tab-diffusion", "tab-compare"} <= ids
        for tab in ("vae", "gan", "diffusion", "compare"):
            pickers = {name for name in ids if name.startswith((f"{tab}-labels-", f"{tab}-text"))}
            boxes = {f"{tab}-text"} if dataset.writing else set()
            assert pickers == boxes | {f"{tab}-labels-{k}" for k in picked(dataset)}


def test_a_second_data_set_hardly_weighs_on_the_first_page(wide_server: str, wide_zoo: Zoo, tmp_path: Path) -> None:
    (tmp_path / FIRST.name).symlink_to(wide_zoo.root / FIRST.name)
    with serving(Zoo(tmp_path)) as alone:
        one, two = (len(httpx.get(address).content) for address in (alone, wide_server))
        assert "pg-datasets" not in str(config_of(httpx.get(alone).text)["components"]), "nothing to switch between"
    assert two < 1.05 * one


def test_the_end_points_are_there_once_and_serve_every_data_set(wide_server: str, wide_zoo: Zoo) -> None:
    info = httpx.get(f"{wide_server}gradio_api/info").json()["named_endpoints"]
    assert set(info) == {"/sample", "/walk", "/encode", "/judge", "/compare", "/models", "/open"}
    recipe = Recipe(dataset=SECOND.name, model="gan", labels=(2, 3, 4, 5), seed=6)
    values = [getattr(recipe, parameter["parameter_name"]) for parameter in info["/sample"]["parameters"]]
    joined = httpx.post(f"{wide_server}gradio_api/call/sample", json={"data": values}).json()
    answer = httpx.get(f"{wide_server}gradio_api/call/sample/{joined['event_id']}").text.split("\n\n")[-2]
    (made,) = json.loads(answer.partition("\ndata: ")[2])[0]["pictures"]
    assert base64.b64decode(made["png"]) == to_png(to_uint8(last(recipe, wide_zoo).pictures[0]), recipe)


HOSTS = ("https://lab.example/", "https://lab.example/some/where/")  # alone, and behind a prefix that a proxy takes off


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        (f"?dataset={SECOND.name}&seed=3", f"{SECOND.name}?dataset={SECOND.name}&seed=3"),
        (f"{SECOND.name}?dataset={FIRST.name}&labels=8&lang=ko", f"?dataset={FIRST.name}&labels=8&lang=ko"),
        (f"{SECOND.name}/?seed=3", f"{SECOND.name}?seed=3"),
        (f"{SECOND.name}/?dataset={FIRST.name}", f"?dataset={FIRST.name}"),
        (f"{SECOND.name}/", SECOND.name),
        (f"?dataset={FIRST.name}", None),
        (f"{SECOND.name}?dataset={SECOND.name}", None),
        (f"{SECOND.name}?seed=3", None),
        ("?dataset=nothing", None),
        ("?dataset=//elsewhere.example", None),
        ("?seed=3", None),
        ("", None),
        (f"config?dataset={SECOND.name}", None),
        (f"gradio_api/info?dataset={SECOND.name}", None),
    ],
)
def test_a_link_is_answered_with_the_page_that_it_speaks_of(host: str, asked: str, answered: str | None) -> None:
    path, _, said = asked.partition("?")
    scope = {"type": "http", "method": "GET", "path": f"/{path}", "query_string": said.encode()}
    address = RightPage(None, PATHS).other_address(scope)
    assert (address and urljoin(host + path, address)) == (None if answered is None else host + answered)
    assert RightPage(None, PATHS).other_address({**scope, "method": "POST"}) is None
    mounted = {**scope, "root_path": "/inside", "path": f"/inside/{path}"}
    assert RightPage(None, PATHS).other_address(mounted) == address


def test_a_link_to_another_data_set_is_led_there_before_anything_is_shown(wide_server: str) -> None:
    said = to_query(Recipe(dataset=SECOND.name, model="gan", seed=3))
    first = httpx.get(f"{wide_server}?{said}")
    assert first.status_code == 307
    assert b"gradio" not in first.content
    answer = httpx.get(f"{wide_server}?{said}", follow_redirects=True)
    assert str(answer.url) == f"{wide_server}{SECOND.name}?{said}"
    assert config_of(answer.text)["current_page"] == SECOND.name


def test_what_a_link_says_leaves_out_what_is_for_the_page_or_its_host() -> None:
    implied = {"dataset": SECOND.name}
    assert said_by({"lang": "ko", "__theme": "dark", "__sign": "x"}, implied) == {}
    assert said_by({"lang": "ko", "seed": "3"}, implied) == {"seed": "3", **implied}
    assert said_by({"dataset": FIRST.name}, implied) == {"dataset": FIRST.name}


def test_a_data_set_without_models_of_a_family_has_no_tab_for_it(wide_zoo: Zoo, tmp_path: Path) -> None:
    (tmp_path / SECOND.name).mkdir()
    (tmp_path / SECOND.name / "gan").symlink_to(wide_zoo.root / SECOND.name / "gan")
    config = build(Zoo(tmp_path)).get_config_file()
    tabs = {name for name in elem_ids(config) if name.startswith("tab-")}
    assert tabs >= {"tab-gan", "tab-compare", "tab-change"}
    assert not tabs & {"tab-vae", "tab-diffusion"}
    assert config["pages"][0][0] == "", "the first data set is at home, whichever it is"


def within(node: dict, path: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    """The numbers of every component of a layout and of those that it stands in, outermost first."""
    for child in node.get("children", ()):
        yield (*path, child["id"])
        yield from within(child, (*path, child["id"]))


def test_every_page_begins_with_its_own_sampler_and_only_with_what_belongs_to_it(real_zoo: Zoo) -> None:
    config = build(real_zoo).get_config_file()
    props = {component["id"]: component["props"] for component in config["components"]}
    samplers = set()
    for dataset, page in zip(real_zoo.datasets(), config["pages"], strict=True):
        places = {props[way[-1]].get("elem_id"): way for way in within(config["page"][page[0]]["layout"])}
        first = {name: props[places[f"{name}-sampler"][-1]]["value"] for name in ("diffusion", "branch")}
        assert first["diffusion"] == usual(dataset).sampler
        assert first["branch"] in STOCHASTIC, "other noise on the way would change nothing"
        is_shown = all(props[place].get("visible") is not False for place in places["diffusion-eta"])
        assert is_shown == (first["diffusion"] == "ddim")
        samplers.add(first["diffusion"])
    assert len(samplers) > 1


def test_no_word_means_one_thing_in_one_tab_and_another_in_the_next() -> None:
    meant: dict[str, tuple[str, str]] = dict(COMMON)
    for entry in every(TABS):
        for key, pair in entry.TEXT.items():
            assert meant.setdefault(key, pair) == pair, f"{entry.NAME} says {key} otherwise"


def test_narrow_pickers_stand_in_pairs_and_wide_ones_alone() -> None:
    def rows(*num_values: int) -> list[list[int]]:
        attributes = [type(FIRST.attributes[0])("a", {}, ({},) * n) for n in num_values]
        return list(picker_rows(attributes))

    assert rows(10) == [[0]]
    assert rows(19, 21, 28, 29) == [[0, 1], [2, 3]]
    assert rows(12, 4, 6, 6, 3, 2, 2) == [[0], [1], [2], [3], [4, 5], [6]]
    assert rows() == []


# ---- in a browser


def gallery(page: Page, tab: str) -> list[bytes]:
    """The pictures that a tab has made, without the noise that they began with."""
    images = page.locator(f"#{tab}-view .pg-grid img")
    sources = images.evaluate_all("images => images.map((image) => image.src)")
    return [base64.b64decode(source.partition(",")[2]) for source in sources]


def expected_pngs(recipe: Recipe, zoo: Zoo) -> list[bytes]:
    return [to_png(to_uint8(picture), recipe) for picture in by_word(last(recipe, zoo), recipe).pictures]


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
@pytest.mark.parametrize("tab", ["vae", "gan", "diffusion", "compare"])
def test_every_tab_works_on_the_second_data_set(open_wide: Visit, wide_zoo: Zoo, tab: str, width: int) -> None:
    page = open_wide(width, path=SECOND.name)
    pictures(page, "vae")
    if tab != "vae":
        open_tab(page, tab)
    expect(page.locator(f"#{tab}-view a.pg-save")).to_be_visible()
    labels = [0] * len(SECOND.attributes)
    page.locator(f"#{tab}-text textarea").fill("견한")
    for k in picked(SECOND):
        labels[k] = SECOND.attributes[k].num_values
        choose_from_list(page, f"{tab}-labels-{k}", SECOND.attributes[k].values[-1]["en"])
    said = f"labels={','.join(map(str, labels))}&"
    expect(page.locator(f"#{tab}-view [data-query*='{said}']")).to_be_visible()
    expect(page.locator(f"#{tab}-view a.pg-save")).to_be_visible()
    recipe = shown_recipe(page, tab)
    assert (recipe.dataset, recipe.labels, recipe.text) == (SECOND.name, tuple(labels), "견한")
    if tab != "compare":
        assert gallery(page, tab) == expected_pngs(recipe, wide_zoo)
    else:
        assert recipe.models == ("vae", "gan", "ddpm")
    assert fits_the_screen(page)


@pytest.mark.parametrize("tab", ["vae", "gan", "diffusion", "compare"])
def test_a_link_of_the_second_data_set_restores_every_control(open_wide: Visit, wide_zoo: Zoo, tab: str) -> None:
    model = {"diffusion": "ddpm", "compare": "vae"}.get(tab, tab)
    task = "compare" if tab == "compare" else "sample"
    wanted = Recipe(SECOND.name, model, task, labels=(2, 9, 5, 3), seed=41, count=2, steps=3)
    page = open_wide(query=to_query(wanted))
    expect(page).to_have_url(re.compile(rf"/{SECOND.name}\?.*seed=41"))
    expect(page.locator(f"#tab-{tab}")).to_be_visible()
    expect(page.locator(f"#{tab}-view [data-query*='seed=41&count=2']")).to_be_visible()
    expect(page.locator(f"#{tab}-view a.pg-save")).to_be_visible()
    shown = shown_recipe(page, tab)
    assert (shown.dataset, shown.seed, shown.count) == (SECOND.name, 41, 2)
    assert (shown.text, shown.labels) == (SECOND.writing.text((2, 9, 5)), (0, 0, 0, 3))
    assert (shown.text, shown.labels) == (as_text(wanted, SECOND).text, as_text(wanted, SECOND).labels)
    expect(page.locator(f"#{tab}-text textarea")).to_have_value(shown.text)
    for k in picked(SECOND):
        said = SECOND.attributes[k].values[wanted.labels[k] - 1]["en"]
        expect(page.locator(f"#{tab}-labels-{k} input")).to_have_value(said)
    if tab != "compare":
        assert gallery(page, tab) == expected_pngs(shown, wide_zoo)


def test_copying_a_link_makes_one_to_this_page(open_wide: Visit) -> None:
    page = open_wide(path=SECOND.name)
    mine = pictures(page, "vae")
    page.locator("#vae-view [data-query]").click()
    expect(page).to_have_url(re.compile(rf"/{SECOND.name}\?v=1&dataset={SECOND.name}"))
    address = page.url
    assert from_query(query(page, "vae")).dataset == SECOND.name
    page.goto("about:blank")
    page.goto(address)
    assert pictures(page, "vae") == mine


def test_the_switch_leads_to_the_other_data_set_and_keeps_the_language(open_wide: Visit) -> None:
    page = open_wide(locale="en-US", query="lang=ko&__theme=light&seed=8")
    here = page.locator("nav.pg-datasets a[aria-current=page]")
    expect(here).to_have_text(FIRST.title["ko"], use_inner_text=True)
    page.locator("[data-language=en]").click()
    expect(here).to_have_text(FIRST.title["en"], use_inner_text=True)
    page.locator("nav.pg-datasets a", has_text=SECOND.title["en"]).click()
    expect(page).to_have_url(re.compile(rf"/{SECOND.name}\?__theme=light&lang=en$"))
    expect(here).to_have_text(SECOND.title["en"], use_inner_text=True)
    assert shown_recipe(page, "vae").dataset == SECOND.name
    page.locator("nav.pg-datasets a", has_text=FIRST.title["en"]).click()
    expect(page).to_have_url(re.compile(r"/\?__theme=light&lang=en$"))
    assert shown_recipe(page, "vae").dataset == FIRST.name
    expect(page.locator(".nav-holder")).to_be_hidden()  # gradio's own switch


INK_AND_PAPER = """links => links.map((link) =>
    [getComputedStyle(link.querySelector("span")).color, getComputedStyle(link).backgroundColor])"""


def test_the_switch_can_be_read_in_both_themes(open_wide: Visit) -> None:
    for theme in ("light", "dark"):
        page = open_wide(query=f"__theme={theme}")
        expect(page.locator("nav.pg-datasets a")).to_have_count(2)
        colours = page.locator("nav.pg-datasets a").evaluate_all(INK_AND_PAPER)
        for ink, paper in colours:
            assert contrast(rgb(ink), rgb(paper)) >= 4.5, (theme, ink, paper)


def rgb(colour: str) -> tuple[float, ...]:
    return tuple(float(part) / 255 for part in re.findall(r"[\d.]+", colour)[:3])


def contrast(first: tuple[float, ...], second: tuple[float, ...]) -> float:
    """The contrast ratio of two sRGB colours (WCAG 2)."""

    def luminance(colour: tuple[float, ...]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        return sum(share * part for share, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def test_an_impossible_link_to_the_second_data_set_opens_its_usual_page_with_a_sentence(open_wide: Visit) -> None:
    page = open_wide(path=SECOND.name, query="model=vae2")
    expect(page.locator("#notice [role=alert]")).to_contain_text("model must be one of vae, gan, ddpm")
    assert shown_recipe(page, "vae").dataset == SECOND.name


@pytest.fixture
def diffusion_alone(wide_zoo: Zoo, tmp_path: Path, chromium: Browser) -> Iterator[Visit]:
    """A playground whose only model is a diffusion model, so that its first tab is one of the job lane."""
    (tmp_path / SECOND.name).mkdir()
    (tmp_path / SECOND.name / "ddpm").symlink_to(wide_zoo.root / SECOND.name / "ddpm")
    with serving(Zoo(tmp_path)) as address, visiting(address, chromium) as visit:
        yield visit


def test_a_job_in_the_first_tab_is_done_at_once_and_a_link_opens_any(diffusion_alone: Visit) -> None:
    page = diffusion_alone()
    expect(page.locator("#diffusion-view a.pg-save")).to_be_visible()
    linked = diffusion_alone(query=f"dataset={SECOND.name}&model=ddpm&task=compare&count=1&steps=2")
    expect(linked.locator("#compare-view a.pg-save")).to_be_visible()
    assert shown_recipe(linked, "compare").steps == 2
    own = diffusion_alone(query=f"dataset={SECOND.name}&model=ddpm&count=1&steps=2&seed=9")
    expect(own.locator("#diffusion-view [data-query*='seed=9&steps=2']")).to_be_visible()


def test_a_job_is_asked_for_when_its_tab_is_opened_and_not_before(open_wide: Visit) -> None:
    page = open_wide()
    joined: list[str] = []
    page.on("request", lambda request: joined.append(request.url) if "/queue/join" in request.url else None)
    pictures(page, "vae")
    page.wait_for_timeout(500)
    assert joined == []
    open_tab(page, "diffusion")
    expect(page.locator("#diffusion-view a.pg-save")).to_be_visible()
    num_joined = len(joined)
    assert num_joined >= 1
    open_tab(page, "vae")
    open_tab(page, "diffusion")
    page.wait_for_timeout(500)
    expect(page.locator("#diffusion-view a.pg-save")).to_be_visible()  # what was drawn stays
