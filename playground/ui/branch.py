"""Rewind and branch: one run as a trunk, branches that leave it at a step with something changed, and when it was decided."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import gradio as gr
import torch
from gradio.components import Component
from torch import Tensor

from playground import limits, render
from playground.datasets.base import UnfinishedTextError
from playground.generate import Frame, check, decision_steps, generate, usual
from playground.recipe import BRANCHINGS, DEFAULT, SAMPLERS, Recipe
from playground.sampling.reverse import STOCHASTIC, Step
from playground.ui import board, controls, film, instant, paint, views
from playground.ui.film import Film
from playground.ui.lanes import LIVE, NEWEST_WINS
from playground.ui.page import Page, Tab, first_character, on_any, only, recipe_from, static, streamed
from playground.ui.text import attribute_key
from playground.ui.wishes import Wish, Wishes
from playground.zoo import Zoo

NAME = "branch"
TASKS = ("branch", "decide")
FIRST_SEED, FIRST_LABEL, FIRST_STEP = 5, 8, 8
MOST_STEPS = 50
SHORTEN = "(steps, at) => [{ __type__: 'update', maximum: steps, value: Math.min(at, steps) }]"
COLUMNS = 10  # steps of a run that its strip shows
LANES = 5  # branches that stand under their trunk at once
DECISIONS = 11  # branches, evenly spread over the steps
PREVIEW_EVERY_S = 0.4  # a strip is many pictures: more of them would keep the page from hearing Stop
TRUNK = ("labels", "text", "seed", "steps", "sampler", "guidance_scale")  # the fields of a recipe
FIELD_OF = {"label": "change", "seed": "seed_to", "guidance": "branch_guidance", "paint": "paint"}
TEXT = {
    **film.TEXT,
    **paint.TEXT,
    "tab_branch": ("Rewind and branch", "되감아 갈라지기"),
    "branch_lead": (
        "Press a step of the run: the clock goes back to it. <b>Change one thing there</b>, and watch the same past take "
        "another way.",
        "과정의 한 단계를 누르면 그때로 돌아갑니다. 거기서 <b>무엇 하나를 바꾸면</b> 같은 과거가 다른 길로 갑니다.",
    ),
    "task_branch": ("Branch off at a step", "한 단계에서 갈라지기"),
    "task_decide": ("When was it decided?", "언제 정해졌을까요?"),
    "branch_trunk_controls": ("The trunk: one run from noise to picture", "줄기: 잡음에서 그림까지 한 번의 과정"),
    "branch_at": ("Go back to step", "돌아갈 단계"),
    "branch_at_info": (
        "So many steps stay as they were; 0 is the noise itself",
        "이만큼의 단계는 그대로 둡니다. 0은 잡음 그 자체입니다",
    ),
    "branch_with": ("What is different from there on", "거기서부터 달라질 것"),
    "branch_with_label": ("what it is told", "알려 주는 조건"),
    "branch_with_seed": ("noise on the way", "길에서 더하는 잡음"),
    "branch_with_guidance": ("guidance", "가이던스"),
    "branch_with_paint": ("painted pixels", "칠한 화소"),
    "branch_change": ("It shall become …", "무엇이 될까요"),
    "branch_guidance": ("Guidance from there on", "거기서부터의 가이던스"),
    "branch_guidance_info": ("How hard what it is told pulls", "알려 준 조건이 끌어당기는 세기"),
    "branch_seed_note": (
        "Another seed means other noise on the way: a sampler that adds none stays the same, except at step 0.",
        "시드를 바꾸면 길에서 더하는 잡음이 달라집니다. 잡음을 더하지 않는 샘플러는 0단계가 아니면 그대로입니다.",
    ),
    "branch_paint": (
        "This is x<sub>k</sub>, the noisy picture at that step. What you paint comes to lie <b>under</b> its noise.",
        "그 단계의 잡음 섞인 그림 x<sub>k</sub>입니다. 칠한 것은 잡음 <b>밑에</b> 놓입니다.",
    ),
    "branch_go": ("▶ Try it", "▶ 해 보기"),
    "branch_done": (
        "Done. Press a step of the trunk to go back to it.",
        "끝났습니다. 줄기의 한 단계를 누르면 그때로 돌아갑니다.",
    ),
    "branch_trunk": ("The trunk, seed {seed}", "줄기, 시드 {seed}"),
    "branch_noisy": ("x<sub>k</sub>", "x<sub>k</sub>"),
    "branch_clean": ("x<sub>0</sub>?", "x<sub>0</sub>?"),
    "branch_rows": (
        "Numbers are steps taken. Above, x<sub>k</sub>: what the network sees. Below, the picture that it predicts.",
        "숫자는 지나온 단계 수입니다. 위는 신경망이 보는 x<sub>k</sub>, 아래는 신경망이 예측한 그림입니다.",
    ),
    "branch_from": ("From step {k}", "{k}단계부터"),
    "branch_said_seed": ("noise of seed {seed}", "시드 {seed}의 잡음"),
    "branch_said_guidance": ("guidance {scale}", "가이던스 {scale}"),
    "branch_said_paint": ("painted", "칠함"),
    "branch_reads": ("reads as", "읽은 결과:"),
    "branch_same": ("not one pixel differs from the trunk", "줄기와 한 점도 다르지 않습니다"),
    "decide_title": ("When was it decided?", "언제 정해졌을까요?"),
    "decide_note": (
        "The same run each time; only from the step below it on was it told to become",
        "매번 같은 과정입니다. 그림 아래 적힌 단계부터만 이렇게 되라고 알려 주었습니다:",
    ),
    "decide_from": ("from {k}", "{k}부터"),
    "decide_never": ("never", "끝까지 안 함"),
    "decide_found": (
        "Told at step {last} it still turned. Told at step {first} it was too late: <b>in between it was decided</b>.",
        "{last}단계에 알려 주면 아직 바뀌었습니다. {first}단계에는 이미 늦었습니다. <b>그 사이에 정해진 것입니다</b>.",
    ),
    "decide_always": (
        "Whenever it was told, and even when it never was, it became that: choose another wish.",
        "언제 알려 주어도, 알려 주지 않아도 그렇게 되었습니다. 다른 것을 골라 보세요.",
    ),
    "decide_none": (
        "Not even from the beginning did it become that: try more guidance, or another seed.",
        "처음부터 알려 주어도 그렇게 되지 않았습니다. 가이던스를 올리거나 시드를 바꿔 보세요.",
    ),
    "decide_unread": (
        "There is no network yet that reads these pictures: look for yourself from which step on it is too late.",
        "이 그림들을 읽는 신경망이 아직 없습니다. 몇 단계부터 이미 늦었는지 직접 찾아보세요.",
    ),
    "branch_equation": ("The equation", "수식으로 보기"),
    "branch_equation_note": (
        "A run is a chain: x<sub>k+1</sub> = step(x<sub>k</sub>, what the network predicts, what the solver remembers, the "
        "seed's next noise). A branch replays all of it up to step k from its recipe, so that the past is the same to the "
        "byte, and then goes on with something else. Painted pixels p become √ᾱ<sub>k</sub> · p + √(1−ᾱ<sub>k</sub>) · ε with the "
        "noise ε that the run began with. A branch in which nothing is changed ends in the trunk's own picture, exactly.",
        "과정은 사슬입니다: x<sub>k+1</sub> = step(x<sub>k</sub>, 신경망의 예측, 솔버의 기억, 시드의 다음 잡음). 가지는 레시피대로 k단계까지 "
        "다시 걸어 과거를 바이트까지 똑같이 만든 다음 다른 것으로 이어 갑니다. 칠한 화소 p는 처음의 잡음 ε과 함께 √ᾱ<sub>k</sub> · p + "
        "√(1−ᾱ<sub>k</sub>) · ε이 됩니다. 아무것도 바꾸지 않은 가지는 줄기와 정확히 같은 그림으로 끝납니다.",
    ),
}  # fmt: skip

News = dict[str, object]  # place in the page -> what it shows now


@dataclass(frozen=True)
class Tree:
    """What stands in a visitor's page: a trunk's recipe and, lane by lane, those of its branches."""

    trunk: Recipe
    end: Tensor  # the trunk's picture, to tell whether a branch differs
    branches: tuple[Recipe, ...] = ()


class Trees:
    """The tree of each visitor, by session; the visitors seen longest ago are forgotten."""

    def __init__(self, most: int = limits.MAX_SESSIONS) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._known: OrderedDict[str, Tree] = OrderedDict()

    def of(self, visitor: str) -> Tree | None:
        return self._known.get(visitor)

    def plant(self, visitor: str, tree: Tree | None) -> None:
        """Put a tree in the place of the visitor's former one; None only cuts that down."""
        with self._lock:
            self._known.pop(visitor, None)
            if tree is not None:
                self._known[visitor] = tree
            while len(self._known) > self._most:
                self._known.popitem(last=False)

    def lane(self, visitor: str, branch: Recipe) -> int:
        """The lane of a branch: its own if it has one, else the next free one, else that of the oldest."""
        tree = self._known[visitor]
        if branch in tree.branches:
            return tree.branches.index(branch) % LANES
        self._known[visitor] = replace(tree, branches=(*tree.branches, branch))
        return len(tree.branches) % LANES


