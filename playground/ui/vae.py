"""VAE tab, with the plain autoencoder beside it: sliders and a map over the latent space, encoding, walks."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache, partial

import gradio as gr
import torch
from gradio.components import Component
from torch import Tensor

from playground import limits, render
from playground.generate import Encoding, Frame, by_word, last
from playground.recipe import FAMILY_TASKS, Recipe
from playground.ui import controls, views
from playground.ui.lanes import LIVE
from playground.ui.live import live_view
from playground.ui.page import (
    Page,
    Tab,
    answered,
    first_character,
    hidden_unless,
    only,
    recipe_from,
    static,
)
from playground.zoo import Zoo

NAME = "vae"
NUM_SLIDERS = 8
NUM_CODES = 1000
USED = {  # the fields of a recipe that each task uses
    "sample": ("labels", "text", "seed", "count", "temperature", "shifts"),
    "walk": ("labels", "text", "seed", "seed_to", "count", "temperature", "shifts"),
    "encode": ("labels", "text", "seed", "count", "temperature", "picture", "drawing"),
    "map": ("point",),
}
TEXT = {
    "tab_vae": ("VAE", "VAE"),
    "vae_lead": (
        "An <b>encoder</b> squeezes a picture into a few numbers, a <b>decoder</b> unfolds them again. In a plain "
        "autoencoder a picture is a <b>point</b>; in a VAE it is a small <b>cloud</b>, so that every place in between "
        "means something too.",
        "<b>인코더</b>가 그림을 몇 개의 수로 줄이고 <b>디코더</b>가 다시 펼칩니다. 오토인코더에서 그림은 <b>점</b>이지만, "
        "VAE에서는 작은 <b>구름</b>(분포)이어서 그 사이의 모든 자리에도 뜻이 생깁니다.",
    ),
    "model_ae2": ("Autoencoder, 2 numbers", "오토인코더, 수 2개"),
    "model_vae2": ("VAE, 2 numbers", "VAE, 수 2개"),
    "model_vae": ("VAE, the good one", "VAE, 제대로 된 것"),
    "task_map": ("Map of the latent space", "잠재 공간 지도"),
    "task_encode": ("Encode a picture", "그림 인코딩하기"),
    "temperature": ("Temperature", "온도"),
    "temperature_info": (
        "How far from the middle z is drawn: 0 always gives the average picture, 1 is as the prior says, above 1 the odd ones",
        "z를 중심에서 얼마나 멀리 뽑을지: 0이면 늘 평균 그림, 1이면 사전분포 그대로, 1보다 크면 별난 그림",
    ),
    "vae_sliders": ("The most informative numbers of z", "z에서 정보가 가장 많은 수들"),
    "vae_sliders_note": (
        "z is the list of numbers that the decoder draws from. The sliders move those that carry most (largest KL "
        "divergence first), in standard deviations away from where the seed put them.",
        "z는 디코더가 그림을 그릴 때 보는 수의 목록입니다. 정보를 가장 많이 담은 수부터(KL 발산이 큰 순서), 시드가 정한 자리에서 표준편차 단위로 움직입니다.",
    ),
    "vae_map_note": (
        "Click or drag (or use the arrow keys). Left: what the decoder draws at each place. Right: where the encoder puts "
        "real held-out pictures, one colour a kind.",
        "누르거나 끌어 보세요(화살표 키도 됩니다). 왼쪽은 그 자리에서 디코더가 그리는 그림, 오른쪽은 인코더가 진짜 그림을 놓는 자리(종류마다 다른 색)입니다.",
    ),
    "vae_map_ae": (
        "A plain autoencoder: every picture is one <b>point</b>, scattered wherever it was convenient, with gaps where "
        "the decoder has never been.",
        "오토인코더: 그림마다 <b>점</b> 하나. 아무 데나 흩어져 있고, 디코더가 가 본 적 없는 빈 곳이 많습니다.",
    ),
    "vae_map_vae": (
        "A VAE: every picture is a <b>cloud</b> (the ellipse is one standard deviation), and KL pulls all clouds "
        "together around 0 until they fill the middle without gaps.",
        "VAE: 그림마다 <b>구름</b> 하나(타원은 표준편차 하나). KL이 구름들을 0 주위로 끌어모아 가운데를 빈틈없이 채웁니다.",
    ),
    "vae_point": ("z = ({x}, {y})", "z = ({x}, {y})"),
    "vae_unlabelled": (
        "This model has only two numbers and is never told the digit: the place on the map decides it.",
        "이 모델은 수 두 개뿐이고 무엇을 그릴지 듣지 않습니다. 지도 위의 자리가 결정합니다.",
    ),
    "vae_ae_prior": (
        "An autoencoder has no distribution to draw from; here z is drawn as wide as its codes happen to lie. That it "
        "often fails is the lesson.",
        "오토인코더에는 뽑을 분포가 없어서, 코드가 퍼져 있는 너비만큼 z를 뽑았습니다. 자주 실패하는 것이 바로 배울 점입니다.",
    ),
    "encode_note": (
        "Draw something, or pick a real picture that the network has never seen.",
        "직접 그리거나, 신경망이 본 적 없는 진짜 그림을 골라 보세요.",
    ),
    "encode_x0": ("the picture x", "그림 x"),
    "encode_z": ("its code: mean μ and spread σ", "코드: 평균 μ와 퍼짐 σ"),
    "encode_z_point": ("its code: a point", "코드: 점 하나"),
    "encode_back": ("decoded from μ", "μ에서 디코딩"),
    "encode_recon": ("reconstruction loss {value} nats", "재구성 손실 {value} nat"),
    "encode_recon_note": (
        "how surprising the picture's pixels are to the decoder: small means well remembered",
        "디코더가 보기에 이 그림의 화소가 얼마나 뜻밖인지: 작을수록 잘 기억한 것",
    ),
    "encode_kl": ("KL divergence {value} nats", "KL 발산 {value} nat"),
    "encode_kl_note": (
        "how far the cloud is from the standard normal one: what the code costs",
        "구름이 표준정규분포에서 얼마나 떨어져 있는지: 코드의 값",
    ),
    "encode_similar": (
        "Similar, but not the same: pictures from other places in the same cloud",
        "비슷하지만 똑같지는 않은: 같은 구름의 다른 자리에서 나온 그림들",
    ),
    "encode_same": (
        "A point has no other places: every sample is the same picture",
        "점에는 다른 자리가 없습니다: 몇 번을 뽑아도 같은 그림",
    ),
}


def is_flat(page: Page, model: str) -> bool:
    """Whether a model's latent space can be shown as a map."""
    return page.zoo.open(page.dataset.name, model).network.config.latent_dim == 2


