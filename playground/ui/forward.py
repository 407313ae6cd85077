"""Forward process tab: a picture drowns in noise, four noise schedules side by side; the page scrubs without a request."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence

import gradio as gr
import numpy as np
import torch
from gradio.components import Component
from torch import Tensor

from playground import render
from playground.generate import given
from playground.recipe import DEFAULT, SCHEDULES, Recipe
from playground.sampling.forward import (
    DROWNED_SNR,
    NUM_TIMESTEPS,
    diffuse,
    drowned_from,
    signal_levels,
    signal_to_noise,
)
from playground.sampling.noise import seeded_noise
from playground.ui import controls, views
from playground.ui.lanes import LIVE, ONCE_SETTLED
from playground.ui.page import Page, Tab, answered, on_any, only, recipe_from, static
from playground.ui.text import Words
from playground.zoo import Zoo

NAME = "forward"
FIRST_SEED, FIRST_PICTURE = 7, 4
STRIP_CELLS = 12
SAVED_COLUMNS = 9
NOISE_SHOWN = 3.0  # standard deviations from black to white in a saved picture's column of noise
LEAST_SNR, MOST_SNR = 1e-5, 1e4  # of the chart
USED = ("seed", "picture", "drawing", "t", "schedule")  # the fields of a recipe
TEXT = {
    "tab_forward": ("Forward process", "정방향 과정"),
    "forward_lead": (
        "Before a network can learn to take noise away, somebody must <b>put it in</b>: drag t and watch a picture drown. "
        "Nothing is learned here, and nothing has to be: x<sub>t</sub> is just a mixture.",
        "신경망이 잡음을 덜어 내는 법을 배우려면 먼저 <b>잡음을 섞어야</b> 합니다. t를 끌어 그림이 잠기는 모습을 보세요. 여기에는 배울 "
        "것이 없습니다. x<sub>t</sub>는 두 그림을 섞은 것일 뿐입니다.",
    ),
    "forward_x0": ("<b>x<sub>0</sub></b>: the picture", "<b>x<sub>0</sub></b>: 그림"),
    "forward_noise": ("<b>ε</b>: the seed's noise", "<b>ε</b>: 시드의 잡음"),
    "forward_x_t": ("<b>x<sub>t</sub></b>: what the network is shown", "<b>x<sub>t</sub></b>: 신경망이 보는 것"),
    "forward_play": ("play", "재생"),
    "forward_drowned": ("drowned", "잠김"),
    "schedule": ("Noise schedule", "잡음 스케줄"),
    "schedule_info": (
        "How fast noise comes in. Ours learned with “linear”.",
        "잡음이 늘어나는 속도. 이 놀이터의 모델은 ‘선형’으로 배웠습니다.",
    ),
    "schedule_linear": ("Linear (DDPM)", "선형 (DDPM)"),
    "schedule_scaled_linear": ("Scaled linear (latent diffusion)", "스케일드 선형 (잠재 확산)"),
    "schedule_cosine": ("Cosine", "코사인"),
    "schedule_sigmoid": ("Sigmoid", "시그모이드"),
    "forward_shares": ("How much of each", "얼마나 섞이는가"),
    "forward_signal": ("picture √ᾱ", "그림 √ᾱ"),
    "forward_spread": ("noise √(1−ᾱ)", "잡음 √(1−ᾱ)"),
    "forward_snr": ("Signal to noise, ᾱ / (1−ᾱ)", "신호 대 잡음비, ᾱ / (1−ᾱ)"),
    "forward_threshold": ("drowned below 0.01", "0.01 아래: 잠김"),
    "forward_sides": (
        "Same picture, same noise, four schedules",
        "같은 그림, 같은 잡음, 네 가지 스케줄",
    ),
    "forward_from": ("drowned from t = {t}", "t = {t}부터 잠김"),
    "forward_never": ("never quite drowned", "끝까지 다 잠기지 않음"),
    "forward_what": (
        "“Drowned” is our word for SNR below {snr}: the picture's contrast is then less than a tenth of the noise's. "
        "Nothing special happens at that line, a bold picture stays visible a little longer; it is there to compare the "
        "schedules by one measure. Squares show −1 and below as black, 1 and above as white.",
        "‘잠김’은 SNR이 {snr} 아래로 내려간 것을 가리키는 말로 정했습니다. 이때 그림의 대비는 잡음의 10분의 1도 되지 않습니다. 그 "
        "선에서 특별한 일이 일어나지는 않고 굵은 그림은 조금 더 보이기도 하지만, 네 스케줄을 같은 잣대로 견주려고 그었습니다. 그림에서 "
        "−1 이하는 검정, 1 이상은 하양입니다.",
    ),
    "forward_equation": ("The equation", "수식으로 보기"),
    "forward_equation_note": (
        "One small step mixes in a little noise: x<sub>t</sub> = √(1−β<sub>t</sub>) · x<sub>t−1</sub> + √β<sub>t</sub> · "
        "ε<sub>t</sub>. Mixtures of normal noise are normal noise, so all steps up to t make one jump: "
        "<b>x<sub>t</sub> = √ᾱ<sub>t</sub> · x<sub>0</sub> + √(1−ᾱ<sub>t</sub>) · ε</b> with ᾱ<sub>t</sub> = (1−β<sub>1</sub>) "
        "··· (1−β<sub>t</sub>) (Ho et al. 2020, eq. 4). A schedule is a choice of β. Linear: from 0.0001 to 0.02. Scaled "
        "linear: √β goes evenly from √0.00085 to √0.012, and a little of the picture is left even at the last t. "
        "Cosine: ᾱ falls like cos² (Nichol and Dhariwal 2021), which spends fewer steps on what is drowned "
        "already. Sigmoid: β rises along an S from 0.0001 to 0.02. All are diffusers' own.",
        "작은 한 걸음마다 잡음을 조금 섞습니다: x<sub>t</sub> = √(1−β<sub>t</sub>) · x<sub>t−1</sub> + √β<sub>t</sub> · "
        "ε<sub>t</sub>. 정규 잡음을 섞으면 다시 정규 잡음이므로 t까지의 걸음을 한 번에 뛸 수 있습니다: "
        "<b>x<sub>t</sub> = √ᾱ<sub>t</sub> · x<sub>0</sub> + √(1−ᾱ<sub>t</sub>) · ε</b>, ᾱ<sub>t</sub> = (1−β<sub>1</sub>) "
        "··· (1−β<sub>t</sub>) (Ho 외 2020, 식 4). 스케줄이란 β를 고르는 방법입니다. 선형: 0.0001에서 0.02까지. 스케일드 선형: √β가 "
        "√0.00085에서 √0.012까지 고르게 커지고, 마지막 t에도 그림이 조금 남습니다. 코사인: ᾱ가 cos²처럼 줄어(Nichol과 Dhariwal 2021) "
        "이미 잠긴 구간에 쓰는 단계가 적습니다. 시그모이드: β가 S자를 그리며 0.0001에서 0.02까지 커집니다. 모두 diffusers의 것입니다.",
    ),
}  # fmt: skip


def packed(values: Tensor) -> str:
    """Pixels as base64 of int16, 4096 to one: finer than any screen, and noise of eight standard deviations fits."""
    return base64.b64encode((values * 4096).round().clamp(-32768, 32767).numpy().astype("<i2").tobytes()).decode()


def picture_of(page: Page, recipe: Recipe) -> Tensor:
    """The visitor's drawing, or a held-out picture; [channels, size, size]."""
    return given(recipe, page.zoo)[0]