def trunk_of(recipe: Recipe) -> Recipe:
    """The run that a branch leaves: a branch with nothing changed."""
    return only(replace(recipe, task="branch"), *TRUNK)


def order_of(recipe: Recipe) -> int:
    """Timesteps a step: Heun looks twice."""
    return 2 if recipe.sampler == "heun" else 1


def wanted(page: Page, chosen: Mapping[str, Component], values: Mapping[Component, object]) -> Recipe:
    """The controls' recipe with what its task uses."""
    fixed = {"count": DECISIONS} if values[chosen["task"]] == "decide" else {}
    recipe = recipe_from(page, chosen, values, **fixed)
    if recipe.text:
        recipe = replace(recipe, text=first_character(page, recipe.text))
    recipe = replace(recipe, branch_at=min(recipe.branch_at, recipe.steps))  # as its slider will be in a moment
    if recipe.task == "decide":
        return only(recipe, *TRUNK, "change", "count")
    used = [FIELD_OF[name] for name in recipe.branch_with]
    return only(recipe, *TRUNK, "branch_with", *used, *(["branch_at"] if used else []))


# ---- what a run shows


@dataclass
class Strip:
    """The steps of a run that its lane shows, and of all of its steps what the network saw."""

    order: int
    columns: list[int]  # steps taken before each column
    noisy: list[Tensor]  # of every step, [channels, size, size]
    clean: dict[int, Tensor]
    reel: Film

    @classmethod
    def of(cls, recipe: Recipe, first: Step) -> Strip:
        return cls(order_of(recipe), render.evenly_chosen(recipe.steps, COLUMNS), [], {}, Film.of(first))

    def add(self, step: Step) -> None:
        self.reel.add(step)
        if step.index % self.order == 0:
            k = step.index // self.order
            self.noisy.append(step.x_t[0])
            if k in self.columns:
                self.clean[k] = step.x0[0]


