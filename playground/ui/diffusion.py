"""Diffusion tab: a picture forms out of noise, step by step, and every step can be looked at again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Literal

import gradio as gr
import torch
from gradio.components import Component
from gradio.events import Dependency
from torch import Tensor
from torch.nn import functional as F

from playground import limits, render
from playground.datasets.base import UnfinishedTextError
from playground.generate import (
    Frame,
    as_heard,
    by_word,
    check,
    evaluations_per_picture,
    generate,
    num_characters,
    usual,
)
from playground.ladder import CLOSE, distance, settled_from
from playground.recipe import DEFAULT, FAMILY_TASKS, SAMPLERS, Recipe
from playground.sampling.reverse import STOCHASTIC, Step
from playground.ui import controls, guest, instant, views
from playground.ui.lanes import LIVE, NEWEST_WINS
from playground.ui.page import Page, Tab, hidden_unless, on_any, recipe_from, streamed
from playground.ui.text import Words
from playground.ui.wishes import Wishes
from playground.zoo import Card, Zoo

log = logging.getLogger(__name__)

NAME = "diffusion"
FIRST_COUNT = 4
FIRST_SEED = 34
PREVIEW_EVERY_S = 0.1  # at least
PREVIEW_EACH_S = 0.0125  # for every picture in it: drawing sixteen keeps a page busy for 50 ms
MOST_REPLAYED = 4  # pictures whose steps the scrubber shows
REPLAY_SIDE = 64  # pixels that they are made smaller to
REPLAY_VALUES = 800_000  # bytes of pixels, about as many in the page: noise does not compress
STEP_CHOICES = (5, 10, 20, 50, 250, 1000)
WALKER = "dpmpp"  # adds no noise of its own, so the noise that is walked decides the picture
WAITS = "<i data-waits hidden></i>"  # beside the cost while a wish waits for a job; no job ever writes there
IF_IT_WAITS = """(cost) => String(cost).includes("data-waits") ? [] : Promise.reject("nothing waits")"""
PANELS = {  # fields of Step in words, and how the last of them changed
    "x_t": "x_t, the noisy picture",
    "eps": "predicted noise",
    "x0": "predicted x0",
    "change": "change of the predicted x0",
}

TEXT = {
    "tab_diffusion": ("Diffusion", "확산"),
    "diffusion_lead": (
        "Starts from <b>pure noise</b>. At every step the network says which part of it is noise; a little of that is "
        "taken away, and <b>a picture appears</b>.",
        "<b>순수한 잡음</b>에서 출발합니다. 단계마다 신경망이 어디가 잡음인지 말하면 그 잡음을 조금씩 덜어 내고, "
        "그러다 보면 <b>그림이 나타납니다</b>.",
    ),
    "sampler_ddpm_note": (
        "The original way: every step takes away some of the predicted noise and adds a little fresh noise. It wants many "
        "steps.",
        "원조 방식입니다. 단계마다 예측한 잡음을 덜어 내고 새 잡음을 조금 더합니다. 단계가 많아야 잘 됩니다.",
    ),
    "sampler_ddim_note": (
        "Walks the same way without fresh noise, so it can take long strides; eta brings the noise back.",
        "새 잡음 없이 같은 길을 걷기 때문에 성큼성큼 갈 수 있습니다. 에타를 올리면 잡음이 돌아옵니다.",
    ),
    "sampler_dpmpp_note": (
        "Remembers its last prediction and follows the bend of the path: good pictures in 10 to 20 steps.",
        "직전 예측을 기억해 길이 굽는 대로 따라갑니다. 10~20단계면 좋은 그림이 나옵니다.",
    ),
    "sampler_sde_dpmpp_note": (
        "DPM-Solver++ with fresh noise at every step, which can wash out earlier mistakes; wants more steps.",
        "단계마다 새 잡음을 더하는 DPM-Solver++입니다. 앞의 실수를 씻어 낼 수 있지만 단계가 더 필요합니다.",
    ),
    "sampler_unipc_note": (
        "Predicts the next picture, then corrects it with the following prediction: made for very few steps.",
        "다음 그림을 예측한 뒤 이어지는 예측으로 바로잡습니다. 아주 적은 단계에 맞춘 방법입니다.",
    ),
    "sampler_euler_note": (
        "The simplest: walk straight ahead where the prediction points, then look again.",
        "가장 단순합니다. 예측이 가리키는 쪽으로 곧장 걷고 다시 봅니다.",
    ),
    "sampler_euler_a_note": (
        "Euler that goes a little too far and makes up for it with fresh noise: with more steps the picture keeps changing.",
        "조금 더 멀리 간 다음 새 잡음으로 채우는 Euler입니다. 단계를 늘리면 그림이 계속 달라집니다.",
    ),
    "sampler_heun_note": (
        "Tries a step, looks again where it ends, and goes by the average of both: exact, but asks the network twice.",
        "한 걸음 가 보고 그 끝에서 다시 본 뒤 둘의 평균으로 갑니다. 정확하지만 신경망을 두 번 씁니다.",
    ),
    "eta": ("Eta η", "에타 η"),
    "eta_info": (
        "How much fresh noise DDIM adds at every step: 0 none, the seed alone decides; 1 as much as DDPM",
        "DDIM이 단계마다 더하는 새 잡음의 양: 0이면 없음(시드만으로 결정), 1이면 DDPM만큼",
    ),
    "guidance_idle": (
        "Guidance has nothing to pull towards while everything is left at “any”.",
        "“아무거나”로 두면 가이던스가 끌어당길 곳이 없습니다.",
    ),
    "diffusion_go": ("▶ Generate", "▶ 만들기"),
    "diffusion_stop": ("■ Stop", "■ 멈추기"),
    "diffusion_cost": (
        "Network passes: {each} a picture × {count} = <b>{total}</b> (at most {most})",
        "그림당 신경망 {each}회 통과 × {count}장 = <b>{total}</b>회 (최대 {most}회)",
    ),
    "diffusion_too_much": (
        "Every step of every picture is one pass through the network, and everybody shares one machine: take fewer steps "
        "or fewer pictures.",
        "그림마다 단계마다 신경망을 한 번씩 통과하는데, 모두가 한 기계를 나눠 씁니다. 단계나 그림 수를 줄여 주세요.",
    ),
    "diffusion_waiting": ("Waiting for its turn …", "차례를 기다리는 중 …"),
    "diffusion_done": (
        "Done. Drag the slider or press ▶ to see every step again.",
        "끝났습니다. 막대를 끌거나 ▶를 눌러 모든 단계를 다시 보세요.",
    ),
    "diffusion_done_alone": ("Done. One step was all.", "끝났습니다. 한 단계가 전부였습니다."),
    "diffusion_stopped": ("Stopped after step {step} of {total}.", "{total}단계 가운데 {step}단계에서 멈췄습니다."),
    "diffusion_stopped_early": ("Stopped before it began.", "시작하기 전에 멈췄습니다."),
    "diffusion_progress": ("step {step} of {total}, t = {t}", "{total}단계 가운데 {step}단계, t = {t}"),
    "diffusion_step": ("step", "단계"),
    "diffusion_play": ("Play", "재생"),
    "diffusion_replayed": ("The steps of seed", "단계를 볼 시드"),
    "diffusion_replayed_walk": ("The steps of picture", "단계를 볼 그림"),
    "panel_x_t": (
        "<b>x<sub>t</sub></b>: the noisy picture that the network is shown",
        "<b>x<sub>t</sub></b>: 신경망에 보여 주는, 잡음 섞인 그림",
    ),
    "panel_eps": (
        "<b>predicted noise ε</b>: what the network takes for noise in it",
        "<b>예측한 잡음 ε</b>: 신경망이 그 가운데 잡음이라고 본 것",
    ),
    "panel_x0": (
        "<b>predicted x<sub>0</sub></b>: what would be left without that noise",
        "<b>예측한 x<sub>0</sub></b>: 그 잡음을 다 빼면 남을 그림",
    ),
    "panel_change": (
        "<b>what changed</b> in it since the step before: white brighter, black darker, grey nothing",
        "앞 단계에서 <b>달라진 것</b>: 하양은 밝아진 곳, 검정은 어두워진 곳, 회색은 그대로",
    ),
    "diffusion_settled": (
        "from step {step} on almost nothing changes",
        "{step}단계부터는 거의 달라지지 않습니다",
    ),
    "diffusion_unsettled": ("still changing at the end", "끝까지 달라지고 있습니다"),
    "diffusion_curve": (
        "The curve under the slider is how far the predicted x<sub>0</sub> has moved since the step before (root mean "
        "square over all pixels; where not every step is kept, since the one shown before it). “Almost nothing” means "
        "that it stays within {settled} of the last prediction, where black and white are 2 apart.",
        "막대 아래의 곡선은 예측한 x<sub>0</sub>가 앞 단계에서 얼마나 움직였는지입니다(모든 화소의 제곱평균제곱근. 단계를 다 남기지 않을 "
        "때는 바로 앞에 보여 준 단계부터). ‘거의’란 마지막 예측과의 거리가 {settled} 안에 머문다는 뜻이고, 검정과 하양의 거리는 2입니다.",
    ),
    "diffusion_scale": (
        "t is the noise level: 999 is pure noise, 0 is clean. All squares are drawn on one scale, black for −1 and "
        "below, grey for 0, white for 1 and above, so strong noise is cut off. Early on x<sub>t</sub> looks like the "
        "predicted noise, at the end like the predicted picture: x<sub>t</sub> = √ᾱ · x<sub>0</sub> + √(1−ᾱ) · ε.",
        "t는 잡음의 세기입니다. 999는 순수한 잡음, 0은 깨끗한 그림입니다. 모든 그림은 같은 눈금으로 그립니다. −1 이하는 검정, "
        "0은 회색, 1 이상은 하양이라 센 잡음은 잘려 보입니다. 처음에는 x<sub>t</sub>가 예측한 잡음과, 끝에는 예측한 그림과 "
        "닮았습니다: x<sub>t</sub> = √ᾱ · x<sub>0</sub> + √(1−ᾱ) · ε.",
    ),
}  # fmt: skip


def small(pictures: Tensor, mode: Literal["area", "nearest-exact"]) -> Tensor:
    """Pictures [n, channels, h, w] at most `REPLAY_SIDE` high: the mean of each area, or single pixels of noise.

    The mean of noise is less of it.
    """
    height, width = pictures.shape[-2:]
    if height <= REPLAY_SIDE:
        return pictures
    return F.interpolate(pictures, size=(REPLAY_SIDE, round(REPLAY_SIDE * width / height)), mode=mode)


@dataclass
class Replay:
    """The steps that the scrubber will show: evenly chosen ones, of the first few pictures."""

    num_pictures: int
    total: int  # steps of the run
    chosen: frozenset[int]  # indices of steps
    noise: Tensor  # [pictures, channels, h, w] that the run began with
    numbers: list[int] = field(default_factory=list)  # of the kept steps, from 1
    times: list[float] = field(default_factory=list)
    cells: list[Tensor] = field(default_factory=list)  # [panels, pictures, channels, h, w] a step
    pictures: list[Tensor] = field(
        default_factory=list
    )  # predicted x0 as it is shown, [pictures, channels, h, w] a step

    @classmethod
    def of(cls, first: Step) -> Replay:
        """As much as the page can hold of the run that begins with `first`."""
        most = REPLAY_VALUES // (len(PANELS) * small(first.x0, "area")[0].numel())  # columns, all pictures together
        chosen = render.evenly_chosen(first.total, min(limits.MAX_SCRUB_FRAMES, most))
        num_pictures = max(1, min(len(first.x0), MOST_REPLAYED, most // len(chosen)))
        noise = small(first.x_t[:MOST_REPLAYED, ..., : first.x_t.shape[-2]], "nearest-exact")
        return cls(num_pictures, first.total, frozenset(chosen), noise.clone())

    def add(self, step: Step, is_end: bool) -> None:
        """Keep the step if it is a chosen one, or the last that there will be."""
        if step.index in self.chosen or is_end:
            self.numbers.append(step.index + 1)
            self.times.append(step.t)
            x0 = small(step.x0[: self.num_pictures], "area")
            x_t, eps = (small(noisy[: self.num_pictures], "nearest-exact") for noisy in (step.x_t, step.eps))
            self.pictures.append(x0.clamp(-1, 1))
            change = self.pictures[-1] - self.pictures[-2] if len(self.pictures) > 1 else torch.zeros_like(x0)
            self.cells.append(torch.stack([x_t, eps, x0, change]))

    def changes(self, picture: int) -> list[float]:
        """How far a picture's prediction moved from each kept step to the next."""
        return [distance(old[picture], new[picture]) for old, new in pairwise(self.pictures)]

    def settled(self, picture: int) -> int | None:
        """The first kept step from which on a picture stays as it ends; None where only the last one does."""
        last = self.pictures[-1][picture]
        column = settled_from([distance(kept[picture], last) for kept in self.pictures], CLOSE)
        return column if column < len(self.pictures) - 1 else None


