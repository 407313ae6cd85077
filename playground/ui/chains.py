"""From Markov chains to diffusion: five ways to walk to the samples of a target, three networks that learn to jump there.

The target is a density in the plane, known exactly, so this tab stands at home and needs no pictures and no models.
"""

from __future__ import annotations

import html
import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace

import gradio as gr
from gradio.components import Component
from torch import Tensor

from playground import limits
from playground.plane.learning import (
    LEARNERS,
    LEARNT_FROM,
    NUM_POINTS,
    NUM_SHOWN,
    SAMPLING_STEPS,
    Training,
    Trainings,
    examples,
    learn,
    noise_predictor,
)
from playground.plane.packing import lesson_head, lesson_line, walk_message
from playground.plane.recipe import LANGEVIN, MIN_STRIDE, SAMPLERS, TARGETS, PlaneRecipe, from_link, to_link
from playground.plane.walks import (
    METHODS,
    WITH_CHAINS,
    NoisePredictor,
    Ruler,
    Walk,
    diagnosis,
    exact_noise,
    target_of,
    walk,
)
from playground.sampling.diagnostics import Diagnosis
from playground.sampling.mixture import Mixture
from playground.ui import controls, views
from playground.ui.chains_parts import (
    FIRST,
    NAME,
    STRIPS,
    elem,
    fold,
    glossary,
    heading,
    panel,
    player,
    points_pad,
    presets,
    radio,
    slider,
    start_picker,
    updates_of,
    walk_captions,
)
from playground.ui.chains_words import TEXT as TEXT
from playground.ui.lanes import LIVE, NEWEST_WINS
from playground.ui.page import Page, Tab, hidden_unless, on_any, static, streamed
from playground.ui.text import Words
from playground.ui.wishes import Wishes

log = logging.getLogger(__name__)

SHOW_EVERY_S = 0.1
R_HAT_AGREES = 1.01  # Vehtari et al. 2021
LEARNT_BY_ANY = {name for fields in LEARNT_FROM.values() for name in fields}
SHARED = ("target", "points", "seed", "chains", "steps", "start")
CONCERNS = {  # the methods that a field of their own concerns
    "proposal_size": ("metropolis",),
    "step_size": ("langevin", "annealed"),
    "langevin": ("langevin",),
    "levels": ("annealed",),
    "sampler": ("diffusion", "learned"),
}
CORNER = FIRST.start
SITUATIONS: Mapping[str, Mapping[str, object]] = {
    "corner": {"start": CORNER, "proposal_size": 0.6, "step_size": 0.15, "levels": 10, "sampler": "ddpm"},
    "short": {"start": CORNER, "proposal_size": 0.05, "step_size": 0.03, "levels": 10, "sampler": "ddpm"},
    "long": {"start": CORNER, "proposal_size": 3.0, "step_size": 0.38, "levels": 10, "sampler": "ddpm"},
    "noise": {"start": (), "proposal_size": 0.6, "step_size": 0.15, "levels": 10, "sampler": "ddpm"},
    "hop": {"start": CORNER, "proposal_size": 1.4, "step_size": 0.15, "levels": 10, "sampler": "ddim"},
}
HEALTHY = {
    name: getattr(FIRST, name)
    for name in ("lr_generator", "lr_discriminator", "discriminator_steps", "penalty", "beta")
}
LESSONS_TO_TRY: Mapping[str, Mapping[str, object]] = {
    "healthy": HEALTHY,
    "collapse": {**HEALTHY, "lr_generator": 0.01, "lr_discriminator": 0.0001},
    "blind": {**HEALTHY, "beta": 4.0},
}


@dataclass(frozen=True)
class Room:
    """The surroundings of the tab: its page, what has been learnt, what visitors want to be learnt."""

    page: Page
    trainings: Trainings
    wishes: Wishes


@dataclass(frozen=True)
class Shown:
    """Everything in the tab that handlers fill."""

    notice: gr.HTML
    bar: gr.HTML
    walks: Mapping[str, gr.HTML]  # by method
    said: Mapping[str, gr.HTML]  # by method, the numbers
    state: gr.HTML
    learners: Mapping[str, gr.HTML]  # by learner

    def of(self, methods: Sequence[str]) -> list[Component]:
        """What drawing the walks of some methods fills."""
        return [self.notice, *(part[m] for m in methods for part in (self.walks, self.said))]

    @property
    def lessons(self) -> list[Component]:
        return [self.state, *self.learners.values()]


