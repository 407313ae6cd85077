"""The door: every task of every family, counted, closed, refused and repeated."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal, kl_divergence

from playground import drawing, limits
from playground.datasets import DATASETS
from playground.generate import MAP_SIDE, Frame, by_lot, generate, last
from playground.models import Diffusion
from playground.recipe import SAMPLERS, Recipe
from playground.sampling.noise import seeded_noise
from playground.sampling.paths import grid, walk
from playground.sampling.reverse import STOCHASTIC
from playground.zoo import Zoo

DATASET = next(iter(DATASETS.values()))
FLAT, VAES, MODELS = ("ae2", "vae2"), ("ae2", "vae2", "vae"), ("ae2", "vae2", "vae", "gan", "ddpm")


def recipe(model: str, task: str = "sample", **choices: object) -> Recipe:
    """A recipe that owes nothing to the defaults that make pictures best."""
    plain = {"steps": 4, "sampler": "dpmpp", "guidance_scale": 1.0, "temperature": 1.0, "truncation_psi": 1.0}
    return Recipe(dataset=DATASET.name, model=model, task=task, **{**plain, **choices})


def ink(seed: int = 0) -> str:
    """A drawing of noise."""
    return drawing.pack(np.random.default_rng(seed).integers(0, 256, DATASET.shape[1:], dtype=np.uint8))


TASKS = [
    *[recipe(model, labels=(3,), seed=5, count=3) for model in MODELS],
    *[recipe(model, "walk", labels=(3,), seed=5, seed_to=9, count=4) for model in MODELS],
    *[recipe(model, "compare", seed=5, count=2) for model in MODELS],
    *[recipe(model, "map", labels=(2,)) for model in FLAT],
    *[recipe(model, point=(0.5, -1.0)) for model in FLAT],
    *[recipe(model, "encode", picture=12, seed=5, count=3, temperature=0.5) for model in VAES],
    *[recipe(model, "encode", drawing=ink(), labels=(4,)) for model in VAES],
    recipe("vae", shifts=(1.0, -2.0), temperature=0.7, labels=(9,)),
    recipe("gan", shifts=(1.0, -2.0), truncation_psi=0.5, labels=(9,)),
    recipe("gan", "judge", picture=12),
    recipe("gan", "judge", drawing=ink(), labels=(1,)),
    *[recipe("ddpm", sampler=sampler, labels=(7,), guidance_scale=2.0, eta=0.5) for sampler in SAMPLERS],
]
every_task = pytest.mark.parametrize("chosen", TASKS, ids=lambda r: f"{r.model}-{r.task}-{r.sampler}")


def expected_count(chosen: Recipe) -> int:
    if chosen.task == "map":
        return MAP_SIDE**2
    return 1 if chosen.point or chosen.task == "judge" else chosen.count


def assert_good(chosen: Recipe, frames: list[Frame]) -> None:
    """What every Frame promises."""
    assert [frame.is_last for frame in frames] == [False] * (len(frames) - 1) + [True]
    for frame in frames:
        assert frame.pictures.shape == (expected_count(chosen), *DATASET.shape)
        assert torch.isfinite(frame.pictures).all()
        assert frame.pictures.abs().max() <= 1
        assert not frame.pictures.requires_grad
        assert (frame.encoding is not None) == (chosen.task == "encode")
        assert (frame.step is not None) == (chosen.model == "ddpm")
        assert (frame.realness is not None) == (chosen.model == "gan" and chosen.task != "compare")
    if frames[-1].realness is not None:
        assert ((frames[-1].realness >= 0) & (frames[-1].realness <= 1)).all()
        assert len(frames[-1].realness) == expected_count(chosen)
    for before, after in itertools.pairwise(frames):
        assert before.seconds <= after.seconds
        assert before.network_evaluations <= after.network_evaluations


@every_task
def test_every_task_of_every_family(tiny_zoo: Zoo, chosen: Recipe) -> None:
    assert_good(chosen, list(generate(chosen, tiny_zoo)))


@pytest.mark.parametrize(
    "chosen",
    [r for r in TASKS if r.model != "ddpm" or r.sampler == "dpmpp" or r.task == "walk"],
    ids=lambda r: f"{r.model}-{r.task}-{r.sampler}",
)
def test_every_task_with_the_trained_weights(real_zoo: Zoo, chosen: Recipe) -> None:
    assert_good(chosen, list(generate(chosen, real_zoo)))


@every_task
def test_the_same_recipe_is_bit_identical(tiny_zoo: Zoo, chosen: Recipe) -> None:
    for first, second in zip(generate(chosen, tiny_zoo), generate(chosen, tiny_zoo), strict=True):
        assert torch.equal(first.pictures, second.pictures)


@pytest.mark.parametrize("model", MODELS)
def test_picture_k_of_a_batch_is_the_picture_of_its_own_seed(tiny_zoo: Zoo, model: str) -> None:
    for sampler in SAMPLERS if model == "ddpm" else ("ddpm",):
        chosen = recipe(model, labels=(3,), seed=limits.MAX_SEED - 1, count=3, sampler=sampler, eta=1.0)
        together = last(chosen, tiny_zoo).pictures
        for k, seed in enumerate(chosen.seeds):
            alone = last(replace(chosen, seed=seed, count=1), tiny_zoo).pictures[0]
            torch.testing.assert_close(alone, together[k], atol=1e-5, rtol=0)


def test_many_threads_interleaved_give_what_each_gives_alone(tiny_zoo: Zoo) -> None:
    recipes = [
        recipe(("vae", "gan", "ddpm")[k % 3], seed=k, labels=(k % 11,), count=1 + k % 2, sampler=SAMPLERS[k % 8])
        for k in range(48)
    ]
    solo = [last(chosen, tiny_zoo).pictures for chosen in recipes]
    with ThreadPoolExecutor(16) as pool:
        together = list(pool.map(lambda chosen: last(chosen, tiny_zoo).pictures, recipes))
    assert all(torch.equal(a, b) for a, b in zip(solo, together, strict=True))


@pytest.mark.parametrize("model", MODELS)
def test_a_walk_starts_at_the_picture_of_its_seed(tiny_zoo: Zoo, model: str) -> None:
    for sampler in SAMPLERS if model == "ddpm" else ("ddpm",):
        chosen = recipe(model, "walk", labels=(3,), seed=5, seed_to=9, count=4, sampler=sampler)
        path = last(chosen, tiny_zoo).pictures
        starts = last(replace(chosen, task="sample", count=1), tiny_zoo).pictures
        torch.testing.assert_close(path[:1], starts, atol=1e-5, rtol=0)
        if model != "ddpm" or sampler not in STOCHASTIC:
            ends = last(replace(chosen, task="sample", count=1, seed=9), tiny_zoo).pictures
            torch.testing.assert_close(path[-1:], ends, atol=1e-5, rtol=0)


class TestDiffusion:
    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """How many pictures each call of the network was given."""
        calls: list[int] = []
        forward = Diffusion.forward

        def counted(network: Diffusion, x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
            calls.append(len(x_t))
            return forward(network, x_t, t, labels)

        monkeypatch.setattr(Diffusion, "forward", counted)
        return calls

    @pytest.mark.parametrize("sampler", SAMPLERS)
    @pytest.mark.parametrize(
        ("scale", "labels", "asks"), [(1.0, (3,), 1), (0.0, (3,), 1), (2.5, (3,), 2), (2.5, (), 1), (2.5, (0,), 1)]
    )
    def test_network_evaluations_are_those_done(
        self, tiny_zoo: Zoo, asked: list[int], sampler: str, scale: float, labels: tuple[int, ...], asks: int
    ) -> None:
        chosen = recipe("ddpm", count=3, steps=5, sampler=sampler, guidance_scale=scale, labels=labels)
        for frame in generate(chosen, tiny_zoo):
            assert frame.network_evaluations * chosen.count == sum(asked)
        assert frame.network_evaluations == asks * (9 if sampler == "heun" else 5)

    @pytest.mark.parametrize("sampler", SAMPLERS)
    def test_closing_stops_within_one_step(self, tiny_zoo: Zoo, asked: list[int], sampler: str) -> None:
        frames = generate(recipe("ddpm", steps=1000, sampler=sampler), tiny_zoo)
        for _ in range(3):
            next(frames)
        frames.close()
        assert len(asked) == 3

    def test_nothing_runs_before_it_is_asked_for(self, tiny_zoo: Zoo, asked: list[int]) -> None:
        generate(recipe("ddpm"), tiny_zoo)
        assert asked == []

    def test_every_frame_shows_the_predicted_picture_and_the_last_the_sample(self, tiny_zoo: Zoo) -> None:
        *before, end = generate(recipe("ddpm", count=2), tiny_zoo)
        for frame in before:
            assert torch.equal(frame.pictures, frame.step.x0.clamp(-1, 1))
        assert torch.equal(end.pictures, end.step.x_next.clamp(-1, 1))

    def test_the_first_noisy_picture_is_the_noise_of_the_seeds(self, tiny_zoo: Zoo) -> None:
        chosen = recipe("ddpm", seed=8, count=2)
        first = next(generate(chosen, tiny_zoo))
        torch.testing.assert_close(first.step.x_t, seeded_noise((8, 9), DATASET.shape))

    @pytest.mark.parametrize(
        ("choices", "total"),
        [
            ({"steps": 1000, "count": 5}, 5000),
            ({"steps": 1000, "count": 3, "guidance_scale": 2.0, "labels": (1,)}, 6000),
            ({"steps": 1000, "count": 3, "sampler": "heun"}, 5997),
        ],
    )
    def test_too_much_work_is_refused_before_it_begins(
        self, tiny_zoo: Zoo, asked: list[int], choices: dict, total: int
    ) -> None:
        message = rf"^steps x pictures must be at most {limits.MAX_NETWORK_EVALUATIONS} .*needs {total}$"
        with pytest.raises(ValueError, match=message):
            next(generate(recipe("ddpm", **choices), tiny_zoo))
        assert asked == []

    def test_the_most_that_is_allowed_begins(self, tiny_zoo: Zoo) -> None:
        most = limits.MAX_NETWORK_EVALUATIONS // limits.MAX_STEPS
        frames = generate(recipe("ddpm", steps=limits.MAX_STEPS, count=most), tiny_zoo)
        assert not next(frames).is_last
        frames.close()


class TestVAE:
    @pytest.mark.parametrize("source", [{"picture": 3}, {"drawing": ink(1), "labels": (4,)}])
    @pytest.mark.parametrize("model", VAES)
    @pytest.mark.parametrize("zoo", ["tiny_zoo", "real_zoo"])
    def test_encoding_numbers_are_those_of_a_second_computation(
        self, request: pytest.FixtureRequest, zoo: str, model: str, source: dict
    ) -> None:
        zoo = request.getfixturevalue(zoo)
        frame = last(recipe(model, "encode", count=2, seed=1, **source), zoo)
        found, network = frame.encoding, zoo.open(DATASET.name, model).network
        if "picture" in source:
            x0, labels = zoo.reference(DATASET.name).picture(3)
        else:
            x0, labels = drawing.unpack(source["drawing"], DATASET.shape), torch.tensor([[4]])
        assert torch.equal(found.x0, x0)
        mu, logvar = network.encode(x0, labels)
        torch.testing.assert_close(found.mu, mu[0], atol=1e-5, rtol=1e-5)
        probabilities = Bernoulli(logits=network.decode_logits(mu, labels), validate_args=False)
        torch.testing.assert_close(found.reconstruction, 2 * probabilities.mean - 1, atol=1e-5, rtol=1e-5)
        brightness = (x0 + 1) / 2
        bce = -(
            brightness * probabilities.log_prob(torch.ones(()))
            + (1 - brightness) * probabilities.log_prob(torch.zeros(()))
        )
        assert found.recon_loss == pytest.approx(float(bce.sum()), rel=1e-4)
        noise = seeded_noise((1, 2), mu.shape[1:])
        if logvar is None:
            assert found.logvar is found.kl is found.kl_per_dimension is None
            torch.testing.assert_close(frame.z, mu.expand(2, -1), atol=1e-5, rtol=1e-5)
        else:
            sigma = (logvar / 2).exp()
            kl = kl_divergence(Normal(mu, sigma), Normal(0.0, 1.0))[0]
            torch.testing.assert_close(found.kl_per_dimension, kl, atol=1e-4, rtol=1e-4)
            assert found.kl == pytest.approx(float(kl.sum()), rel=1e-4)
            torch.testing.assert_close(frame.z, mu + sigma * noise, atol=1e-5, rtol=1e-5)

    def test_temperature_0_is_the_middle_and_1_the_noise_itself(self, tiny_zoo: Zoo) -> None:
        z = {t: last(recipe("vae", seed=3, count=2, temperature=t), tiny_zoo).z for t in (0.0, 0.5, 1.0)}
        assert torch.equal(z[0.0], torch.zeros(2, 5))
        torch.testing.assert_close(z[1.0], seeded_noise((3, 4), (5,)))
        torch.testing.assert_close(z[0.5], z[1.0] / 2)

    def test_a_shift_moves_the_most_informative_dimensions_first(self, tiny_zoo: Zoo) -> None:
        order = tiny_zoo.open(DATASET.name, "vae").latent_order
        moved = last(recipe("vae", shifts=(1.5, -0.5)), tiny_zoo).z - last(recipe("vae"), tiny_zoo).z
        expected = torch.zeros(1, 5)
        expected[0, order[0]], expected[0, order[1]] = 1.5, -0.5
        torch.testing.assert_close(moved, expected)

    @pytest.mark.parametrize("model", FLAT)
    def test_the_map_covers_the_codes_and_a_point_on_it_is_its_picture(self, tiny_zoo: Zoo, model: str) -> None:
        whole = last(recipe(model, "map", labels=(2,)), tiny_zoo)
        extent = tiny_zoo.open(DATASET.name, model).card.numbers("latent_extent")
        torch.testing.assert_close(whole.z, grid(*extent, MAP_SIDE))
        for k in (0, 17, MAP_SIDE**2 - 1):
            one = last(recipe(model, point=tuple(whole.z[k].tolist()), labels=(2,)), tiny_zoo)
            torch.testing.assert_close(one.pictures[0], whole.pictures[k], atol=1e-5, rtol=0)

    def test_an_autoencoder_is_drawn_from_as_wide_as_its_codes(self, tiny_zoo: Zoo) -> None:
        extent = torch.tensor(tiny_zoo.open(DATASET.name, "ae2").card.numbers("latent_extent"))
        z = last(recipe("ae2", seed=2, count=4, temperature=0.5), tiny_zoo).z
        spread = extent / Normal(0.0, 1.0).icdf(torch.tensor(0.995))  # 99 % then lie within the extent
        torch.testing.assert_close(z, 0.5 * spread * seeded_noise((2, 3, 4, 5), (2,)), rtol=1e-3, atol=1e-6)


class TestGAN:
    def test_verdict_is_the_mean_chance_of_beating_a_real_picture(self, tiny_zoo: Zoo) -> None:
        entry = tiny_zoo.open(DATASET.name, "gan")
        for labels, known in (((3,), "asked"), ((), "any")):
            frame = last(recipe("gan", labels=labels, count=3), tiny_zoo)
            row = torch.tensor([[*labels, 0][:1]]).expand(3, -1)
            logits = entry.network.discriminator(frame.pictures, row)
            real = entry.card.numbers(f"real_logits.{known}")
            expected = [float(np.mean([1 / (1 + np.exp(r - f)) for r in real])) for f in logits.tolist()]
            assert frame.realness.tolist() == pytest.approx(expected, abs=1e-5)

    def test_truncation_0_is_one_picture_for_all_seeds(self, tiny_zoo: Zoo) -> None:
        pictures = last(recipe("gan", count=4, truncation_psi=0.0), tiny_zoo).pictures
        torch.testing.assert_close(pictures, pictures[:1].expand(4, -1, -1, -1), atol=1e-5, rtol=0)
        assert last(recipe("gan", count=4), tiny_zoo).pictures.std(0).max() > 1e-3

    def test_a_shift_moves_w_along_its_direction(self, tiny_zoo: Zoo) -> None:
        network = tiny_zoo.open(DATASET.name, "gan").network
        frame = last(recipe("gan", shifts=(0.0, 2.0)), tiny_zoo)
        w = network.generator.map(frame.z) + 2 * network.w_directions[1]
        expected = network.generator.synthesize(w, torch.zeros(1, 1, dtype=torch.long)).clamp(-1, 1)
        torch.testing.assert_close(frame.pictures, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("model", ["vae", "gan"])
def test_a_walk_is_the_great_circle_between_the_noise_of_its_seeds(tiny_zoo: Zoo, model: str) -> None:
    frame = last(recipe(model, "walk", seed=5, seed_to=9, count=6), tiny_zoo)
    first, second = seeded_noise((5, 9), (5,))
    torch.testing.assert_close(frame.z, walk(first, second, 6))


@pytest.mark.parametrize("model", ["vae", "gan", "ddpm"])
def test_labels_left_out_are_any(tiny_zoo: Zoo, model: str) -> None:
    without, zero = (last(recipe(model, labels=labels), tiny_zoo).pictures for labels in ((), (0,)))
    assert torch.equal(without, zero)
    assert not torch.equal(last(recipe(model, labels=(1,)), tiny_zoo).pictures, zero)


REFUSALS: list[tuple[Recipe, str]] = [
    *[(recipe(m, labels=(11,)), r"^digit must be a whole number from 0 to 10, got 11$") for m in MODELS],
    *[(recipe(m, labels=(1, 1)), r"^labels must be at most 1 for digits, got 2$") for m in MODELS],
    *[(recipe(m, "map"), r"^(point|task)") for m in ("vae", "gan", "ddpm")],
    *[(recipe(m, point=(0.0, 0.0)), r"^point needs a model with a two-dimensional") for m in ("vae", "gan", "ddpm")],
    *[(recipe(m, "encode"), r"^task encode is not something that \w+ can do$") for m in ("gan", "ddpm")],
    *[(recipe(m, "judge"), r"^task judge is not something that \w+ can do$") for m in (*VAES, "ddpm")],
    *[(recipe(m, shifts=(0.0,) * 12), r"^shifts must be at most \d+ values for \w+, got 12$") for m in MODELS],
    *[(recipe(m, "encode", drawing="AAAA"), r"^drawing ") for m in VAES],
    (recipe("gan", "judge", drawing="AAAA"), r"^drawing "),
    (recipe("other"), r"^model must be one of ae2, vae, vae2, gan, ddpm, got 'other'$"),
    (replace(recipe("vae"), dataset="other"), r"^dataset must be one of "),
]


@pytest.mark.parametrize(("chosen", "message"), REFUSALS, ids=lambda v: f"{v.model}-{v.task}" if v is Recipe else None)
def test_what_does_not_suit_the_model_is_a_sentence_before_any_work(
    tiny_zoo: Zoo, chosen: Recipe, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        next(generate(chosen, tiny_zoo))


def test_after_a_fault_the_next_request_is_good(tiny_zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = recipe("ddpm", seed=3)
    expected = last(chosen, tiny_zoo).pictures

    def out_of_memory(*_: object) -> Iterator[object]:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as broken:
        broken.setattr(Diffusion, "forward", out_of_memory)
        with pytest.raises(RuntimeError, match="out of memory"):
            last(chosen, tiny_zoo)
    assert torch.equal(last(chosen, tiny_zoo).pictures, expected)


def test_generating_changes_neither_the_network_nor_the_global_generator(tiny_zoo: Zoo) -> None:
    states: Callable[[], list[Tensor]] = lambda: [  # noqa: E731
        weight.clone() for m in MODELS for weight in tiny_zoo.open(DATASET.name, m).network.state_dict().values()
    ]
    before, random_state = states(), torch.get_rng_state()
    for chosen in TASKS:
        last(chosen, tiny_zoo)
    assert all(torch.equal(a, b) for a, b in zip(before, states(), strict=True))
    assert torch.equal(torch.get_rng_state(), random_state)


class TestWhatIsLeftToAModelOfFewSteps:
    KNOWN = torch.tensor([[1, 2, 3], [4, 5, 6], [7, 8, 9]])

    def test_what_is_asked_stays_and_the_rest_comes_from_one_known_row(self) -> None:
        labels = torch.tensor([[0, 11, 0]] * 200)
        drawn = by_lot(labels, range(200), self.KNOWN)
        assert {tuple(row) for row in drawn.tolist()} == {(1, 11, 3), (4, 11, 6), (7, 11, 9)}

    def test_each_picture_depends_on_its_own_seed_alone(self) -> None:
        labels = torch.zeros(5, 3, dtype=torch.long)
        all_at_once = by_lot(labels, range(5, 10), self.KNOWN)
        assert torch.equal(all_at_once, torch.cat([by_lot(labels[:1], [k], self.KNOWN) for k in range(5, 10)]))

    def test_all_characters_of_a_word_get_the_same(self) -> None:
        labels = torch.tensor([[5, 5, 0], [6, 6, 0], [7, 7, 0]] * 20)
        drawn = by_lot(labels, range(20), self.KNOWN).view(20, 3, 3)
        assert torch.equal(drawn[:, :, :2], labels.view(20, 3, 3)[:, :, :2])
        assert (drawn[:, :, 2] == drawn[:, :1, 2]).all()
        assert len(drawn[:, 0, 2].unique()) == 3