def show(page: Page, wishes: Wishes, visitor: str, has_previews: bool = True) -> Iterator[tuple[str, str]]:
    """Work on the visitor's newest wish while it is the newest: (status, view) up to ten times a second, and at the end."""
    wish = wishes.take(visitor)
    if wish is None:
        return
    last_shown, replay = 0.0, None
    with closing(generate(wish.recipe, page.zoo)) as frames:
        for frame in (by_word(made, wish.recipe) for made in frames):
            replay = replay or Replay.of(frame.step)
            is_end = frame.is_last or wish.is_stopped
            replay.add(frame.step, is_end)
            if not wishes.is_newest(visitor, wish):
                return
            if is_end:
                break
            pause = max(PREVIEW_EVERY_S, PREVIEW_EACH_S * len(frame.step.x_next))
            if has_previews and time.perf_counter() - last_shown >= pause:
                yield progress(page.words, frame.step), preview(page, wish.recipe, frame, replay)
                last_shown = time.perf_counter()
    yield ended(page.words, frame), result(page, wish.recipe, frame, replay)


def at_once(page: Page, wishes: Wishes, visitor: str) -> dict[str, str]:
    """The visitor's newest wish worked on in the live lane, as the job lane would end: what shows in "state" and "view".

    Nothing where a newer wish came meanwhile; where no place came free, the wish may be wished again.
    """
    try:
        news = page.gate.run(lambda: list(show(page, wishes, visitor, has_previews=False)))
    except Exception:
        log.exception("a live picture failed")
        wishes.want(visitor, None)
        return {"state": views.failure(page.words)}
    if not isinstance(news, list):
        wishes.want(visitor, None)
        return {"state": views.status(page.words.both("busy"), "pg-error")}
    return {"state": views.status(page.words.both("instant_live")), "view": news[-1][1]} if news else {}


