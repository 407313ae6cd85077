"""From your hand: a drawing half drowned in noise and cleaned again, a hole painted new, a walk beside a double exposure."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace

import gradio as gr
import torch
from gradio.components import Component
from torch import Tensor

from playground import drawing, limits, render
from playground.datasets.base import UnfinishedTextError
from playground.generate import INPAINTERS, Frame, by_word, check, generate, given, usual
from playground.recipe import DEFAULT, SAMPLERS, Recipe
from playground.sampling.paths import lerp
from playground.sampling.reverse import STOCHASTIC
from playground.ui import controls, film, instant, paint, views
from playground.ui.film import Film
from playground.ui.lanes import LIVE, NEWEST_WINS
from playground.ui.page import Page, Tab, first_character, on_any, only, recipe_from, streamed
from playground.ui.wishes import Wishes
from playground.zoo import Zoo

NAME = "hand"
TASKS = ("edit", "inpaint", "blend")
FIRST_SEED, FIRST_PICTURE, FIRST_COUNT, MOST_COUNT, WALK_COUNT = 1, 4, 4, 8, 8
MOST_STEPS = 100
PREVIEW_EVERY_S = 0.125
WALKER = "dpmpp"  # adds no noise of its own, so the noise that is walked decides the picture
SHARED = ("labels", "text", "seed", "count", "steps", "sampler", "guidance_scale")
USED = {
    "edit": (*SHARED, "picture", "drawing", "strength"),
    "inpaint": (*SHARED, "picture", "drawing", "mask", "resamples", "jump_length"),
    "blend": (*SHARED, "seed_to"),
}
TEXT = {
    **film.TEXT,
    **paint.TEXT,
    "tab_hand": ("From your hand", "내 그림에서"),
    "hand_lead": (
        "Draw something, or take a real picture. Drown it in noise, <b>but not quite</b>, and let the network clean it up: "
        "what comes out is <b>similar, but not the same</b>.",
        "그림을 그리거나 진짜 그림을 고르세요. 잡음에 <b>다 잠기지는 않을 만큼</b>만 담갔다가 신경망이 다시 씻어 내게 하면, "
        "<b>닮았지만 똑같지는 않은</b> 그림이 나옵니다.",
    ),
    "task_edit": ("Make it again", "다시 만들기"),
    "task_inpaint": ("Fill a hole", "빈 곳 채우기"),
    "task_blend": ("Walk or double exposure", "걷기와 이중 노출"),
    "strength": ("Strength", "세기"),
    "strength_info": (
        "How deep it goes into the noise: 0.1 hardly touches it, 1 forgets it altogether",
        "잡음에 얼마나 깊이 담글지: 0.1이면 거의 그대로, 1이면 완전히 잊습니다",
    ),
    "resamples": ("Walks over each stretch", "구간마다 걷는 횟수"),
    "resamples_info": (
        "More often: new and old suit each other better, and it takes as many times longer",
        "많을수록 새로 그린 곳과 있던 곳이 더 어울리지만 그만큼 오래 걸립니다",
    ),
    "jump_length": ("Length of a stretch, in steps", "구간의 길이(단계)"),
    "jump_length_info": ("How far it goes back into the noise each time", "한 번에 잡음 속으로 되돌아가는 거리"),
    "hand_more": ("Sampler, steps, guidance", "샘플러, 단계 수, 가이던스"),
    "hand_wanted": ("What it should become", "무엇이 되게 할까요"),
    "hand_mask": (
        "Paint over what should be <b>made new</b>. Everything else stays exactly as it is.",
        "<b>새로 만들</b> 곳을 칠하세요. 나머지는 한 점도 달라지지 않습니다.",
    ),
    "hand_mask_first": (
        "Paint over a part of the picture: that part will be made new.",
        "그림의 한 부분을 칠하세요. 그 부분을 새로 만듭니다.",
    ),
    "hand_x0": ("the picture given", "주어진 그림"),
    "hand_start": ("noised to t = {t}: it starts here", "t = {t}까지 잡음: 여기서 출발"),
    "hand_hole": ("what it may look at", "신경망이 볼 수 있는 부분"),
    "hand_seed": ("seed {seed}", "시드 {seed}"),
    "hand_differs": ("differs by {percent} %", "{percent} % 다름"),
    "hand_similar": ("Similar, but not the same", "닮았지만 똑같지는 않은 그림"),
    "hand_filled": ("The hole filled, each time another way", "빈 곳을 채운 그림, 매번 다르게"),
    "hand_walk": (
        "<b>Through noise</b>: every picture on the way is made by the network",
        "<b>잡음 사이를 걷기</b>: 길 위의 그림을 모두 신경망이 만듭니다",
    ),
    "hand_exposure": (
        "<b>Double exposure</b>: the two ends mixed pixel by pixel; in the middle lies neither",
        "<b>이중 노출</b>: 양 끝 그림을 화소끼리 섞은 것. 가운데는 어느 쪽도 아닙니다",
    ),
    "hand_equation": ("The equations", "수식으로 보기"),
    "hand_equation_edit": (
        "<b>Make it again</b> (SDEdit, Meng et al. 2022): x<sub>t</sub> = √ᾱ<sub>t</sub> · x<sub>0</sub> + √(1−ᾱ<sub>t</sub>) · "
        "ε, with t as far up as the strength says; from there the usual steps down. Fine detail drowns first and is made up "
        "anew, coarse shape survives longest. Strength 1 begins with ε alone.",
        "<b>다시 만들기</b>(SDEdit, Meng 외 2022): x<sub>t</sub> = √ᾱ<sub>t</sub> · x<sub>0</sub> + √(1−ᾱ<sub>t</sub>) · ε. t는 세기만큼 "
        "올라가고, 거기서부터 보통처럼 내려옵니다. 세밀한 부분이 먼저 잠겨 새로 그려지고 굵은 형태가 가장 오래 남습니다. 세기 1은 ε만으로 "
        "시작합니다.",
    ),
    "hand_equation_inpaint": (
        "<b>Fill a hole</b> (RePaint, Lugmayr et al. 2022): after every step the known pixels are put back, noised to the level "
        "reached: x<sub>t−1</sub> = m · x̃<sub>t−1</sub> + (1−m) · (√ᾱ<sub>t−1</sub> · x<sub>0</sub> + √(1−ᾱ<sub>t−1</sub>) · ε). So that "
        "the new part hears of the old one, each stretch of steps is noised again and walked several times. At the end "
        "ᾱ = 1: the known pixels are exactly those of the picture.",
        "<b>빈 곳 채우기</b>(RePaint, Lugmayr 외 2022): 단계마다 아는 화소를 그 단계의 잡음만큼 흐려 되돌려 놓습니다: x<sub>t−1</sub> = m · "
        "x̃<sub>t−1</sub> + (1−m) · (√ᾱ<sub>t−1</sub> · x<sub>0</sub> + √(1−ᾱ<sub>t−1</sub>) · ε). 새로 그리는 곳이 있던 곳과 어울리도록 "
        "구간마다 다시 잡음을 섞고 여러 번 걷습니다. 끝에서는 ᾱ = 1이므로 아는 화소는 원래 그림과 정확히 같습니다.",
    ),
    "hand_equation_blend": (
        "<b>Walk or double exposure</b>: the upper row takes the noise along the great circle (slerp), "
        "sin((1−w)θ)/sin θ · ε<sub>1</sub> + sin(wθ)/sin θ · ε<sub>2</sub>, and makes a picture of each; the lower row is "
        "(1−w) · x<sub>1</sub> + w · x<sub>2</sub> of the two finished pictures.",
        "<b>걷기와 이중 노출</b>: 윗줄은 대원(구면 보간)을 따라 잡음을 섞어, sin((1−w)θ)/sin θ · ε<sub>1</sub> + sin(wθ)/sin θ · "
        "ε<sub>2</sub>, 하나하나 그림으로 만듭니다. 아랫줄은 다 만든 두 그림을 (1−w) · x<sub>1</sub> + w · x<sub>2</sub>로 섞은 것입니다.",
    ),
}  # fmt: skip


def wanted(page: Page, chosen: Mapping[str, Component], values: Mapping[Component, object]) -> Recipe:
    """The controls' recipe with what its task uses, and a sampler that can do it."""
    recipe = recipe_from(page, chosen, values)
    if recipe.task == "inpaint" and recipe.sampler not in INPAINTERS:
        recipe = replace(recipe, sampler=INPAINTERS[0])
    if recipe.task == "blend" and recipe.sampler in STOCHASTIC:
        recipe = replace(recipe, sampler=WALKER)
    if recipe.task != "blend" and recipe.text:
        recipe = replace(recipe, text=first_character(page, recipe.text))
    return only(recipe, *USED[recipe.task])


