"""How many steps are enough: ladders of steps and of guidance from one seed, several samplers at once."""

from __future__ import annotations

import html
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial

import gradio as gr
from gradio.components import Component

from playground import ladder, limits, render
from playground.datasets.base import UnfinishedTextError
from playground.ladder import CLOSE, USUAL_SAMPLERS, Cell
from playground.recipe import DEFAULT, LADDERS, SAMPLERS, Recipe, to_query
from playground.ui import controls, instant, views
from playground.ui.lanes import LIVE, NEWEST_WINS
from playground.ui.page import Page, Tab, first_character, granted, hidden_unless, on_any, only, recipe_from
from playground.ui.wishes import Wishes
from playground.zoo import Zoo

NAME = "ladder"
FIRST_SEED = 34
PREVIEW_EVERY_S = 0.5
LONGEST_RUN = limits.MAX_STEPS // 10  # of each rung of a guidance ladder
MOST_DISTANCE = 0.6  # where a distance's bar is full: two different pictures
AFTER_A_PAUSE = f"(...values) => window.playgroundAfterPause('{NAME}-top', values, 400)"
USED = {  # the fields of a recipe
    "steps": ("ladder", "samplers", "labels", "text", "seed", "guidance_scale", "eta"),
    "guidance": ("ladder", "samplers", "labels", "text", "seed", "steps", "eta"),
}
TEXT = {
    "tab_ladder": ("How many steps?", "몇 단계면 될까?"),
    "ladder_lead": (
        "The same seed with <b>more and more steps</b>. Every step costs a pass through the network: where does the picture "
        "stop changing, and who gets there first? Press any picture to open it as its own recipe.",
        "같은 시드로 <b>단계를 점점 늘려</b> 봅니다. 한 단계마다 신경망을 통과해야 합니다. 그림은 어디서부터 달라지지 않을까요, 누가 먼저 "
        "도착할까요? 그림을 누르면 그 그림의 레시피가 열립니다.",
    ),
    "ladder": ("Go up in", "무엇을 올릴까요"),
    "ladder_steps": ("Steps", "단계 수"),
    "ladder_guidance": ("Guidance", "가이던스"),
    "samplers": ("Samplers side by side", "나란히 놓을 샘플러"),
    "ladder_cost": (
        "<b>{total}</b> network passes in all (at most {most})",
        "모두 합쳐 신경망 <b>{total}</b>회 통과 (최대 {most}회)",
    ),
    "ladder_too_much": (
        "Everybody shares one machine: take fewer samplers, or leave what is drawn at “any” (guidance asks the network twice).",
        "모두가 한 기계를 나눠 씁니다. 샘플러를 줄이거나 그릴 것을 ‘아무거나’로 두세요(가이던스는 신경망을 두 번 씁니다).",
    ),
    "ladder_idle": (
        "Guidance has nothing to pull towards while everything is left at “any”: all rungs will be the same picture.",
        "“아무거나”로 두면 가이던스가 끌어당길 곳이 없어 모든 칸이 같은 그림이 됩니다.",
    ),
    "ladder_rung_steps": ("{n} steps", "{n}단계"),
    "ladder_rung_steps_1": ("1 step", "1단계"),
    "ladder_rung_guidance": ("× {n}", "× {n}"),
    "ladder_enough": ("looks the same from {n} steps on", "{n}단계부터 같아 보입니다"),
    "ladder_never": ("never settles: more steps, another picture", "자리 잡지 않음: 단계가 바뀌면 다른 그림"),
    "ladder_working": ("{done} of {total} …", "{total}칸 중 {done}칸 …"),
    "ladder_distance": ("distance {d}", "거리 {d}"),
    "ladder_reference": ("the yardstick", "기준"),
    "ladder_open": ("Open in the Diffusion tab", "확산 탭에서 열기"),
    "ladder_time": ("{s} s", "{s}초"),
    "ladder_what": (
        "Distance: the root mean square over all pixels to the same sampler's longest run (to guidance 1 on a guidance "
        "ladder), where black and white are 2 apart; the bar shows it. “Looks the same”: within {close} from there on. "
        "Seconds are the network's work on this machine right now, busy or not.",
        "거리: 같은 샘플러의 가장 긴 실행까지(가이던스 사다리에서는 가이던스 1까지) 모든 화소의 제곱평균제곱근. 검정과 하양의 거리는 "
        "2이고, 막대로도 보입니다. ‘같아 보인다’: 거기서부터 거리가 {close} 안입니다. 초는 지금 이 기계에서 신경망이 일한 시간입니다.",
    ),
    "ladder_equation": ("Why some settle and some do not", "왜 어떤 것은 자리를 잡고 어떤 것은 아닐까"),
    "ladder_ode": (
        "Without fresh noise a sampler follows one curve from the seed's noise to one picture, the solution of dx/dt = "
        "f(x, t) that Song et al. 2021 call the probability flow. Fewer steps cut its corners: halving the stride of a "
        "first-order rule (Euler, DDIM) about halves the error, of a second-order rule (DPM-Solver++, Heun) quarters it. "
        "So the pictures converge as the steps go up. One that stands near a fork (a beard, or none?) may leap from one way "
        "to the other before it settles.",
        "새 잡음을 더하지 않는 샘플러는 시드의 잡음에서 한 그림까지 하나의 곡선을 따라갑니다. Song 외 2021이 확률 흐름이라 부른 "
        "dx/dt = f(x, t)의 해입니다. 단계가 적으면 굽은 길을 질러갑니다. 보폭을 반으로 줄이면 1차 방법(Euler, DDIM)은 오차가 약 반으로, "
        "2차 방법(DPM-Solver++, Heun)은 약 4분의 1로 줄어듭니다. 그래서 단계를 늘릴수록 그림이 한곳으로 모입니다. 갈림길"
        "(수염이 있을까, 없을까?) 가까이에 선 그림은 자리를 잡기 전에 한쪽에서 다른 쪽으로 건너뛰기도 합니다.",
    ),
    "ladder_sde": (
        "With fresh noise at every step (DDPM, SDE-DPM-Solver++, Euler ancestral) another number of steps draws other noise "
        "and reaches another, equally valid picture: only the spread of all pictures converges, not one of them. "
        "<b>RMS(a, b) = √(mean (a − b)²)</b>.",
        "단계마다 새 잡음을 더하면(DDPM, SDE-DPM-Solver++, Euler ancestral) 단계 수에 따라 다른 잡음을 뽑아, 똑같이 그럴듯한 다른 그림에 "
        "닿습니다. 모이는 것은 그림 하나가 아니라 그림들의 분포입니다. <b>RMS(a, b) = √(평균 (a − b)²)</b>.",
    ),
}  # fmt: skip