def progress(words: Words, step: Step) -> str:
    said = words.both("diffusion_progress", step=step.index + 1, total=step.total, t=f"{step.t:.0f}")
    return views.progress((step.index + 1) / step.total, said)


def ended(words: Words, frame: Frame) -> str:
    if frame.is_last:
        return views.status(words.both("diffusion_done" if frame.step.total > 1 else "diffusion_done_alone"))
    return views.status(words.both("diffusion_stopped", step=frame.step.index + 1, total=frame.step.total))


def preview(page: Page, recipe: Recipe, frame: Frame, replay: Replay) -> str:
    """The unfinished run: what the network sees and says of the first picture, and every predicted clean picture."""
    words, step = page.words, frame.step
    shown = {"x_t": step.x_t[0], "eps": step.eps[0], "x0": step.x0[0], "change": replay.cells[-1][-1, 0]}
    cells = [views.picture(render.to_uint8(shown[panel]), alt) for panel, alt in PANELS.items()]
    under = curve(words, replay, 0, is_over=False, share=step.index / max(1, step.total - 1))
    row = scrub_row(words, step.index, step.total - 1, step.index + 1, step.total, step.t, under, "disabled")
    return views.view(
        f'<div class="pg-making">{panels(words, cells)}{row}{chooser(words, recipe, replay, "disabled")}</div>',
        gallery(page, recipe, frame),
        views.bar(words, recipe, None, facts(words, frame)),
    )


