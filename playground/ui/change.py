"""Change one thing: every family before and after one label is changed, under a wipe, with what it kept and lost."""

from __future__ import annotations

import html
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial

import gradio as gr
import numpy as np
import torch
from gradio.components import Component
from torch import Tensor

from playground import edits, limits, render
from playground.datasets.base import UnfinishedTextError
from playground.edits import Edit, Source
from playground.recipe import Recipe
from playground.ui import controls, views
from playground.ui.board import chooser, swatch, value_name
from playground.ui.lanes import NEWEST_WINS, ONCE_SETTLED
from playground.ui.page import Page, Tab, granted, on_any, only, recipe_from, static
from playground.ui.text import Words, attribute_key, value_key
from playground.ui.wishes import Wishes
from playground.zoo import Card, Zoo

NAME = "change"
FIRST_COUNT, MOST_COUNT = 4, 6
FIRST_SEED = 1
FIRST_PICTURE = 0
PREVIEW_EVERY_S = 0.125
USED = ("labels", "text", "change", "seed", "count", "picture")  # the fields of a recipe
FADED = 0.85  # of the way to white, for pixels that stayed as they were
TEXT = {
    "tab_change": ("Change one thing", "하나만 바꾸기"),
    "change_lead": (
        "Press what should be <b>different</b>. Everything else stays as it was: the same seed, the same noise, the same "
        "other wishes. Who leaves the rest of the picture alone?",
        "<b>달라질 것 하나</b>를 눌러 보세요. 나머지는 그대로 둡니다. 시드도, 잡음도, 다른 조건도 같습니다. 누가 나머지를 건드리지 "
        "않을까요?",
    ),
    "change_others": ("Everything else: what was asked for before", "나머지: 바꾸기 전의 조건"),
    "change_becomes": ("{before} → {after}", "{before} → {after}"),
    "change_already": (
        "It is already so: before and after are asked for the same.",
        "이미 그렇습니다. 바꾸기 전과 후의 조건이 같습니다.",
    ),
    "change_new": (
        "No training picture had this combination: it has to be composed.",
        "학습한 그림에는 이런 조합이 없었습니다. 배운 것들을 스스로 합쳐야 합니다.",
    ),
    "change_vae": ("VAE", "VAE"),
    "change_vae_note": (
        "The same z, decoded with another label. z was taught to hold only what the labels leave open, so the rest has "
        "little reason to move.",
        "같은 z를 다른 조건으로 디코딩합니다. z에는 조건이 말해 주지 않는 것만 담도록 배웠으므로 나머지가 움직일 까닭이 적습니다.",
    ),
    "change_encoded": ("VAE, from a real picture", "VAE, 진짜 그림에서"),
    "change_encoded_note": (
        "A real picture that was never trained on: encoded with its own labels, then decoded with them (before) and with "
        "one of them changed (after). What “before” lacks of the real picture, encoding has lost, not the change.",
        "학습에 쓰지 않은 진짜 그림을 그 그림의 조건과 함께 인코딩한 뒤, 그대로 디코딩하고(전) 조건 하나만 바꿔 디코딩합니다(후). "
        "‘전’이 진짜 그림과 다른 부분은 바꾸기가 아니라 인코딩에서 잃은 것입니다.",
    ),
    "change_gan": ("GAN", "GAN"),
    "change_gan_note": (
        "The same z. The label is added to w, which steers every layer of the forger: nobody told it to leave anything "
        "as it was.",
        "z는 같습니다. 조건은 위조범의 모든 층을 움직이는 w에 더해집니다. 나머지를 그대로 두라고 가르친 사람은 없습니다.",
    ),
    "change_diffusion": ("Diffusion", "확산"),
    "change_diffusion_note": (
        "The same noise, at the start and at every step. But the label is heard at every step, and what differs a little "
        "early on may grow into another picture.",
        "처음의 잡음도 단계마다 더하는 잡음도 같습니다. 하지만 단계마다 조건을 듣기 때문에 처음의 작은 차이가 커져 다른 그림이 되기도 "
        "합니다.",
    ),
    "change_before": ("before", "전"),
    "change_after": ("after", "후"),
    "change_real": ("the real picture", "진짜 그림"),
    "change_decoded": ("decoded from its code", "코드에서 디코딩"),
    "change_mask": ("only what changed keeps its colour", "달라진 곳만 색을 남겼습니다"),
    "change_step": ("{percent} % done", "{percent}% 진행"),
    "change_waits": ("waiting …", "기다리는 중 …"),
    "change_pixels": ("Pixels changed", "달라진 화소"),
    "change_as_asked": ("now {value}", "이제 {value}"),
    "change_of": ("{num} of {total}", "{total}장 중 {num}장"),
    "change_was": ("before: {num}", "전: {num}장"),
    "change_kept": ("kept", "그대로"),
    "change_unread": (
        "What else changed cannot be counted: there is no network yet that reads these pictures.",
        "이 그림들을 읽는 신경망이 아직 없어서 다른 무엇이 바뀌었는지는 세지 못합니다.",
    ),
    "change_glossary": ("How this is counted", "이렇게 셉니다"),
    "change_pixels_note": (
        "the share of pixels of which a colour moved by more than a tenth of its range. A change of a large thing must "
        "touch many; few is not always better, so look at where they are.",
        "어느 색이든 전체 범위의 10분의 1보다 많이 달라진 화소의 비율. 큰 것을 바꾸면 많아질 수밖에 없으니, 적을수록 좋다기보다 어디가 "
        "달라졌는지를 보세요.",
    ),
    "change_kept_note": (
        "in how many pictures a network that learned to read them sees the same before and after. It can err: on real "
        "pictures kept out of training it is right this often: {accuracy}.",
        "그림을 읽도록 학습한 신경망이 바꾸기 전과 후에 똑같이 읽은 그림의 수. 이 신경망도 틀릴 수 있습니다. 학습에서 뺀 진짜 그림을 "
        "맞게 읽는 비율: {accuracy}.",
    ),
}


