"""Words in English and Korean. A table maps a key to (English, Korean); tabs bring tables of their own."""

from __future__ import annotations

import html
from collections.abc import Mapping

import gradio as gr

from playground.datasets import Dataset

Table = Mapping[str, tuple[str, str]]
LANGUAGES = ("en", "ko")
PREFIX = "word:"  # the page translates every value that is spelled like a key, also what a control is set to
PER_CENT = "\u00a0%"  # no line ends between a number and its per cent

COMMON: Table = {
    "page_title": ("Generative Playground", "생성 모델 놀이터"),
    "page_lead": (
        "Three ways to make pictures out of noise. Same pictures to learn from, same seed to start from: touch, compare, see why.",
        "잡음에서 그림을 만드는 세 가지 방법. 같은 그림으로 배우고 같은 시드에서 출발합니다. 만져 보고, 비교하고, 이유를 확인해 보세요.",
    ),
    "datasets": ("Pictures to learn from", "학습한 그림"),
    "model": ("Model", "모델"),
    "model_info": ("Which trained network draws", "어느 학습된 신경망으로 그릴지"),
    "any": ("any", "아무거나"),
    "text": ("Write a word", "글자 쓰기"),
    "never_trained": (
        "No network has ever seen {characters} as a whole: it is put together from letters learned elsewhere.",
        "{characters}: 어떤 신경망도 이 글자를 통째로 본 적이 없습니다. 다른 글자에서 배운 자모를 모아 씁니다.",
    ),
    "seed": ("Seed", "시드"),
    "seed_info": (
        "The number that decides the noise: same seed, same picture",
        "잡음을 정하는 수: 시드가 같으면 그림도 같습니다",
    ),
    "seed_to": ("To seed", "도착 시드"),
    "seed_to_info": ("Where the walk ends", "걷기가 끝나는 곳"),
    "dice": ("🎲 New seed", "🎲 새 시드"),
    "last_seed": ("↶ Last seed", "↶ 이전 시드"),
    "count": ("Pictures", "그림 수"),
    "count_info": ("Picture k is made from seed + k", "k번째 그림은 시드 + k로 만듭니다"),
    "task": ("What to do", "무엇을 할까요"),
    "task_sample": ("Make pictures", "그림 만들기"),
    "task_walk": ("Walk between two seeds", "두 시드 사이 걷기"),
    "copy_link": ("Copy link", "링크 복사"),
    "copied": ("Copied", "복사했습니다"),
    "download_png": ("Save PNG", "PNG 저장"),
    "download_walk": ("Save animation", "애니메이션 저장"),
    "noise_of": ("noise of seed {seed}", "시드 {seed}의 잡음"),
    "seed_caption": ("seed {seed}", "시드 {seed}"),
    "took_ms": ("{ms} ms", "{ms} ms"),
    "took_s": ("{s} s", "{s}초"),
    "evaluations": ("network passes a picture: {n}", "그림당 신경망 {n}회 통과"),
    "refused": ("That does not work: {why}", "할 수 없습니다: {why}"),
    "busy": ("The playground is busy, please try again.", "지금 붐비고 있습니다. 잠시 뒤 다시 해 주세요."),
    "failed": ("Something went wrong on our side. Please try again.", "저희 쪽에서 문제가 생겼습니다. 다시 해 주세요."),
    "link_refused": (
        "This link holds something that cannot be shown ({why}); here is the usual page instead.",
        "이 링크에는 보여 줄 수 없는 값이 있습니다 ({why}). 대신 기본 화면을 보여 드립니다.",
    ),
    "reset": ("Reset", "처음으로"),
    "picture": ("Held-out picture", "따로 둔 그림"),
    "picture_info": (
        "Number of a real picture that no network has seen in training",
        "어떤 신경망도 학습 때 보지 못한 진짜 그림의 번호",
    ),
    "steps": ("Steps", "단계 수"),
    "steps_info": (
        "How many times the network looks and a little noise is taken away: more is finer, and slower",
        "신경망이 보고 잡음을 덜어 내는 횟수: 많을수록 섬세하지만 느립니다",
    ),
    "sampler": ("Sampler", "샘플러"),
    "sampler_info": (
        "The rule that turns a prediction into the next, slightly cleaner picture",
        "신경망의 예측으로 조금 더 깨끗한 다음 그림을 만드는 규칙",
    ),
    "sampler_ddpm": ("DDPM", "DDPM"),
    "sampler_ddim": ("DDIM", "DDIM"),
    "sampler_dpmpp": ("DPM-Solver++", "DPM-Solver++"),
    "sampler_sde_dpmpp": ("SDE-DPM-Solver++", "SDE-DPM-Solver++"),
    "sampler_unipc": ("UniPC", "UniPC"),
    "sampler_euler": ("Euler", "Euler"),
    "sampler_euler_a": ("Euler ancestral", "Euler ancestral"),
    "sampler_heun": ("Heun", "Heun"),
    "guidance_scale": ("Guidance", "가이던스"),
    "guidance_scale_info": (
        "How hard your choice above pulls: 0 not at all, 1 as trained, more exaggerates it (and asks the network twice)",
        "위에서 고른 것이 끌어당기는 세기: 0은 무시, 1은 배운 그대로, 크면 과장합니다(신경망을 두 번 씁니다)",
    ),
    "draw_here": ("Draw here", "여기에 그려 보세요"),
    "draw_clear": ("Clear", "지우기"),
    "walk_caption": (
        "Every picture on the way from one noise to the other, along the great circle (slerp)",
        "한 잡음에서 다른 잡음으로 대원(구면 보간, slerp)을 따라 걸을 때 지나는 그림들",
    ),
}


