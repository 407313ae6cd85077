"""Which form a network runs in: raced on this machine, checked against the reference, kept once a picture is made.

A picture's bits must not change while the playground runs, so the form is settled by a network's first call, with what
is ready then; whatever becomes ready later serves from the next start on. Between starts the verdict is remembered, so
that a link gives the same bytes again, unless a short race shows that it no longer holds. The first network of all
is raced behind the page, others when their first picture is asked for, which waits: it would be slow until the end.
"""

from __future__ import annotations

import logging
import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from playground.device import give_back_memory, job_threads
from playground.engine.cache import Cache
from playground.engine.here import kinds_here
from playground.engine.kinds import REFERENCE, Kind, Predict, Subject, first_line, processor
from playground.models import Diffusion, Model
from playground.zoo import Card, Zoo

log = logging.getLogger(__name__)

PROJECT = Path(__file__).resolve().parents[2]
BATCHES = (2, 16)  # raced: a picture with guidance, and a page full
BUDGET_S = 0.45  # for a race of all
EXACT_GAIN, ROUGH_GAIN = 1.15, 1.3  # how much faster a form must be than the next more exact one to be taken
STILL_HOLDS = 0.8  # of the reference's pace: less is not a busy moment, but another machine or a lie
CHECKED_BATCH = 3
CONVERSION_PATIENCE_S = 300
FIRST_PATIENCE_S = 3.0  # that a first picture has with the races before its own; never with a conversion
ALL_READY = "engines are ready"
NONE_READY = "no faster form could be made ready, torch serves"


@dataclass(frozen=True)
class Verdict:
    """What a race found."""

    engine: str
    milliseconds: Mapping[str, Mapping[str, float]]  # by form and batch
    errors: Mapping[str, float]  # by form: relative L2 distance from the reference


@dataclass(frozen=True)
class Form:
    """A kind built for one network."""

    kind: Kind
    predict: Predict
    error: float  # relative L2 distance of its predictions from the reference's


def relative_error(found: Tensor, reference: Tensor) -> float:
    """L2 distance over the reference's length; infinite where anything is not finite."""
    if not torch.isfinite(found).all():
        return math.inf
    return float((found - reference).norm() / reference.norm())


def checked(kind: Kind, engine: Predict, subject: Subject, expected: Tensor) -> float:
    """How far the form is from the reference's `expected`; raises ValueError with what forbids its use."""
    inputs = subject.examples(len(expected))
    found = engine(*inputs)
    error = relative_error(found, expected)
    if error > kind.max_error:
        raise ValueError(f"its predictions are off by {error:.1e}")
    alone = engine(*(value[:1] for value in inputs))
    if relative_error(alone, found[:1]) > (1e-5 if kind.is_exact else 0):
        raise ValueError("a picture depends on its batch")
    return error


def race(
    forms: Mapping[str, Form], subject: Subject, budget_s: float, batches: Sequence[int] = BATCHES
) -> dict[str, dict[int, float]]:
    """Best seconds of each form by batch, taken in turns so that a busy moment meets all; stops when the time is up.

    Before its turns each form is asked once, whatever that takes: it may make itself ready then. Forms that are slower
    than the first one at the first batch are not asked for more.
    """
    best: dict[str, dict[int, float]] = {name: {} for name in forms}
    first, small = next(iter(forms)), batches[0]
    for batch in batches:
        inputs = subject.examples(batch)
        running = [name for name in forms if batch == small or best[name][small] <= 1.2 * best[first][small]]
        for name in running:
            forms[name].predict(*inputs)
        begin = time.perf_counter()
        for turn in range(3):
            for name in running:
                started = time.perf_counter()
                if turn and started - begin > budget_s / len(batches):
                    break
                forms[name].predict(*inputs)
                took = time.perf_counter() - started
                best[name][batch] = min(took, best[name].get(batch, math.inf))
    return {name: times for name, times in best.items() if len(times) == len(batches)}


def pace(times: Mapping[int, float], reference: Mapping[int, float]) -> float:
    """How many times faster than the reference, over all batches (geometric mean)."""
    return math.prod(reference[batch] / seconds for batch, seconds in times.items()) ** (1 / len(times))


def fastest(kinds: Sequence[Kind], times: Mapping[str, Mapping[int, float]]) -> str:
    """The form to run: exact ones must beat the reference clearly, rough ones the best exact one more clearly."""
    paces = {kind: pace(times[kind.name], times[REFERENCE.name]) for kind in kinds if kind.name in times}
    exact = max((kind for kind in paces if kind.is_exact), key=paces.__getitem__)
    if paces[exact] < EXACT_GAIN:
        exact = next(kind for kind in paces if kind.name == REFERENCE.name)
    rough = max((kind for kind in paces if not kind.is_exact), key=paces.__getitem__, default=exact)
    return (rough if paces[rough] >= ROUGH_GAIN * paces[exact] else exact).name