def small(picture: Tensor, alt: str) -> str:
    return views.picture(render.to_uint8(picture), alt)


def cells(strip: Strip, begin: int, has_noisy: bool) -> str:
    """A strip's columns from step `begin` on, in the places of the trunk's."""
    made = []
    for place, k in enumerate(strip.columns, 1):
        if k < begin:
            continue
        if k not in strip.clean:
            made.append(f'<i class="pg-empty" style="grid-column:{place}"></i>')
            continue
        noisy = small(strip.noisy[k], f"x after {k} steps") if has_noisy else ""
        number = f"<b>{k}</b>" if has_noisy else ""
        tag, press = ("button", f' type="button" data-k="{k}" aria-label="{k}"') if has_noisy else ("div", "")
        clean = small(strip.clean[k], f"predicted after {k} steps")
        made.append(f'<{tag} class="pg-moment"{press} style="grid-column:{place}">{number}{noisy}{clean}</{tag}>')
    return "".join(made)


def lane(page: Page, recipe: Recipe, strip: Strip, frame: Frame, title: str, note: str = "") -> str:
    """One run: its strip, its picture, and once it is finished its link and what can be saved."""
    is_trunk = not recipe.branch_with
    begin = 0 if is_trunk else recipe.branch_at
    skipped = sum(k < begin for k in strip.columns)
    elbow = "" if is_trunk else f'<i class="pg-elbow" style="grid-column:1/{max(2, skipped + 1)}"></i>'
    end = views.figure(
        views.picture(render.to_uint8(frame.pictures[0]), "the picture", recipe if frame.is_last else None),
        reading(page, frame.pictures) if frame.is_last else "",
    )
    bar = ""
    if frame.is_last:
        bar = views.bar(
            page.words, recipe, render.to_uint8(frame.pictures[0]), extra=film.save_link(page.words, strip.reel, recipe)
        )
    kind = "pg-trunk" if is_trunk else "pg-twig"
    return (
        f'<section class="pg-lane {kind}" style="--columns:{len(strip.columns)}" data-lane>'
        f'<div class="pg-said"><p>{title}</p>{bar}</div>'
        f'<div class="pg-moments">{elbow}{cells(strip, begin, is_trunk)}<div class="pg-end">{end}</div></div>{note}</section>'
    )


