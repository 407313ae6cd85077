"""What a form of a diffusion network is, and those of torch and CUDA.

VAE and GAN stay as they are: asked once a picture, they answer sooner than a request takes to arrive.
"""

from __future__ import annotations

import copy
import hashlib
import json
import platform
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from playground.device import cores
from playground.models import Diffusion

# x_t [batch, channels, size, size], t [batch], labels [batch, attributes] -> the prediction, same shape as x_t
Predict = Callable[[Tensor, Tensor, Tensor], Tensor]

PACKAGES = ("torch", "diffusers", "openvino")  # whose versions decide what a conversion is and how fast it runs


def versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in PACKAGES if find_spec(name) is not None}


def processor() -> str:
    """The processor's name and number of cores: what a measurement holds for."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        name = next((ln.split(":", 1)[1].strip() for ln in cpuinfo.open() if ln.startswith("model name")), name)
    return f"{name} x {cores()}"


@dataclass(frozen=True)
class Subject:
    """A network to be run, and what its conversions are named by."""

    name: str  # for the log, such as "digits/ddpm"
    network: Diffusion
    weights: str  # digest of the weight files

    @property
    def num_labels(self) -> int:
        return len(self.network.cardinalities)

    def examples(self, batch: int) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs as they come while sampling; picture k is the same in every batch."""
        config = self.network.unet.config
        shape = (config.in_channels, config.sample_size, config.sample_size)
        generators = [torch.Generator().manual_seed(k) for k in range(batch)]
        x_t = torch.stack([torch.randn(shape, generator=generator) for generator in generators])
        t = torch.tensor([(100 + 350 * k) % 1000 for k in range(batch)])
        labels = torch.tensor([[1 + k % values for values in self.network.cardinalities] for k in range(batch)])
        return x_t, t, labels.view(batch, self.num_labels).long()

    def key(self, **more: object) -> str:
        """A name that changes with the weights, the libraries and whatever else is given."""
        facts = {"weights": self.weights, "versions": versions(), **more}
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]


@dataclass(frozen=True)
class Kind:
    """One form to run a network in."""

    name: str
    is_exact: bool  # float32 throughout: differs from the reference by rounding alone
    build: Callable[[Subject], Predict]  # may raise anything: then the network goes without
    is_converted: Callable[[Subject], bool] = lambda _: True  # nothing to convert, or it has been

    @property
    def max_error(self) -> float:
        """Relative L2 distance from the reference that one pass may have."""
        return 1e-4 if self.is_exact else 3e-2


REFERENCE = Kind("torch float32", True, lambda subject: subject.network)


def first_line(error: Exception) -> str:
    """What an error says, in one line for the log."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class PointwiseLinear(nn.Module):
    """A linear layer of vectors [batch, n] as a 1x1 convolution.

    torch takes small products in bfloat16 another way than larger ones, so that a vector's bits depend on how many it
    comes with; those of a convolution do not.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(linear.weight[:, :, None, None]), linear.bias

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x[:, :, None, None], self.weight, self.bias)[:, :, 0, 0]


def same_in_any_batch(network: Diffusion) -> Diffusion:
    """The network with every linear layer of its time embedding pointwise, in place."""
    for parent in list(network.unet.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear) and name in ("linear_1", "linear_2", "time_emb_proj"):
                setattr(parent, name, PointwiseLinear(child))
    return network


def traced(subject: Subject, dtype: torch.dtype) -> Predict:
    """A copy of the network in `dtype`, channels beside one another in memory, recorded once and replayed.

    No Python runs between its operations: a small batch is sooner done, and threads replay it truly at once.
    """
    network = copy.deepcopy(subject.network)
    if dtype == torch.bfloat16:
        network = same_in_any_batch(network)
    network = network.to(dtype=dtype, memory_format=torch.channels_last).requires_grad_(False)
    x_t, t, labels = subject.examples(3)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's, about checks of shapes: those of one network never change
        example = (x_t.to(dtype=dtype, memory_format=torch.channels_last), t.float(), labels)
        recorded = torch.jit.freeze(torch.jit.trace(network.eval(), example, check_trace=False))

    @torch.inference_mode()  # here, because a helper's thread knows nothing of its caller's mode
    def predict(x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        laid_out = x_t.to(dtype=dtype, memory_format=torch.channels_last)
        return recorded(laid_out, t.float(), labels[:, : subject.num_labels]).float().contiguous()

    return predict


def in_halves(predict: Predict, helpers: Executor) -> Predict:
    """A batch as two halves at once, each in a helper's thread.

    Always cut in the same place, whatever else is running, so that a picture's bits do not depend on that.
    """

    def both(*inputs: Tensor) -> Tensor:
        middle = (len(inputs[0]) + 1) // 2
        if middle == len(inputs[0]):
            return predict(*inputs)
        halves = (slice(middle), slice(middle, None))
        running = [helpers.submit(predict, *(value[half] for value in inputs)) for half in halves]
        return torch.cat([half.result() for half in running])

    return both


def portions(batch: int, sizes: Sequence[int]) -> list[tuple[int, int]]:
    """A batch for networks of fixed sizes: (size, pictures in it) each, filled up where that is cheaper."""
    left, parts = batch, []
    for size in sorted(sizes, reverse=True):
        is_worth_filling = size == min(sizes) or left % size > size / 2
        while left >= size or (left and is_worth_filling):
            parts.append((size, min(size, left)))
            left -= parts[-1][1]
    return parts


def in_portions(sizes: Mapping[int, Predict], x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
    """A batch through networks of fixed sizes; filled places repeat the last picture and are thrown away."""
    parts, begin = [], 0
    for size, used in portions(len(x_t), list(sizes)):
        rows = torch.arange(begin, begin + size).clamp(max=begin + used - 1)
        parts.append(sizes[size](x_t[rows], t[rows], labels[rows])[:used])
        begin += used
    return torch.cat(parts)


class CapturedOnCuda:
    """The network in bfloat16 on the GPU, captured once as a graph for one batch size and replayed."""

    def __init__(self, subject: Subject, batch: int = 32) -> None:
        self._network = copy.deepcopy(subject.network).to("cuda", torch.bfloat16, memory_format=torch.channels_last)
        self._batch = batch
        self._lock = threading.Lock()  # both lanes may ask, and the graph has one place for what it is given
        x_t, t, labels = (value.cuda() for value in subject.examples(batch))
        self._inputs = (x_t.to(torch.bfloat16, memory_format=torch.channels_last), t.float(), labels)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream), torch.inference_mode():
            for _ in range(3):  # lets the libraries choose their kernels before they are recorded
                self._network(*self._inputs)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph), torch.inference_mode():
            self._output = self._network(*self._inputs)

    def _replay(self, *inputs: Tensor) -> Tensor:
        with self._lock:
            for place, value in zip(self._inputs, inputs, strict=True):
                place.copy_(value)
            self._graph.replay()
            return self._output.float().contiguous().cpu()

    def __call__(self, x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        known = labels[:, : self._inputs[2].shape[1]]
        return in_portions({self._batch: self._replay}, x_t, t, known)