class Tuned:
    """Asked in a network's place. The first call settles which form answers, for good."""

    def __init__(
        self,
        network: Diffusion,
        settled: Callable[[str], object] = lambda name: None,
        wait: Callable[[], object] = lambda: None,
    ) -> None:
        self._ready: tuple[str, Predict] = (REFERENCE.name, network)
        self._lock = threading.Lock()
        self._settled = settled
        self._wait = wait
        self.is_settled = False

    @property
    def name(self) -> str:
        """Of the form that answers, or would if it were asked now."""
        return self._ready[0]

    def offer(self, name: str, engine: Predict) -> bool:
        """Make this the form that will answer; False when it is too late for that."""
        with self._lock:
            if not self.is_settled:
                self._ready = (name, engine)
            return not self.is_settled

    def __call__(self, x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        if not self.is_settled:
            self._wait()
            with self._lock:
                self.is_settled = True
                self._settled(self.name)
        return self._ready[1](x_t, t, labels)


class Engines:
    """Gives every diffusion network its fastest form: `Zoo(fit=engines)`, then `engines.prepare(zoo)`."""

    def __init__(
        self, cache: Cache | None = None, kinds: Sequence[Kind] | None = None, budget_s: float = BUDGET_S
    ) -> None:
        self.cache = cache or Cache()
        self._given = kinds
        self._budget_s = budget_s
        self._settled: dict[Path, str] = {}  # a network that is loaded again answers in the form it answered in
        self._racing = threading.Lock()  # one race at a time, or they would measure one another
        self._unraced: set[Path] = set()  # networks that whoever asks them first is to race
        self._likely: str | None = None  # what the last network raced runs in

    def __call__(self, network: Model, card: Card) -> Callable[..., Tensor]:
        """What the zoo is to ask in the network's place."""
        if not isinstance(network, Diffusion):
            return network
        tuned = Tuned(
            network,
            lambda name: self._settled.setdefault(card.folder, name),
            lambda: self.race_first(tuned, network, card),
        )
        name = self._settled.get(card.folder)
        if name is not None:
            forms = self.build(subject_of(network, card), [kind for kind in self.kinds() if kind.name == name])
            for form in forms.values():
                tuned.offer(name, form.predict)
        return tuned

    def kinds(self) -> Sequence[Kind]:
        """The forms to try, the reference first; without an extra that cannot be loaded."""
        if self._given is None:
            try:
                self._given = kinds_here(self.cache)
            except Exception as error:
                log.warning("an extra cannot be used, torch serves: %s", first_line(error))
                self._given = (REFERENCE,)
        return self._given

    def build(self, subject: Subject, kinds: Sequence[Kind]) -> dict[str, Form]:
        """The forms that could be built and hold what they promise; one line in the log for each of the others."""
        forms = {}
        expected = subject.network(*subject.examples(CHECKED_BATCH))
        for kind in kinds:
            if not kind.is_converted(subject):
                continue
            try:
                engine = kind.build(subject)
                forms[kind.name] = Form(kind, engine, checked(kind, engine, subject, expected))
            except Exception as error:  # whatever an extra provokes, the others go on
                log.warning("%s goes without %s: %s", subject.name, kind.name, first_line(error))
        return forms

    def key(self, subject: Subject) -> str:
        """What a verdict holds for: weights, libraries, processor, threads and the forms that can be built."""
        names = [kind.name for kind in self.kinds() if kind.is_converted(subject)]
        return subject.key(processor=processor(), threads=[torch.get_num_threads(), job_threads()], kinds=names)

    @torch.inference_mode()
    def best(self, subject: Subject, expected: str | None = None) -> tuple[str, Predict]:
        """The fastest form of a network: the remembered one if it still holds, or else the winner of a race of all.

        Where nothing is remembered, `expected` (the form of another network on this machine) is tried in its place:
        building all forms takes memory that does not come back. Either is tried in the small batch alone.
        """
        remembered = (self.cache.verdict(self.key(subject)) or {}).get("engine")
        if remembered == REFERENCE.name:
            return remembered, subject.network
        likely = expected if remembered is None else remembered
        if likely not in (None, REFERENCE.name):
            forms = self.build(subject, [kind for kind in self.kinds() if kind.name in (REFERENCE.name, likely)])
            times = race(forms, subject, self._budget_s / 2, BATCHES[:1])
            if str(likely) in times and pace(times[likely], times[REFERENCE.name]) >= STILL_HOLDS:
                if remembered is None:
                    self.remember(subject, likely, forms, times)
                return likely, forms[likely].predict
            log.warning("%s: %s is not as fast as it was, all are raced again", subject.name, likely)
        forms = self.build(subject, self.kinds())
        times = race(forms, subject, self._budget_s)
        name = fastest([form.kind for form in forms.values()], times)
        self.remember(subject, name, forms, times)
        return name, forms[name].predict

    def remember(
        self, subject: Subject, name: str, forms: Mapping[str, Form], times: Mapping[str, Mapping[int, float]]
    ) -> None:
        """Keep a race's outcome for the next start."""
        shown = {form: {str(batch): round(1000 * s, 3) for batch, s in by.items()} for form, by in times.items()}
        verdict = Verdict(name, shown, {form: forms[form].error for form in times})
        self.cache.remember(self.key(subject), asdict(verdict))

    def found(self, subject: Subject) -> Verdict:
        """What the last race of this network found; `best` must have been asked before."""
        return Verdict(**self.cache.verdict(self.key(subject)))

    def prepare(self, zoo: Zoo) -> None:
        """Make the fastest form of the first network ready: of those here now, then, after converting, of all.

        Every network is converted; the others are raced when they are asked first, for a form that is ready takes
        memory.
        """
        cards = diffusion_cards(zoo)
        self.offer_best(zoo, cards[:1])
        if self.convert_missing(zoo, cards):
            self._likely = None  # there are more forms now
            self.offer_best(zoo, cards[:1])

    def make_ready(self, zoo: Zoo, card: Card) -> None:
        """Convert and race one network, ahead of its first picture."""
        self.convert_missing(zoo, [card])
        self.offer_best(zoo, [card])

    def offer_best(self, zoo: Zoo, cards: Sequence[Card]) -> None:
        """Let every network that has made no picture yet run in the fastest form that can be built now."""
        for card in cards:
            entry = zoo.open(card.dataset, card.model)
            if isinstance(entry.predict, Tuned) and not entry.predict.is_settled:
                with self._racing:
                    self.offer_winner(entry.predict, entry.network, card)

    def offer_winner(self, tuned: Tuned, network: Diffusion, card: Card) -> None:
        """Race a network and let the winner answer; the race's lock must be held."""
        try:
            self._likely, engine = self.best(subject_of(network, card), self._likely)
        finally:
            self._unraced.discard(card.folder)  # not before: who comes meanwhile is to wait
        served = tuned.offer(self._likely, engine)
        log.info("%s/%s runs on %s", card.dataset, card.model, self._likely if served else "torch until the next start")

    def race_first(self, tuned: Tuned, network: Diffusion, card: Card) -> None:
        """Before a network's first picture: race it, unless that was done; never waits long behind other races."""
        if card.folder not in self._unraced or not self._racing.acquire(timeout=FIRST_PATIENCE_S):
            return
        try:
            if card.folder in self._unraced:
                self.offer_winner(tuned, network, card)
                give_back_memory()
        except Exception:
            log.exception(NONE_READY)
        finally:
            self._racing.release()

    def prepare_behind(self, zoo: Zoo) -> threading.Thread:
        """`prepare` in a thread of its own; whatever goes wrong there, the networks go on as they are."""
        self._unraced.update(card.folder for card in diffusion_cards(zoo))

        def work() -> None:
            try:
                self.prepare(zoo)
            except Exception:
                log.exception(NONE_READY)
            give_back_memory()
            log.info(ALL_READY)

        thread = threading.Thread(target=work, name="engines", daemon=True)
        thread.start()
        return thread

    def convert_missing(self, zoo: Zoo, cards: Sequence[Card]) -> bool:
        """Convert in a process of its own, and race the first network there, which leaves its verdict in the cache.

        Both take much memory that would never come back. True where something was converted.
        """
        subjects = [subject_of(zoo.open(card.dataset, card.model).network, card) for card in cards]
        if all(kind.is_converted(subject) for kind in self.kinds() for subject in subjects):
            return False
        folders = ["--root", zoo.root.resolve(), "--cache", self.cache.folder.resolve()]
        command = [sys.executable, "-m", "playground.engine", "--behind", *folders]
        try:
            subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, timeout=CONVERSION_PATIENCE_S)
        except (OSError, subprocess.SubprocessError) as error:
            log.warning("conversion failed, torch serves: %s", first_line(error))
            return False
        return True


def diffusion_cards(zoo: Zoo) -> list[Card]:
    """Of all data sets, in the zoo's order."""
    return [card for dataset in zoo.datasets() for card in zoo.cards(dataset.name, "diffusion")]


def subject_of(network: Diffusion, card: Card) -> Subject:
    weights = "".join(f"{name}{digest}" for name, digest in sorted(card.facts["sha256"].items()))
    return Subject(f"{card.dataset}/{card.model}", network, weights)