def row_name(card: Card, source: Source) -> str:
    return f"{card.model}-{source}"


def title_key(card: Card, source: Source) -> str:
    return "change_encoded" if source == "encoded" else f"change_{card.family}"


def first_wish(page: Page) -> tuple[tuple[int, ...], tuple[int, int]]:
    """Labels and a change to begin with: a real picture's, and another value of the first attribute that no text says.

    The next value that some training picture had with the other labels.
    """
    labels = tuple(page.zoo.reference(page.dataset.name).labels[FIRST_PICTURE].tolist())
    writing = page.dataset.writing
    index = 0 if writing is None else min(len(writing.spell(writing.example)[0]), len(labels) - 1)
    num = page.dataset.attributes[index].num_values
    others = [(labels[index] + step) % num + 1 for step in range(num - 1)]
    known = (label for label in others if not is_new(page, edits.with_label(labels, index, label)))
    return labels, (index, next(known, others[0]))


def only_changed(edit: Edit) -> Tensor:
    """The pictures after the change, with the pixels that stayed as they were faded to white."""
    faded = edit.after + FADED * (1 - edit.after)
    return torch.where(edit.kept.changed[:, None], edit.after, faded)


def pair(page: Page, before: Tensor, after: Tensor, alt: str, recipe: Recipe) -> str:
    """Two pictures under one wipe: left of the border before, right of it after."""
    words = page.words
    return (
        '<div class="pg-wipe">'
        + views.picture(render.to_uint8(after), f"{alt}, after", None, "pg-picture pg-after")
        + views.picture(render.to_uint8(before), f"{alt}, before", recipe, "pg-picture pg-before")
        + f"<i></i><span>{words.both('change_before')}</span><span>{words.both('change_after')}</span></div>"
    )


def cells(page: Page, edit: Edit) -> str:
    """A figure a picture: its wipe once both are there, what there is of it until then."""
    making = edit.before if edit.after is None else edit.after
    each = len(making) // edit.recipe.count  # several characters may share a seed
    names = [page.words.both("seed_caption", seed=seed) for seed in edit.recipe.seeds for _ in range(each)]
    if edit.source == "encoded":
        names = [page.words.both("change_decoded")]
    figures = []
    for k, name in enumerate(names):
        if edit.is_last:
            image = pair(page, edit.before[k], edit.after[k], f"picture {k + 1}", edit.recipe)
        else:
            image = views.picture(render.to_uint8(making[k]), f"picture {k + 1}")
        figures.append(views.figure(image, name))
    if edit.x0 is not None:
        real = views.picture(render.to_uint8(edit.x0[0]), "the real picture")
        figures.insert(0, views.figure(real, page.words.both("change_real")))
    group = each if edit.source == "seed" else 1
    return f'<div class="pg-pairs" style="{columns(len(figures), group)}">{"".join(figures)}</div>'


def columns(num: int, group: int) -> str:
    """How many pictures stand side by side on a wide page and on a phone, groups of several unbroken where they fit."""
    wide, narrow = max(4, min(num, 6)), 2
    if 1 < group <= 6:
        wide, narrow = 6 // group * group, 4 // group * group or group
    return f"--pg-columns:{wide};--pg-narrow:{narrow}"


def masks(page: Page, edit: Edit) -> str:
    """Where each picture changed, in small."""
    shown = "".join(
        views.picture(render.to_uint8(picture), f"what changed in picture {k + 1}")
        for k, picture in enumerate(only_changed(edit))
    )
    return f'<div class="pg-masks">{shown}<span>{page.words.both("change_mask")}</span></div>'