def is_told(page: Page, model: str) -> bool:
    """Whether a model draws what the label pickers ask for."""
    return bool(page.zoo.open(page.dataset.name, model).network.config.cardinalities)


def latent_map(page: Page, model: str) -> dict[str, object]:
    """What the pad shows of a 2-D model: its decoded map, where held-out pictures lie, how far both reach."""
    entry = page.zoo.open(page.dataset.name, model)
    frame = last(Recipe(dataset=page.dataset.name, model=model, task="map"), page.zoo)
    extent = entry.card.facts["facts"]["latent_extent"]
    side = round(len(frame.pictures) ** 0.5)
    reference = page.zoo.reference(page.dataset.name)
    x0, labels = reference.images[:NUM_CODES].float() / 127.5 - 1, reference.labels[:NUM_CODES]
    with torch.inference_mode():
        mu, logvar = entry.network.encode(x0, labels)
    spread = None if logvar is None else torch.exp(0.5 * logvar).numpy()
    kinds = page.dataset.attributes[0].num_values
    palette = [tuple(int(255 * c) for c in colorsys.hsv_to_rgb(k / kinds, 0.75, 0.82)) for k in range(kinds)]
    colours = [palette[label - 1] for label in labels[:, 0].tolist()]
    codes = render.codes_picture(mu.numpy(), spread, colours, extent)
    return {
        "uri": render.data_uri(render.to_png(render.sheet(frame.pictures, side))),
        "codes": render.data_uri(render.to_png(codes)),
        "extent": extent,
    }


def latent_pad() -> gr.HTML:
    """The map to pick a place on; it stays empty until it is given a `latent_map`."""

    def area(kind: str) -> str:
        return (
            f'<div class="pg-map" tabindex="0" role="application" aria-label="latent map" data-pad>'
            f'<img data-{kind} alt="" draggable="false"><i class="pg-mark"></i></div>'
        )

    return gr.HTML(
        [],
        html_template=f'<div class="pg-maps">{area("map")}{area("codes")}</div>',
        js_on_load=static("latent_pad.js"),
        map={},
        elem_id=controls.elem(NAME, "point"),
    )


