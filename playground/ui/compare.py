"""Compare tab: the same seeds and the same wishes for every family, a row each, with what it cost and how good it is."""

from __future__ import annotations

import html
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial

import gradio as gr
from gradio.components import Component

from playground import limits, render
from playground.comparison import Row, compare, compared_models, sheet, usual_models
from playground.datasets.base import UnfinishedTextError
from playground.generate import as_heard, as_made, by_word, num_characters, usual
from playground.models import VAE
from playground.recipe import SAMPLERS, Recipe
from playground.sampling.noise import seeded_noise
from playground.ui import controls, guest, instant, views
from playground.ui.lanes import NEWEST_WINS, ONCE_SETTLED
from playground.ui.page import Page, Tab, granted_view, on_any, only, recipe_from
from playground.ui.text import Words, attribute_key
from playground.ui.wishes import Wishes
from playground.zoo import Card, Zoo

NAME = "compare"
FIRST_COUNT, MOST_COUNT = 6, 8
FIRST_WORDS = 3
FIRST_SEED = 1
MOST_STEPS = 250
PREVIEW_EVERY_S = 0.125
USED = ("labels", "text", "seed", "count", "steps", "sampler", "guidance_scale", "models")  # the fields of a recipe
TEXT = {
    "tab_compare": ("Compare", "비교"),
    "compare_lead": (
        "The <b>same seeds</b> and the <b>same wishes</b> for every family, one row each. Who is quick, who is sharp, "
        "and whose pictures differ most from one another?",
        "<b>같은 시드</b>와 <b>같은 조건</b>을 모든 계열에 똑같이 줍니다. 누가 빠르고, 누가 선명하고, 누구의 그림이 가장 "
        "다양할까요?",
    ),
    "compare_models": ("Models", "모델"),
    "compare_models_info": (
        "Which trained networks take part; with none ticked, the usual ones",
        "비교에 참여할 신경망. 아무것도 고르지 않으면 기본 모델들이 나옵니다",
    ),
    "compare_steered": (
        "Only diffusion takes steps, so these three are for diffusion alone; the others need one go.",
        "단계를 밟는 것은 확산뿐이라 아래 셋은 확산에만 쓰입니다. 다른 모델은 한 번에 그립니다.",
    ),
    "compare_noise": ("Seed and noise", "시드와 잡음"),
    "compare_noise_note": (
        "each column starts from one seed; above it stands the noise that it makes at the size of a picture, which is "
        "what diffusion begins with, while VAE and GAN draw as many numbers as their z has.",
        "한 열은 한 시드에서 출발합니다. 위에 보이는 것은 시드가 만드는 그림 크기의 잡음으로 확산은 여기서 시작하고, VAE와 GAN은 z의 "
        "길이만큼만 수를 뽑습니다.",
    ),
    "compare_vae": ("VAE", "VAE"),
    "compare_vae_note": (
        "Unfolds a short list of numbers z into a picture in one go; it learned by squeezing pictures into z and back.",
        "짧은 수의 목록 z를 한 번에 그림으로 펼칩니다. 그림을 z로 줄였다가 되돌리며 배웠습니다.",
    ),
    "compare_ae_note": (
        "A plain autoencoder: nobody taught it where to draw new points from, so many of them mean nothing.",
        "그냥 오토인코더: 새 점을 어디서 뽑아야 하는지 배운 적이 없어서 뜻 없는 그림이 많습니다.",
    ),
    "compare_deaf": ("It is not told what to draw.", "무엇을 그릴지는 듣지 않습니다."),
    "compare_gan": ("GAN", "GAN"),
    "compare_gan_note": (
        "A forger turns z into a picture in one go; it learned against a police that kept getting better.",
        "위조범이 z를 한 번에 그림으로 바꿉니다. 점점 더 잘 알아보는 경찰과 겨루며 배웠습니다.",
    ),
    "compare_diffusion": ("Diffusion", "확산"),
    "compare_diffusion_note": (
        "Starts from pure noise and takes a little of it away at every step, until a picture is left.",
        "순수한 잡음에서 출발해 단계마다 조금씩 덜어 내면 그림이 남습니다.",
    ),
    "compare_time": ("Time", "시간"),
    "compare_each": ("Per picture", "한 장당"),
    "compare_evaluations": ("Network passes", "신경망 통과"),
    "compare_parameters": ("Parameters", "매개변수"),
    "compare_frechet": ("Fréchet distance", "프레셰 거리"),
    "compare_frechet_ratio": ("{ratio} × real", "진짜의 {ratio}배"),
    "compare_precision": ("Precision", "정밀도"),
    "compare_recall": ("Recall", "재현율"),
    "compare_asked": ("as asked", "조건대로"),
    "compare_known": ("Whole, as asked", "통째로 조건대로"),
    "compare_never_trained": ("Never trained on, as asked", "배운 적 없는 것도 조건대로"),
    "compare_unmeasured": ("Quality: not measured yet", "품질: 아직 측정하지 않음"),
    "compare_measured": (
        "Quality measured on {samples} pictures, seen through the feature network “{net}”",
        "그림 {samples}장을 특징 신경망 “{net}”으로 보고 측정한 품질",
    ),
    "compare_measured_with": (", {sampler}, steps {steps}", ", {sampler} {steps}단계"),
    "compare_measured_guided": (", guidance {scale}", ", 가이던스 {scale}"),
    "compare_floor": (
        "; two sets of real pictures lie {floor} apart",
        "; 진짜 그림끼리의 거리는 {floor}",
    ),
    "compare_fewer": (
        "It takes {steps} steps here instead of {asked}, as many as it may in one request.",
        "여기서는 {asked}단계 대신 한 번에 허용되는 {steps}단계만 밟습니다.",
    ),
    "compare_waits": ("waiting …", "기다리는 중 …"),
    "compare_step": ("step {step} of {total}", "{total}단계 가운데 {step}단계"),
    "compare_glossary": ("What the numbers say", "숫자가 말하는 것"),
    "compare_time_note": (
        "for the whole row, on this machine just now; loading the network does not count.",
        "방금 이 기계에서 한 줄을 그리는 데 걸린 시간. 신경망을 불러오는 시간은 빼고 잽니다.",
    ),
    "compare_evaluations_note": (
        "how often the network has to be run to make one picture.",
        "그림 한 장을 그리려고 신경망을 돌리는 횟수.",
    ),
    "compare_parameters_note": (
        "the learned numbers of the whole model, with the VAE's encoder and the GAN's police.",
        "학습한 수의 개수. VAE의 인코더와 GAN의 경찰까지 모두 셉니다.",
    ),
    "compare_frechet_note": (
        "how far the crowd of a model's pictures lies from the crowd of real ones, as a network trained to read them "
        "sees both; “2 × real” is twice as far as two sets of real pictures lie from each other, 1 × is as good as real.",
        "모델이 그린 그림들의 무리와 진짜 그림들의 무리가 얼마나 떨어져 있는지를, 그림을 읽도록 학습한 신경망의 눈으로 잰 것. "
        "“진짜의 2배”는 진짜 그림끼리의 거리의 두 배이고, 1배면 진짜와 다름없습니다.",
    ),
    "compare_precision_note": (
        "the share of the model's pictures that could be taken for real ones.",
        "모델이 그린 그림 가운데 진짜라고 해도 믿을 만한 것의 비율.",
    ),
    "compare_recall_note": (
        "the share of the real pictures that the model could have made: low where it always draws the same few.",
        "진짜 그림 가운데 이 모델이 그릴 수 있는 것의 비율. 늘 비슷한 것만 그리면 낮아집니다.",
    ),
    "compare_asked_note": (
        "how often that network reads in a picture what the model was asked to draw.",
        "그려 달라고 한 것을 그 신경망이 그림에서 그대로 읽어 내는 비율.",
    ),
}
GLOSSARY = ("noise", "time", "evaluations", "parameters", "frechet", "precision", "recall", "asked")