def can_show(page: Page) -> bool:
    """At home only: it would be the same on every page."""
    return page.dataset.name == page.zoo.datasets()[0].name


def recipe_of(chosen: Mapping[str, Component], values: Mapping[Component, object]) -> PlaneRecipe:
    """The recipe that the controls say; raises ValueError with a sentence for a bad value."""
    said = {name: values[component] for name, component in chosen.items()}
    if said["target"] != "drawn":
        said["points"] = ""
    return PlaneRecipe(**said)


# ---- walking


def drawn_walks(room: Room, recipe: PlaneRecipe, methods: Sequence[str]) -> dict[str, tuple[dict[str, object], str]]:
    """Method -> what its panel draws, and what is said below it; nothing where its network has yet to learn."""
    target = target_of(recipe)
    ruler = Ruler.of(target)
    floor = ruler.floor(recipe.chains) if recipe.chains > 1 else math.nan
    training = room.trainings.find("diffusion", recipe)
    predictors = {"diffusion": exact_noise(target)}
    if training is not None:
        predictors["learned"] = noise_predictor(training.denoiser)
    drawn = {}
    for method in methods:
        if method == "learned" and training is None:
            drawn[method] = ({}, "")
            continue
        predict = predictors.get(method, predictors["diffusion"])
        finished = walk(recipe, method, predict)
        found = diagnosis(finished) if method in WITH_CHAINS else None
        score_at = None if method == "metropolis" else scores(predict, target)
        message = walk_message(method, finished, ruler, floor, score_at, found)
        drawn[method] = (message, facts(room.page.words, recipe, method, finished, found))
    return drawn


def scores(predict: NoisePredictor, target: Mixture) -> Callable[[Tensor, float], Tensor]:
    """The score that a noise predictor stands for; the target's own where there is no noise at all."""
    return lambda x, a: target.score(x) if a >= 1 else -predict(x, a) / math.sqrt(1 - a)