def facts(words: Words, frame: Frame) -> list[str]:
    return [views.took(words, frame.seconds), words.both("evaluations", n=frame.network_evaluations)]


def panels(words: Words, cells: Sequence[str]) -> str:
    shown = [views.figure(cell, words.both(f"panel_{panel}")) for panel, cell in zip(PANELS, cells, strict=True)]
    return f'<div class="pg-panels">{"".join(shown)}</div>'


def curve(words: Words, replay: Replay, picture: int, is_over: bool = True, share: float = 1.0) -> str:
    """How far one picture moved at each kept step, as far as the run has come, and from where on it is finished."""
    changes, last = replay.changes(picture), max(1, len(replay.pictures) - 1)
    highest = max([*changes, 2 * CLOSE])
    points = [f"{1000 * share * k / last:.1f},{100 * (1 - v / highest):.1f}" for k, v in enumerate(changes, 1)]
    closed = [f"{1000 * share / last:.1f},100", *points, f"{1000 * share * len(changes) / last:.1f},100"]
    line = f'<polygon points="{" ".join(closed)}"/><polyline points="{" ".join(points)}"/>' if points else ""
    said, mark = "&nbsp;", ""
    column = replay.settled(picture) if is_over else None
    if column is not None:
        said = words.both("diffusion_settled", step=replay.numbers[column])
        mark = f'<u style="left:{100 * column / last:.1f}%"></u>'
    elif is_over and points:
        said = words.both("diffusion_unsettled")
    hidden = "hidden" if picture else ""
    return (
        f'<span class="pg-change" data-change="{picture}" {hidden}><span class="pg-drawn"><svg viewBox="0 0 1000 100" '
        f'preserveAspectRatio="none" aria-hidden="true">{line}</svg>{mark}<i></i></span><small>{said}</small></span>'
    )


