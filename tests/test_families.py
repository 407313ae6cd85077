"""Every family through one battery: what each network promises whatever its size, channels and attributes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from playground.models import GAN, VAE, Diffusion, Model, load_model, save_model

NETWORKS = ("ae", "vae", "gan", "diffusion")
DECLARATIONS = {  # size, channels, cardinalities of a data set
    "grey-32": (32, 1, (10,)),
    "colour-32": (32, 3, (2, 4)),
    "grey-64": (64, 1, (19, 21, 28)),
    "colour-64": (64, 3, (5, 3, 2, 2, 4, 2, 3)),
}


def noise(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def outputs(network: Model, pictures: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """Everything that the network can say about these pictures, and make of noise; first dimension: batch."""
    z = noise(1, 16, getattr(getattr(network, "config", None), "latent_dim", 1))[: len(pictures)]
    if isinstance(network, VAE):
        mu, logvar = network.encode(pictures, labels)
        parts = {"mu": mu, "picture": network.decode(z, labels)}
        return parts if logvar is None else {**parts, "logvar": logvar}
    if isinstance(network, GAN):
        fake = network.generator(z, labels)
        return {"w": network.generator.map(z), "picture": fake, "logits": network.discriminator(pictures, labels)}
    t = torch.arange(len(pictures)) * 60
    return {"v": network(pictures, t, labels)}


@pytest.fixture(params=NETWORKS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=DECLARATIONS)
def declared(request: pytest.FixtureRequest) -> tuple[int, int, tuple[int, ...]]:
    return DECLARATIONS[request.param]


@pytest.fixture
def network(kind: str, declared: tuple, tiny_network: Callable[..., Model]) -> Model:
    return tiny_network(kind, *declared)


@pytest.fixture
def pictures(declared: tuple[int, int, tuple[int, ...]]) -> Tensor:
    size, channels, _ = declared
    return noise(0, 6, channels, size, size).clamp(-1, 1)


@pytest.fixture
def labels(declared: tuple[int, int, tuple[int, ...]]) -> Tensor:
    """Six rows: all "any", all last values, and a mixture."""
    cardinalities = torch.tensor(declared[2])
    mixture = torch.arange(4 * len(cardinalities)).view(4, -1) % (cardinalities + 1)
    return torch.cat([torch.zeros_like(cardinalities)[None], cardinalities[None], mixture])


def test_shapes_follow_from_what_the_data_set_declares(
    network: Model, kind: str, pictures: Tensor, labels: Tensor
) -> None:
    found = outputs(network, pictures, labels)
    for name, value in found.items():
        assert torch.isfinite(value).all()
        assert value.dtype == torch.float32
        assert value.shape[0] == 6
        if name in ("picture", "v"):
            assert value.shape == pictures.shape
        assert value.std() > 0
    if "picture" in found:
        assert found["picture"].abs().max() <= (3 if kind == "gan" else 1)  # a GAN overshoots a little: see `generate`


def test_what_was_saved_comes_back_rounded(network: Model, pictures: Tensor, labels: Tensor, tmp_path: Path) -> None:
    save_model(network, tmp_path)
    loaded = load_model(tmp_path)
    assert type(loaded) is type(network)
    before = network.state_dict()
    assert list(before) == list(loaded.state_dict())
    for name, weight in loaded.state_dict().items():
        if isinstance(network, Diffusion) or weight.ndim == 1:
            assert torch.equal(weight, before[name].half().float()), name
            continue
        rows, kept = before[name].flatten(1), weight.flatten(1)
        # never worse than half a step of the plain scale, which leads from minus to plus the largest in 254 steps
        plain = rows.abs().amax(1) / 127 / 2
        assert bool(((rows - kept).square().mean(1).sqrt() <= plain + 1e-8).all()), name
    network.load_state_dict(loaded.state_dict())
    for name, value in outputs(loaded, pictures, labels).items():
        assert torch.equal(value, outputs(network, pictures, labels)[name]), name


def test_saving_leaves_the_network_as_it_was(network: Model, pictures: Tensor, labels: Tensor, tmp_path: Path) -> None:
    before = outputs(network, pictures, labels)
    save_model(network, tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in outputs(network, pictures, labels).items())


def test_a_loaded_network_is_read_only_and_on_the_cpu(network: Model, tmp_path: Path) -> None:
    save_model(network.train().requires_grad_(True), tmp_path)
    loaded = load_model(tmp_path)
    assert not any(module.training for module in loaded.modules())
    for tensor in loaded.state_dict(keep_vars=True).values():
        assert not tensor.requires_grad
        assert tensor.dtype == torch.float32
        assert tensor.device.type == "cpu"


@pytest.mark.parametrize("kind", ["ae", "vae", "gan"])  # diffusers fills its UNet with random numbers first
def test_loading_draws_no_random_numbers(network: Model, tmp_path: Path) -> None:
    save_model(network, tmp_path)
    before = torch.get_rng_state()
    load_model(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_row_of_the_batch_depends_on_itself_alone(network: Model, pictures: Tensor, labels: Tensor) -> None:
    together = outputs(network, pictures, labels)
    again = outputs(network, pictures, labels)
    for name, value in together.items():
        assert torch.equal(value, again[name]), name
    for few in (1, 3):
        for name, value in outputs(network, pictures[:few], labels[:few]).items():
            torch.testing.assert_close(value, together[name][:few], atol=1e-5, rtol=1e-5)


def test_any_is_the_network_without_its_label_tables(network: Model, pictures: Tensor) -> None:
    labels = torch.zeros(6, 8, dtype=torch.long)[:, : len(network_cardinalities(network))]
    before = outputs(network, pictures, labels)
    for module in network.modules():
        if isinstance(module, torch.nn.Embedding):
            module.weight.data[1:] += 100
    for name, value in outputs(network, pictures, labels).items():
        assert torch.equal(value, before[name]), name


def test_every_attribute_matters(network: Model, pictures: Tensor) -> None:
    cardinalities = network_cardinalities(network)
    nothing = torch.zeros(6, len(cardinalities), dtype=torch.long)
    without = outputs(network, pictures, nothing)
    for column, last in enumerate(cardinalities):
        labels = nothing.clone()
        labels[:, column] = last
        changed = {name for name, value in outputs(network, pictures, labels).items() if (value != without[name]).any()}
        assert changed == set(without) - {"w"}  # z -> w is asked without labels


@pytest.mark.parametrize("kind", ["ae", "vae", "diffusion"])  # a GAN is always told the labels of its data set
def test_a_network_that_was_told_nothing_ignores_labels(
    kind: str, declared: tuple, pictures: Tensor, tiny_network: Callable[..., Model]
) -> None:
    size, channels, cardinalities = declared
    network = tiny_network(kind, size, channels, ())
    labels = torch.ones(6, len(cardinalities), dtype=torch.long)
    with_labels, without = outputs(network, pictures, labels), outputs(network, pictures, torch.zeros_like(labels))
    assert all(torch.equal(value, without[name]) for name, value in with_labels.items())


def network_cardinalities(network: Model) -> tuple[int, ...]:
    return network.config.cardinalities if isinstance(network, (VAE, GAN)) else network.cardinalities
