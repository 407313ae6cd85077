"""Models made for a few steps: what the page says of them, the settings that controls take, what is drawn at every touch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import gradio as gr
from gradio.components import Component
from gradio.events import Dependency

from playground import limits
from playground.generate import usual
from playground.ui.lanes import LIVE
from playground.ui.page import Page
from playground.ui.text import Table
from playground.zoo import Card

STEP_CHOICES = (1, 2, 3, 4, 8)
FRAME_MS = 16
MOST_STEPS = 16  # that a slider goes up to: more do not help a model made for a few
TEXT: Table = {
    "model_ddpm": ("Diffusion, many steps", "확산, 여러 단계"),
    "model_instant": ("Instant diffusion, 1–4 steps", "즉석 확산, 1~4단계"),
    "instant_note": (
        "A <b>student</b> of <code>{teacher}</code>: it learned to arrive in a few steps where its teacher takes many. It "
        "gains <b>speed</b>, so the pictures follow every touch; it loses some variety and finish. What you leave open is "
        "drawn by lot from the seed: so few steps are too few to decide it. Compare shows both side by side with their "
        "measured figures.",
        "<code>{teacher}</code>의 <b>제자</b>입니다. 스승이 여러 단계에 걸쳐 가는 길을 몇 단계 만에 가도록 배웠습니다. <b>빠르기</b> 때문에 "
        "움직이는 대로 그림이 따라오지만, 다양함과 섬세함은 조금 잃습니다. 고르지 않은 것은 시드로 제비를 뽑아 정합니다. 스스로 정하기에는 "
        "단계가 너무 적기 때문입니다. 비교 탭에서 둘을 나란히 놓고 측정한 수치를 볼 수 있습니다.",
    ),
    "instant_compared": (
        "A student of <code>{teacher}</code> that learned to arrive in a few steps. It keeps what it was made for: "
        "{sampler}, steps {steps}, guidance {scale}.",
        "몇 단계 만에 도착하도록 배운 <code>{teacher}</code>의 제자입니다. 여기서는 배운 그대로 {sampler} {steps}단계, 가이던스 {scale}로 "
        "그립니다.",
    ),
    "instant_hint": (
        "⚡ Pick <b>Instant diffusion</b>: it needs only 1–4 steps, so the pictures follow every touch.",
        "⚡ <b>즉석 확산</b>을 골라 보세요. 1~4단계면 되어서 움직이는 대로 그림이 바로 따라옵니다.",
    ),
    "instant_live": (
        "⚡ Live: move anything, and the pictures follow. No button needed.",
        "⚡ 실시간: 무엇이든 움직이면 그림이 바로 따라옵니다. 버튼을 누를 필요가 없습니다.",
    ),
    "instant_too_much": (
        "{total} network passes are too many to follow every touch (at most {most}): press ▶ Generate.",
        "신경망 {total}회 통과는 움직일 때마다 바로 그리기에는 많습니다(최대 {most}회). ▶ 만들기를 눌러 주세요.",
    ),
}

Turn = tuple[str, str]  # the model that a visitor chose, and the one before it


def quick_models(page: Page) -> list[str]:
    """The names of a page's models that were made for a few steps; none on a data set that has no such."""
    return [card.model for card in page.zoo.cards(page.dataset.name, "diffusion") if card.is_quick]


def introduction(page: Page, model: str) -> str:
    """What a quick model is; that there is one, of every other model; nothing where there is none."""
    card = page.zoo.card(page.dataset.name, model)
    if card.is_quick:
        return f'<p class="pg-note">{page.words.both("instant_note", teacher=teacher_of(card))}</p>'
    return f'<p class="pg-note">{page.words.both("instant_hint")}</p>' if quick_models(page) else ""


def compared(page: Page, card: Card) -> str:
    """What a quick model is among others, and that it goes by its own settings there."""
    made = replace(usual(page.dataset), **card.settings)
    sampler, _ = page.words.table[f"sampler_{made.sampler}"]  # the same in every language
    teacher, scale = teacher_of(card), f"{made.guidance_scale:g}"
    return page.words.both("instant_compared", teacher=teacher, steps=made.steps, sampler=sampler, scale=scale)


def teacher_of(card: Card) -> str:
    return str(card.facts["facts"].get("teacher", "?"))


def fits_the_live_lane(card: Card, total_evaluations: int) -> bool:
    """Whether so many network evaluations are few enough to be made at every touch."""
    return card.is_quick and total_evaluations <= limits.MAX_LIVE_EVALUATIONS


def turned(model: str, last: Turn) -> Turn:
    """`last`, or the next turn where `model` is not the one chosen in it; the same however often it is asked."""
    return last if last[0] == model else (model, last[0])


def settings_after(page: Page, turn: Turn) -> dict[str, object]:
    """What the controls take when a visitor turns to a model: what it was made for, and the usual again of whatever
    only the model before it was made for."""
    now, before = (page.zoo.card(page.dataset.name, model).settings for model in turn)
    return {field: getattr(usual(page.dataset), field) for field in before} | dict(now)


def script(page: Page, tab: str, chosen: Mapping[str, Component]) -> str:
    """Gives the values of a tab's controls on after a pause, but of a quick model once a frame.

    They come in the order in which gradio sends a set of controls.
    """
    place = sorted(component._id for component in chosen.values()).index(chosen["model"]._id)
    wait = f"{json.dumps(quick_models(page))}.includes(values[{place}]) ? [{FRAME_MS}, {FRAME_MS}] : []"
    return f"(...values) => window.playgroundAfterPause('{tab}-view', values, ...({wait}))"


def reach(page: Page) -> str:
    """From the model and the number of steps: how far the slider of steps goes."""
    is_few = f"{json.dumps(quick_models(page))}.includes(name) && steps <= {MOST_STEPS}"
    return f"(name, steps) => [{{ __type__: 'update', maximum: {is_few} ? {MOST_STEPS} : {limits.MAX_STEPS} }}]"


def follow(page: Page, model: Mapping[str, Component], steered: Mapping[str, Component]) -> Dependency:
    """Let controls, by recipe field, take the settings of the model that a visitor picks; a link is left as it is."""
    picker = model["model"]
    turn = gr.State((picker.value, picker.value))

    def take(name: str, last: Turn) -> list[object]:
        now = turned(name, last)
        settings = settings_after(page, now)
        return [now, *(settings.get(field, gr.skip()) for field in steered)]

    picker.change(turned, [picker, turn], turn, **LIVE)  # a link turns, too
    return picker.input(take, [picker, turn], [turn, *steered.values()], **LIVE)
