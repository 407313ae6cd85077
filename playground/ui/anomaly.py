"""Anomaly detection: spoil a picture, and see which family notices, where, and how often each of them is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import gradio as gr
import numpy as np
import torch
from gradio.components import Component
from torch import Tensor

from playground import limits, render
from playground.anomalies.defects import SPOILERS
from playground.anomalies.detectors import STRENGTHS, Finding, detectors, examine, sheet, shown_picture
from playground.anomalies.norms import Norm, Norms, below, load_norms
from playground.recipe import DEFAULT, DEFECTS, Recipe
from playground.ui import controls, paint, views
from playground.ui.lanes import LIVE, ONCE_SETTLED
from playground.ui.page import Page, Tab, answered, on_any, only, recipe_from
from playground.ui.text import Words
from playground.zoo import Zoo

NAME = "anomaly"
FIRST_SEED, FIRST_PICTURE, FIRST_DEFECT, FIRST_STRENGTH = 3, 4, "scratch", 0.3
USED = ("picture", "drawing", "defect", "paint", "seed", "strength", "false_alarms")  # the fields of a recipe
BINS = 60  # of a distribution's curve
TEXT = {
    **paint.TEXT,
    "tab_anomaly": ("Anomaly detection", "이상 탐지"),
    "anomaly_lead": (
        "These models have seen <b>normal</b> pictures only. Spoil one: who notices that something <b>does not belong</b>, "
        "and where?",
        "이 모델들은 <b>정상</b> 그림만 보고 배웠습니다. 그림을 하나 망가뜨려 보세요. <b>이상한 곳</b>을 누가, 어디에서 알아챌까요?",
    ),
    "defect": ("What is wrong with it", "무엇이 잘못됐나요"),
    "defect_none": ("Nothing", "없음"),
    "defect_scratch": ("A scratch", "긁힘"),
    "defect_hole": ("A piece is missing", "한 조각이 없음"),
    "defect_blot": ("A grey blot", "회색 얼룩"),
    "defect_patch": ("A piece of another picture", "다른 그림의 조각"),
    "defect_turned": ("Upside down", "거꾸로"),
    "defect_stranger": ("Another thing altogether", "아예 다른 것"),
    "anomaly_paint": ("Or spoil it yourself: paint on it", "직접 망가뜨리기: 그림 위에 칠해 보세요"),
    "anomaly_own": ("Or draw a picture of your own", "직접 그린 그림으로 해 보기"),
    "false_alarms": ("False alarms allowed", "허용할 거짓 경보"),
    "false_alarms_info": (
        "Share of normal pictures that may be taken for anomalies: fewer alarms, more misses",
        "정상 그림을 이상하다고 해도 되는 비율: 경보를 줄이면 놓치는 것이 늘어납니다",
    ),
    "anomaly_strength": ("Diffusion: how deep into the noise", "확산: 잡음에 담그는 깊이"),
    "anomaly_strength_info": (
        "Too shallow, and the defect survives; too deep, and normal things change, too",
        "너무 얕으면 흠이 살아남고, 너무 깊으면 멀쩡한 곳까지 달라집니다",
    ),
    "anomaly_x0": ("as it was", "원래 그림"),
    "anomaly_seen": ("<b>what they are shown</b>", "<b>모델에게 보여 준 그림</b>"),
    "anomaly_shown": ("what it is shown", "보여 준 그림"),
    "anomaly_rebuilt": ("what it gives back", "모델이 되돌려 준 그림"),
    "anomaly_residual": ("where it differs", "서로 다른 곳"),
    "anomaly_normal": ("Normal", "정상"),
    "anomaly_alarm": ("Anomaly!", "이상!"),
    "anomaly_rank": ("stranger than {percent} of normal ones", "정상 그림의 {percent}\u2060보다 이상함"),
    "anomaly_vae": ("VAE", "VAE"),
    "anomaly_vae_note": (
        "Squeezes the picture into z and unfolds it again. What it never saw, it has no numbers for, so that gets lost.",
        "그림을 z로 줄였다가 다시 펼칩니다. 본 적 없는 것은 나타낼 수가 없어서 사라집니다.",
    ),
    "anomaly_gan": ("GAN: the police", "GAN: 경찰"),
    "anomaly_gan_note": (
        "Takes no picture in and gives none back, so there is no map: the discriminator only says how real it looks. But it "
        "learned to catch its own forger, not every other mistake.",
        "그림을 받아 되돌려 주지 못하니 지도는 없고, 판별자가 얼마나 진짜 같은지만 말합니다. 하지만 배운 것은 자기 위조범을 잡는 "
        "일이지 세상의 모든 흠이 아닙니다.",
    ),
    "anomaly_diffusion": ("Diffusion", "확산"),
    "anomaly_diffusion_note": (
        "Drowns the picture in noise, not quite, and cleans it again, twice with another noise. What comes back is what "
        "usually stands there.",
        "그림을 잡음에 반쯤 담갔다가 씻어 냅니다(잡음을 바꿔 두 번). 그 자리에 보통 있을 법한 것이 돌아옵니다.",
    ),
    "anomaly_others": ("normal pictures", "정상 그림"),
    "anomaly_spoiled": ("spoiled like this one", "이렇게 망가진 그림"),
    "anomaly_this": ("this picture", "이 그림"),
    "anomaly_limit": ("alarm from here on", "여기부터 경보"),
    "anomaly_scale": ("how strange it looks →", "이상해 보이는 정도 →"),
    "anomaly_unmeasured": ("What is normal for it has not been measured yet.", "무엇이 정상인지 아직 측정하지 않았습니다."),
    "anomaly_caught": ("How often is it caught?", "얼마나 자주 잡아낼까요?"),
    "anomaly_caught_note": (
        "Share of spoiled pictures that raise the alarm when {percent} of the normal ones do, too; small: the chance that a "
        "spoiled one looks stranger than a normal one (AUROC; 0.5 is guessing, below it the spoiled one looks <b>more</b> "
        "normal). Measured on {pictures} held-out pictures.",
        "정상 그림 {percent}에 거짓 경보가 울릴 때, 망가진 그림에 경보가 울리는 비율. 작은 수는 망가진 그림이 정상 그림보다 더 "
        "이상해 보일 확률입니다(AUROC. 0.5면 찍는 것과 같고, 더 작으면 망가진 쪽이 오히려 <b>더 정상</b>으로 보입니다). 따로 둔 그림 "
        "{pictures}장으로 측정했습니다.",
    ),
    "anomaly_how": ("How this is worked out", "이렇게 계산합니다"),
    "anomaly_how_score": (
        "<b>Score</b>: VAE and diffusion: the root mean square difference between the picture and what the model gives back, as a "
        "share of the way from black to white. GAN: the chance that the discriminator finds the picture less real than a "
        "real one. No model is told what the picture shows.",
        "<b>점수</b>: VAE와 확산은 그림과 모델이 되돌려 준 그림의 차이(제곱 평균의 제곱근, 검정에서 하양까지를 1로). GAN은 판별자가 진짜 "
        "그림보다 덜 진짜 같다고 볼 확률. 어느 모델도 무엇을 그린 그림인지 듣지 않습니다.",
    ),
    "anomaly_how_map": (
        "<b>Map</b>: black where nothing differs, bright where half of the way from black to white or more. The scale is the "
        "same for all pictures: stretched to each picture's own range, a normal one would glow, too.",
        "<b>지도</b>: 차이가 없으면 검정, 검정에서 하양까지의 절반 넘게 다르면 밝은 노랑. 눈금은 모든 그림에 같습니다. 그림마다 눈금을 "
        "늘리면 정상 그림도 빛나 보입니다.",
    ),
    "anomaly_how_normal": (
        "<b>Normal</b> is whatever most held-out pictures score. A simple picture is easy to give back, so something quite "
        "foreign but plain can look more normal than a real one: look for an AUROC below 0.5.",
        "<b>정상</b>이란 따로 둔 그림 대부분이 받는 점수입니다. 단순한 그림은 되돌려 주기 쉬워서, 전혀 다른 것이라도 단순하면 진짜보다 더 "
        "정상으로 보이기도 합니다. AUROC가 0.5보다 작은 곳을 찾아보세요.",
    ),
}  # fmt: skip


def curve(quantiles: Sequence[float], extent: tuple[float, float]) -> str:
    """The outline of a distribution over an extent, 1000 wide and 100 high, its peak near the top."""
    edges = np.linspace(*extent, BINS + 1)
    density = np.convolve(np.diff(below(quantiles, edges)), [0.25, 0.5, 0.25], "same")
    heights = density / max(density.max(), 1e-9)
    points = [f"{1000 * (k + 0.5) / BINS:.0f},{100 * (1 - 0.94 * height):.1f}" for k, height in enumerate(heights)]
    return " ".join(["0,100", *points, "1000,100"])


def chart(words: Words, norm: Norm, recipe: Recipe, score: float) -> str:
    """Where this picture stands among normal ones, and among those spoiled alike."""
    extent = norm.extent(recipe.defect)

    def at(value: float) -> str:
        share = (value - extent[0]) / max(extent[1] - extent[0], 1e-9)
        return f"left:{100 * min(1.0, max(0.0, share)):.1f}%"

    curves = [f'<polygon class="pg-normals" points="{curve(norm.normal, extent)}"/>']
    keys = [f'<b class="pg-normals">{words.both("anomaly_others")}</b>']
    if recipe.defect in norm.spoiled:
        curves.append(f'<polygon class="pg-spoiled" points="{curve(norm.spoiled[recipe.defect], extent)}"/>')
        keys.append(f'<b class="pg-spoiled">{words.both("anomaly_spoiled")}</b>')
    keys += [f'<b class="pg-{name}">{words.both(f"anomaly_{name}")}</b>' for name in ("limit", "this")]
    return (
        '<figure class="pg-norm"><div class="pg-norm-area">'
        f'<svg viewBox="0 0 1000 100" preserveAspectRatio="none" aria-hidden="true">{"".join(curves)}</svg>'
        f'<u style="{at(norm.threshold(recipe.false_alarms))}"></u><i style="{at(score)}"></i></div>'
        f'<figcaption><span>{words.both("anomaly_scale")}</span><span class="pg-norm-keys">{"".join(keys)}</span></figcaption>'
        "</figure>"
    )


def verdict(words: Words, norm: Norm | None, recipe: Recipe, score: float) -> str:
    """Normal or not, and than how many normal pictures it is stranger."""
    if norm is None:
        return ""
    is_alarm = score > norm.threshold(recipe.false_alarms)
    said = words.both("anomaly_alarm" if is_alarm else "anomaly_normal")
    share = norm.share_below(score)
    rank = words.both("anomaly_rank", percent=views.percent(share, 0 if share == 1 else 1))
    return f'<b class="pg-verdict pg-{"alarm" if is_alarm else "calm"}">{said}</b> {rank}'


def finding_row(page: Page, recipe: Recipe, seen: Tensor, finding: Finding, norm: Norm | None) -> str:
    """One model: what it gives back, where that differs, and where the picture stands among others."""
    words, card = page.words, finding.card
    images = []
    if finding.rebuilt is not None:
        heat = render.heat(finding.residual)
        images = [
            views.figure(views.picture(render.to_uint8(seen[0]), "the picture shown"), words.both("anomaly_shown")),
            views.figure(
                views.picture(render.to_uint8(finding.rebuilt[0]), "given back"), words.both("anomaly_rebuilt")
            ),
            views.figure(views.picture(heat, "where it differs"), words.both("anomaly_residual")),
        ]
    unmeasured = f'<p class="pg-note">{words.both("anomaly_unmeasured")}</p>'
    shown = unmeasured if norm is None else chart(words, norm, recipe, finding.score)
    rebuilt = f'<div class="pg-evidence">{"".join(images)}</div>' if images else ""
    return (
        f'<section class="pg-family pg-{card.family}" data-model="{card.model}"><h3>{words.both(f"anomaly_{card.family}")} '
        f"<code>{card.model}</code></h3>"
        f'<p class="pg-note">{words.both(f"anomaly_{card.family}_note")}</p>'
        f'<div class="pg-case">{rebuilt}{shown}</div></section>'
    )  # fmt: skip


def jury(page: Page, recipe: Recipe, findings: Sequence[Finding], norms: Norms) -> str:
    """Every verdict in a line, beside the picture."""
    lines = [
        f"<li><b>{page.words.both(f'anomaly_{f.card.family}')}</b>"
        f"<span>{verdict(page.words, norms.of(f.card, recipe.strength), recipe, f.score)}</span></li>"
        for f in findings
    ]
    return f'<ul class="pg-jury">{"".join(lines)}</ul>'


def caught_table(page: Page, recipe: Recipe, norms: Norms) -> str:
    """Every defect's share caught by every detector, at the false alarms chosen."""
    words = page.words
    cards = [c for c in detectors(page.zoo, page.dataset.name) if norms.of(c, recipe.strength) is not None]
    if not cards:
        return ""
    head = "".join(f"<th>{words.both(f'anomaly_{card.family}')}</th>" for card in cards)
    rows = []
    for defect in SPOILERS:
        cells = []
        for card in cards:
            norm = norms.of(card, recipe.strength)
            share = norm.caught(defect, recipe.false_alarms)
            cells.append(
                f'<td style="--share:{share:.3f}"><b>{views.percent(share, 0)}</b> <small>{norm.auroc[defect]:.2f}</small></td>'
            )
        here = ' class="pg-here"' if defect == recipe.defect else ""
        rows.append(f"<tr{here}><th>{words.both(f'defect_{defect}')}</th>{''.join(cells)}</tr>")
    note = words.both("anomaly_caught_note", percent=views.percent(recipe.false_alarms), pictures=norms.pictures)
    return (
        f'<h3 class="pg-title">{words.both("anomaly_caught")}</h3><div class="pg-scroll"><table class="pg-table pg-caught">'
        f'<tr><td></td>{head}</tr>{"".join(rows)}</table></div><p class="pg-note">{note}</p>'
    )


