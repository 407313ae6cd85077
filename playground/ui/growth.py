"""How they learned: the same noise at every moment of each family's training, on one slider that the page moves alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import gradio as gr
from gradio.components import Component

from playground import render
from playground.history import History, histories
from playground.recipe import Recipe
from playground.ui import views
from playground.ui.lanes import LIVE
from playground.ui.page import Page, Tab, answered
from playground.ui.text import Words
from playground.zoo import Zoo

NAME = "growth"
TEXT = {
    "tab_growth": ("How they learned", "배우는 과정"),
    "growth_lead": (
        "Same noise, same wishes: only the training goes on. <b>Drag</b>, and see what each family learns first, and what "
        "last.",
        "잡음도 조건도 그대로, 달라지는 것은 학습뿐입니다. <b>끌어 보세요</b>. 무엇을 먼저 배우고 무엇을 나중에 배울까요?",
    ),
    "growth_seen": ("after {count} training pictures", "그림 {count}장을 보고 난 뒤"),
    "growth_vae": ("VAE", "VAE"),
    "growth_vae_note": (
        "One grey average for everything, then one for each digit; only later do the codes z say something, and every "
        "picture becomes its own.",
        "처음에는 모두 똑같은 잿빛 평균, 그다음은 숫자마다 하나의 평균. 코드 z에 뜻이 담기면서 비로소 그림마다 달라집니다.",
    ),
    "growth_gan": ("GAN", "GAN"),
    "growth_gan_note": (
        "Counterfeiter and police learn against each other. The police is the quicker learner and soon quite sure; as the "
        "forger gets better, it loses its certainty again. At 50 % it could only guess.",
        "위조범과 경찰이 서로 겨루며 배웁니다. 먼저 배우는 쪽은 경찰이라 금세 확신에 차지만, 위조범의 솜씨가 늘수록 다시 확신을 잃어 갑니다. "
        "50 %면 찍는 것이나 다름없습니다.",
    ),
    "growth_diffusion": ("Diffusion", "확산"),
    "growth_diffusion_note": (
        "Learns one thing only: which part of a noisy picture is noise. The better it knows, the cleaner is what 12 steps "
        "leave.",
        "배우는 것은 하나뿐입니다. 잡음 섞인 그림에서 어디가 잡음인가. 잘 알수록 12단계 뒤에 남는 그림이 깨끗해집니다.",
    ),
    "growth_recon_loss": ("reconstruction loss", "재구성 손실"),
    "growth_kl": ("KL: how much the codes say", "KL: 코드가 담은 정보"),
    "growth_certainty": ("the police's certainty", "경찰의 확신"),
    "growth_v_error": ("error of its predictions", "예측의 오차"),
    "growth_how": ("What is shown here", "무엇을 보고 있나요"),
    "growth_how_note": (
        "A training of each from its beginning, with the settings that this playground's models began with, "
        "recorded on the way; those in the other tabs were trained longer. Every moment comes after 1.4 times as many pictures as the one before, so that the "
        "quick beginning gets its room. Two noises a digit, drawn by the moving average of the weights, which lags a little "
        "behind at first; diffusion takes 12 steps. Losses are means since the moment before, each on a scale of its own.",
        "이 놀이터의 모델들이 출발한 설정 그대로 처음부터 학습하면서 기록했습니다. 다른 탭의 모델들은 더 오래 학습했습니다. 빠르게 변하는 처음을 "
        "자세히 볼 수 있게, 한 칸마다 본 그림이 1.4배로 늘어납니다. 숫자마다 잡음 두 개를 가중치의 이동 평균으로 그렸고(처음에는 조금 늦게 "
        "따라옵니다) 확산은 12단계를 밟습니다. 손실은 바로 앞 칸부터의 평균이고 눈금은 저마다 다릅니다.",
    ),
}  # fmt: skip
CURVES = {"vae": ("recon_loss", "kl"), "gan": ("certainty",), "diffusion": ("v_error",)}  # losses shown, by family
LOWEST = {"certainty": 0.5}  # where a curve's ground means something: a police that can only guess


def short(count: int) -> str:
    """250, 1,300 or 128,000: two digits that matter."""
    if count < 100:
        return str(count)
    digits = len(str(count)) - 2
    return f"{round(count, -digits):,}"


def heights(values: Sequence[float | None], lowest: float | None) -> list[float | None]:
    """Values as heights from 0, for the lowest (the least of them unless given), to 1 for the most."""
    known = [value for value in values if value is not None]
    low = min(known) if lowest is None else lowest
    return [None if v is None else max(0.0, (v - low) / max(max(known) - low, 1e-9)) for v in values]


def curve(words: Words, history: History, name: str, columns: int) -> str:
    """A loss over the moments, its value now beside its name; the page lays its marker over it."""
    values = next(v for key, v in history.losses.items() if key.rpartition("/")[2] == name)[:columns]
    last = len(values) - 1
    points = " ".join(
        f"{1000 * k / last:.1f},{96 - 92 * h:.1f}"
        for k, h in enumerate(heights(values, LOWEST.get(name)))
        if h is not None
    )
    shown = [spelled(name, value) for value in values]
    return (
        f'<figure class="pg-loss"><figcaption>{words.both(f"growth_{name}")} <b data-follows="{"|".join(shown)}">{shown[-1]}</b>'
        '</figcaption><div class="pg-drawn"><svg viewBox="0 0 1000 100" preserveAspectRatio="none" aria-hidden="true">'
        f'<polyline points="{points}"/></svg><i></i></div></figure>'
    )


def spelled(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    return views.percent(value, 0) if name == "certainty" else f"{value:.3g}"


def family_row(words: Words, history: History, columns: int) -> str:
    """A family's pictures and curves; of its sprite the first `columns` moments are shown."""
    cells = "".join(
        f'<div class="pg-cell" role="img" aria-label="picture {k + 1}" style="--row:{k}"></div>'
        for k in range(history.num_pictures)
    )
    curves = "".join(curve(words, history, name, columns) for name in CURVES[history.family])
    sprite = render.data_uri(history.sprite, "image/webp")
    return (
        f'<section class="pg-family pg-{history.family}" data-model="{history.model}" '
        f'style="--sprite:url({sprite});--rows:{history.num_pictures};--all:{len(history.counts)}">'
        f"<h3>{words.both(f'growth_{history.family}')} <code>{history.model}</code></h3>"
        f'<p class="pg-note">{words.both(f"growth_{history.family}_note")}</p>'
        f'<div class="pg-grown"><div class="pg-crowd">{cells}</div><div class="pg-losses">{curves}</div></div></section>'
    )