def scrub_row(
    words: Words, column: int, last: int, number: int, total: int, t: float, under: str, disabled: str = ""
) -> str:
    """Play button, slider over the columns 0 .. last, what is `under` it, where it stands: step `number`, at t."""
    return (
        f'<div class="pg-scrub"><button type="button" data-play aria-label="play" {disabled}>▶\ufe0e</button>'
        f'<span class="pg-track"><input type="range" min="0" max="{last}" value="{column}" step="1" aria-label="step" '
        f"{disabled}>{under}</span>"
        f"<output>{words.both('diffusion_step')} <b data-step>{number}</b> / {total} · t = <b data-t>{t:.0f}</b></output></div>"
    )


def gallery(page: Page, recipe: Recipe, frame: Frame) -> str:
    figures = []
    for k, pixels in enumerate(render.to_uint8(frame.pictures)):
        caption = page.words.both("seed_caption", seed=recipe.seeds[k]) if recipe.task == "sample" else f"{k + 1}"
        figures.append(
            views.figure(views.picture(pixels, f"picture {k + 1}", recipe if frame.is_last else None), caption)
        )
    return views.grid(figures, views.columns_for(len(figures), frame.pictures))


def result(page: Page, recipe: Recipe, frame: Frame, replay: Replay) -> str:
    """The finished (or stopped) run: pictures, the scrubber over its steps, the noise it began with."""
    words = page.words
    making = scrubber(words, recipe, replay)
    notes = [words.both("diffusion_scale")]
    if len(replay.cells) > 1:
        notes.append(words.both("diffusion_curve", settled=CLOSE))
    note = "".join(f'<p class="pg-note">{said}</p>' for said in notes)
    if recipe.task == "walk" and frame.is_last:
        return views.view(making, views.walk_view(words, recipe, frame.pictures, facts(words, frame)), note)
    columns = views.columns_for(len(frame.pictures), frame.pictures)
    saved = render.sheet(frame.pictures, columns) if frame.is_last else None
    film = views.keep_button(words, views.file_name(recipe, "gif")) if len(replay.cells) > 1 else ""
    return views.view(
        making,
        gallery(page, recipe, frame),
        views.never_trained(words, page.dataset, recipe),
        views.bar(words, recipe, saved, facts(words, frame), film, views.saved_factor(frame.pictures)),
        views.noise_strip(words, recipe.seeds, replay.noise) if recipe.task == "sample" else "",
        note,
    )


def scrubber(words: Words, recipe: Recipe, replay: Replay) -> str:
    """Every kept step in one sprite a panel: a column a step, a row a picture. The page moves it without a request."""
    last = len(replay.cells) - 1
    cells = []
    for panel, alt in enumerate(PANELS.values()):
        rows = [[step[panel, k] for step in replay.cells] for k in range(replay.num_pictures)]
        uri = render.data_uri(render.to_png(render.trajectory_sprite(rows)))
        letters = rows[0][0].shape[-1] / rows[0][0].shape[-2]
        style = f"--pg-letters:{letters:g};background-image:url({uri})"
        cells.append(f'<div class="pg-cell" role="img" aria-label="{alt}" style="{style}"></div>')
    numbers, times = (",".join(f"{value:.0f}" for value in values) for values in (replay.numbers, replay.times))
    place = f"--columns:{last + 1};--rows:{replay.num_pictures};--column:{last};--row:0"
    under = "".join(curve(words, replay, k) for k in range(replay.num_pictures))
    row = scrub_row(words, last, last, replay.numbers[-1], replay.total, replay.times[-1], under)
    alone = "" if last else " pg-alone"  # one step: nothing to scrub over, nothing before it to have changed
    return (
        f'<div class="pg-making{alone}" data-scrub data-steps="{numbers}" data-times="{times}" style="{place}">'
        f"{panels(words, cells)}{row}{chooser(words, recipe, replay)}</div>"
    )


def chooser(words: Words, recipe: Recipe, replay: Replay, disabled: str = "") -> str:
    """Buttons for the pictures whose steps are kept; none where there is no choice."""
    if replay.num_pictures == 1:
        return ""
    buttons = []
    for k in range(replay.num_pictures):
        named = recipe.seeds[k] if recipe.task == "sample" else k + 1
        pressed = "true" if k == 0 else "false"
        buttons.append(f'<button type="button" data-row="{k}" aria-pressed="{pressed}" {disabled}>{named}</button>')
    said = words.both("diffusion_replayed" if recipe.task == "sample" else "diffusion_replayed_walk")
    return f'<div class="pg-bar pg-pick"><span>{said}</span>{"".join(buttons)}</div>'