def show(page: Page, wishes: Wishes, visitor: str) -> Iterator[tuple[str, str]]:
    """Work on the visitor's newest wish while it is the newest: (status, view) several times a second, and at the end."""
    wish = wishes.take(visitor)
    if wish is None:
        return
    last_shown, reel, start = 0.0, None, None
    with closing(generate(wish.recipe, page.zoo)) as frames:
        for frame in (by_word(made, wish.recipe) for made in frames):
            if not wishes.is_newest(visitor, wish):
                return
            if reel is None:
                reel, start = Film.of(frame.step), frame.step
            reel.add(frame.step)
            if frame.is_last or wish.is_stopped:
                break
            if time.perf_counter() - last_shown >= PREVIEW_EVERY_S:
                made = body(page, wish.recipe, frame, start)
                yield film.progress(page.words, frame.step), views.view(*made)
                last_shown = time.perf_counter()
    made = body(page, wish.recipe, frame, start)
    yield film.ended(page.words, frame.step), views.view(*made, *finish(page, wish.recipe, frame, reel))


def body(page: Page, recipe: Recipe, frame: Frame, start: object) -> list[str]:
    """What a task shows, finished or on its way."""
    if recipe.task == "blend":
        return two_rows(page, recipe, frame)
    words, x0 = page.words, given(recipe, page.zoo)
    shown = [views.figure(views.picture(render.to_uint8(x0[0]), "the picture given"), words.both("hand_x0"))]
    if recipe.task == "edit":
        noisy = views.picture(render.to_uint8(start.x_t[0]), "noised")
        shown.append(views.figure(noisy, words.both("hand_start", t=f"{start.t:.0f}")))
    else:
        known = torch.where(drawing.unpack_mask(recipe.mask, page.dataset.shape), torch.zeros(1), x0)
        shown.append(views.figure(views.picture(render.to_uint8(known[0]), "the hole"), words.both("hand_hole")))
    results = [
        views.figure(
            views.picture(render.to_uint8(picture), f"picture {k + 1}", recipe if frame.is_last else None),
            words.both("hand_seed", seed=recipe.seeds[k]) + " · " + difference(page, picture, x0[0]),
        )
        for k, picture in enumerate(frame.pictures)
    ]
    title = words.both("hand_similar" if recipe.task == "edit" else "hand_filled")
    return [
        f'<div class="pg-given"><div class="pg-row">{shown[0]}<span class="pg-arrow">→</span>{shown[1]}</div>'
        f"<div><h3>{title}</h3>{views.grid(results, 4)}</div></div>"
    ]