def show(page: Page, found: Sequence[History]) -> str:
    """All records under one slider, as far as the shortest of them goes."""
    words, counts = page.words, min((history.counts for history in found), key=len)
    last = len(counts) - 1
    spelt = "|".join(short(count) for count in counts)
    seen = words.both("growth_seen", count="{count}").replace(
        "{count}", f'<b data-follows="{spelt}">{short(counts[-1])}</b>'
    )
    slider = (
        '<div class="pg-scrub"><button type="button" data-play aria-label="play">▶\ufe0e</button>'
        f'<input type="range" min="0" max="{last}" value="{last}" step="1" aria-label="training pictures seen">'
        f"<output>{seen}</output></div>"
    )
    rows = "".join(family_row(words, history, last + 1) for history in found)
    return views.view(
        f'<div class="pg-making pg-growth" data-scrub data-steps="{",".join(map(str, counts))}" '
        f'style="--columns:{last + 1};--column:{last}">{slider}{rows}</div>'
    )


def shows(recipe: Recipe, zoo: Zoo) -> bool:
    return False  # a link that says task=growth opens it by `restore`


def can_show(page: Page) -> bool:
    return bool(histories(page.zoo, page.dataset))


def build(page: Page) -> Tab:
    words = page.words
    gr.HTML(f'<p class="pg-lead">{words.both("growth_lead")}</p>')
    view = gr.HTML(elem_id=f"{NAME}-view")
    gr.HTML(views.fold(words, "growth_how", "growth_how_note"))

    def ask(_: Mapping[Component, object]) -> object:
        return gr.skip()

    def draw() -> object:
        return answered(page, lambda: show(page, histories(page.zoo, page.dataset)))

    return Tab(NAME, {}, draw, [view], shows, LIVE, ask, restore=lambda said: {})