def title_of(page: Page, card: Card) -> str:
    """The key of a model's name: its own where it has brothers and a tab has words for it, else its family's."""
    if card.is_guest:
        return guest.title_key(card)
    has_brothers = len(page.zoo.cards(card.dataset, card.family)) > 1
    own = f"model_{card.model}"
    return own if has_brothers and own in page.words.table else f"compare_{card.family}"


def sentence(page: Page, card: Card) -> str:
    """What one of our own models is, in a sentence."""
    network = page.zoo.open(card.dataset, card.model).network
    is_plain = isinstance(network, VAE) and not network.config.is_variational
    is_deaf = isinstance(network, VAE) and page.dataset.attributes and not network.config.cardinalities
    if card.is_quick:
        return instant.compared(page, card)
    notes = [page.words.both("compare_ae_note" if is_plain else f"compare_{card.family}_note")]
    return " ".join(notes + ([page.words.both("compare_deaf")] if is_deaf else []))


def introduction(page: Page, recipe: Recipe, card: Card) -> str:
    """What a model is; of a guest, that it is one and how many of the steps it may take."""
    if not card.is_guest:
        return f'<p class="pg-note">{sentence(page, card)}</p>'
    steps = as_made(recipe, card).steps
    fewer = page.words.both("compare_fewer", steps=steps, asked=recipe.steps) if steps < recipe.steps else ""
    return guest.note(page.words, card) + (f'<p class="pg-note">{fewer}</p>' if fewer else "")


