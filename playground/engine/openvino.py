"""OpenVINO: a network converted once for each of three batch sizes, compiled at every start."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
import openvino as ov
import torch
from openvino._offline_transformations import apply_moc_transformations
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import Tensor

from playground.device import job_threads
from playground.engine.cache import Cache
from playground.engine.channelwise import channelwise
from playground.engine.kinds import Kind, Subject, first_line, portions

log = logging.getLogger(__name__)

SIZES = (1, 4, 8)  # that a core takes at once; above 8 a picture gets no cheaper
HINTS = {"float32": "f32", "bfloat16": "bf16"}


def key_of(subject: Subject, batch: int) -> str:
    return subject.key(batch=batch, converter=3)


def is_converted(subject: Subject, cache: Cache) -> bool:
    return all(cache.conversion(key_of(subject, batch)).exists() for batch in SIZES)


def convert(subject: Subject, cache: Cache) -> None:
    """Write the network for every batch size into the cache; takes seconds.

    The parts of `openvino.convert_model` are called one by one: as a whole it reports to its makers over the network.
    """
    network = channelwise(subject.network)
    for batch in SIZES:
        x_t, t, labels = subject.examples(batch)
        inputs = (x_t, t.float(), labels)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer's, about checks of shapes that are fixed here
            traced = torch.jit.trace(network, inputs, check_trace=False)
        decoder = TorchScriptPythonDecoder(traced, example_input=inputs)
        frontend = FrontEndManager().load_by_framework("pytorch")
        opened = frontend.load(decoder)
        model = frontend.convert(opened)
        model.reshape({place: list(value.shape) for place, value in zip(model.inputs, inputs, strict=True)})
        apply_moc_transformations(model, cf=True)
        # not in half precision: the weights would fit, the frequencies of the time embedding would not
        cache.keep(key_of(subject, batch), lambda path, m=model: ov.save_model(m, path, compress_to_fp16=False))


class Request:
    """One pass at a time over arrays of its own, which the inputs are copied into: handing them over takes longer."""

    def __init__(self, model: ov.CompiledModel) -> None:
        self._request = model.create_infer_request()
        self._inputs = [self._bind(place, self._request.set_tensor) for place in model.inputs]
        self._output = self._bind(model.outputs[0], self._request.set_tensor)

    @staticmethod
    def _bind(place: ov.ConstOutput, set_tensor: Callable[[ov.ConstOutput, ov.Tensor], None]) -> Tensor:
        array = np.zeros(list(place.shape), place.element_type.to_dtype())
        set_tensor(place, ov.Tensor(array, shared_memory=True))
        return torch.from_numpy(array)

    def take(self, inputs: Sequence[Tensor]) -> None:
        for place, value in zip(self._inputs, inputs, strict=True):
            place.copy_(value)

    def run(self) -> Tensor:
        """In the caller's own thread where the model has a single stream."""
        self._request.infer()
        return self._output.clone()

    def start(self) -> None:
        self._request.start_async()

    def wait(self) -> Tensor:
        self._request.wait()
        return self._output.clone()


class Compiled:
    """A conversion made ready for one batch size, asked by anybody at any time."""

    def __init__(self, model: ov.CompiledModel) -> None:
        self._model = model
        self._idle: list[Request] = []  # as many as were ever busy at once

    def _request(self, inputs: Sequence[Tensor]) -> Request:
        try:
            request = self._idle.pop()
        except IndexError:
            request = Request(self._model)
        request.take(inputs)
        return request

    def __call__(self, *inputs: Tensor) -> Tensor:
        """One pass."""
        request = self._request(inputs)
        found = request.run()
        self._idle.append(request)
        return found

    def begin(self, *inputs: Tensor) -> Callable[[], Tensor]:
        """Start one pass behind those that were started before; what comes back waits for its answer."""
        request = self._request(inputs)
        request.start()

        def answer() -> Tensor:
            found = request.wait()
            self._idle.append(request)
            return found

        return answer