def facts(words: Words, recipe: PlaneRecipe, method: str, finished: Walk, found: Diagnosis | None) -> str:
    """What is to be said about a finished walk, in numbers."""
    said = []
    if not (abs(finished.positions[-1]) < 3 * limits.MAX_PLANE).all():  # not a number is not there either
        said.append(words.both("flew_off"))
    if method == "metropolis" or (method == "langevin" and recipe.langevin == "adjusted"):
        said.append(words.both("accepted", share=f"{100 * finished.is_accepted.mean():.0f}"))
    if found is None:
        said.append(words.both("independent", chains=recipe.chains))
    elif not math.isfinite(found.effective):
        said.append(words.both("no_diagnosis"))
    else:
        draws = (recipe.steps - recipe.steps // 2) * recipe.chains
        said.append(words.both("effective", draws=f"{draws:,}", ess=f"{found.effective:,.0f}"))
        if math.isfinite(found.r_hat):
            agrees = found.r_hat <= R_HAT_AGREES
            shown = f"{found.r_hat:.2f}" if found.r_hat < 100 else "∞"
            said.append(words.both("r_hat_agree" if agrees else "r_hat_disagree", r_hat=shown))
    return f'<ul class="pg-walk-facts">{"".join(f"<li>{line}</li>" for line in said)}</ul>'


def link(words: Words, recipe: PlaneRecipe) -> str:
    """The button that copies a link to what the controls say."""
    return (
        f'<div class="pg-bar"><button type="button" data-query="{html.escape(to_link(recipe))}" '
        f'data-done="{html.escape(words.both("copied"))}">{words.both("copy_link")}</button></div>'
    )


def drawn(
    room: Room,
    chosen: Mapping[str, Component],
    shown: Shown,
    methods: Sequence[str],
    values: Mapping[Component, object],
) -> dict[Component, object]:
    """The walks of some methods as the controls say; nothing for a visitor's mistake, or when too many are drawn."""
    changes: dict[Component, object] = {}

    def work() -> None:
        try:
            made = drawn_walks(room, recipe_of(chosen, values), methods)
        except ValueError:  # `said` says it
            return
        except Exception:
            log.exception("a walk failed")
            changes[shown.notice] = views.failure(room.page.words)
            return
        for method, (message, text) in made.items():
            changes.update({shown.walks[method]: message, shown.said[method]: text})

    room.page.gate.run(work)
    return changes


def said(
    words: Words, chosen: Mapping[str, Component], shown: Shown, values: Mapping[Component, object]
) -> dict[Component, object]:
    """The link to what the controls say, or a sentence for a mistake; that nothing is drawn yet is none."""
    try:
        return {shown.notice: "", shown.bar: link(words, recipe_of(chosen, values))}
    except ValueError as refusal:
        is_empty = values[chosen["target"]] == "drawn" and values[chosen["points"]] == ""
        sentence = views.status(words.both("draw_something")) if is_empty else views.refusal(words, str(refusal))
        return {shown.notice: sentence}


# ---- learning


def learnt_part(recipe: PlaneRecipe) -> PlaneRecipe:
    """The recipe with nothing but what some network learns from: other changes need no training."""
    usual = PlaneRecipe()
    return replace(recipe, **{name: value for name, value in asdict(usual).items() if name not in LEARNT_BY_ANY})


def taught(room: Room, visitor: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Train what the visitor wants and nobody has trained before: (status, learner -> all that it has shown so far)."""
    wish = room.wishes.take(visitor)
    if wish is None:
        return
    recipe, words = wish.recipe, room.page.words
    ready = {name: room.trainings.find(name, recipe) for name in LEARNERS}
    shown = {name: training.shown for name, training in ready.items() if training is not None}
    missing = [name for name in LEARNERS if name not in shown]
    if not missing:
        yield views.status(words.both("learning_done")), shown
        return
    shown |= {name: head + "\n" for name, head in heads(recipe, missing).items()}
    last_shown = -math.inf
    with closing(learn(recipe, missing)) as lessons:
        for lesson in lessons:
            for name in lesson.looks:
                shown[name] += json.dumps(lesson_line(lesson, name), separators=(",", ":")) + "\n"
            if wish.is_stopped or not room.wishes.is_newest(visitor, wish):
                break
            is_due = time.perf_counter() - last_shown >= SHOW_EVERY_S
            if lesson.looks and is_due and lesson.update < lesson.total:  # the last one is shown when it is kept
                yield progress(words, lesson.update, lesson.total), dict(shown)
                last_shown = time.perf_counter()
    if lesson.update < lesson.total:
        yield views.status(words.both("learning_stopped", update=lesson.update, total=lesson.total)), shown
        return
    for name in missing:
        room.trainings.keep(name, recipe, Training(shown[name], lesson.denoiser if name == "diffusion" else None))
    yield views.status(words.both("learning_done")), shown


def heads(recipe: PlaneRecipe, names: Sequence[str]) -> dict[str, str]:
    """What the page has to know of each training before it begins."""
    target = target_of(recipe)
    points, floor = examples(target, recipe.seed), Ruler.of(target).floor(NUM_SHOWN)
    return {name: json.dumps(lesson_head(points, recipe.updates, target.num_modes, floor)) for name in names}


def progress(words: Words, update: int, total: int) -> str:
    said = words.both("learning_progress", update=update, total=total)
    return views.progress(update / total, said)


# ---- the page


def method_controls(words: Words, method: str) -> dict[str, Component]:
    """The controls below one method's picture."""
    if method == "metropolis":
        return slider(words, "proposal_size", MIN_STRIDE, limits.MAX_STRIDE, 0.01)
    if method == "langevin":
        made = slider(words, "step_size", MIN_STRIDE, limits.MAX_STRIDE, 0.01)
        return made | radio(words, "langevin", LANGEVIN)
    if method == "annealed":
        made = slider(words, "levels", 1, limits.MAX_LEVELS, 1)
        gr.HTML(f'<p class="pg-note">{words.both("step_shared")}</p>')
        return made
    if method == "diffusion":
        return radio(words, "sampler", SAMPLERS, "plane_sampler")
    gr.HTML(f'<p class="pg-note">{words.both("sampler_shared")}</p>')
    return {}


def learner_controls(words: Words, name: str) -> dict[str, Component]:
    """The controls below one network's picture."""
    if name == "gan":
        return {
            **slider(words, "lr_generator", 0, limits.MAX_LEARNING_RATE, 0.0001),
            **slider(words, "lr_discriminator", 0, limits.MAX_LEARNING_RATE, 0.0001),
            **slider(words, "discriminator_steps", 1, limits.MAX_DISCRIMINATOR_STEPS, 1),
            **slider(words, "penalty", 0, limits.MAX_PENALTY, 0.05),
        }
    if name == "vae":
        return slider(words, "beta", 0, limits.MAX_BETA, 0.05)
    return slider(words, "updates", 1, limits.MAX_UPDATES, 1)


def walks_part(words: Words, chosen: dict[str, Component]) -> tuple[dict[str, gr.HTML], dict[str, gr.HTML]]:
    """The five walks side by side under the bar that plays them, their controls put into `chosen`: panels, numbers."""
    walks, said = {}, {}
    player(words, "walk", static("chains.js"), "step_of", STRIPS)
    with gr.Row(elem_classes="pg-walks"):
        for method in METHODS:
            with gr.Column(min_width=150):
                values = {"points": f"{NUM_POINTS:,}"} if method == "learned" else {}
                walks[method] = panel(words, "walk", method, f"method_{method}", values, walk_captions(words, method))
                chosen |= method_controls(words, method)
                said[method] = gr.HTML(elem_id=elem(f"facts_{method}"))
                fold(words, "formula", f"method_{method}_more")
    return walks, said


def lessons_part(words: Words, chosen: dict[str, Component]) -> dict[str, gr.HTML]:
    """The three networks side by side under the bar that plays them, their controls put into `chosen`."""
    learners = {}
    player(words, "learn", None, "update_of")
    with gr.Row(elem_classes="pg-lessons"):
        for name in LEARNERS:
            with gr.Column(min_width=220):
                under = f'<p class="pg-caption pg-always">{words.both(f"learner_{name}_losses")}</p>'
                values = {"steps": SAMPLING_STEPS} if name == "diffusion" else {}
                learners[name] = panel(words, "learn", name, f"learner_{name}", values, under)
                chosen |= learner_controls(words, name)
                fold(words, "formula", f"learner_{name}_more")
    return learners


def build(page: Page) -> Tab:
    words = page.words
    chosen: dict[str, Component] = {}
    gr.HTML(f"<style>{static('chains.css')}</style>{heading(words, 'chains')}")
    with gr.Row(elem_classes="pg-budgets"):
        with gr.Column(min_width=100):
            chosen |= radio(words, "target", TARGETS, info=words.label("target_info"))
        with gr.Column(min_width=100):
            chosen |= slider(words, "chains", 1, limits.MAX_CHAINS, 1)
        with gr.Column(min_width=100):
            chosen |= slider(words, "steps", 1, limits.MAX_STEPS, 1, "chain_steps")
        with gr.Column(min_width=100):
            chosen |= controls.seed_row(page, NAME)
    with gr.Column(visible=False) as drawing:
        chosen |= points_pad(words)
    with gr.Row(elem_classes="pg-try"):
        chosen |= start_picker(words)
        gr.HTML(f"<b>{words.both('try')}</b>")
        situations = gr.Row(elem_classes="pg-try")
        bar = gr.HTML(elem_id=f"{NAME}-view")
    notice = gr.HTML(elem_id=f"{NAME}-notice")
    with gr.Column():  # the bar stays in sight as long as its pictures do
        walks, said = walks_part(words, chosen)
    gr.HTML(glossary(words))
    gr.HTML(heading(words, "learning", points=f"{NUM_POINTS:,}"))
    with gr.Row(elem_classes="pg-try"):
        go = gr.Button(words.label("learning_go"), variant="primary", elem_id=elem("go"))
        halt = gr.Button(words.label("learning_stop"), variant="stop", elem_id=elem("stop"))
        gr.HTML(f"<b>{words.both('try')}</b>")
        lessons = gr.Row(elem_classes="pg-try")
    state = gr.HTML(elem_id=f"{NAME}-status")
    learners = lessons_part(words, chosen)
    with situations:
        presets(words, "situation", SITUATIONS, chosen)
    with lessons:
        presets(words, "lesson", LESSONS_TO_TRY, chosen)
    target = chosen["target"]
    target.change(lambda name: hidden_unless("drawn", name), target, drawing, **LIVE)
    return wired(Room(page, Trainings(), Wishes()), chosen, Shown(notice, bar, walks, said, state, learners), go, halt)


def wired(room: Room, chosen: dict[str, Component], shown: Shown, go: gr.Button, halt: gr.Button) -> Tab:
    """Which control asks for what."""
    words, inputs = room.page.words, set(chosen.values())

    def drawing(methods: Sequence[str]) -> Callable[[dict[Component, object]], dict[Component, object]]:
        return lambda values: drawn(room, chosen, shown, methods, values) or {shown.notice: gr.skip()}

    def say(values: dict[Component, object]) -> dict[Component, object]:
        return said(words, chosen, shown, values)

    def ask(values: dict[Component, object], request: gr.Request, again: bool = False) -> object:
        """Make what the networks are to learn the visitor's newest wish, which ends the work on an older one."""
        try:
            recipe = learnt_part(recipe_of(chosen, values))
        except ValueError:
            room.wishes.want(request.session_hash, None)
            return gr.skip()
        is_new = room.wishes.want(request.session_hash, recipe, again)
        return views.status(words.both("learning_waiting"), "pg-waiting") if is_new else gr.skip()

    def ask_again(values: dict[Component, object], request: gr.Request) -> object:
        return ask(values, request, again=True)

    def look(values: dict[Component, object], request: gr.Request) -> dict[Component, object]:
        """Somebody opens the tab: walk at once, and let the networks learn."""
        walked = drawn(room, chosen, shown, METHODS, values)
        return {shown.state: ask(values, request), **say(values), **walked}

    def teach(request: gr.Request) -> Iterator[dict[Component, object]]:
        """The job: whatever the visitor wants by now."""

        def work() -> Iterator[dict[Component, object]]:
            yield {shown.state: gr.skip()}  # a job that yielded nothing would empty all outputs
            for said, texts in taught(room, request.session_hash):
                yield {shown.state: said, **{shown.learners[name]: text for name, text in texts.items()}}

        yield from streamed(room.page, work, lambda sentence: {shown.state: sentence})

    def stop(request: gr.Request) -> object:
        wish = room.wishes.stop(request.session_hash)
        return gr.skip() if wish is None or wish.is_taken else ""

    # one event says the link and the mistakes, so that no slower answer can bring back an older one
    gr.on(on_any(chosen), say, inputs, [shown.notice, shown.bar], js=after_a_pause(elem("notice")), **LIVE)
    for methods, fields in [(METHODS, SHARED), *((methods, (name,)) for name, methods in CONCERNS.items())]:
        pause = after_a_pause(elem("view" if fields is SHARED else fields[0]))
        gr.on([chosen[name].change for name in fields], drawing(methods), inputs, shown.of(methods), js=pause, **LIVE)
    learnt = [chosen[name].change for name in chosen if name in LEARNT_BY_ANY]
    changed = gr.on(learnt, ask, inputs, shown.state, js=after_a_pause(elem("status")), **LIVE)
    for asked in (changed, go.click(ask_again, inputs, shown.state, **LIVE)):
        job = asked.then(teach, None, shown.lessons, **NEWEST_WINS)
        job.failure(lambda: views.status(words.both("busy"), "pg-error"), None, shown.state, **LIVE)
    shown.learners["diffusion"].learnt(drawing(["learned"]), inputs, shown.of(["learned"]), **LIVE)
    halt.click(stop, None, shown.state, **LIVE)

    def restore(said: Mapping[str, str]) -> dict[Component, object]:
        return updates_of(chosen, asdict(from_link(said)))

    outputs = [shown.bar, *shown.of(METHODS), *shown.lessons]
    return Tab(NAME, chosen, teach, outputs, lambda recipe, zoo: False, NEWEST_WINS, look, restore)


def after_a_pause(elem_id: str) -> str:
    return f"(...values) => window.playgroundAfterPause('{elem_id}', values)"
