"""GAN tab: a counterfeiter, the police that judges every picture, and the directions of w."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import gradio as gr
from gradio.components import Component

from playground import limits, render
from playground.generate import Frame, by_word, last
from playground.recipe import FAMILY_TASKS, Recipe
from playground.ui import controls, views
from playground.ui.lanes import LIVE
from playground.ui.live import live_view
from playground.ui.page import Page, Tab, answered, first_character, hidden_unless, only, recipe_from
from playground.zoo import Zoo

NAME = "gan"
NUM_DIRECTIONS = 6
USED = {  # the fields of a recipe that each task uses
    "sample": ("labels", "text", "seed", "count", "truncation_psi", "shifts"),
    "walk": ("labels", "text", "seed", "seed_to", "count", "truncation_psi", "shifts"),
    "judge": ("labels", "text", "picture", "drawing"),
}
TEXT = {
    "tab_gan": ("GAN", "GAN"),
    "gan_lead": (
        "A <b>counterfeiter</b> (generator) turns noise into pictures in one go; the <b>police</b> (discriminator) says "
        "how real each looks. They trained against each other: the better the counterfeits, the less sure the police.",
        "<b>위조범</b>(생성자)이 잡음을 한 번에 그림으로 바꾸고, <b>경찰</b>(판별자)이 얼마나 진짜 같은지 판정합니다. "
        "둘은 서로 겨루며 배웠습니다. 위조품이 좋아질수록 경찰은 자신을 잃습니다.",
    ),
    "task_judge": ("Show the police a picture", "경찰에게 그림 보여 주기"),
    "truncation_psi": ("Truncation ψ", "절단 ψ"),
    "truncation_psi_info": (
        "Pulls every w towards the average one: small is safe and alike, 1 is as trained, above 1 is daring",
        "모든 w를 평균 쪽으로 당깁니다. 작으면 안전하고 비슷비슷, 1이면 학습한 그대로, 1보다 크면 과감해집니다",
    ),
    "gan_directions": ("Main directions of w", "w의 주요 방향"),
    "gan_directions_note": (
        "w is the generator's own description of a picture. These are the directions in which it varies most (principal "
        "components), in standard deviations: push one and see what it means.",
        "w는 생성자가 그림을 나타내는 내부 표현입니다. 가장 크게 변하는 방향(주성분)을 표준편차 단위로 밀어 보며 뜻을 찾아보세요.",
    ),
    "gan_judge_note": (
        "Draw your own counterfeit, or pick a real picture that nobody was trained on. With a value chosen above, the "
        "police judges whether it is a real one of that kind.",
        "직접 위조품을 그리거나, 학습에 쓰지 않은 진짜 그림을 골라 보세요. 위에서 값을 고르면 경찰은 그 종류의 진짜인지 판정합니다.",
    ),
    "verdict_real": ("looks real", "진짜 같음"),
    "verdict_unsure": ("cannot tell", "구별 못 함"),
    "verdict_doubt": ("suspicious", "의심스러움"),
    "verdict_fake": ("counterfeit!", "위조품!"),
    "verdict_number": (
        "{percent} likely to look more real than a real one",
        "진짜보다 진짜 같아 보일 확률 {percent}",
    ),
    "verdict_note": (
        "The number is the chance that the police finds this picture more real than a real one: 50 % means it cannot tell.",
        "숫자는 경찰이 이 그림을 진짜 그림보다 더 진짜 같다고 볼 확률입니다. 50 %이면 구별하지 못한다는 뜻입니다.",
    ),
}


def verdict_key(chance: float) -> str:
    """The police's words for its chance of taking a picture for more real than a real one."""
    if chance >= 0.6:
        return "verdict_real"
    if chance >= 0.4:
        return "verdict_unsure"
    return "verdict_doubt" if chance >= 0.15 else "verdict_fake"


def verdict(page: Page, chance: float, is_alone: bool) -> str:
    """In words, as a number, which says what it is a chance of under a picture that is alone, and as a meter."""
    words = page.words.both(verdict_key(chance))
    number = views.percent(chance, 0)
    said = "<br>" + page.words.both("verdict_number", percent=number) if is_alone else f" {number}"
    meter = f'<div class="pg-meter"><i style="left:{100 * chance:.1f}%"></i></div>'
    return f"<b>{words}</b>{said}{meter}"