def num_pictures(page: Page, recipe: Recipe) -> int:
    """Pictures in all, every character of a word counted; a text that cannot be written counts as one."""
    try:
        return recipe.count * num_characters(recipe, page.dataset)
    except ValueError:
        return recipe.count


def cost(page: Page, recipe: Recipe) -> str:
    """What the recipe asks of the network, beside the most that a visitor may ask, before it is asked."""
    each = evaluations_per_picture(recipe)
    num = num_pictures(page, recipe)
    card = page.zoo.card(recipe.dataset, recipe.model)
    total, most = each * num, card.most_evaluations
    share = min(100, 100 * total / most)
    over = " pg-over" if total > most else ""
    said = page.words.both("diffusion_cost", each=each, count=num, total=total, most=most)
    idle = (
        recipe.guidance_scale not in (1, usual(page.dataset).guidance_scale)
        and not any(recipe.labels)
        and not recipe.text
        and not card.is_guest
    )
    return f'<p class="pg-note">{said}</p><div class="pg-budget{over}"><i style="width:{share:.1f}%"></i></div>' + (
        f'<p class="pg-note">{page.words.both("guidance_idle")}</p>' if idle else ""
    )


def advice(page: Page, recipe: Recipe) -> str:
    """What to do about a recipe that was refused, where it asks for too much work."""
    most = page.zoo.card(recipe.dataset, recipe.model).most_evaluations
    if evaluations_per_picture(recipe) * num_pictures(page, recipe) <= most:
        return ""
    return views.status(page.words.both("diffusion_too_much"))


def shows(recipe: Recipe, zoo: Zoo) -> bool:
    return recipe.task in FAMILY_TASKS and zoo.card(recipe.dataset, recipe.model).takes_steps


def can_show(page: Page) -> bool:
    return bool(page.zoo.cards(page.dataset.name, "diffusion") or page.zoo.guests(page.dataset.name))


def introduction(page: Page, model: str) -> str:
    """What must be said of a guest, or of a model made for a few steps."""
    return guest.note(page.words, page.zoo.card(page.dataset.name, model)) + instant.introduction(page, model)


def sampler_note(words: Words, sampler: str) -> str:
    return f'<p class="pg-note">{words.both(f"sampler_{sampler}_note")}</p>'


def sampler_picker(page: Page) -> tuple[dict[str, Component], gr.HTML]:
    """Which sampler walks, and the line that says how it does it."""
    words = page.words
    picker = gr.Radio(
        [(words.label(f"sampler_{name}"), name) for name in SAMPLERS],
        value=usual(page.dataset).sampler,
        label=words.label("sampler"),
        info=words.label("sampler_info"),
        elem_id=controls.elem(NAME, "sampler"),
    )
    return {"sampler": picker}, gr.HTML(
        sampler_note(words, usual(page.dataset).sampler), elem_id=controls.elem(NAME, "sampler.note")
    )


def steps_slider(page: Page) -> tuple[dict[str, Component], list[gr.Row]]:
    """How many steps: a slider over all numbers, with rows of buttons for the telling ones, and for those of a quick model."""
    slider = gr.Slider(
        1,
        limits.MAX_STEPS,
        usual(page.dataset).steps,
        step=1,
        precision=0,
        label=page.words.label("steps"),
        info=page.words.label("steps_info"),
        elem_id=controls.elem(NAME, "steps"),
    )
    rows = []
    for numbers, kind in ((STEP_CHOICES, "steps"), (instant.STEP_CHOICES, "few")):
        with gr.Row(elem_classes="pg-presets", visible=kind == "steps") as row:
            for number in numbers:
                button = gr.Button(
                    str(number), size="sm", min_width=40, elem_id=controls.elem(NAME, f"{kind}.{number}")
                )
                button.click(None, None, slider, js=f"() => {number}", queue=False, api_visibility="private")
        rows.append(row)
    return {"steps": slider}, rows


def wanted(page: Page, chosen: Mapping[str, Component], values: Mapping[Component, object]) -> Recipe:
    """The recipe of the controls that count: hidden ones say nothing."""
    hidden = {} if values[chosen["sampler"]] == "ddim" else {"eta": DEFAULT.eta}
    if values[chosen["task"]] != "walk":
        hidden["seed_to"] = DEFAULT.seed_to
    recipe = recipe_from(page, chosen, values, **hidden)
    return as_heard(recipe, page.zoo.card(recipe.dataset, recipe.model))