def rung_name(page: Page, recipe: Recipe, rung: float) -> str:
    key = f"ladder_rung_{recipe.ladder}"
    return page.words.both(f"{key}_1" if f"{key}_{rung:g}" in page.words.table else key, n=f"{rung:g}")


def cell(page: Page, recipe: Recipe, made: Cell, distance: float | None) -> str:
    """A picture that leads to its own recipe, with what it cost and how far it is."""
    words = page.words
    image = views.picture(render.to_uint8(made.picture), f"{made.sampler}, {made.rung:g}", made.recipe)
    if made.is_last:
        query = html.escape(to_query(made.recipe), quote=True)
        title = html.escape(" / ".join(words.table["ladder_open"]), quote=True)
        image = f'<a href="?{query}" data-recipe="{query}" title="{title}">{image}</a>'
    caption = f"<b>{rung_name(page, recipe, made.rung)}</b> {words.both('ladder_time', s=f'{made.seconds:.2f}')}"
    if distance is not None and made.rung == ladder.reference_of(recipe, page.zoo):
        caption += f"<small>{words.both('ladder_reference')}</small>"
    elif distance is not None:
        share = min(100, 100 * distance / MOST_DISTANCE)
        caption += f"<small>{words.both('ladder_distance', d=f'{distance:.2f}')}</small>"
        caption += f'<i class="pg-far"><i style="width:{share:.0f}%"></i></i>'
    return views.figure(image, caption)