def difference(page: Page, picture: Tensor, x0: Tensor) -> str:
    """How far a picture is from the given one, as a share of the way from black to white, over all pixels."""
    return page.words.both("hand_differs", percent=f"{50 * float((picture - x0).abs().mean()):.0f}")


def two_rows(page: Page, recipe: Recipe, frame: Frame) -> list[str]:
    """The walk through noise above, the double exposure of its ends below."""
    words, num = page.words, len(frame.pictures)
    first, second = frame.pictures[0], frame.pictures[-1]
    exposed = [lerp(first, second, k / max(1, num - 1)) for k in range(num)]
    rows = []
    for key, pictures in (("hand_walk", frame.pictures), ("hand_exposure", exposed)):
        cells = "".join(
            views.picture(render.to_uint8(p), f"{k + 1} of {num}", recipe if frame.is_last else None)
            for k, p in enumerate(pictures)
        )
        rows.append(
            f'<div class="pg-two"><p class="pg-note">{words.both(key)}</p><div class="pg-even" style="--pg-columns:{num}">{cells}</div></div>'
        )
    return rows


def finish(page: Page, recipe: Recipe, frame: Frame, reel: Film) -> list[str]:
    """The scrubber over the steps, the link, what can be saved."""
    facts = [
        views.took(page.words, frame.seconds), page.words.both("evaluations", n=frame.network_evaluations)
    ]  # fmt: skip
    if not frame.is_last:
        return [views.bar(page.words, recipe, None, facts)]
    pictures = frame.pictures if recipe.task == "blend" else torch.cat([given(recipe, page.zoo), frame.pictures])
    saved = render.sheet(pictures, len(pictures))
    if recipe.task == "blend":
        content = render.animation(frame.pictures)
        name = views.file_name(recipe, "webp")
        extra = views.save_link(page.words, "download_walk", content, name, "image/webp")
        return [views.bar(page.words, recipe, saved, facts, extra)]
    extra = film.save_link(page.words, reel, recipe)
    return [film.scrubber(page.words, reel), views.bar(page.words, recipe, saved, facts, extra)]


