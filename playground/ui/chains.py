"""The page of chains: five ways to walk to the samples of a target in the plane, three networks that learn to jump."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial

import gradio as gr
from gradio.components import Component

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
from playground.plane.recipe import GRID, LANGEVIN, LETTERS, MIN_STRIDE, SAMPLERS, TARGETS, PlaneRecipe
from playground.plane.walks import METHODS, WITH_CHAINS, Ruler, Walk, diagnosis, exact_noise, target_of, walk
from playground.recipe import from_query
from playground.sampling.diagnostics import Diagnosis
from playground.ui import views
from playground.ui.lanes import JOB, LIVE, LiveGate
from playground.ui.page import hidden_unless, static
from playground.ui.pages import said_by
from playground.ui.text import Words
from playground.ui.wishes import Wishes

log = logging.getLogger(__name__)

NAME = "chains"
SHOW_EVERY_S = 0.1
NEWEST_WINS = {**JOB, "trigger_mode": "always_last"}
DEFAULT = PlaneRecipe()
FIRST = PlaneRecipe(start=(-2.6, -2.6))  # what a visitor finds: far from everything
R_HAT_AGREES = 1.01  # Vehtari et al. 2021
CONCERNS = {  # the methods that a field of their own concerns
    "proposal_size": ("metropolis",),
    "step_size": ("langevin", "annealed"),
    "langevin": ("langevin",),
    "levels": ("annealed",),
    "sampler": ("diffusion", "learned"),
}
SHARED = ("target", "points", "seed", "chains", "steps", "start")
SITUATIONS: Mapping[str, Mapping[str, object]] = {
    "corner": {"start": (-2.6, -2.6), "proposal_size": 0.6, "step_size": 0.15, "levels": 10, "sampler": "ddpm"},
    "short": {"start": (-2.6, -2.6), "proposal_size": 0.05, "step_size": 0.03, "levels": 10, "sampler": "ddpm"},
    "long": {"start": (-2.6, -2.6), "proposal_size": 3.0, "step_size": 0.38, "levels": 10, "sampler": "ddpm"},
    "noise": {"start": (), "proposal_size": 0.6, "step_size": 0.15, "levels": 10, "sampler": "ddpm"},
    "hop": {"start": (-2.6, -2.6), "proposal_size": 1.4, "step_size": 0.15, "levels": 10, "sampler": "ddim"},
}
LESSONS_TO_TRY: Mapping[str, Mapping[str, object]] = {
    "healthy": {
        "lr_generator": 0.001,
        "lr_discriminator": 0.001,
        "discriminator_steps": 1,
        "penalty": 0.0,
        "beta": 1.0,
    },
    "collapse": {"lr_generator": 0.01, "lr_discriminator": 0.0001, "discriminator_steps": 1, "penalty": 0.0},
    "blind": {"beta": 4.0},
}


@dataclass(frozen=True)
class Room:
    """The surroundings of the page: its words, the live lane's gate, what has been learnt, what visitors want."""

    words: Words
    gate: LiveGate
    trainings: Trainings
    wishes: Wishes


def recipe_of(chosen: Mapping[str, Component], values: Mapping[Component, object]) -> PlaneRecipe:
    """The recipe that the controls say; raises ValueError with a sentence for a bad value."""
    said = {name: values[component] for name, component in chosen.items()}
    if said["target"] != "drawn":
        said["points"] = ""
    return PlaneRecipe(**said)


def updates_of(chosen: Mapping[str, Component], said: Mapping[str, object]) -> dict[Component, object]:
    """The value of every control that makes the page say what `said` says of some fields."""
    return {chosen[name]: list(value) if isinstance(value, tuple) else value for name, value in said.items()}


# ---- walking