def row(page: Page, recipe: Recipe, sampler: str, cells: Sequence[Cell]) -> str:
    """One sampler's ladder as far as it has been climbed; an unfinished picture may stand at its end."""
    words, rungs = page.words, ladder.places_of(recipe, page.zoo)
    finished = [made for made in cells if made.is_last]
    found = ladder.distances(recipe, finished, page.zoo)
    said = words.both("ladder_working", done=len(finished), total=len(rungs))
    if len(finished) == len(rungs):
        fewest = ladder.enough(finished, found) if recipe.ladder == "steps" else None
        said = words.both("ladder_never") if fewest is None else words.both("ladder_enough", n=f"{fewest:g}")
        said = "" if recipe.ladder == "guidance" else said
    figures = [cell(page, recipe, made, found[k] if found and made.is_last else None) for k, made in enumerate(cells)]
    for rung in rungs[len(cells) :]:
        figures.append(views.figure('<i class="pg-picture"></i>', f"<b>{rung_name(page, recipe, rung)}</b>"))
    return (
        f'<section class="pg-family pg-diffusion" data-row="{sampler}"><h3>{words.both(f"sampler_{sampler}")}'
        f'<span>{said}</span></h3><div class="pg-ladder">{"".join(figures)}</div></section>'
    )


def header(page: Page, recipe: Recipe, finished: Sequence[Cell] = ()) -> str:
    """The ladder's link, and the picture to save once all of it is there."""
    extra = ""
    if finished:
        png = render.to_png(ladder.sheet(recipe, finished), recipe)
        extra = views.save_link(page.words, "download_png", png, f"{recipe.dataset}-ladder-{recipe.seed}.png")
    idle = recipe.ladder == "guidance" and not any(recipe.labels) and not recipe.text
    note = f'<p class="pg-note">{page.words.both("ladder_idle")}</p>' if idle else ""
    return views.bar(page.words, recipe, None, extra=extra) + note


def cost(page: Page, recipe: Recipe) -> str:
    total, most = ladder.total_evaluations(recipe, page.zoo), limits.MAX_NETWORK_EVALUATIONS
    over = " pg-over" if total > most else ""
    said = page.words.both("ladder_cost", total=total, most=most)
    width = min(100, 100 * total / most)
    return f'<p class="pg-note">{said}</p><div class="pg-budget{over}"><i style="width:{width:.1f}%"></i></div>'


def show(page: Page, recipe: Recipe) -> Iterator[tuple[str, str] | None]:
    """(sampler or "" for the header, its new HTML) as cells fill; None after a step too soon to be shown."""
    yield "", header(page, recipe)
    finished: dict[str, list[Cell]] = {name: [] for name in ladder.samplers_of(recipe)}
    for name in finished:
        yield name, row(page, recipe, name, [])
    last_shown = time.perf_counter()
    with closing(ladder.climb(recipe, page.zoo)) as made:
        for one in made:
            if not one.is_last and time.perf_counter() - last_shown < PREVIEW_EVERY_S:
                yield None
                continue
            if one.is_last:
                finished[one.sampler].append(one)
            last_shown = time.perf_counter()
            cells = finished[one.sampler] if one.is_last else [*finished[one.sampler], one]
            yield one.sampler, row(page, recipe, one.sampler, cells)
    yield "", header(page, recipe, [one for cells in finished.values() for one in cells])


def shows(recipe: Recipe, zoo: Zoo) -> bool:
    if recipe.task != "ladder":
        return False
    ladder.require_diffusion(recipe, zoo)
    return True


def can_show(page: Page) -> bool:
    return bool(page.zoo.cards(page.dataset.name, "diffusion"))


def wanted(page: Page, chosen: Mapping[str, Component], values: Mapping[Component, object]) -> Recipe:
    """The recipe of the controls that count; the samplers in one order, however they were ticked."""
    recipe = recipe_from(page, chosen, values, task=NAME)
    if not recipe.samplers:
        raise ValueError(f"samplers must be at least one of {', '.join(SAMPLERS)}")
    ordered = tuple(name for name in SAMPLERS if name in recipe.samplers)
    eta = page.zoo.card(recipe.dataset, recipe.model).settings.get("eta", recipe.eta)  # no control of its own
    return only(replace(recipe, samplers=ordered, eta=eta), *USED[recipe.ladder])