def short_count(number: int) -> str:
    """1234567 -> 1.2 M, 21400 -> 21 k."""
    if number >= 999_500:
        return f"{number / 1e6:.1f} M"
    return f"{number / 1e3:.0f} k" if number >= 1000 else str(number)


def short_number(value: float) -> str:
    """Three digits that matter."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def fact(term: str, value: str, more: str = "") -> str:
    small = f" <small>{more}</small>" if more else ""
    return f"<div><dt>{term}</dt><dd>{value}{small}</dd></div>"


def costs(words: Words, card: Card, row: Row | None) -> list[str]:
    """Time, network evaluations and parameters, as far as they are known."""
    seconds = each = evaluations = "…"
    if row is not None and row.frame.is_last:
        seconds, each = views.took(words, row.seconds), views.took(words, row.seconds / len(row.frame.pictures))
        evaluations = str(row.frame.network_evaluations)
    return [
        fact(words.both("compare_time"), seconds),
        fact(words.both("compare_each"), each),
        fact(words.both("compare_evaluations"), evaluations),
        fact(words.both("compare_parameters"), short_count(card.parameters)),
    ]


def quality(page: Page, card: Card) -> list[str]:
    """What the evaluation measured, where it has been run; a figure never stands without its number of pictures."""
    words, metrics = page.words, card.metrics
    if card.is_guest:
        return []  # its paragraph says that nobody measured it
    if not {"samples", "feature_net"} <= metrics.keys():
        return [f'<div class="pg-unmeasured">{words.both("compare_unmeasured")}</div>']
    facts = []
    if "frechet_distance" in metrics:
        ratio = metrics.get("frechet_ratio")
        more = "" if ratio is None else words.both("compare_frechet_ratio", ratio=f"{ratio:.1f}")
        facts.append(fact(words.both("compare_frechet"), short_number(metrics["frechet_distance"]), more))
    for name in ("precision", "recall"):
        if name in metrics:
            facts.append(fact(words.both(f"compare_{name}"), views.percent(metrics[name])))
    accuracy = metrics.get("condition_accuracy", {})
    for attribute in page.dataset.attributes:
        if attribute.name in accuracy:
            term = words.both(attribute_key(page.dataset, attribute.name)) + " " + words.both("compare_asked")
            facts.append(fact(term, views.percent(accuracy[attribute.name])))
    for key, shares in (("known", accuracy), ("never_trained", metrics.get("never_trained_accuracy", {}))):
        if "at_once" in shares:
            facts.append(fact(words.both(f"compare_{key}"), views.percent(shares["at_once"])))
    return facts


def measured_how(words: Words, card: Card) -> str:
    """On how many pictures, made how and seen through what, a model's quality was measured."""
    metrics = card.metrics
    if not {"samples", "feature_net"} <= metrics.keys():
        return ""
    said = words.both("compare_measured", samples=f"{metrics['samples']:,}", net=metrics["feature_net"])
    if card.family == "diffusion" and {"sampler", "steps"} <= metrics.keys():
        # a sampler's name is the same in every language
        sampler, _ = words.table.get(f"sampler_{metrics['sampler']}", (metrics["sampler"],) * 2)
        said += words.both("compare_measured_with", sampler=sampler, steps=metrics["steps"])
        if metrics.get("guidance_scale", 1) != 1:
            said += words.both("compare_measured_guided", scale=f"{metrics['guidance_scale']:g}")
    if "frechet_floor" in metrics:
        said += words.both("compare_floor", floor=short_number(metrics["frechet_floor"]))
    return f'<p class="pg-note pg-measured">{said}</p>'