def show(page: Page, recipe: Recipe) -> str:
    """The recipe's view: samples, a place on the map, a walk, or an encoding."""
    if recipe.task == "map" and not recipe.point:
        recipe = replace(recipe, point=(0.0, 0.0))
    frame = by_word(last(recipe, page.zoo), recipe)
    facts = [views.took(page.words, frame.seconds), page.words.both("evaluations", n=frame.network_evaluations)]
    if recipe.task == "walk":
        return views.walk_view(page.words, recipe, frame.pictures, facts)
    if recipe.task == "encode":
        return encoding_view(page, recipe, frame, facts)
    if recipe.task == "map":
        return point_view(page, recipe, frame, facts)
    figures = [
        views.figure(
            views.picture(render.to_uint8(picture), f"picture {k + 1}", recipe),
            page.words.both("seed_caption", seed=recipe.seeds[k]),
        )
        for k, picture in enumerate(frame.pictures)
    ]
    columns = views.columns_for(len(figures), frame.pictures)
    return views.view(
        views.bar(page.words, recipe, render.sheet(frame.pictures, columns), facts),
        views.noise_strip(page.words, recipe.seeds, frame.z),
        views.grid(figures, columns),
        views.never_trained(page.words, page.dataset, recipe),
        *notes(page, recipe),
    )


def notes(page: Page, recipe: Recipe) -> list[str]:
    """What must be said about a model that draws without labels or without a prior."""
    network = page.zoo.open(recipe.dataset, recipe.model).network
    keys = [] if network.config.cardinalities else ["vae_unlabelled"]
    if not network.config.is_variational:
        keys.append("vae_ae_prior")
    return [f'<p class="pg-note">{page.words.both(key)}</p>' for key in keys]


def point_view(page: Page, recipe: Recipe, frame: Frame, facts: list[str]) -> str:
    x, y = recipe.point
    is_variational = page.zoo.open(recipe.dataset, recipe.model).network.config.is_variational
    image = views.picture(render.to_uint8(frame.pictures[0]), "decoded", recipe)
    caption = page.words.both("vae_point", x=f"{x:.2f}", y=f"{y:.2f}")
    lesson = page.words.both("vae_map_vae" if is_variational else "vae_map_ae")
    return views.view(
        views.bar(page.words, recipe, render.to_uint8(frame.pictures[0]), facts),
        f'<div class="pg-row">{views.figure(image, caption)}<p class="pg-lead pg-beside">{lesson}</p></div>',
    )


def encoding_view(page: Page, recipe: Recipe, frame: Frame, facts: list[str]) -> str:
    words, encoding = page.words, frame.encoding
    entry = page.zoo.open(recipe.dataset, recipe.model)
    order = entry.latent_order
    extent = max(entry.card.facts["facts"]["latent_extent"]) * 1.1
    chart = render.moments_chart(encoding.mu, encoding.logvar, order, extent)
    arrow = '<span class="pg-arrow">→</span>'

    def seen(picture: Tensor, caption: str) -> str:
        return views.figure(views.picture(render.to_uint8(picture), caption, recipe), words.both(caption))

    is_cloud = encoding.logvar is not None
    samples = [views.picture(render.to_uint8(p), "sample", recipe) for p in frame.pictures]
    saved = render.sheet(torch.cat([encoding.x0, encoding.reconstruction, frame.pictures]), 2 + len(samples))
    return views.view(
        views.bar(words, recipe, saved, facts),
        '<div class="pg-row">',
        seen(encoding.x0[0], "encode_x0"),
        arrow,
        f'<figure class="pg-wide">{chart}<figcaption>{words.both("encode_z" if is_cloud else "encode_z_point")}</figcaption></figure>',
        arrow,
        seen(encoding.reconstruction[0], "encode_back"),
        "</div>",
        numbers(page, encoding),
        f'<p class="pg-lead">{words.both("encode_similar" if is_cloud else "encode_same")}</p>',
        views.grid([f"<figure>{sample}</figure>" for sample in samples]),
        *notes(page, replace(recipe, task="encode")) if not is_cloud else [],
    )


def numbers(page: Page, encoding: Encoding) -> str:
    """Reconstruction loss and KL, each with what it says."""
    words = page.words

    def stated(key: str, value: float) -> str:
        return f"<p><b>{words.both(key, value=f'{value:.1f}')}</b> <small>{words.both(key + '_note')}</small></p>"

    kl = "" if encoding.kl is None else stated("encode_kl", encoding.kl)
    return f'<div class="pg-numbers">{stated("encode_recon", encoding.recon_loss)}{kl}</div>'