def reading(page: Page, pictures: Tensor) -> str:
    """What a network that learned to read them sees in a picture; nothing where there is none."""
    reader = page.zoo.reader(page.dataset.name)
    if reader is None:
        return ""
    (labels,) = reader.read(pictures[:1]).tolist()
    there = [
        board.value_name(page, place, label)
        for place, (attribute, label) in enumerate(zip(page.dataset.attributes, labels, strict=True))
        if not attribute.is_absence(label)  # "none none": of what?
    ]
    return f"{page.words.both('branch_reads')} {' · '.join(there)}"


def title_of(page: Page, recipe: Recipe) -> str:
    """What is different in a branch, and from when on."""
    words, said = page.words, []
    for name in recipe.branch_with:
        if name == "label":
            place, label = recipe.change
            named = words.both(attribute_key(page.dataset, page.dataset.attributes[place].name))
            said.append(f"{named} → {board.swatch(page, place, label)}{board.value_name(page, place, label)}")
        elif name == "seed":
            said.append(words.both("branch_said_seed", seed=recipe.seed_to))
        elif name == "guidance":
            said.append(words.both("branch_said_guidance", scale=f"{recipe.branch_guidance:g}"))
        else:
            said.append(words.both("branch_said_paint"))
    return f"<b>{words.both('branch_from', k=recipe.branch_at)}</b> " + " · ".join(said)


def decision(page: Page, recipe: Recipe, frame: Frame, reel: Film) -> str:
    """All branches to one label, in the order of the steps at which they heard of it."""
    words, (place, label) = page.words, recipe.change
    steps = decision_steps(recipe)
    reader = page.zoo.reader(page.dataset.name) if frame.is_last else None
    read = None if reader is None else reader.read(frame.pictures)
    figures = []
    for k, picture in zip(steps, frame.pictures, strict=True):
        index = len(figures)
        won = "" if read is None else ("pg-won" if int(read[index, place]) == label else "pg-lost")
        said = words.both("decide_never") if k == recipe.steps else words.both("decide_from", k=k)
        seen = "" if read is None else f"<br><b>{board.value_name(page, place, int(read[index, place]))}</b>"
        alone = only(
            replace(recipe, task="branch", branch_at=k, branch_with=("label",)),
            *TRUNK,
            "branch_at",
            "branch_with",
            "change",
        )
        image = views.picture(render.to_uint8(picture), f"from {k}", alone if frame.is_last else None)
        figures.append(f'<figure class="{won}">{image}<figcaption>{said}{seen}</figcaption></figure>')
    named = words.both(attribute_key(page.dataset, page.dataset.attributes[place].name))
    wish = f"{named} {board.swatch(page, place, label)}<b>{board.value_name(page, place, label)}</b>"
    found = verdict(page, recipe, read, steps) if frame.is_last else ""
    bar = ""
    if frame.is_last:
        facts = [views.took(words, frame.seconds), words.both("evaluations", n=frame.network_evaluations)]
        saved = render.sheet(frame.pictures, len(frame.pictures))
        bar = views.bar(words, recipe, saved, facts, film.save_link(words, reel, recipe))
    return (
        f'<section class="pg-decide"><h3>{words.both("decide_title")}</h3><p class="pg-note">{words.both("decide_note")} {wish}.</p>'
        f'<div class="pg-even" style="--pg-columns:{len(figures)}">{"".join(figures)}</div>{found}{bar}</section>'
    )


