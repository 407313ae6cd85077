"""Data augmentation: readers race, each with a few real pictures and what another model adds to them."""

from __future__ import annotations

import html
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import partial

import gradio as gr
from gradio.components import Component

from playground import augmentation, limits, render
from playground.augmentation import ALL, MOVED, REAL, Moment, Stand, helpers, race
from playground.recipe import DEFAULT, Recipe
from playground.ui import controls, views
from playground.ui.lanes import LIVE, NEWEST_WINS
from playground.ui.page import Page, Tab, granted_view, on_any, only, recipe_from
from playground.ui.text import attribute_key
from playground.ui.wishes import Wishes
from playground.zoo import Zoo

NAME = "augment"
FIRST_SEED = 0
PREVIEW_EVERY_S = 0.2
USED = ("target", "real_each", "made_each", "seed")  # the fields of a recipe
TEXT = {
    "tab_augment": ("Data augmentation", "데이터 증강"),
    "augment_lead": (
        "A network is to learn to <b>read</b>, but has only a handful of real pictures. Let a generator make up more: does it "
        "read better? All are marked on real pictures that nobody learned from.",
        "신경망에 <b>읽기</b>를 가르치고 싶은데 진짜 그림이 몇 장뿐입니다. 생성 모델이 그림을 더 만들어 주면 더 잘 읽게 될까요? 시험은 아무도 "
        "배우지 않은 진짜 그림으로 봅니다.",
    ),
    "augment_target": ("What it learns to read", "무엇을 읽게 할까요"),
    "real_each": ("Real pictures of each kind", "종류마다 진짜 그림"),
    "real_each_info": ("All that the reader has of its own", "읽기 신경망이 가진 진짜 그림의 수"),
    "made_each": ("Pictures made of each kind", "종류마다 만든 그림"),
    "made_each_info": ("What a generator adds to them", "생성 모델이 보태 주는 그림의 수"),
    "augment_real": ("Real pictures alone", "진짜 그림만"),
    "augment_real_note": (
        "The few real pictures again and again: they are soon learned by heart.",
        "몇 장 안 되는 진짜 그림만 되풀이해서 봅니다. 금방 외워 버립니다.",
    ),
    "augment_moved": ("Moved a little", "조금씩 움직이기"),
    "augment_moved_note": (
        "The usual augmentation, without any model: the same pictures turned, zoomed and shifted, each time another way.",
        "모델 없이 하는 흔한 증강: 같은 그림을 매번 다르게 조금씩 돌리고, 키우고, 옮깁니다.",
    ),
    "augment_vae": ("With a VAE's pictures", "VAE의 그림을 보태기"),
    "augment_vae_note": (
        "Blurred, but of many kinds.",
        "흐릿하지만 여러 가지입니다.",
    ),
    "augment_gan": ("With a GAN's pictures", "GAN의 그림을 보태기"),
    "augment_gan_note": (
        "Sharp; what the forger never draws, the reader never sees.",
        "선명합니다. 위조범이 그리지 않는 것은 읽기 신경망도 보지 못합니다.",
    ),
    "augment_diffusion": ("With diffusion's pictures", "확산의 그림을 보태기"),
    "augment_diffusion_note": (
        "Sharp and of many kinds, but slowest to make.",
        "선명하고 다양하지만 만드는 데 가장 오래 걸립니다.",
    ),
    "augment_all": ("Many more real pictures", "진짜 그림이 훨씬 많다면"),
    "augment_all_note": (
        "What one would have wished for: how far the others are from it.",
        "바라던 바입니다. 나머지가 여기서 얼마나 먼지 보세요.",
    ),
    "augment_waits": ("waiting …", "기다리는 중 …"),
    "augment_draws": ("making pictures: {num}", "그림 만드는 중: {num}장"),
    "augment_learns": ("update {update} of {total}", "{total}번 가운데 {update}번째 학습"),
    "augment_done": ("Done: marked on {num} real pictures.", "끝났습니다. 진짜 그림 {num}장으로 시험을 봤습니다."),
    "augment_from": ("learns from {num} pictures", "그림 {num}장으로 학습"),
    "augment_gain": ("{points} points against real ones alone", "진짜 그림만일 때보다 {points}점"),
    "augment_honest": ("Is that not cheating?", "반칙 아닌가요?"),
    "augment_honest_note": (
        "In a way it is: the generators have themselves learned from tens of thousands of real pictures with their labels, "
        "which this reader does not get to see. What is measured is how much of that comes across in a few of their "
        "pictures. A generator that had seen no more than the reader could not add what is not in there.",
        "어느 정도는 그렇습니다. 생성 모델들은 이 읽기 신경망이 보지 못한 진짜 그림 수만 장을 정답과 함께 이미 배웠습니다. 여기서 재는 것은 "
        "그 가운데 얼마나 많은 것이 그림 몇 장으로 전해지는가입니다. 읽기 신경망만큼만 본 생성 모델이라면 그 안에 없는 것을 보태 줄 수 "
        "없습니다.",
    ),
    "augment_how_note": (
        "All readers are the same small network from the same first weights, with the same number of updates; the seed "
        "chooses the real pictures, the noise and the weights. One race is one draw: press the dice and see how much of a "
        "lead is chance. Everything but the kind is asked for as real pictures have it.",
        "읽기 신경망은 모두 똑같이 작은 신경망이고, 처음 가중치도 학습 횟수도 같습니다. 시드가 진짜 그림과 잡음과 가중치를 고릅니다. 한 번의 "
        "경주는 한 번 뽑은 것이니 주사위를 눌러 차이의 얼마가 우연인지 보세요. 종류 말고 다른 조건은 진짜 그림들에서처럼 부탁합니다.",
    ),
}  # fmt: skip