def show(page: Page, recipe: Recipe, norms: Norms) -> str:
    """The picture shown, what every detector makes of it, and how good they are at this."""
    words = page.words
    x0, seen = shown_picture(recipe, page.zoo)
    findings = examine(recipe, page.zoo)
    figures = [views.figure(views.picture(render.to_uint8(seen[0]), "shown", recipe), words.both("anomaly_seen"))]
    if not torch.equal(x0, seen):
        was = views.figure(views.picture(render.to_uint8(x0[0]), "as it was"), words.both("anomaly_x0"))
        figures = [was, '<span class="pg-arrow">→</span>', *figures]
    png = render.to_png(sheet(seen, findings), recipe)
    saved = views.save_link(words, "download_png", png, f"{recipe.dataset}-anomaly-{recipe.seed}.png")
    rows = [finding_row(page, recipe, seen, f, norms.of(f.card, recipe.strength)) for f in findings]
    return views.view(
        views.bar(words, recipe, None, extra=saved),
        f'<div class="pg-row">{"".join(figures)}{jury(page, recipe, findings, norms) if norms.rows else ""}</div>',
        *rows,
        caught_table(page, recipe, norms),
    )


def shows(recipe: Recipe, zoo: Zoo) -> bool:
    return recipe.task == NAME


def can_show(page: Page) -> bool:
    return bool(page.dataset.num_reference and detectors(page.zoo, page.dataset.name))