def verdict(page: Page, recipe: Recipe, read: Tensor | None, steps: Sequence[int]) -> str:
    """Between which steps it was decided: after the last one at which the other label still won."""
    words, (place, label) = page.words, recipe.change
    if read is None:
        return f'<p class="pg-lead">{words.both("decide_unread")}</p>'
    won = [k for k, row in enumerate(read) if int(row[place]) == label]
    if not won:
        said = words.both("decide_none")
    elif won[-1] == len(steps) - 1:
        said = words.both("decide_always")
    else:
        said = words.both("decide_found", last=steps[won[-1]], first=steps[won[-1] + 1])
    return f'<p class="pg-lead">{said}</p>'


# ---- the job


def show(page: Page, wishes: Wishes, trees: Trees, visitor: str) -> Iterator[News]:
    """Work on the visitor's newest wish while it is the newest: its trunk, where another one stands, then itself."""
    wish = wishes.take(visitor)
    if wish is None:
        return
    trunk = trunk_of(wish.recipe)
    tree = trees.of(visitor)
    if tree is None or tree.trunk != trunk:
        trees.plant(visitor, None)
        yield {f"lane{k}": "" for k in range(LANES)} | {"decide": "", "paint": gr.update(background="")}
        yield from show_trunk(page, wishes, trees, visitor, wish)
    if trees.of(visitor) is None or wish.is_stopped or not wishes.is_newest(visitor, wish):
        return
    if wish.recipe.task == "decide":
        yield from show_decision(page, wishes, visitor, wish)
    elif wish.recipe.branch_with:
        yield from show_branch(page, wishes, trees, visitor, wish)
    else:
        yield {"state": views.status(page.words.both("branch_done"))}


def watched(page: Page, wishes: Wishes, visitor: str, wish: Wish, recipe: Recipe) -> Iterator[tuple[Frame, bool]]:
    """The frames of a recipe while its wish is the newest and not stopped, each with whether it is time to show it."""
    last_shown = 0.0
    with closing(generate(recipe, page.zoo)) as frames:
        for frame in frames:
            if not wishes.is_newest(visitor, wish):
                return
            is_stopped = wish.is_stopped  # seen before the frame is shown, so that the last one shown says so
            is_due = frame.is_last or is_stopped or time.perf_counter() - last_shown >= PREVIEW_EVERY_S
            if is_due:
                last_shown = time.perf_counter()
            yield frame, is_due
            if is_stopped:
                return


def said_of(page: Page, wish: Wish, frame: Frame) -> str:
    if frame.is_last:
        return views.status(page.words.both("branch_done"))
    return film.ended(page.words, frame.step) if wish.is_stopped else film.progress(page.words, frame.step)


def show_trunk(page: Page, wishes: Wishes, trees: Trees, visitor: str, wish: Wish) -> Iterator[News]:
    recipe, strip = trunk_of(wish.recipe), None
    title = f"<b>{page.words.both('branch_trunk', seed=recipe.seed)}</b>"
    note = f'<p class="pg-note">{page.words.both("branch_rows")}</p>'
    for frame, is_due in watched(page, wishes, visitor, wish, recipe):
        strip = strip or Strip.of(recipe, frame.step)
        strip.add(frame.step)
        if not is_due:
            yield {}
            continue
        news = {"state": said_of(page, wish, frame), "trunk": lane(page, recipe, strip, frame, title, note)}
        if frame.is_last:
            trees.plant(visitor, Tree(recipe, frame.pictures))
            sprite = render.to_png(render.trajectory_sprite([strip.noisy]))
            news["paint"] = gr.update(background=render.data_uri(sprite))
        yield news


def show_branch(page: Page, wishes: Wishes, trees: Trees, visitor: str, wish: Wish) -> Iterator[News]:
    recipe, strip = wish.recipe, None
    place = f"lane{trees.lane(visitor, recipe)}"
    for frame, is_due in watched(page, wishes, visitor, wish, recipe):
        strip = strip or Strip.of(recipe, frame.step)
        strip.add(frame.step)
        if not is_due:
            yield {}
            continue
        tree = trees.of(visitor)
        is_same = frame.is_last and tree is not None and torch.equal(frame.pictures, tree.end)
        note = f'<p class="pg-note">{page.words.both("branch_same")}</p>' if is_same else ""
        yield {
            "state": said_of(page, wish, frame),
            place: lane(page, recipe, strip, frame, title_of(page, recipe), note),
        }