def row(page: Page, name: str, family: str, moment: Moment | None) -> str:
    """One reader: what it learns from, how far it is, and how well it reads."""
    words, stand = page.words, None if moment is None else moment.stands.get(name)
    code = f" <code>{html.escape(name)}</code>" if family not in (REAL, MOVED, ALL) else ""
    pictures = ""
    if stand is not None:
        pictures = "".join(views.picture(render.to_uint8(p), f"picture {k + 1}") for k, p in enumerate(stand.shown))
    return (
        f'<section class="pg-family pg-{family}" data-source="{html.escape(name)}">'
        f"<h3>{words.both(f'augment_{family}')}{code}<span>{standing(page, stand)}</span></h3>"
        f'<p class="pg-note">{words.both(f"augment_{family}_note")}</p>'
        f'<div class="pg-reading">{meter(page, stand, moment)}</div><div class="pg-diet">{pictures}</div></section>'
    )


def standing(page: Page, stand: Stand | None) -> str:
    """What a reader learns from, or that it has to wait for it."""
    if stand is None:
        return page.words.both("augment_waits")
    return page.words.both("augment_from", num=f"{stand.num_learned_from:,}")


def meter(page: Page, stand: Stand | None, moment: Moment | None) -> str:
    """The share read right as a bar, with the marks before it as ticks."""
    if stand is None or not stand.marks:
        return '<div class="pg-read"><i style="width:0"></i></div><b>…</b>'
    share = stand.marks[-1]
    gain = ""
    real = moment.stands[REAL]
    if stand.source != REAL and moment.is_last:
        points = f"{100 * (share - real.marks[-1]):+.1f}"
        gain = f" <small>{page.words.both('augment_gain', points=points)}</small>"
    ticks = "".join(f'<u style="left:{100 * mark:.1f}%"></u>' for mark in stand.marks[:-1])
    return (
        f'<div class="pg-read"><i style="width:{100 * share:.1f}%"></i>{ticks}</div><b>{views.percent(share)}</b>{gain}'
    )


def sources(page: Page) -> list[tuple[str, str]]:
    """(source, family) of every row."""
    made = [(card.model, card.family) for card in helpers(page.zoo, page.dataset.name)]
    return [(REAL, REAL), (MOVED, MOVED), *made, (ALL, ALL)]