class OpenVINO:
    """A converted network; a picture comes out the same, bit for bit, in any batch.

    Every core is a stream of its own and takes a share of the batch: cores that work on one picture together spend
    half of their time on waiting for one another. Larger sizes are compiled (a few tenths of a second, some 50 MB) for
    the first batch that could use them, and left out where they do not give the same bits as the smallest one.
    """

    def __init__(
        self, subject: Subject, precision: str, cache: Cache, helpers: Executor, core: ov.Core | None = None
    ) -> None:
        self._subject = subject
        self._cache = cache
        self._helpers = helpers
        self._streams = job_threads()
        self._hint = HINTS[precision]
        self._widening = threading.Lock()
        self._core = core or ov.Core()
        self._alone = self._compile(1, streams=1)  # a single picture is done before another thread would wake
        self._sizes: dict[int, Compiled] = {SIZES[0]: self._compile(SIZES[0], self._streams)}
        self._untried = set(SIZES[1:])

    def _compile(self, batch: int, streams: int) -> Compiled:
        options = {"INFERENCE_PRECISION_HINT": self._hint, "INFERENCE_NUM_THREADS": streams, "NUM_STREAMS": streams}
        key = key_of(self._subject, batch)
        path = self._cache.conversion(key)
        try:
            # in a job's thread, because the streams' threads begin with the priority of the one that makes them
            model = self._helpers.submit(self._core.compile_model, read(self._core, path), "CPU", options)
            return Compiled(model.result())
        except RuntimeError:
            self._cache.forget(key)  # damaged: the next start converts it again
            raise

    def _widen(self, size: int) -> None:
        """Take up a larger size where it gives what the smallest one gives."""
        try:
            compiled = self._compile(size, self._streams)
            x_t, t, labels = self._subject.examples(size)
            alone = self._spread({SIZES[0]: self._sizes[SIZES[0]]}, x_t, t.float(), labels)
            if not torch.equal(compiled(x_t, t.float(), labels), alone):
                raise ValueError("a picture depends on its batch")
            self._sizes = {**self._sizes, size: compiled}
        except Exception as error:  # whatever it was, the smaller sizes go on
            log.warning("%s runs without batches of %d: %s", self._subject.name, size, first_line(error))

    def _plan(self, batch: int, sizes: Collection[int]) -> list[tuple[int, int]]:
        """(size, pictures in it) of every pass that a batch takes: an equal share for each stream, in portions."""
        share = -(-batch // self._streams)
        shares = [min(share, batch - first) for first in range(0, batch, share)]
        return [portion for pictures in shares for portion in portions(pictures, list(sizes))]

    def _spread(self, sizes: Mapping[int, Compiled], *inputs: Tensor) -> Tensor:
        """A batch over all streams; filled places repeat the last picture and are thrown away."""
        answers, first = [], 0
        for size, used in self._plan(len(inputs[0]), sizes):
            part = [value[first : first + used] for value in inputs]
            if used < size:
                part = [torch.cat([value, value[-1:].expand(size - used, *value.shape[1:])]) for value in part]
            answers.append((sizes[size].begin(*part), used))
            first += used
        return torch.cat([answer()[:used] for answer, used in answers])

    def __call__(self, x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        known = labels[:, : self._subject.num_labels]
        if len(x_t) == 1:
            return self._alone(x_t, t.float(), known)
        if self._untried:
            wanted = {size for size, _ in self._plan(len(x_t), SIZES)}
            with self._widening:
                for size in sorted(wanted & self._untried):
                    self._untried.discard(size)
                    self._widen(size)
        return self._spread(self._sizes, x_t, t.float(), known)


def openvino_kinds(cache: Cache, helpers: Executor) -> list[Kind]:
    """One for each precision that the processor can calculate in; how fast is another question."""
    core = ov.Core()
    able = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return [
        Kind(
            f"openvino {precision}",
            precision == "float32",
            lambda subject, precision=precision: OpenVINO(subject, precision, cache, helpers, core),
            lambda subject: is_converted(subject, cache),
        )
        for precision, hint in HINTS.items()
        if hint == "f32" or hint.upper() in able
    ]


def read(core: ov.Core, path: Path) -> ov.Model:
    """The conversion at `path`, which counts as used now."""
    path.touch()
    return core.read_model(path)