def show_decision(page: Page, wishes: Wishes, visitor: str, wish: Wish) -> Iterator[News]:
    reel = None
    for frame, is_due in watched(page, wishes, visitor, wish, wish.recipe):
        reel = reel or Film.of(frame.step)
        reel.add(frame.step)
        yield (
            {"state": said_of(page, wish, frame), "decide": decision(page, wish.recipe, frame, reel)} if is_due else {}
        )


# ---- the tab


def shows(recipe: Recipe, zoo: Zoo) -> bool:
    if recipe.task not in TASKS:
        return False
    limits.whole("steps", recipe.steps, 2, MOST_STEPS)
    num = DECISIONS if recipe.task == "decide" else 1
    limits.whole("count", recipe.count, num, num)
    return zoo.card(recipe.dataset, recipe.model).family == "diffusion"


def can_show(page: Page) -> bool:
    return bool(page.dataset.attributes and page.zoo.cards(page.dataset.name, "diffusion"))


def slider(page: Page, field: str, low: float, high: float, value: float, step: float = 1) -> gr.Slider:
    """A slider for a recipe field, worded by `<field>` and `<field>_info`."""
    words, whole = page.words, {"precision": 0} if step == 1 else {}
    return gr.Slider(
        low, high, value, step=step, label=words.label(field), info=words.label(f"{field}_info"),
        elem_id=controls.elem(NAME, field), **whole,
    )  # fmt: skip