def header(page: Page, recipe: Recipe, moment: Moment) -> str:
    """How far the race is, its link."""
    words = page.words
    if moment.is_last:
        said = views.status(words.both("augment_done", num=f"{moment.num_marked:,}"))
        png = render.to_png(augmentation.sheet(moment), recipe)
        saved = views.save_link(words, "download_png", png, f"{recipe.dataset}-augment-{recipe.seed}.png")
        return said + views.bar(words, recipe, None, extra=saved)
    if moment.update:
        doing = words.both("augment_learns", update=moment.update, total=augmentation.UPDATES)
    else:
        doing = words.both("augment_draws", num=sum(stand.num_made for stand in moment.stands.values()))
    return views.progress(moment.progress, doing)


def show(page: Page, recipe: Recipe) -> Iterator[str | None]:
    """The view as the race goes on; None after a piece of work too soon to be shown."""
    last_shown = 0.0
    with closing(race(recipe, page.zoo)) as moments:
        for moment in moments:
            is_due = time.perf_counter() - last_shown >= PREVIEW_EVERY_S
            if not moment.is_last and not is_due:
                yield None
                continue
            yield views.view(header(page, recipe, moment), board(page, moment))
            last_shown = time.perf_counter()


def board(page: Page, moment: Moment | None) -> str:
    rows = "".join(row(page, name, family, moment) for name, family in sources(page))
    return f'<div class="pg-compare">{rows}</div>'


def shows(recipe: Recipe, zoo: Zoo) -> bool:
    if recipe.task != NAME:
        return False
    augmentation.check(recipe, zoo)
    return True


def can_show(page: Page) -> bool:
    return bool(page.dataset.num_reference and page.dataset.attributes and helpers(page.zoo, page.dataset.name))


def build(page: Page) -> Tab:
    words = page.words
    gr.HTML(f'<p class="pg-lead">{words.both("augment_lead")}</p>')
    with gr.Row(elem_classes="pg-tab"):
        with gr.Column(scale=2, min_width=320, elem_classes="pg-controls"):
            attributes = page.dataset.attributes
            target = gr.Radio(
                [(words.label(attribute_key(page.dataset, a.name)), k) for k, a in enumerate(attributes)],
                value=DEFAULT.target,
                label=words.label("augment_target"),
                visible=len(attributes) > 1,
                elem_id=controls.elem(NAME, "target"),
            )
            each = {}
            for field, most in (("real_each", limits.MAX_REAL_EACH), ("made_each", limits.MAX_MADE_EACH)):
                each[field] = gr.Slider(
                    1,
                    most,
                    getattr(DEFAULT, field),
                    step=1,
                    precision=0,
                    label=words.label(field),
                    info=words.label(f"{field}_info"),
                    elem_id=controls.elem(NAME, field),
                )
            seed = controls.seed_row(page, NAME, "seed", FIRST_SEED)
        with gr.Column(scale=4, min_width=320, elem_classes="pg-result"):
            view = gr.HTML(board(page, None), elem_id=f"{NAME}-view")
    gr.HTML(views.fold(words, "augment_honest", "augment_honest_note", "augment_how_note"))
    chosen: Mapping[str, Component] = {"target": target, **each, **seed}
    wishes = Wishes()

    def ask(values: dict[Component, object], request: gr.Request) -> object:
        """Make the race chosen the visitor's newest wish, which ends an older one."""
        visitor = request.session_hash
        try:
            recipe = only(recipe_from(page, chosen, values, task=NAME), *USED)
            augmentation.check(recipe, page.zoo)
            wishes.want(visitor, recipe)
        except ValueError as refusal:
            wishes.want(visitor, None)
            return views.refusal(words, str(refusal))
        return gr.skip()

    def draw(request: gr.Request) -> Iterator[object]:
        yield from granted_view(page, wishes, request.session_hash, partial(show, page))

    tab = Tab(NAME, chosen, draw, [view], shows, NEWEST_WINS, ask)
    pause = f"(...values) => window.playgroundAfterPause('{NAME}-view', values)"
    gr.on(on_any(chosen), ask, tab.inputs, view, js=pause, **LIVE).then(draw, None, view, **NEWEST_WINS)
    return tab