def show(page: Page, recipe: Recipe) -> str:
    """The recipe's pictures, each with its verdict."""
    frame = by_word(last(recipe, page.zoo), recipe)
    facts = [views.took(page.words, frame.seconds), page.words.both("evaluations", n=frame.network_evaluations)]
    if recipe.task == "walk":
        return views.walk_view(page.words, recipe, frame.pictures, facts)
    figures = []
    for k, chance in enumerate(frame.realness.tolist()):
        image = views.picture(render.to_uint8(frame.pictures[k]), f"picture {k + 1}", recipe)
        named = page.words.both("seed_caption", seed=recipe.seeds[k]) + "<br>" if recipe.task == "sample" else ""
        figures.append(views.figure(image, named + verdict(page, chance, len(frame.pictures) == 1)))
    columns = views.columns_for(len(frame.pictures), frame.pictures)
    sheet = render.sheet(frame.pictures, columns)
    return views.view(
        views.bar(page.words, recipe, sheet, facts),
        noise(page, recipe, frame),
        views.grid(figures, columns),
        views.never_trained(page.words, page.dataset, recipe),
        f'<p class="pg-note">{page.words.both("verdict_note")}</p>',
    )


def noise(page: Page, recipe: Recipe, frame: Frame) -> str:
    return "" if frame.z is None else views.noise_strip(page.words, recipe.seeds, frame.z)


def shows(recipe: Recipe, zoo: Zoo) -> bool:
    return recipe.task in FAMILY_TASKS and zoo.card(recipe.dataset, recipe.model).family == "gan"


def can_show(page: Page) -> bool:
    return bool(page.zoo.cards(page.dataset.name, "gan"))


def build(page: Page) -> Tab:
    words = page.words
    gr.HTML(f'<p class="pg-lead">{words.both("gan_lead")}</p>')
    with gr.Row(elem_classes="pg-choices"):
        text = controls.text_box(page, NAME)
        task = controls.task_picker(page, NAME, ("sample", "walk", "judge"))
        model = controls.model_picker(page, NAME, "gan")
    with gr.Row(elem_classes="pg-tab"):
        with gr.Column(scale=2, min_width=320, elem_classes="pg-controls"):
            labels = controls.label_pickers(page, NAME)
            with gr.Column(visible=True) as making:
                seed = controls.seed_row(page, NAME, "seed", 7)
                count = controls.count_slider(page, NAME, 8)
                truncation = controls.plain_slider(page, NAME, "truncation_psi", 0, limits.MAX_TRUNCATION, 0.05)
                with gr.Accordion(words.label("gan_directions"), open=True):
                    gr.HTML(f'<p class="pg-note">{words.both("gan_directions_note")}</p>')
                    shifts = controls.shift_sliders(page, NAME, NUM_DIRECTIONS)
            with gr.Column(visible=False) as walking:
                seed_to = controls.seed_row(page, NAME, "seed_to", 8)
            with gr.Column(visible=False) as judging:
                gr.HTML(f'<p class="pg-note">{words.both("gan_judge_note")}</p>')
                pad = controls.drawing_pad(page, NAME)
                held_out = controls.picture_slider(page, NAME)
        shown = gr.Column(scale=3, min_width=320, elem_classes="pg-result")
    chosen: Mapping[str, Component] = {
        **task, **model, **text, **labels, **seed, **count, **truncation, **shifts, **seed_to, **pad, **held_out,
    }  # fmt: skip

    def draw(values: dict[Component, object]) -> object:
        def work() -> str:
            recipe = recipe_from(page, chosen, values)
            if recipe.task == "judge":
                text = first_character(page, recipe.text) if recipe.drawing else ""
                recipe = replace(recipe, text=text)
            return show(page, only(recipe, *USED[recipe.task]))

        return answered(page, work)

    def reveal(task_name: str) -> list[dict[str, object]]:
        is_made = task_name in ("sample", "walk")
        return [gr.update(visible=is_made), hidden_unless("walk", task_name), hidden_unless("judge", task_name)]

    with shown:
        view = live_view(page, NAME, chosen, draw)
    tab = Tab(NAME, chosen, draw, [view], shows, LIVE)
    task["task"].change(reveal, task["task"], [making, walking, judging], **LIVE)
    return tab