def drawn_walks(room: Room, recipe: PlaneRecipe, methods: Sequence[str]) -> dict[str, tuple[dict[str, object], str]]:
    """Method -> what its panel draws, and what is said below it."""
    target = target_of(recipe)
    ruler = Ruler.of(target)
    floor = ruler.floor(recipe.chains) if recipe.chains > 1 else math.nan
    drawn = {}
    for method in methods:
        predict = None
        if method == "learned":
            training = room.trainings.find("diffusion", recipe)
            if training is None:
                drawn[method] = ({}, "")
                continue
            predict = noise_predictor(training.denoiser)
        begin = time.perf_counter()
        finished = walk(recipe, method, predict)
        seconds = time.perf_counter() - begin
        found = diagnosis(finished) if method in WITH_CHAINS else None
        ask = predict if method == "learned" else exact_noise(target)
        score_at = None if method == "metropolis" else lambda x, a, ask=ask: score_of(ask, target, x, a)
        message = walk_message(method, finished, ruler, floor, score_at, found)
        drawn[method] = (message, facts(room.words, recipe, method, finished, found, seconds))
    return drawn


def score_of(ask: Callable, target: object, x: object, a: float) -> object:
    """The score that a noise predictor stands for; the target's own where there is no noise at all."""
    return target.score(x) if a >= 1 else -ask(x, a) / math.sqrt(1 - a)


def facts(
    words: Words, recipe: PlaneRecipe, method: str, finished: Walk, found: Diagnosis | None, seconds: float
) -> str:
    """What is to be said about a finished walk, in numbers."""
    said = []
    if not all(math.isfinite(v) for v in finished.positions[-1].flat) or abs(finished.positions[-1]).max() > 10:
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
    lines = "".join(f"<li>{line}</li>" for line in said)
    return f'<ul class="pg-walk-facts">{lines}</ul>'


# ---- learning


def learnt_part(recipe: PlaneRecipe) -> PlaneRecipe:
    """The recipe with nothing but what some network learns from: other changes need no training."""
    used = {name for fields in LEARNT_FROM.values() for name in fields}
    plain = {name: value for name, value in asdict(DEFAULT).items() if name not in used}
    return replace(recipe, **plain)