def scene(page: Page, recipe: Recipe) -> dict[str, object]:
    """What the page draws every t from."""
    x0 = picture_of(page, recipe)
    (noise,) = seeded_noise([recipe.seed], page.dataset.shape)
    return {"x0": packed(x0), "noise": packed(noise), "shape": list(page.dataset.shape)}


def sheet(page: Page, recipe: Recipe) -> np.ndarray:
    """All schedules on the recipe's picture and noise, first at its t, then along all of them; uint8 [h, w, 3]."""
    x0 = picture_of(page, recipe)
    (noise,) = seeded_noise([recipe.seed], page.dataset.shape)
    times = [recipe.t, *render.evenly_chosen(NUM_TIMESTEPS, SAVED_COLUMNS)]
    rows = [diffuse(x0, noise, signal_levels(schedule)[times]) for schedule in SCHEDULES]
    names = [f"{schedule}{' *' if schedule == recipe.schedule else ''}" for schedule in SCHEDULES]
    return render.named_rows(rows, names, [f"t = {t}" for t in times], cell=64)


def bar(page: Page, recipe: Recipe) -> str:
    """Copy the link, save the picture."""
    png = render.to_png(sheet(page, recipe), recipe)
    name = f"{recipe.dataset}-forward-{recipe.seed}"
    picture = views.save_link(page.words, "download_png", png, f"{name}.png")
    film = views.keep_button(page.words, f"{name}.gif", of=f"#{controls.elem(NAME, 't')} [data-forward]")
    return views.bar(page.words, recipe, None, extra=picture + film)