def build(page: Page) -> Tab:
    words, start = page.words, usual(page.dataset)
    first_change = (0, min(FIRST_LABEL, page.dataset.attributes[0].num_values))
    gr.HTML(f'<p class="pg-lead">{words.both("branch_lead")}</p>')
    with gr.Row(elem_classes="pg-tab"):
        with gr.Column(scale=2, min_width=320, elem_classes="pg-controls"):
            task = controls.task_picker(page, NAME, TASKS)
            with gr.Column() as rewinding:
                branch_at = slider(page, "branch_at", 0, start.steps, FIRST_STEP)
                branch_with = gr.CheckboxGroup(
                    [(words.label(f"branch_with_{name}"), name) for name in BRANCHINGS],
                    value=["label"],
                    label=words.label("branch_with"),
                    elem_id=controls.elem(NAME, "branch_with"),
                )
            with gr.Column() as labelling:
                gr.HTML(f'<p class="pg-lead">{words.both("branch_change")}</p>')
                change = board.chooser(page, NAME, first_change)
            with gr.Column(elem_classes=film.AWAY) as reseeding:
                seed_to = controls.seed_row(page, NAME, "seed_to", FIRST_SEED + 100)
                gr.HTML(f'<p class="pg-note">{words.both("branch_seed_note")}</p>')
            with gr.Column(elem_classes=film.AWAY) as guiding:
                guidance_to = slider(page, "branch_guidance", 0, limits.MAX_GUIDANCE, DEFAULT.branch_guidance, 0.05)
            with gr.Column(elem_classes=film.AWAY) as painting:
                canvas = paint.pad(
                    page, controls.elem(NAME, "paint"), "paint", words.both("branch_paint"),
                    f"#{controls.elem(NAME, 'branch_at')} input[type=range]",
                )  # fmt: skip
            go = gr.Button(words.label("branch_go"), variant="primary", elem_id=controls.elem(NAME, "go"))
            with gr.Accordion(words.label("branch_trunk_controls"), open=True):
                model = controls.model_picker(page, NAME, "diffusion")
                text = controls.text_box(page, NAME)
                for box in text.values():
                    box.value = first_character(page, box.value)
                labels = controls.label_pickers(page, NAME)
                seed = controls.seed_row(page, NAME, "seed", FIRST_SEED)
                steps = slider(page, "steps", 2, MOST_STEPS, start.steps)
                guidance = controls.plain_slider(page, NAME, "guidance_scale", 0, limits.MAX_GUIDANCE, 0.05)
                sampler = gr.Dropdown(
                    [(words.label(f"sampler_{name}"), name) for name in SAMPLERS],
                    # one with noise on the way, which a branch may change
                    value=start.sampler if start.sampler in STOCHASTIC else DEFAULT.sampler,
                    label=words.label("sampler"),
                    filterable=False,
                    elem_id=controls.elem(NAME, "sampler"),
                )
        with gr.Column(scale=4, min_width=320, elem_classes="pg-result pg-tree", elem_id=f"{NAME}-view"):
            with gr.Row(elem_classes="pg-state"):
                state = gr.HTML(elem_id=f"{NAME}-status")
                halt = gr.Button(words.label("film_stop"), variant="stop", elem_id=controls.elem(NAME, "stop"), scale=0)
            trunk = gr.HTML("", js_on_load=static("branch.js"), elem_id=f"{NAME}-trunk")
            with gr.Column(elem_classes="pg-lanes"):
                lanes = {f"lane{k}": gr.HTML("", elem_id=f"{NAME}-lane{k}") for k in range(LANES)}
            decided = gr.HTML("", elem_id=f"{NAME}-decide")
    gr.HTML(views.fold(words, "branch_equation", "branch_equation_note"))
    trunk_controls = {
        **model, **text, **labels, **seed, "steps": steps, **guidance, "sampler": sampler,
    }  # fmt: skip
    chosen: Mapping[str, Component] = {
        **task, **trunk_controls, "branch_at": branch_at, "branch_with": branch_with, **change, **seed_to,
        "branch_guidance": guidance_to, "paint": canvas,
    }  # fmt: skip
    places = {"state": state, "trunk": trunk, **lanes, "decide": decided, "paint": canvas}
    outputs = list(places.values())
    wishes, trees = Wishes(), Trees()

    def wish_for(values: dict[Component, object], visitor: str, again: bool) -> dict[Component, object]:
        try:
            recipe = wanted(page, chosen, values)
            check(recipe, page.zoo)
        except UnfinishedTextError:
            return {state: gr.skip()}
        except ValueError as why:
            wishes.want(visitor, None)
            return {state: views.refusal(words, str(why))}
        if not wishes.want(visitor, recipe, again):
            return {state: gr.skip()}
        return {state: views.status(words.both("film_waiting"), "pg-waiting")}

    def ask(values: dict[Component, object], request: gr.Request) -> dict[Component, object]:
        return wish_for(values, request.session_hash, again=False)

    def press(values: dict[Component, object], request: gr.Request) -> dict[Component, object]:
        return wish_for(values, request.session_hash, again=True)

    def draw(request: gr.Request) -> Iterator[dict[Component, object]]:
        def work() -> Iterator[News]:
            yield {"state": gr.skip()}  # a job that yielded nothing would empty all its outputs
            yield from show(page, wishes, trees, request.session_hash)

        for news in streamed(page, work, lambda sentence: {"state": sentence}):
            yield {places[name]: shown for name, shown in news.items()} or {state: gr.skip()}

    def stop(request: gr.Request) -> object:
        wish = wishes.stop(request.session_hash)
        return gr.skip() if wish is None or wish.is_taken else views.status(words.both("film_stopped_early"))

    def reveal(name: str, what: Sequence[str]) -> list[object]:
        is_branch = name == "branch"
        wanted_parts = [is_branch and part in what for part in ("seed", "guidance", "paint")]
        return [film.shown_if(w) for w in (is_branch, not is_branch or "label" in what, *wanted_parts)]

    tab = Tab(NAME, chosen, draw, outputs, shows, NEWEST_WINS, ask)
    folded = [rewinding, labelling, reseeding, guiding, painting]
    gr.on([task["task"].change, branch_with.change], reveal, [task["task"], branch_with], folded, **LIVE)
    # in the browser alone: were the server told of the new end, it would refuse values that are still on their way
    steps.change(None, [steps, branch_at], branch_at, js=SHORTEN, **LIVE)
    pause = f"(...values) => window.playgroundAfterPause('{NAME}-view', values)"
    moved = gr.on(on_any(trunk_controls), ask, tab.inputs, outputs, js=pause, **LIVE)
    pressed = go.click(press, tab.inputs, outputs, **LIVE)
    for asked in (moved, pressed):
        job = asked.then(draw, None, outputs, **NEWEST_WINS)
        job.failure(lambda: views.status(words.both("busy"), "pg-error"), None, state, **LIVE)
    halt.click(stop, None, state, **LIVE)
    instant.follow(page, model, {"steps": steps, "sampler": sampler, **guidance})
    return tab