def build(page: Page) -> Tab:
    words = page.words
    gr.HTML(f'<p class="pg-lead">{words.both("ladder_lead")}</p>')
    with gr.Row(elem_classes="pg-choices"):
        with gr.Column(scale=1, min_width=320):
            kind = gr.Radio(
                [(words.label(f"ladder_{name}"), name) for name in LADDERS],
                value=DEFAULT.ladder,
                label=words.label("ladder"),
                elem_id=controls.elem(NAME, "ladder"),
            )
            model = controls.model_picker(page, NAME, "diffusion")
            samplers = gr.CheckboxGroup(
                [(words.label(f"sampler_{name}"), name) for name in SAMPLERS],
                value=list(USUAL_SAMPLERS),
                label=words.label("samplers"),
                elem_id=controls.elem(NAME, "samplers"),
            )
        with gr.Column(scale=1, min_width=320):
            text = controls.text_box(page, NAME)
            for box in text.values():
                box.value = first_character(page, page.dataset.writing.example)
            labels = controls.label_pickers(page, NAME)
        with gr.Column(scale=1, min_width=280):
            seed = controls.seed_row(page, NAME, "seed", FIRST_SEED)
            with gr.Column() as pulling:
                guidance = controls.plain_slider(page, NAME, "guidance_scale", 0, limits.MAX_GUIDANCE, 0.05)
            with gr.Column(visible=False) as walking:
                steps = controls.plain_slider(page, NAME, "steps", 1, LONGEST_RUN, 1)
            budget = gr.HTML(elem_id=controls.elem(NAME, "cost"))
    with gr.Column(elem_id=f"{NAME}-view"):
        top = gr.HTML(elem_id=f"{NAME}-top")
        first = Recipe(dataset=page.dataset.name, model=model["model"].value, task=NAME)
        rows = {
            name: gr.HTML(row(page, first, name, []), visible=name in USUAL_SAMPLERS, elem_id=controls.elem(NAME, name))
            for name in SAMPLERS
        }
    what = words.both("ladder_what", close=CLOSE)
    gr.HTML(f'<p class="pg-note">{what}</p>' + views.fold(words, "ladder_equation", "ladder_ode", "ladder_sde"))
    chosen: Mapping[str, Component] = {
        "ladder": kind, "samplers": samplers, **model, **text, **labels, **seed, **guidance, **steps,
    }  # fmt: skip
    places = {"": top, **rows}
    wishes = Wishes()

    def ask(values: dict[Component, object], request: gr.Request) -> dict[Component, object]:
        """Make the ladder chosen the visitor's newest wish, which ends the work on an older one."""
        visitor, recipe = request.session_hash, None
        try:
            recipe = wanted(page, chosen, values)
            ladder.check_ladder(recipe, page.zoo)
        except UnfinishedTextError:
            return {top: gr.skip()}
        except ValueError as refusal:
            wishes.want(visitor, None)
            if recipe is None:
                return {top: views.refusal(words, str(refusal))}
            is_over = ladder.total_evaluations(recipe, page.zoo) > limits.MAX_NETWORK_EVALUATIONS
            advice = f'<p class="pg-status">{words.both("ladder_too_much")}</p>' if is_over else ""
            return {top: views.refusal(words, str(refusal)) + advice, budget: cost(page, recipe)}
        if not wishes.want(visitor, recipe):
            return {budget: cost(page, recipe)}
        # what the rows show is the job's alone to say: this answer may come to the page after the job's first ones
        seen = {place: gr.update(visible=name in recipe.samplers) for name, place in rows.items()}
        return {budget: cost(page, recipe), **seen}

    def draw(request: gr.Request) -> Iterator[dict[Component, object]]:
        """The job: whatever the visitor wants by now."""
        work = granted(page, wishes, request.session_hash, partial(show, page), lambda trouble: ("", trouble))
        with closing(work) as shown:
            for news in shown:
                yield {top: gr.skip()} if news is None else {places[news[0]]: news[1]}

    outputs = [*places.values(), budget]
    tab = Tab(NAME, chosen, draw, outputs, shows, NEWEST_WINS, ask)
    kind.change(
        lambda name: [hidden_unless("steps", name), hidden_unless("guidance", name)], kind, [pulling, walking], **LIVE
    )
    instant.follow(page, model, {"steps": steps["steps"], **guidance})
    gr.on(on_any(chosen), ask, tab.inputs, outputs, js=AFTER_A_PAUSE, **LIVE).then(draw, None, outputs, **NEWEST_WINS)
    return tab