def progress(words: Words, row: Row | None) -> str:
    """How far a row is: nothing to say once it is finished."""
    if row is None:
        return words.both("compare_waits")
    if row.frame.is_last:
        return ""
    return words.both("compare_step", step=row.frame.step.index + 1, total=row.frame.step.total)


def seeds_header(page: Page, recipe: Recipe) -> str:
    """Above each column: its seed and the noise that it makes."""
    noise = seeded_noise(recipe.seeds, page.dataset.shape)
    figures = [
        views.figure(
            views.picture(render.noise_picture(noise[k]), f"noise of seed {seed}"),
            page.words.both("seed_caption", seed=seed),
        )
        for k, seed in enumerate(recipe.seeds)
    ]
    return f'<div class="pg-cells pg-seeds">{"".join(figures)}</div>'


def family_row(page: Page, recipe: Recipe, card: Card, row: Row | None) -> str:
    """One model: what it is, its pictures (empty places before it has begun), what they cost, how good they are."""
    words = page.words
    if row is None:
        letters = num_characters(as_heard(recipe, card), page.dataset)
        shape = 'class="pg-picture"' if letters == 1 else f'class="pg-picture pg-word" style="--pg-letters:{letters}"'
        cells = [f"<i {shape}></i>"] * recipe.count
    else:
        own = row.recipe if row.frame.is_last else None
        cells = [
            views.picture(render.to_uint8(picture), f"{card.model}, seed {seed}", own)
            for picture, seed in zip(by_word(row.frame, row.recipe).pictures, recipe.seeds, strict=True)
        ]
    return (
        f'<section class="pg-family pg-{card.family}" data-model="{html.escape(card.model)}">'
        f"<h3>{words.both(title_of(page, card))} <code>{html.escape(card.model)}</code>"
        f"<span>{progress(words, row)}</span></h3>"
        f'{introduction(page, recipe, card)}<div class="pg-cells">{"".join(cells)}</div>'
        f'<dl class="pg-costs">{"".join(costs(words, card, row) + quality(page, card))}</dl>'
        f"{measured_how(words, card)}</section>"
    )


def glossary(page: Page) -> str:
    """A sentence for everything that a row states."""
    entries = []
    for name in GLOSSARY:
        term = page.words.both(f"compare_{name}")
        entries.append(f"<dt>{term}</dt><dd>{page.words.both(f'compare_{name}_note')}</dd>")
    return f"<h3>{page.words.both('compare_glossary')}</h3><dl>{''.join(entries)}</dl>"


def file_name(recipe: Recipe) -> str:
    return f"{recipe.dataset}-compare-{recipe.seed}.png"


def show(page: Page, recipe: Recipe) -> Iterator[str | None]:
    """The view as it fills, row by row; None after a step too soon after the last preview to be shown."""
    words = page.words
    cards = compared_models(recipe, page.zoo)
    header, waiting = seeds_header(page, recipe), [family_row(page, recipe, card, None) for card in cards]
    finished: list[Row] = []
    note = views.never_trained(words, page.dataset, recipe)
    letters = num_characters(recipe, page.dataset)

    def view(rows: Sequence[str], extra: str = "") -> str:
        body = "".join([*rows, *waiting[len(rows) :]])
        return views.view(
            views.bar(words, recipe, None, extra=extra),
            note,
            f'<div class="pg-compare" style="--pg-columns:{recipe.count};--pg-letters:{letters}">{header}{body}</div>',
        )

    done: list[str] = []
    yield view(done)
    last_shown = time.perf_counter()
    with closing(compare(recipe, page.zoo)) as rows:
        for row in rows:
            if row.frame.is_last:
                finished.append(row)
                done.append(family_row(page, recipe, row.card, row))
                if len(done) < len(cards):
                    yield view(done)
            elif time.perf_counter() - last_shown >= PREVIEW_EVERY_S:
                last_shown = time.perf_counter()
                yield view([*done, family_row(page, recipe, row.card, row)])
            else:
                yield None
    png = render.to_png(sheet(finished), recipe)
    yield view(done, views.save_link(words, "download_png", png, file_name(recipe)))