def slide() -> str:
    return '<input type="range" class="pg-slide" min="0" max="100" value="50" data-wipe aria-label="before or after">'


def fact(term: str, value: str, is_bad: bool = False, more: str = "") -> str:
    small = f" <small>{more}</small>" if more else ""
    lost = ' class="pg-lost"' if is_bad else ""
    return f"<div{lost}><dt>{term}</dt><dd>{value}{small}</dd></div>"


def facts(page: Page, edit: Edit, change: Sequence[int]) -> list[str]:
    """How many pixels changed, and in how many pictures each attribute reads as it should."""
    words, kept, (index, label) = page.words, edit.kept, change
    found = [fact(words.both("change_pixels"), views.percent(kept.share_changed))]
    if kept.read_after is None:
        return found
    total = len(edit.after)
    for k, attribute in enumerate(page.dataset.attributes):
        name = words.both(attribute_key(page.dataset, attribute.name))
        if k == index:
            word = words.table[value_key(page.dataset, attribute.name, label)]
            asked = f"{name} " + in_both(words, "change_as_asked", word)
            num = kept.num_as_asked(k, label)
            was = words.both("change_was", num=int((kept.read_before[:, k] == label).sum()))
            found.insert(1, fact(asked, words.both("change_of", num=num, total=total), num < total, was))
        else:
            num = kept.num_kept(k)
            term = f"{name} {words.both('change_kept')}"
            found.append(fact(term, words.both("change_of", num=num, total=total), num < total))
    return found


def in_both(words: Words, key: str, value: tuple[str, str]) -> str:
    """A sentence whose value is itself a word of each language."""
    return "".join(
        f'<span lang="{language}">{text.format(value=html.escape(word))}</span>'
        for language, text, word in zip(("en", "ko"), words.table[key], value, strict=True)
    )


def row(page: Page, card: Card, source: Source, change: Sequence[int], edit: Edit | None) -> str:
    """One model: how it changes one thing, its pictures under the wipe, what it kept."""
    words = page.words
    title = f"model_{card.model}" if card.is_quick else ""
    title = title if title in words.table else title_key(card, source)
    said = words.both("change_waits") if edit is None else ""
    if edit is not None and not edit.is_last:
        said = words.both("change_step", percent=round(100 * edit.progress))
    parts = [
        f'<section class="pg-family pg-{card.family}" data-row="{html.escape(row_name(card, source))}">',
        f"<h3>{words.both(title)} <code>{html.escape(card.model)}</code><span>{said}</span></h3>",
        f'<p class="pg-note">{words.both(f"{title_key(card, source)}_note")}</p>',
    ]
    if edit is None:
        parts.append('<div class="pg-pairs"><figure><i class="pg-picture"></i></figure></div>')
    else:
        parts.append(cells(page, edit))
    if edit is not None and edit.is_last:
        parts += [slide(), masks(page, edit), f'<dl class="pg-costs">{"".join(facts(page, edit, change))}</dl>']
        if source == "encoded" and is_new(page, edit.changed_labels):
            parts.append(f'<p class="pg-note pg-new">{words.both("change_new")}</p>')
    return "".join(parts) + "</section>"


def is_new(page: Page, labels: Sequence[int]) -> bool:
    """Whether no training picture had such a combination."""
    return bool(page.dataset.never_trained(np.array([labels]))[0])


def sentence(page: Page, recipe: Recipe) -> str:
    """What is changed, in words: the attribute, its value before and after; and what must be said about that."""
    index, label = recipe.change
    asked, wanted = edits.both_sides(recipe, page.zoo)
    old = asked.labels[index]
    name = page.words.both(attribute_key(page.dataset, page.dataset.attributes[index].name))
    before, after = (f"{swatch(page, index, k)}{value_name(page, index, k)}" for k in (old, label))
    said = f'<p class="pg-becomes"><b>{name}</b> {before} <span>→</span> {after}</p>'
    remarks = ["change_already"] if old == label else []
    remarks += ["change_new"] if is_new(page, wanted.labels) else []
    return said + "".join(f'<p class="pg-note">{page.words.both(key)}</p>' for key in remarks)


def header(page: Page, recipe: Recipe, finished: Sequence[Edit] = ()) -> str:
    """What is changed, its link, and the picture to save once there is one."""
    extra = ""
    if finished:
        png = render.to_png(edits.sheet(finished), recipe)
        extra = views.save_link(page.words, "download_png", png, f"{recipe.dataset}-change-{recipe.seed}.png")
    bar = views.bar(page.words, recipe, None, extra=extra)
    return f'<div class="pg-said"><div>{sentence(page, recipe)}</div>{bar}</div>'