def curve(values: Tensor, schedule: str, kind: str) -> str:
    """A line over all t; values from 0 at the bottom to 1 at the top."""
    at = render.evenly_chosen(NUM_TIMESTEPS, 251)
    points = " ".join(f"{1000 * t / (NUM_TIMESTEPS - 1):.0f},{100 * (1 - float(values[t])):.2f}" for t in at)
    return f'<polyline class="pg-curve pg-{kind}" data-of="{schedule}" points="{points}"/>'


def log_height(snr: Tensor) -> Tensor:
    """A signal-to-noise ratio as a height from 0 to 1 on a logarithmic scale."""
    low, high = np.log10(LEAST_SNR), np.log10(MOST_SNR)
    return ((torch.log10(snr.double()) - low) / (high - low)).clamp(0, 1)


def chart(title: str, lines: Sequence[str], more: str = "") -> str:
    """Lines over t, 0 .. 999 from left to right, that the page lays its marker over."""
    return (
        f'<figure class="pg-curves"><figcaption>{title}</figcaption><div data-axis class="pg-axis-area">'
        f'<svg viewBox="0 0 1000 100" preserveAspectRatio="none" aria-hidden="true">{"".join(lines)}</svg>{more}'
        "<i></i></div></figure>"
    )


def charts(words: Words) -> str:
    """Signal and noise, and their ratio, of every schedule; the page makes the chosen one's lines bold."""
    shares, ratios = [], []
    for schedule in SCHEDULES:
        a = signal_levels(schedule)
        shares += [curve(a.sqrt(), schedule, "signal"), curve((1 - a).sqrt(), schedule, "spread")]
        ratios.append(curve(log_height(signal_to_noise(a)), schedule, "signal"))
    level = 100 * (1 - float(log_height(torch.tensor(DROWNED_SNR))))
    ratios.append(f'<line class="pg-threshold" x1="0" x2="1000" y1="{level:.1f}" y2="{level:.1f}"/>')
    keys = (
        f'{words.both("forward_shares")}: <b class="pg-signal">{words.both("forward_signal")} = <span data-signal></span></b>'
        f' <b class="pg-spread">{words.both("forward_spread")} = <span data-spread></span></b>'
    )
    snr = f'{words.both("forward_snr")} = <b class="pg-signal"><span data-snr></span></b>'
    said = f'<span class="pg-said-line" style="top:{level:.1f}%">{words.both("forward_threshold")}</span>'
    return f'<div class="pg-charts">{chart(keys, shares)}{chart(snr, ratios, said)}</div>'


def strip(words: Words, schedule: str) -> str:
    """One schedule: x_t now, x_t along all t, and from where the picture is drowned."""
    drowned = drowned_from(signal_levels(schedule))
    said = words.both("forward_never") if drowned is None else words.both("forward_from", t=drowned)
    under = 100 if drowned is None else 100 * drowned / (NUM_TIMESTEPS - 1)
    name = words.both(f"schedule_{schedule}")
    return (
        f'<div class="pg-schedule" data-of="{schedule}"><p><b>{name}</b> <span>{said}</span></p>'
        f'<canvas class="pg-picture" data-noisy="{schedule}" width="1" height="1"></canvas>'
        f'<div class="pg-strip-area" data-axis><canvas data-strip="{schedule}" data-cells="{STRIP_CELLS}"></canvas>'
        f'<u style="left:{under:.1f}%"></u><i></i></div></div>'
    )


def term(name: str, caption: str) -> str:
    return views.figure(f'<canvas class="pg-picture" data-{name} width="1" height="1"></canvas>', caption)