def build(page: Page) -> Tab:
    words, norms = page.words, load_norms(page.zoo, page.dataset.name)
    gr.HTML(f'<p class="pg-lead">{words.both("anomaly_lead")}</p>')
    with gr.Row(elem_classes="pg-choices"):
        defect = gr.Radio(
            [(words.label(f"defect_{name}"), name) for name in DEFECTS],
            value=FIRST_DEFECT,
            label=words.label("defect"),
            elem_id=controls.elem(NAME, "defect"),
        )
    with gr.Row(elem_classes="pg-tab"):
        with gr.Column(scale=2, min_width=320, elem_classes="pg-controls"):
            picture = controls.picture_slider(page, NAME)
            picture["picture"].value = FIRST_PICTURE
            false_alarms = gr.Slider(
                0,
                limits.MAX_FALSE_ALARMS,
                DEFAULT.false_alarms,
                step=0.01,
                label=words.label("false_alarms"),
                info=words.label("false_alarms_info"),
                elem_id=controls.elem(NAME, "false_alarms"),
            )
            strength = gr.Slider(
                STRENGTHS[0],
                STRENGTHS[-1],
                FIRST_STRENGTH,
                step=0.1,
                label=words.label("anomaly_strength"),
                info=words.label("anomaly_strength_info"),
                elem_id=controls.elem(NAME, "strength"),
            )
            painted = paint.pad(page, controls.elem(NAME, "paint"), "paint", words.both("anomaly_paint"))
            seed = controls.seed_row(page, NAME, "seed", FIRST_SEED)
            with gr.Accordion(words.label("anomaly_own"), open=False):
                pad = controls.drawing_pad(page, NAME)
        with gr.Column(scale=4, min_width=320, elem_classes="pg-result"):
            view = gr.HTML(elem_id=f"{NAME}-view")
    gr.HTML(views.fold(words, "anomaly_how", "anomaly_how_score", "anomaly_how_map", "anomaly_how_normal"))
    chosen: Mapping[str, Component] = {
        "defect": defect, **picture, **pad, "paint": painted, **seed, "strength": strength, "false_alarms": false_alarms,
    }  # fmt: skip

    def draw(values: dict[Component, object]) -> object:
        def work() -> dict[Component, object]:
            recipe = only(recipe_from(page, chosen, values, task=NAME), *USED)
            _, under = shown_picture(recipe, page.zoo, is_painted=False)
            laid = render.data_uri(render.to_png(render.to_uint8(under[0])))
            return {view: show(page, recipe, norms), painted: gr.update(background=laid)}

        found = answered(page, work)
        return found if isinstance(found, dict) and view in found else {view: found, painted: gr.skip()}

    tab = Tab(NAME, chosen, draw, [view, painted], shows, LIVE)
    gr.on(on_any(chosen), draw, tab.inputs, tab.outputs, **ONCE_SETTLED)
    return tab