def glossary(page: Page) -> str:
    """What the figures mean, and how far the network that reads the pictures can be trusted."""
    words, reader = page.words, page.zoo.reader(page.dataset.name)
    entries = [(words.both("change_pixels"), words.both("change_pixels_note"))]
    if reader is not None and reader.accuracy:
        shares = ", ".join(
            f"{words.both(attribute_key(page.dataset, attribute.name))} {views.percent(reader.accuracy[attribute.name])}"
            for attribute in page.dataset.attributes
            if attribute.name in reader.accuracy
        )
        note = words.both("change_kept_note", accuracy="{accuracy}").replace("{accuracy}", shares)
        entries.append((words.both("change_kept"), note))
    else:
        entries.append((words.both("change_kept"), words.both("change_unread")))
    listed = "".join(f"<dt>{term}</dt><dd>{note}</dd>" for term, note in entries)
    return f'<div class="pg-glossary"><h3>{words.both("change_glossary")}</h3><dl>{listed}</dl></div>'


def show(page: Page, recipe: Recipe) -> Iterator[tuple[str, str] | None]:
    """(row name or "", its new HTML) as rows fill, "" for the header; None after a step too soon to be shown."""
    yield "", header(page, recipe)
    finished: list[Edit] = []
    last_shown = time.perf_counter()
    with closing(edits.change(recipe, page.zoo)) as found:
        for edit in found:
            if edit.is_last:
                finished.append(edit)
            elif time.perf_counter() - last_shown < PREVIEW_EVERY_S:
                yield None
                continue
            last_shown = time.perf_counter()
            yield row_name(edit.card, edit.source), row(page, edit.card, edit.source, recipe.change, edit)
    yield "", header(page, recipe, finished)


def shows(recipe: Recipe, zoo: Zoo) -> bool:
    if recipe.task != "change":
        return False
    limits.whole("count", recipe.count, 1, MOST_COUNT)
    edits.wanted_change(recipe, zoo)
    return True


def can_show(page: Page) -> bool:
    return bool(page.dataset.attributes and edits.rows_of(page.dataset.name, page.zoo))


def build(page: Page) -> Tab:
    words = page.words
    labels_first, change_first = first_wish(page)
    rows = edits.rows_of(page.dataset.name, page.zoo)
    gr.HTML(f'<p class="pg-lead">{words.both("change_lead")}</p>')
    with gr.Row(elem_classes="pg-choices"):
        text = controls.text_box(page, NAME)
    change = chooser(page, NAME, change_first)
    with gr.Row(elem_classes="pg-tab"):
        with gr.Column(scale=2, min_width=320, elem_classes="pg-controls"):
            seed = controls.seed_row(page, NAME, "seed", FIRST_SEED)
            count = controls.count_slider(page, NAME, FIRST_COUNT, MOST_COUNT)
            with gr.Column(visible=any(source == "encoded" for _, source in rows)):
                picture = controls.picture_slider(page, NAME)
            with gr.Accordion(words.label("change_others"), open=False):
                labels = controls.label_pickers(page, NAME, labels_first)
        with gr.Column(scale=4, min_width=320, elem_classes="pg-result", elem_id=f"{NAME}-view"):
            top = gr.HTML(elem_id=f"{NAME}-top")
            seen = {
                row_name(card, source): gr.HTML(
                    row(page, card, source, change_first, None),
                    js_on_load=static("wipe.js"),
                    elem_id=controls.elem(NAME, row_name(card, source)),
                )
                for card, source in rows
            }
    gr.HTML(glossary(page))
    chosen: Mapping[str, Component] = {**change, **text, **labels, **seed, **count, **picture}
    places = {"": top, **seen}
    wishes = Wishes()

    def ask(values: dict[Component, object], request: gr.Request) -> object:
        usual = page.dataset.defaults
        try:
            recipe = recipe_from(page, chosen, values, task="change", **usual)
            wishes.want(request.session_hash, only(recipe, *USED, *usual))
        except UnfinishedTextError:
            return {top: gr.skip()}
        except ValueError as refusal:
            wishes.want(request.session_hash, None)
            return {top: views.refusal(words, str(refusal))}
        return {top: gr.skip()}

    def draw(request: gr.Request) -> Iterator[object]:
        work = granted(page, wishes, request.session_hash, partial(show, page), lambda trouble: ("", trouble))
        with closing(work) as shown:
            for news in shown:
                yield {top: gr.skip()} if news is None else {places[news[0]]: news[1]}

    outputs = list(places.values())
    tab = Tab(NAME, chosen, draw, outputs, shows, NEWEST_WINS, ask)
    gr.on(on_any(chosen), ask, tab.inputs, outputs, **ONCE_SETTLED).then(draw, None, outputs, **NEWEST_WINS)
    return tab