def affordable(card: Card, steps: int, count: int) -> tuple[int, int]:
    """Steps and pictures of a visitor who turns to this model: as chosen, or as many as it may be asked for."""
    steps = min(steps, card.most_evaluations, card.num_levels)
    return steps, min(count, card.most_evaluations // steps)


def ask(
    page: Page, wishes: Wishes, visitor: str, choose: Callable[[], Recipe], again: bool = False
) -> tuple[object, object, Recipe | None]:
    """Make the recipe chosen the visitor's newest wish, which ends the work on an older one.

    (status, cost, recipe), the recipe only where it is a new wish.
    """
    recipe = None
    try:
        recipe = choose()
        check(recipe, page.zoo)
    except UnfinishedTextError:
        return gr.skip(), gr.skip(), None
    except ValueError as why:
        wishes.want(visitor, None)
        if recipe is None:
            return views.refusal(page.words, str(why)), gr.skip(), None
        return views.refusal(page.words, str(why)) + advice(page, recipe), cost(page, recipe), None
    if not wishes.want(visitor, recipe, again):
        return gr.skip(), cost(page, recipe), None
    return views.status(page.words.both("diffusion_waiting"), "pg-waiting"), cost(page, recipe), recipe


def too_much_at_once(page: Page, recipe: Recipe) -> str:
    """Why a quick model's recipe is not drawn at every touch; nothing where it is."""
    card = page.zoo.card(recipe.dataset, recipe.model)
    total = evaluations_per_picture(recipe) * num_pictures(page, recipe)
    if instant.fits_the_live_lane(card, total):
        return ""
    return views.status(page.words.both("instant_too_much", total=total, most=limits.MAX_LIVE_EVALUATIONS))


def build(page: Page) -> Tab:
    words = page.words
    gr.HTML(f'<p class="pg-lead">{words.both("diffusion_lead")}</p>')
    with gr.Row(elem_classes="pg-choices"):
        with gr.Column(scale=1, min_width=320):
            task = controls.task_picker(page, NAME, ("sample", "walk"))
            model = controls.model_picker(page, NAME, "diffusion", has_guests=True)
            is_guest = page.zoo.card(page.dataset.name, model["model"].value).is_guest
            has_quick = bool(instant.quick_models(page))
        with gr.Column(scale=2, min_width=320):
            with gr.Column(visible=not is_guest) as writing:
                text = controls.text_box(page, NAME)
            welcome = gr.HTML(introduction(page, model["model"].value), elem_id=controls.elem(NAME, "guest"))
    with gr.Row(elem_classes="pg-tab"):
        with gr.Column(scale=2, min_width=320, elem_classes="pg-controls"):
            with gr.Column(visible=not is_guest) as asking:
                labels = controls.label_pickers(page, NAME)
            seed = controls.seed_row(page, NAME, "seed", FIRST_SEED)
            with gr.Column(visible=False) as walking:
                seed_to = controls.seed_row(page, NAME, "seed_to", FIRST_SEED + 1)
            steps, (many, few) = steps_slider(page)
            count = controls.count_slider(page, NAME, FIRST_COUNT)
            budget = gr.HTML(elem_id=controls.elem(NAME, "cost"))
            sampler, note = sampler_picker(page)
            with gr.Column(visible=usual(page.dataset).sampler == "ddim") as stirring:
                eta = controls.plain_slider(page, NAME, "eta", 0, 1, 0.05)
            with gr.Column(visible=not is_guest) as pulling:
                guidance = controls.plain_slider(page, NAME, "guidance_scale", 0, limits.MAX_GUIDANCE, 0.05)
        with gr.Column(scale=3, min_width=320, elem_classes="pg-result"):
            with gr.Row(elem_classes="pg-go"):
                go = gr.Button(words.label("diffusion_go"), variant="primary", elem_id=controls.elem(NAME, "go"))
                halt = gr.Button(words.label("diffusion_stop"), variant="stop", elem_id=controls.elem(NAME, "stop"))
            state = gr.HTML(elem_id=f"{NAME}-status")
            view = gr.HTML(elem_id=f"{NAME}-view")
    chosen: Mapping[str, Component] = {
        **task, **model, **text, **labels, **seed, **seed_to, **steps, **count, **sampler, **eta, **guidance,
    }  # fmt: skip
    wishes, places = Wishes(), {"state": state, "view": view, "budget": budget}

    def answer(
        values: dict[Component, object], visitor: str, again: bool = False, is_job: bool = False
    ) -> dict[Component, object]:
        """What is wished for now; a quick model draws it at once, unless it is too much or `is_job`: what is looked at
        for the first time may take seconds to be opened, and only a job says meanwhile that it works."""
        said, costs, recipe = ask(page, wishes, visitor, lambda: wanted(page, chosen, values), again)
        changes = {"state": said, "budget": costs}
        is_touch = recipe is not None and not again and not is_job
        if is_touch and page.zoo.card(recipe.dataset, recipe.model).is_quick:
            over = too_much_at_once(page, recipe)
            if over:
                wishes.want(visitor, None)
                changes["state"] = over
            else:
                changes |= at_once(page, wishes, visitor) or {"state": gr.skip()}
        wish = wishes.newest(visitor)
        if isinstance(costs, str) and wish is not None and wish.recipe is not None and not wish.is_taken:
            changes["budget"] = costs + WAITS
        return {places[name]: value for name, value in changes.items()}

    def move(values: dict[Component, object], request: gr.Request) -> dict[Component, object]:
        return answer(values, request.session_hash)

    def open_up(values: dict[Component, object], request: gr.Request) -> dict[Component, object]:
        return answer(values, request.session_hash, is_job=True)

    def press(values: dict[Component, object], request: gr.Request) -> dict[Component, object]:
        return answer(values, request.session_hash, again=True)

    def draw(request: gr.Request) -> Iterator[dict[Component, object]]:
        """The job: whatever the visitor wants by now."""

        def work() -> Iterator[dict[Component, object]]:
            changes = {state: gr.skip()}  # a job that yielded nothing would empty all its outputs
            for said, shown in show(page, wishes, request.session_hash):
                changes = {state: said, view: shown}
                yield changes
            if view not in changes:
                yield changes

        yield from streamed(page, work, lambda sentence: {state: sentence})

    def stop(request: gr.Request) -> object:
        wish = wishes.stop(request.session_hash)
        if wish is None or wish.is_taken:
            return gr.skip()
        return views.status(words.both("diffusion_stopped_early"))

    def reveal(name: str) -> list[object]:
        return [sampler_note(words, name), hidden_unless("ddim", name)]

    def meet(name: str) -> list[object]:
        """A guest is introduced, and what it cannot hear is put away; a quick model has step numbers of its own."""
        card = page.zoo.card(page.dataset.name, name)
        is_told, is_quick = gr.update(visible=not card.is_guest), card.is_quick
        rows = [gr.update(visible=not is_quick), gr.update(visible=is_quick)]
        return [introduction(page, name), is_told, is_told, is_told, *rows]

    def afford(name: str, num_steps: float, num_pictures: float) -> list[object]:
        """A visitor who turns to a guest asks for no more than it may do; a link is left as it is."""
        card = page.zoo.card(page.dataset.name, name)
        try:
            asked = Recipe(steps=num_steps, count=num_pictures)
        except ValueError:  # `move` says so
            return [gr.skip(), gr.skip()]
        return list(affordable(card, asked.steps, asked.count)) if card.is_guest else [gr.skip(), gr.skip()]

    def suit(name: str, sampler_name: str) -> object:
        """A visitor who begins to walk gets a sampler that shows it; a link is left as it is."""
        return WALKER if name == "walk" and sampler_name in STOCHASTIC else gr.skip()

    def then_work(asked: Dependency) -> None:
        """Queue a job for what was asked, unless it was answered at once."""
        job = asked.then(None, budget, None, js=IF_IT_WAITS, **LIVE).success(draw, None, tab.outputs, **NEWEST_WINS)
        job.failure(lambda: views.status(words.both("busy"), "pg-error"), None, state, **LIVE)

    tab = Tab(NAME, chosen, draw, list(places.values()), shows, NEWEST_WINS, open_up)
    sampler["sampler"].change(reveal, sampler["sampler"], [note, stirring], **LIVE)
    task["task"].change(lambda name: hidden_unless("walk", name), task["task"], walking, **LIVE)
    task["task"].input(suit, [task["task"], sampler["sampler"]], sampler["sampler"], **LIVE)
    model["model"].change(meet, model["model"], [welcome, writing, asking, pulling, many, few], **LIVE)
    taken = instant.follow(page, model, {**steps, **sampler, **eta, **guidance})
    wished = [steps["steps"], count["count"]]
    taken.then(afford, [model["model"], *wished], wished, **LIVE)
    if has_quick:
        for turning in (model["model"].change, taken.then):
            turning(None, [model["model"], steps["steps"]], steps["steps"], js=instant.reach(page), **LIVE)
    others = {name: component for name, component in chosen.items() if name != "model"}  # a new model first sets those
    wait = instant.script(page, NAME, chosen)
    for listen in (partial(gr.on, on_any(others)), taken.then):
        then_work(listen(move, tab.inputs, tab.outputs, js=wait, **LIVE))
    then_work(go.click(press, tab.inputs, tab.outputs, **LIVE))
    halt.click(stop, None, state, **LIVE)
    return tab
