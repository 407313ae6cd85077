"""OpenVINO: a network converted once for each of three batch sizes, compiled at every start."""

from __future__ import annotations

import logging
import threading
import warnings
from pathlib import Path

import openvino as ov
import torch
from openvino._offline_transformations import apply_moc_transformations
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import Tensor

from playground.device import job_threads
from playground.engine.cache import Cache
from playground.engine.kinds import Kind, Predict, Subject, first_line, in_portions

log = logging.getLogger(__name__)

SIZES = (1, 2, 8)  # a picture, one with guidance, many; above 8 a picture gets no cheaper
HINTS = {"float32": "f32", "bfloat16": "bf16"}


def key_of(subject: Subject, batch: int) -> str:
    return subject.key(batch=batch, converter=1)


def is_converted(subject: Subject, cache: Cache) -> bool:
    return all(cache.conversion(key_of(subject, batch)).exists() for batch in SIZES)


def convert(subject: Subject, cache: Cache) -> None:
    """Write the network for every batch size into the cache; takes seconds.

    The parts of `openvino.convert_model` are called one by one: as a whole it reports to its makers over the network.
    """
    for batch in SIZES:
        x_t, t, labels = subject.examples(batch)
        inputs = (x_t, t.float(), labels)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer's, about checks of shapes that are fixed here
            traced = torch.jit.trace(subject.network, inputs, check_trace=False)
        decoder = TorchScriptPythonDecoder(traced, example_input=inputs)
        frontend = FrontEndManager().load_by_framework("pytorch")
        opened = frontend.load(decoder)
        model = frontend.convert(opened)
        model.reshape({place: list(value.shape) for place, value in zip(model.inputs, inputs, strict=True)})
        apply_moc_transformations(model, cf=True)
        # not in half precision: the weights would fit, the frequencies of the time embedding would not
        cache.keep(key_of(subject, batch), lambda path, m=model: ov.save_model(m, path, compress_to_fp16=False))


class OpenVINO:
    """A converted network; a picture comes out the same, bit for bit, in any batch.

    Larger sizes are compiled (a quarter of a second, some 35 MB) for the first batch that could use them, and left out
    where they do not give the same bits as the smallest one.
    """

    def __init__(self, subject: Subject, precision: str, cache: Cache) -> None:
        self._subject = subject
        self._cache = cache
        self._options = {
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "INFERENCE_NUM_THREADS": job_threads(),
            "NUM_STREAMS": 1,
        }
        self._lock = threading.Lock()  # a request holds its own answer, so one at a time
        self._widening = threading.Lock()
        self._core = ov.Core()
        self._sizes: dict[int, Predict] = {SIZES[0]: self._compile(SIZES[0])}
        self._untried = list(SIZES[1:])

    def _compile(self, batch: int) -> Predict:
        key = key_of(self._subject, batch)
        path = self._cache.conversion(key)
        try:
            request = self._core.compile_model(read(self._core, path), "CPU", self._options).create_infer_request()
        except RuntimeError:
            self._cache.forget(key)  # damaged: the next start converts it again
            raise

        def predict(*inputs: Tensor) -> Tensor:
            arrays = [value.contiguous().numpy() for value in inputs]
            with self._lock:
                return torch.from_numpy(request.infer(arrays, share_inputs=True, share_outputs=True)[0].copy())

        return predict

    def _widen(self, size: int) -> None:
        """Take up a larger size where it gives what the smallest one gives."""
        try:
            predict = self._compile(size)
            x_t, t, labels = self._subject.examples(size)
            alone = in_portions({SIZES[0]: self._sizes[SIZES[0]]}, x_t, t.float(), labels)
            if not torch.equal(predict(x_t, t.float(), labels), alone):
                raise ValueError("a picture depends on its batch")
            self._sizes = {**self._sizes, size: predict}
        except Exception as error:  # whatever it was, the smaller sizes go on
            log.warning("%s runs without batches of %d: %s", self._subject.name, size, first_line(error))

    def __call__(self, x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        with self._widening:
            while self._untried and len(x_t) > self._untried[0] / 2:
                self._widen(self._untried.pop(0))
        return in_portions(self._sizes, x_t, t.float(), labels[:, : self._subject.num_labels])


def openvino_kinds(cache: Cache) -> list[Kind]:
    """One for each precision that the processor can calculate in; how fast is another question."""
    able = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return [
        Kind(
            f"openvino {precision}",
            precision == "float32",
            lambda subject, precision=precision: OpenVINO(subject, precision, cache),
            lambda subject: is_converted(subject, cache),
        )
        for precision, hint in HINTS.items()
        if hint == "f32" or hint.upper() in able
    ]


def read(core: ov.Core, path: Path) -> ov.Model:
    """The conversion at `path`, which counts as used now."""
    path.touch()
    return core.read_model(path)