def attribute_table(dataset: Dataset) -> Table:
    """The words of a data set's declaration, under the keys of `title_key`, `attribute_key` and `value_key`."""
    table = {title_key(dataset): (dataset.title["en"], dataset.title["ko"])}
    if dataset.writing is not None:
        table[hint_key(dataset)] = (dataset.writing.hint["en"], dataset.writing.hint["ko"])
    for attribute in dataset.attributes:
        table[attribute_key(dataset, attribute.name)] = (attribute.title["en"], attribute.title["ko"])
        for k, value in enumerate(attribute.values, 1):
            table[value_key(dataset, attribute.name, k)] = (value["en"], value["ko"])
    return table


def title_key(dataset: Dataset) -> str:
    return f"{dataset.name}_title"


def hint_key(dataset: Dataset) -> str:
    return f"{dataset.name}__hint"


def attribute_key(dataset: Dataset, attribute: str) -> str:
    return f"{dataset.name}_{attribute}"


def value_key(dataset: Dataset, attribute: str, label: int) -> str:
    return f"{dataset.name}_{attribute}_{label}"


class Words:
    """All tables of a page, merged."""

    def __init__(self, *tables: Table) -> None:
        self.table = {key: pair for table in tables for key, pair in table.items()}
        self.i18n = gr.I18n(
            **{
                language: {PREFIX + k: pair[n] for k, pair in self.table.items()}
                for n, language in enumerate(LANGUAGES)
            }
        )

    def label(self, key: str) -> object:
        """For labels, infos, buttons and choices of components: follows the language switch by itself."""
        english, korean = self.table[key]
        return english if english == korean else self.i18n(PREFIX + key)

    def both(self, key: str, **values: object) -> str:
        """For HTML: the words in both languages, of which the page shows one; values are escaped."""
        shown = {name: html.escape(str(value)) for name, value in values.items()}
        return "".join(
            f'<span lang="{language}">{text.format(**shown).replace(" %", PER_CENT)}</span>'
            for language, text in zip(LANGUAGES, self.table[key], strict=True)
        )