def taught(room: Room, visitor: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Train what the visitor wants and nobody has trained before: (status, learner -> all that it has shown so far)."""
    wish = room.wishes.take(visitor)
    if wish is None:
        return
    recipe = wish.recipe
    ready = {name: room.trainings.find(name, recipe) for name in LEARNERS}
    shown = {name: training.shown for name, training in ready.items() if training is not None}
    missing = [name for name in LEARNERS if name not in shown]
    target = target_of(recipe)
    floor = Ruler.of(target).floor(NUM_SHOWN)
    points = examples(target, recipe.seed)
    heads = {name: lesson_head(points, recipe.updates, target.num_modes, floor) for name in missing}
    shown |= {name: json.dumps(head) + "\n" for name, head in heads.items()}
    if not missing:
        yield status(room.words.both("learning_done")), shown
        return
    last_shown = -math.inf
    with closing(learn(recipe, missing)) as lessons:
        for lesson in lessons:
            for name in lesson.looks:
                shown[name] += json.dumps(lesson_line(lesson, name), separators=(",", ":")) + "\n"
            if wish.is_stopped or not room.wishes.is_newest(visitor, wish):
                break
            if time.perf_counter() - last_shown >= SHOW_EVERY_S and lesson.looks:
                yield progress(room.words, lesson.update, lesson.total), dict(shown)
                last_shown = time.perf_counter()
    if lesson.update < lesson.total:
        yield status(room.words.both("learning_stopped", update=lesson.update, total=lesson.total)), shown
        return
    for name in missing:
        denoiser = lesson.denoiser if name == "diffusion" else None
        room.trainings.keep(name, recipe, Training(shown[name], denoiser))
    yield status(room.words.both("learning_done")), shown


def status(said: str, classes: str = "") -> str:
    return f'<p class="pg-status {classes}">{said}</p>'


def progress(words: Words, update: int, total: int) -> str:
    said = words.both("learning_progress", update=update, total=total)
    return f'<div class="pg-progress"><i style="width:{100 * update / total:.1f}%"></i></div>{status(said)}'


# ---- the page


def elem(field: str) -> str:
    return f"{NAME}-{field.replace('_', '-')}"


def slider(words: Words, field: str, low: float, high: float, step: float, key: str = "") -> dict[str, Component]:
    """A slider for a recipe field, worded by `key` or the field's own name."""
    key = key or field
    is_whole = isinstance(getattr(DEFAULT, field), int)
    info = words.label(f"{key}_info") if f"{key}_info" in words.table else None
    made = gr.Slider(
        low,
        high,
        getattr(FIRST, field),
        step=step,
        precision=0 if is_whole else None,
        label=words.label(key),
        info=info,
        min_width=100,
        elem_id=elem(field),
    )
    return {field: made}


def radio(words: Words, field: str, choices: Sequence[str], key: str = "", **options: object) -> dict[str, Component]:
    key = key or field
    pairs = [(words.label(f"{key}_{choice}"), choice) for choice in choices]
    made = gr.Radio(
        pairs, value=getattr(FIRST, field), label=words.label(key), elem_id=elem(field), min_width=100, **options
    )
    return {field: made}


def points_pad(words: Words) -> dict[str, Component]:
    """A white canvas to put points on; its value is the text of a recipe's `points`."""
    said = words.both("points_here", left="LEFT").replace("LEFT", "<b data-left></b>")
    template = (
        f'<p class="pg-note">{said}</p>'
        f'<canvas class="pg-canvas pg-points" width="256" height="256" aria-label="drawing" data-grid="{GRID}" '
        f'data-most="{limits.MAX_DRAWN_POINTS}" data-letters="{LETTERS}"></canvas>'
        f'<div class="pg-bar"><button type="button" data-clear>{words.both("draw_clear")}</button></div>'
    )
    return {"points": gr.HTML("", html_template=template, js_on_load=static("chains_pad.js"), elem_id=elem("points"))}


def start_picker(words: Words) -> dict[str, Component]:
    """Where all chains begin: two boxes, filled by clicking into a picture, and a button for noise."""
    template = (
        f'<div class="pg-start pg-bar" data-most="{limits.MAX_PLANE}"><b>{words.both("start")}</b>'
        '<label>x <input type="number" step="0.1" data-x aria-label="x"></label>'
        '<label>y <input type="number" step="0.1" data-y aria-label="y"></label>'
        f'<button type="button" data-noise>{words.both("start_noise")}</button>'
        f"<small>{words.both('start_info')}</small></div>"
    )
    made = gr.HTML(
        list(FIRST.start), html_template=template, js_on_load=static("chains_start.js"), elem_id=elem("start")
    )
    return {"start": made}


def seed_box(words: Words) -> dict[str, Component]:
    """The seed with its dice and "last" button, as on the other pages."""
    box = gr.Number(
        FIRST.seed, label=words.label("seed"), info=words.label("chain_seed_info"), elem_id=elem("seed"), min_width=100
    )
    quiet = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
    with gr.Row(elem_classes="pg-presets"):
        for key, call in (("dice", "playgroundDice"), ("last_seed", "playgroundLast")):
            button = gr.Button(words.label(key), size="sm", min_width=80, elem_id=elem(f"seed_{key}"))
            button.click(None, box, box, js=f"(seed) => window.{call}('{elem('seed')}', seed)", **quiet)
    return {"seed": box}


def player(words: Words, room: str, script: str | None, counted: str, strips: Sequence[str]) -> gr.HTML:
    """The bar that plays all panels of a room: play, single steps, scrubber, speed, what stands below, saving."""

    def buttons(kind: str, names: Sequence[str], first: str, key: str) -> str:
        made = (
            f'<button type="button" data-{kind}="{name}" aria-pressed="{str(name == first).lower()}">'
            f"{words.both(f'{key}_{name}')}</button>"
            for name in names
        )
        return f'<span class="pg-group">{"".join(made)}</span>'

    below = (
        f'<span class="pg-under">{words.both("under")}</span>{buttons("strip", strips, strips[0], "strip")}'
        if strips
        else ""
    )
    template = (
        f'<div class="pg-player" data-player="{room}"><div class="pg-scrub">'
        '<button type="button" data-play aria-label="play">▶\ufe0e</button>'
        '<button type="button" class="pg-one" data-back aria-label="one step back">◀\ufe0e</button>'
        '<button type="button" class="pg-one" data-forth aria-label="one step on">▶\ufe0e</button>'
        '<input type="range" min="0" max="0" value="0" step="1" aria-label="step" data-range>'
        f"<output>{words.both(counted)} <b data-at>0</b> / <span data-total>0</span></output></div>"
        f'<div class="pg-bar">{buttons("speed", ("slow", "normal", "fast"), "normal", "play")}{below}'
        f'<button type="button" class="pg-end" data-save="{NAME}-{room}.gif">{words.both("download_gif")}</button></div></div>'
    )
    return gr.HTML(html_template=template, js_on_load=script, elem_id=f"{NAME}-{room}-player")


def panel(words: Words, room: str, name: str, title: str, values: Mapping[str, object], under: str) -> gr.HTML:
    """One picture of the plane: heading, a sentence, the canvas, the numbers of the step shown, the strip below."""
    floor = words.both("now_floor", floor="FLOOR").replace("FLOOR", "<b data-floor></b>")
    waiting = f'<p class="pg-absent">{words.both("waiting_for_network")}</p>' if name == "learned" else ""
    is_noised = room == "walk" and name not in WITH_CHAINS
    level = f'<span class="pg-level">{words.both("now_level")} <b data-level></b></span>' if is_noised else ""
    template = (
        f'<figure class="pg-panel" data-room="{room}" data-panel="{name}"><h3>{words.both(title)}</h3>'
        f'<p class="pg-note pg-says">{words.both(f"{title}_says", **values)}</p>'
        f'<div class="pg-sheet"><canvas class="pg-plane" data-plane></canvas>{waiting}</div>'
        f'<p class="pg-now"><span>{words.both("now_distance")} <b data-distance></b> <small>{floor}</small></span>'
        f'<span class="pg-modes">{words.both("now_modes")} <b data-modes></b></span>{level}</p>'
        f'<canvas class="pg-strip-canvas" data-under></canvas>{under}</figure>'
    )
    return gr.HTML(
        {} if room == "walk" else "",
        html_template=template,
        js_on_load=static("chains_panel.js"),
        elem_id=f"{NAME}-{room}-{name}",
    )


def walk_captions(words: Words, method: str) -> str:
    correlation = "strip_autocorrelation_says" if method in WITH_CHAINS else "strip_autocorrelation_none"
    keys = {"trace": "strip_trace_says", "autocorrelation": correlation, "distance": "strip_distance_says"}
    return "".join(f'<p class="pg-caption" data-of="{kind}">{words.both(key)}</p>' for kind, key in keys.items())


def fold(words: Words, title: str, key: str) -> gr.HTML:
    return gr.HTML(f'<details class="pg-more"><summary>{words.both(title)}</summary><p>{words.both(key)}</p></details>')


def heading(words: Words, part: str, **values: object) -> str:
    title, lead = words.both(f"{part}_title"), words.both(f"{part}_lead", **values)
    return f'<h2 class="pg-title">{title}</h2><p class="pg-lead">{lead}</p>'


def presets(words: Words, kind: str, sets: Mapping[str, Mapping[str, object]], chosen: Mapping[str, Component]) -> None:
    """Buttons that put several controls at once into a telling situation."""
    for name, said in sets.items():
        button = gr.Button(words.label(f"{kind}_{name}"), size="sm", min_width=60, elem_id=elem(f"{kind}_{name}"))
        changes = updates_of(chosen, said)
        button.click(partial(dict, changes), None, list(changes), **LIVE)


def own_controls(words: Words, method: str) -> dict[str, Component]:
    """The controls below one method's picture."""
    if method == "metropolis":
        return slider(words, "proposal_size", MIN_STRIDE, limits.MAX_STRIDE, 0.01)
    if method == "langevin":
        return {
            **slider(words, "step_size", MIN_STRIDE, limits.MAX_STRIDE, 0.01),
            **radio(words, "langevin", LANGEVIN),
        }
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


def build(demo: gr.Blocks, words: Words, gate: LiveGate) -> None:
    """The whole page, inside an open route of `demo`."""
    room = Room(words, gate, Trainings(), Wishes())
    chosen: dict[str, Component] = {}
    gr.HTML(heading(words, "chains"))
    with gr.Row(elem_classes="pg-budgets"):
        with gr.Column(min_width=100):
            chosen |= radio(words, "target", TARGETS, info=words.label("target_info"))
        with gr.Column(min_width=100):
            chosen |= slider(words, "chains", 1, limits.MAX_CHAINS, 1)
        with gr.Column(min_width=100):
            chosen |= slider(words, "steps", 1, limits.MAX_STEPS, 1, "chain_steps")
        with gr.Column(min_width=100):
            chosen |= seed_box(words)
    with gr.Column(visible=False) as drawing:
        chosen |= points_pad(words)
    with gr.Row(elem_classes="pg-try") as trying:
        chosen |= start_picker(words)
        gr.HTML(f"<b>{words.both('try')}</b>")
    notice = gr.HTML(elem_id=f"{NAME}-notice")
    scripts = static("gif.js") + static("chains.js")
    player(words, "walk", scripts, "step_of", ("trace", "autocorrelation", "distance"))
    walks: dict[str, gr.HTML] = {}
    said: dict[str, gr.HTML] = {}
    with gr.Row(elem_classes="pg-walks"):
        for method in METHODS:
            with gr.Column(min_width=150):
                values = {"points": f"{NUM_POINTS:,}"} if method == "learned" else {}
                walks[method] = panel(words, "walk", method, f"method_{method}", values, walk_captions(words, method))
                chosen |= own_controls(words, method)
                said[method] = gr.HTML(elem_id=elem(f"facts_{method}"))
                fold(words, "formula", f"method_{method}_more")
    fold(words, "numbers", "numbers_more")
    gr.HTML(heading(words, "learning", points=f"{NUM_POINTS:,}"))
    with gr.Row(elem_classes="pg-try") as lessons_to_try:
        go = gr.Button(words.label("learning_go"), variant="primary", elem_id=elem("go"))
        halt = gr.Button(words.label("learning_stop"), variant="stop", elem_id=elem("stop"))
        gr.HTML(f"<b>{words.both('try')}</b>")
    state = gr.HTML(elem_id=f"{NAME}-status")
    player(words, "learn", None, "update_of", ())
    learners: dict[str, gr.HTML] = {}
    with gr.Row(elem_classes="pg-lessons"):
        for name in LEARNERS:
            with gr.Column(min_width=220):
                under = f'<p class="pg-caption pg-always">{words.both(f"learner_{name}_losses")}</p>'
                values = {"steps": SAMPLING_STEPS} if name == "diffusion" else {}
                learners[name] = panel(words, "learn", name, f"learner_{name}", values, under)
                chosen |= learner_controls(words, name)
                fold(words, "formula", f"learner_{name}_more")
    with trying:
        presets(words, "situation", SITUATIONS, chosen)
        bar = gr.HTML(elem_id=f"{NAME}-view")
    with lessons_to_try:
        presets(words, "lesson", LESSONS_TO_TRY, chosen)
    target = chosen["target"]
    target.change(lambda name: hidden_unless("drawn", name), target, drawing, **LIVE)
    wire(demo, room, chosen, Shown(notice, bar, walks, said, state, learners), go, halt)


@dataclass(frozen=True)
class Shown:
    """Everything on the page that handlers fill."""

    notice: gr.HTML
    bar: gr.HTML
    walks: Mapping[str, gr.HTML]
    said: Mapping[str, gr.HTML]
    state: gr.HTML
    learners: Mapping[str, gr.HTML]


def wire(
    demo: gr.Blocks, room: Room, chosen: Mapping[str, Component], shown: Shown, go: gr.Button, halt: gr.Button
) -> None:
    """Which control asks for what."""
    words, inputs = room.words, set(chosen.values())

    def restore(request: gr.Request) -> dict[Component, object]:
        said = said_by(request.query_params, {})
        if not said:
            return {shown.notice: ""}
        try:
            recipe = from_query(said, PlaneRecipe)
        except ValueError as refusal:
            return {shown.notice: f'<p class="pg-error" role="alert">{words.both("link_refused", why=refusal)}</p>'}
        return {shown.notice: "", **updates_of(chosen, asdict(recipe))}

    def drawing(methods: Sequence[str]) -> Callable[[dict[Component, object]], dict[Component, object]]:
        return lambda values: drawn(room, chosen, shown, methods, values)

    def outputs(methods: Sequence[str]) -> list[Component]:
        return [shown.notice, shown.bar, *(part[m] for m in methods for part in (shown.walks, shown.said))]

    def ask(values: dict[Component, object], request: gr.Request, again: bool = False) -> object:
        """Make what the networks are to learn the visitor's newest wish, which ends the work on an older one."""
        try:
            recipe = learnt_part(recipe_of(chosen, values))
        except ValueError:  # said where the walks are drawn
            room.wishes.want(request.session_hash, None)
            return gr.skip()
        is_new = room.wishes.want(request.session_hash, recipe, again)
        return status(words.both("learning_waiting"), "pg-waiting") if is_new else gr.skip()

    def ask_again(values: dict[Component, object], request: gr.Request) -> object:
        return ask(values, request, again=True)

    def teach(request: gr.Request) -> Iterator[dict[Component, object]]:
        """The job: whatever the visitor wants by now."""
        changes: dict[Component, object] = {
            shown.state: gr.skip()
        }  # a job that yielded nothing would empty all outputs
        try:
            for said, texts in taught(room, request.session_hash):
                changes = {shown.state: said, **{shown.learners[name]: text for name, text in texts.items()}}
                yield changes
        except Exception:
            log.exception("a training failed")
            changes = {shown.state: views.failure(words)}
        yield changes

    def stop(request: gr.Request) -> object:
        wish = room.wishes.stop(request.session_hash)
        return gr.skip() if wish is None or wish.is_taken else ""

    taught_outputs = [shown.state, *shown.learners.values()]

    def then_teach(asked: gr.events.Dependency) -> None:
        job = asked.then(teach, None, taught_outputs, **NEWEST_WINS)
        job.failure(lambda: status(words.both("busy"), "pg-error"), None, shown.state, **LIVE)
        job.then(drawing(["learned"]), inputs, outputs(["learned"]), **LIVE)

    opened = demo.load(restore, None, [shown.notice, *chosen.values()], queue=False, api_visibility="private")
    walked = opened.then(drawing(METHODS), inputs, outputs(METHODS), **LIVE)
    then_teach(walked.then(ask, inputs, shown.state, **LIVE))
    shared = [chosen[name].change for name in SHARED]
    gr.on(shared, drawing(METHODS), inputs, outputs(METHODS), js=after_a_pause(f"{NAME}-view"), **LIVE)
    for field, methods in CONCERNS.items():
        chosen[field].change(drawing(methods), inputs, outputs(methods), js=after_a_pause(elem(field)), **LIVE)
    learnt = {name for fields in LEARNT_FROM.values() for name in fields}
    changed = [chosen[name].change for name in chosen if name in learnt]
    then_teach(gr.on(changed, ask, inputs, shown.state, js=after_a_pause(f"{NAME}-status"), **LIVE))
    then_teach(go.click(ask_again, inputs, shown.state, **LIVE))
    halt.click(stop, None, shown.state, **LIVE)


def after_a_pause(elem_id: str) -> str:
    return f"(...values) => window.playgroundAfterPause('{elem_id}', values)"


def drawn(
    room: Room,
    chosen: Mapping[str, Component],
    shown: Shown,
    methods: Sequence[str],
    values: Mapping[Component, object],
) -> dict[Component, object]:
    """The walks of some methods as the controls say; a visitor's mistake or our fault becomes a sentence above them."""
    changes: dict[Component, object] = {shown.notice: gr.skip()}  # stays when no place in the live lane came free

    def work() -> None:
        try:
            recipe = recipe_of(chosen, values)
            made = drawn_walks(room, recipe, methods)
        except ValueError as refusal:
            is_empty = values[chosen["target"]] == "drawn" and not values[chosen["points"]]
            changes[shown.notice] = (
                status(room.words.both("draw_something")) if is_empty else views.refusal(room.words, str(refusal))
            )
            return
        except Exception:
            log.exception("a walk failed")
            changes[shown.notice] = views.failure(room.words)
            return
        changes.update({shown.notice: "", shown.bar: views.bar(room.words, recipe, None)})
        for method, (message, text) in made.items():
            changes.update({shown.walks[method]: message, shown.said[method]: text})

    room.gate.run(work)
    return changes