def shows(recipe: Recipe, zoo: Zoo) -> bool:
    if recipe.task != "compare":
        return False
    limits.whole("count", recipe.count, 1, MOST_COUNT)
    limits.whole("steps", recipe.steps, 1, MOST_STEPS)
    compared_models(recipe, zoo)
    return True


def can_show(page: Page) -> bool:
    return bool(page.zoo.cards(page.dataset.name))


def has_steps(page: Page) -> bool:
    """Whether anything here takes steps."""
    return bool(page.zoo.cards(page.dataset.name, "diffusion") or page.zoo.guests(page.dataset.name))


def model_boxes(page: Page) -> dict[str, Component]:
    """Which models take part, the usual ones ticked."""
    cards = [*page.zoo.cards(page.dataset.name)[: limits.MAX_COMPARED], *page.zoo.guests(page.dataset.name)]
    usual = {card.model for card in usual_models(page.zoo, page.dataset.name)}
    boxes = gr.CheckboxGroup(
        [(page.words.label(title_of(page, card)), card.model) for card in cards],
        value=[card.model for card in cards if card.model in usual],
        label=page.words.label("compare_models"),
        info=page.words.label("compare_models_info"),
        elem_id=controls.elem(NAME, "models"),
    )
    return {"models": boxes}


def diffusion_controls(page: Page) -> dict[str, Component]:
    """Steps, sampler and guidance: what only diffusion asks for."""
    words = page.words
    gr.HTML(f'<p class="pg-note">{words.both("compare_steered")}</p>')
    steps = gr.Slider(
        1,
        MOST_STEPS,
        usual(page.dataset).steps,
        step=1,
        precision=0,
        label=words.label("steps"),
        info=words.label("steps_info"),
        elem_id=controls.elem(NAME, "steps"),
    )
    sampler = gr.Dropdown(
        [(words.label(f"sampler_{name}"), name) for name in SAMPLERS],
        value=usual(page.dataset).sampler,
        label=words.label("sampler"),
        info=words.label("sampler_info"),
        elem_id=controls.elem(NAME, "sampler"),
    )
    guidance = gr.Slider(
        0,
        limits.MAX_GUIDANCE,
        usual(page.dataset).guidance_scale,
        step=0.05,
        label=words.label("guidance_scale"),
        info=words.label("guidance_scale_info"),
        elem_id=controls.elem(NAME, "guidance_scale"),
    )
    return {"steps": steps, "sampler": sampler, "guidance_scale": guidance}


def build(page: Page) -> Tab:
    words = page.words
    gr.HTML(f'<p class="pg-lead">{words.both("compare_lead")}</p>')
    with gr.Row(elem_classes="pg-choices"):
        text = controls.text_box(page, NAME)
    with gr.Row(elem_classes="pg-tab"):
        with gr.Column(scale=2, min_width=320, elem_classes="pg-controls"):
            labels = controls.label_pickers(page, NAME)
            seed = controls.seed_row(page, NAME, "seed", FIRST_SEED)
            first_count = FIRST_COUNT if page.dataset.writing is None else FIRST_WORDS
            count = controls.count_slider(page, NAME, first_count, MOST_COUNT)
            models = model_boxes(page)
            with gr.Column(visible=has_steps(page)):
                steered = diffusion_controls(page)
        with gr.Column(scale=4, min_width=320, elem_classes="pg-result"):
            view = gr.HTML(elem_id=f"{NAME}-view")
    gr.HTML(f'<div class="pg-glossary">{glossary(page)}</div>')
    chosen: Mapping[str, Component] = {**text, **labels, **seed, **count, **models, **steered}
    wishes = Wishes()

    def ask(values: dict[Component, object], request: gr.Request) -> object:
        try:
            wishes.want(request.session_hash, only(recipe_from(page, chosen, values, task="compare"), *USED))
        except UnfinishedTextError:
            return gr.skip()
        except ValueError as refusal:
            wishes.want(request.session_hash, None)
            return views.refusal(words, str(refusal))
        return gr.skip()

    def draw(request: gr.Request) -> Iterator[object]:
        yield from granted_view(page, wishes, request.session_hash, partial(show, page))

    tab = Tab(NAME, chosen, draw, [view], shows, NEWEST_WINS, ask)
    gr.on(on_any(chosen), ask, tab.inputs, view, **ONCE_SETTLED).then(draw, None, view, **NEWEST_WINS)
    return tab