def shows(recipe: Recipe, zoo: Zoo) -> bool:
    if recipe.task not in TASKS:
        return False
    limits.whole("steps", recipe.steps, 1, MOST_STEPS)
    return zoo.card(recipe.dataset, recipe.model).family == "diffusion"


def can_show(page: Page) -> bool:
    return bool(page.zoo.cards(page.dataset.name, "diffusion"))


def slider(page: Page, field: str, low: float, high: float, value: float, step: float = 1) -> dict[str, Component]:
    """A slider for a recipe field, worded by `<field>` and `<field>_info`."""
    words = page.words
    whole = {"precision": 0} if step == 1 else {}
    return {
        field: gr.Slider(
            low, high, value, step=step, label=words.label(field), info=words.label(f"{field}_info"),
            elem_id=controls.elem(NAME, field), **whole,
        )
    }  # fmt: skip


def build(page: Page) -> Tab:
    words, start = page.words, usual(page.dataset)
    gr.HTML(f'<p class="pg-lead">{words.both("hand_lead")}</p>')
    with gr.Row(elem_classes="pg-tab"):
        with gr.Column(scale=2, min_width=320, elem_classes="pg-controls"):
            task = controls.task_picker(page, NAME, TASKS)
            model = controls.model_picker(page, NAME, "diffusion")
            with gr.Column() as giving:
                pad = controls.drawing_pad(page, NAME)
                picture = controls.picture_slider(page, NAME)
                picture["picture"].value = FIRST_PICTURE
            with gr.Column(elem_classes=film.AWAY) as hiding:
                holes = paint.pad(page, controls.elem(NAME, "mask"), "mask", words.both("hand_mask"))
                resamples = slider(page, "resamples", 1, limits.MAX_RESAMPLES, DEFAULT.resamples)
            with gr.Column() as drowning:
                strength = slider(page, "strength", 0.05, 1, DEFAULT.strength, 0.05)
            seed = controls.seed_row(page, NAME, "seed", FIRST_SEED)
            with gr.Column(elem_classes=film.AWAY) as walking:
                seed_to = controls.seed_row(page, NAME, "seed_to", FIRST_SEED + 1)
            count = controls.count_slider(page, NAME, FIRST_COUNT, MOST_COUNT)
            with gr.Accordion(words.label("hand_wanted"), open=False):
                text = controls.text_box(page, NAME)
                for box in text.values():
                    box.value = ""
                labels = controls.label_pickers(page, NAME)
            with gr.Accordion(words.label("hand_more"), open=False):
                sampler = {
                    "sampler": gr.Dropdown(
                        [(words.label(f"sampler_{name}"), name) for name in SAMPLERS],
                        value=start.sampler,
                        label=words.label("sampler"),
                        filterable=False,
                        elem_id=controls.elem(NAME, "sampler"),
                    )
                }
                steps = slider(page, "steps", 1, MOST_STEPS, start.steps)
                guidance = controls.plain_slider(page, NAME, "guidance_scale", 0, limits.MAX_GUIDANCE, 0.05)
                with gr.Column(elem_classes=film.AWAY) as jumping:
                    jump = slider(page, "jump_length", 1, limits.MAX_JUMP, DEFAULT.jump_length)
        with gr.Column(scale=3, min_width=320, elem_classes="pg-result"):
            with gr.Row(elem_classes="pg-state"):
                state = gr.HTML(elem_id=f"{NAME}-status")
                halt = gr.Button(words.label("film_stop"), variant="stop", elem_id=controls.elem(NAME, "stop"), scale=0)
            view = gr.HTML(elem_id=f"{NAME}-view")
    fold = views.fold(words, "hand_equation", *(f"hand_equation_{name}" for name in TASKS))
    gr.HTML(fold)
    chosen: Mapping[str, Component] = {
        **task, **model, **pad, **picture, "mask": holes, **resamples, **strength, **seed, **seed_to, **count, **text,
        **labels, **sampler, **steps, **guidance, **jump,
    }  # fmt: skip
    wishes = Wishes()

    def ask(values: dict[Component, object], request: gr.Request) -> dict[Component, object]:
        """Make what the controls say the visitor's newest wish, and lay the given picture under the mask."""
        visitor = request.session_hash
        try:
            recipe = wanted(page, chosen, values)
            under = gr.skip()
            if recipe.task == "inpaint":
                x0 = given(recipe, page.zoo)
                under = gr.update(background=render.data_uri(render.to_png(render.to_uint8(x0[0]))))
                if not recipe.mask:
                    wishes.want(visitor, None)
                    return {state: views.status(words.both("hand_mask_first")), holes: under}
            check(recipe, page.zoo)
        except UnfinishedTextError:
            return {state: gr.skip()}
        except ValueError as why:
            wishes.want(visitor, None)
            return {state: views.refusal(words, str(why))}
        if not wishes.want(visitor, recipe):
            return {holes: under}
        return {state: views.status(words.both("film_waiting"), "pg-waiting"), holes: under}

    def draw(request: gr.Request) -> Iterator[dict[Component, object]]:
        def work() -> Iterator[dict[Component, object]]:
            is_shown = False
            for said, shown in show(page, wishes, request.session_hash):
                is_shown = True
                yield {state: said, view: shown}
            if not is_shown:
                yield {state: gr.skip()}  # a job that yielded nothing would empty all its outputs

        yield from streamed(page, work, lambda sentence: {state: sentence})

    def stop(request: gr.Request) -> object:
        wish = wishes.stop(request.session_hash)
        return gr.skip() if wish is None or wish.is_taken else views.status(words.both("film_stopped_early"))

    def reveal(name: str) -> list[object]:
        shown_in = (("edit", "inpaint"), ("inpaint",), ("edit",), ("blend",), ("inpaint",))
        return [film.shown_if(name in tasks) for tasks in shown_in]

    outputs = [state, view, holes]
    tab = Tab(NAME, chosen, draw, outputs, shows, NEWEST_WINS, ask)
    task["task"].change(reveal, task["task"], [giving, hiding, drowning, walking, jumping], **LIVE)
    task["task"].input(
        lambda name: WALK_COUNT if name == "blend" else FIRST_COUNT, task["task"], count["count"], **LIVE
    )
    pause = f"(...values) => window.playgroundAfterPause('{NAME}-view', values)"
    moved = gr.on(on_any(chosen), ask, tab.inputs, outputs, js=pause, **LIVE)
    job = moved.then(draw, None, outputs, **NEWEST_WINS)
    job.failure(lambda: views.status(words.both("busy"), "pg-error"), None, state, **LIVE)
    halt.click(stop, None, state, **LIVE)
    instant.follow(page, model, {**steps, **sampler, **guidance})
    return tab