def shows(recipe: Recipe, zoo: Zoo) -> bool:
    return recipe.task in FAMILY_TASKS and zoo.card(recipe.dataset, recipe.model).family == "vae"


def can_show(page: Page) -> bool:
    return bool(page.zoo.cards(page.dataset.name, "vae"))


def build(page: Page) -> Tab:
    words = page.words
    flat = [card.model for card in page.zoo.cards(page.dataset.name, "vae") if is_flat(page, card.model)]
    tasks = ("sample", *(("map",) if flat else ()), "encode", "walk")
    gr.HTML(f'<p class="pg-lead">{words.both("vae_lead")}</p>')
    with gr.Row(elem_classes="pg-choices"):
        text = controls.text_box(page, NAME)
        task = controls.task_picker(page, NAME, tasks)
        model = controls.model_picker(page, NAME, "vae", "vae")
    with gr.Row(elem_classes="pg-tab"):
        with gr.Column(scale=2, min_width=320, elem_classes="pg-controls") as panel:
            with gr.Column() as asking:
                labels = controls.label_pickers(page, NAME)
            seed = controls.seed_row(page, NAME, "seed", 3)
            with gr.Column(visible=False) as walking:
                seed_to = controls.seed_row(page, NAME, "seed_to", 4)
            with gr.Column(visible=False) as encoding:
                gr.HTML(f'<p class="pg-note">{words.both("encode_note")}</p>')
                pad = controls.drawing_pad(page, NAME)
                held_out = controls.picture_slider(page, NAME)
            count = controls.count_slider(page, NAME, 8)
            temperature = controls.plain_slider(page, NAME, "temperature", 0, limits.MAX_TEMPERATURE, 0.05)
            with gr.Accordion(words.label("vae_sliders"), open=True) as sliding:
                gr.HTML(f'<p class="pg-note">{words.both("vae_sliders_note")}</p>')
                shifts = controls.shift_sliders(page, NAME, NUM_SLIDERS)
        result = gr.Column(scale=3, min_width=320, elem_classes="pg-result")
    with result, gr.Column(visible=False) as mapping:
        gr.HTML(f'<p class="pg-note">{words.both("vae_map_note")}</p>')
        shown = "vae2" if "vae2" in flat else next(iter(flat), "")
        point = {"point": latent_pad()}
    map_of = lru_cache(partial(latent_map, page))  # made when somebody looks: the first page need not wait for it
    chosen: Mapping[str, Component] = {
        **task, **model, **text, **labels, **seed, **seed_to, **pad, **held_out, **count, **temperature, **shifts, **point,
    }  # fmt: skip

    def draw(values: dict[Component, object]) -> object:
        return answered(page, lambda: show(page, suited(page, chosen, values)))

    def reveal(task_name: str, model_name: str) -> list[object]:
        if task_name == "map" and model_name not in flat:
            model_name = shown
        return [
            model_name,
            gr.update(visible=task_name != "map"),
            gr.update(visible=is_told(page, model_name)),
            hidden_unless("walk", task_name),
            hidden_unless("encode", task_name),
            gr.update(visible=task_name in ("sample", "walk")),
            hidden_unless("map", task_name),
            gr.update(map=map_of(model_name)) if task_name == "map" else gr.skip(),
        ]

    with result:
        view = live_view(page, NAME, chosen, draw)
    tab = Tab(NAME, chosen, draw, [view], shows, LIVE)
    revealed = [model["model"], panel, asking, walking, encoding, sliding, mapping, point["point"]]
    gr.on([task["task"].change, model["model"].change], reveal, [task["task"], model["model"]], revealed, **LIVE)
    return tab


def suited(page: Page, chosen: Mapping[str, Component], values: Mapping[Component, object]) -> Recipe:
    """The controls' recipe with what its task uses."""
    recipe = recipe_from(page, chosen, values)
    told = is_told(page, recipe.model)
    labels, text = (recipe.labels, recipe.text) if told else ((), "")
    if recipe.task == "encode":
        text = first_character(page, text) if recipe.drawing else ""
    recipe = replace(
        recipe, labels=labels, text=text, shifts=recipe.shifts[: page.zoo.open(recipe.dataset, recipe.model).num_shifts]
    )
    return only(recipe, *USED[recipe.task])