def stage(page: Page) -> gr.HTML:
    """Everything that moves with t; its value is t."""
    words = page.words
    known = {}
    for schedule in SCHEDULES:
        levels = signal_levels(schedule)
        in_bytes = base64.b64encode(levels.numpy().astype("<f4").tobytes()).decode()
        known[schedule] = {"levels": in_bytes, "drowned": drowned_from(levels)}
    spoken = base64.b64encode(json.dumps(known).encode()).decode()  # a template would read the braces as its own
    play = html.escape(words.table["forward_play"][0])
    template = (
        f'<div class="pg-forward" data-forward data-schedules="{spoken}" data-schedule="{DEFAULT.schedule}" '
        f'data-frames="{NUM_TIMESTEPS}" style="--t:{DEFAULT.t};--last:{NUM_TIMESTEPS - 1}">'
        f'<div class="pg-sum">{term("noisy", words.both("forward_x_t"))}<b>=</b>'
        f'<span class="pg-share pg-signal"><b data-signal></b> ×</span>{term("clean", words.both("forward_x0"))}<b>+</b>'
        f'<span class="pg-share pg-spread"><b data-spread></b> ×</span>{term("pure", words.both("forward_noise"))}</div>'
        f'<div class="pg-scrub"><button type="button" data-run aria-label="{play}">▶\ufe0e</button>'
        f"<output>t = <b data-t></b> · SNR = <b data-snr></b> <em>{words.both('forward_drowned')}</em></output></div>"
        f'<input class="pg-time" type="range" min="0" max="{NUM_TIMESTEPS - 1}" value="{DEFAULT.t}" step="1" aria-label="t">'
        f"{charts(words)}"
        f"<h3>{words.both('forward_sides')}</h3>{''.join(strip(words, schedule) for schedule in SCHEDULES)}</div>"
    )
    return gr.HTML(
        DEFAULT.t,
        html_template=template,
        js_on_load=static("forward.js"),
        scene={},
        schedule=DEFAULT.schedule,
        elem_id=controls.elem(NAME, "t"),
    )


def shows(recipe: Recipe, zoo: Zoo) -> bool:
    return recipe.task == "forward"


def can_show(page: Page) -> bool:
    return page.dataset.num_reference > 0


def build(page: Page) -> Tab:
    words = page.words
    gr.HTML(f'<p class="pg-lead">{words.both("forward_lead")}</p>')
    with gr.Row(elem_classes="pg-tab"):
        with gr.Column(scale=1, min_width=280, elem_classes="pg-controls"):
            schedule = gr.Radio(
                [(words.label(f"schedule_{name}"), name) for name in SCHEDULES],
                value=DEFAULT.schedule,
                label=words.label("schedule"),
                info=words.label("schedule_info"),
                elem_id=controls.elem(NAME, "schedule"),
            )
            picture = controls.picture_slider(page, NAME)
            picture["picture"].value = FIRST_PICTURE
            pad = controls.drawing_pad(page, NAME)
            seed = controls.seed_row(page, NAME, "seed", FIRST_SEED)
        with gr.Column(scale=3, min_width=320, elem_classes="pg-result"):
            moving = stage(page)
            view = gr.HTML(elem_id=f"{NAME}-view")
    what = words.both("forward_what", snr=DROWNED_SNR)
    gr.HTML(f'<p class="pg-note">{what}</p>' + views.fold(words, "forward_equation", "forward_equation_note"))
    chosen: Mapping[str, Component] = {"t": moving, "schedule": schedule, **picture, **pad, **seed}

    def draw(values: dict[Component, object]) -> object:
        def work() -> dict[Component, object]:
            recipe = only(recipe_from(page, chosen, values, task=NAME), *USED)
            return {moving: gr.update(scene=scene(page, recipe), schedule=recipe.schedule), view: bar(page, recipe)}

        found = answered(page, work)
        return found if isinstance(found, dict) and moving in found else {moving: gr.skip(), view: found}

    tab = Tab(NAME, chosen, draw, [moving, view], shows, LIVE)
    gr.on(on_any(chosen), draw, tab.inputs, tab.outputs, **ONCE_SETTLED)
    return tab
