"""The reverse process against closed forms and against diffusers' own pipelines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from playground.models import Diffusion, Model, save_model
from playground.models.diffusion import NOISE_SCHEDULE, add_noise, velocity
from playground.recipe import SAMPLERS
from playground.sampling.forward import predictions
from playground.sampling.noise import draw_noise, seeded_generators
from playground.sampling.reverse import STOCHASTIC, Denoiser, build_scheduler, guided, reverse, set_steps
from playground.sampling.schedulers import SCHEDULERS

ALPHAS_CUMPROD = DDPMScheduler(**NOISE_SCHEDULE).alphas_cumprod
MEAN, SPREAD = 0.1, 0.25  # of the Gaussian pictures whose exact predictor is known
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS)


def exact_velocity(x_t: Tensor, t: Tensor) -> Tensor:
    """E[v | x_t] when every pixel of a clean picture is drawn from N(MEAN, SPREAD^2)."""
    a = ALPHAS_CUMPROD[int(t)]
    x0 = MEAN + a.sqrt() * SPREAD**2 / (a * SPREAD**2 + 1 - a) * (x_t - a.sqrt() * MEAN)
    return velocity(x0, (x_t - a.sqrt() * x0) / (1 - a).sqrt(), a)


def picture(
    denoise: Denoiser, sampler: str, seeds: range, shape: tuple[int, ...], steps: int, eta: float = 0.0
) -> Tensor:
    """The end of the reverse process."""
    generators = seeded_generators(seeds)
    noise = draw_noise(generators, shape)
    *_, last = reverse(denoise, build_scheduler(sampler, NOISE_SCHEDULE), noise, steps, generators, eta)
    return last.x_next


@pytest.fixture(scope="module")
def network(tiny_network: Callable[..., Model]) -> Diffusion:
    return tiny_network("diffusion", size=16)


@pytest.fixture(scope="module")
def folder(network: Diffusion, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ddpm")
    save_model(network, folder)
    return folder


def plain_pipeline(kind: type, folder: Path, scheduler: object) -> object:
    pipeline = kind(DDPMPipeline.from_pretrained(folder).unet, scheduler)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def pipeline_pictures(pipeline: object, seeds: range, steps: int, **options: object) -> Tensor:
    """What a diffusers pipeline makes of one generator a picture, in its [0, 1]."""
    generators = seeded_generators(seeds)
    out = pipeline(len(seeds), generator=generators, num_inference_steps=steps, output_type="np", **options)
    return torch.from_numpy(out.images).movedim(-1, 1)


@pytest.mark.parametrize("steps", [1, 2, 7, 20])
def test_ddpm_is_the_ddpm_pipeline(folder: Path, steps: int) -> None:
    network = Diffusion.load(folder).eval()
    theirs = plain_pipeline(DDPMPipeline, folder, build_scheduler("ddpm", network.noise_schedule))
    denoise = guided(network, torch.zeros(3, 1, dtype=torch.long), 1.0)
    ours = picture(denoise, "ddpm", range(5, 8), (1, 16, 16), steps)
    expected = pipeline_pictures(theirs, range(5, 8), steps)
    torch.testing.assert_close((ours / 2 + 0.5).clamp(0, 1), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 20])
def test_ddim_is_the_ddim_pipeline(folder: Path, steps: int, eta: float) -> None:
    network = Diffusion.load(folder).eval()
    scheduler = DDIMScheduler.from_config({**network.noise_schedule, "timestep_spacing": "trailing"})
    theirs = plain_pipeline(DDIMPipeline, folder, scheduler)
    denoise = guided(network, torch.zeros(3, 1, dtype=torch.long), 1.0)
    ours = picture(denoise, "ddim", range(5, 8), (1, 16, 16), steps, eta)
    expected = pipeline_pictures(theirs, range(5, 8), steps, eta=eta, use_clipped_model_output=True)
    torch.testing.assert_close((ours / 2 + 0.5).clamp(0, 1), expected, atol=1e-5, rtol=0)


@every_sampler
def test_every_scheduler_has_the_models_own_noise_levels(sampler: str) -> None:
    others = {"beta_start": 0.001, "beta_end": 0.015, "beta_schedule": "scaled_linear"}
    drawn = {"trained_betas": np.linspace(0.0002, 0.03, 1000).tolist()}
    for schedule in (NOISE_SCHEDULE, NOISE_SCHEDULE | others, NOISE_SCHEDULE | drawn):
        expected = DDPMScheduler(**schedule).alphas_cumprod
        assert torch.equal(build_scheduler(sampler, schedule).alphas_cumprod, expected)


@every_sampler
def test_every_number_of_steps_visits_that_many_real_noise_levels(sampler: str) -> None:
    def nothing(x_t: Tensor, t: Tensor) -> Tensor:
        visited.append(float(t))
        return x_t

    noise = torch.zeros(1, 1, 1, 1)
    for steps in (1, 2, 7, 20, 61, 103, 122, 201):  # from 61 on: counts whose evenly spaced levels round badly
        visited: list[float] = []
        run = list(reverse(nothing, build_scheduler(sampler, NOISE_SCHEDULE), noise, steps, seeded_generators([0])))
        levels = sorted(set(visited), reverse=True)
        assert len(levels) == steps
        assert levels[0] == 999
        assert levels[-1] >= 0
        assert len(run) == len(visited) == run[0].total == (2 * steps - 1 if sampler == "heun" else steps)
        assert [step.index for step in run] == list(range(len(run)))


@every_sampler
@pytest.mark.parametrize("steps", [1, 2, 7, 20])
def test_every_sampler_ends_in_a_finite_picture(network: Diffusion, sampler: str, steps: int) -> None:
    denoise = guided(network, torch.tensor([[3]]), 1.0)
    result = picture(denoise, sampler, range(1), (1, 16, 16), steps)
    assert result.shape == (1, 1, 16, 16)
    assert torch.isfinite(result).all()
    assert result.std() > 0


def first_order_spread(levels: list[float], eta: float) -> float:
    """The spread at the end of first-order steps over these noise levels, exactly.

    With Gaussian pictures every step of Song et al. 2021, eq. 12, is a line plus noise. Euler's step is the one with
    eta 0, and DDPM's and ancestral Euler's the one with eta 1.
    """
    variance = 1.0
    for here, there in zip(levels, [*levels[1:], None], strict=True):
        a = float(ALPHAS_CUMPROD[int(here)])
        b = 1.0 if there is None else float(ALPHAS_CUMPROD[int(there)])
        sigma2 = eta**2 * (1 - b) / (1 - a) * (1 - a / b)
        total = a * SPREAD**2 + 1 - a  # the variance of x_t
        slope = (b * a) ** 0.5 * SPREAD**2 / total + ((1 - b - sigma2) * (1 - a)) ** 0.5 / total
        variance = slope**2 * variance + sigma2
    return variance**0.5


@every_sampler
@pytest.mark.parametrize("steps", [61, 150])  # neither divides 1,000
def test_exact_predictor_gives_the_right_mean_and_spread(sampler: str, steps: int) -> None:
    result = picture(exact_velocity, sampler, range(4), (1, 64, 64), steps)  # 16,384 independent pixels
    levels = np.round(1000 - np.arange(steps) * (1000 / steps)) - 1
    eta = {"ddim": 0.0, "euler": 0.0, "ddpm": 1.0, "euler_a": 1.0}.get(sampler)
    spread = SPREAD if eta is None else first_order_spread(levels.tolist(), eta)
    solver_error = 0.0 if eta is not None else 0.03 * (61 / steps) ** 2 + 0.005
    assert abs(result.mean() - MEAN) < 3 * SPREAD / 128
    assert abs(result.std() / spread - 1) < 3 / (2 * 16384) ** 0.5 + solver_error
    assert spread == pytest.approx(SPREAD, rel=15 / steps)


@pytest.mark.parametrize("steps", [7, 60, 61, 150, 600])
def test_ddim_lands_where_its_closed_form_does(steps: int) -> None:
    scheduler = build_scheduler("ddim", NOISE_SCHEDULE)
    ends = torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1)
    run = list(reverse(exact_velocity, scheduler, ends, steps, seeded_generators([0, 1])))
    low, high = run[-1].x_next.flatten().tolist()
    assert (high - low) / 2 == pytest.approx(first_order_spread([step.t for step in run], 0.0), rel=1e-3)


@pytest.mark.parametrize("steps", [1, 4, 16, 250])
def test_ddim_stays_on_the_line_of_a_picture_that_had_to_be_clipped(steps: int) -> None:
    """As strong guidance asks for: three times as black and as white as a picture can be, at every step."""
    wanted = torch.tensor([-1.0, 1.0]).repeat(32).view(1, 1, 8, 8)

    def overshooting(x_t: Tensor, t: Tensor) -> Tensor:
        a = ALPHAS_CUMPROD[int(t)]
        return velocity(3 * wanted, (x_t - a.sqrt() * 3 * wanted) / (1 - a).sqrt(), a)

    noise = draw_noise(seeded_generators([1]), (1, 8, 8))
    run = list(reverse(overshooting, build_scheduler("ddim", NOISE_SCHEDULE), noise, steps, seeded_generators([1])))
    a = ALPHAS_CUMPROD[int(run[0].t)]
    own = (noise - a.sqrt() * wanted) / (1 - a).sqrt()
    for step in run:
        torch.testing.assert_close(step.x_t, add_noise(wanted, own, ALPHAS_CUMPROD[int(step.t)]), atol=1e-3, rtol=0)
    torch.testing.assert_close(run[-1].x_next, wanted, atol=1e-5, rtol=0)


@every_sampler
def test_each_step_splits_the_noisy_picture_into_picture_and_noise(network: Diffusion, sampler: str) -> None:
    generators = seeded_generators([1, 2])
    noise = draw_noise(generators, (1, 16, 16))
    denoise = guided(network, torch.tensor([[3], [4]]), 1.0)
    run = list(reverse(denoise, build_scheduler(sampler, NOISE_SCHEDULE), noise, 7, generators))
    torch.testing.assert_close(run[0].x_t, noise, atol=1e-4, rtol=0)
    for step in run:
        a = ALPHAS_CUMPROD[int(step.t)]
        torch.testing.assert_close(add_noise(step.x0, step.eps, a), step.x_t, atol=1e-4, rtol=0)


@every_sampler
def test_a_picture_depends_on_its_own_seed_alone(network: Diffusion, sampler: str) -> None:
    labels = torch.tensor([[1], [5], [0], [9]])
    eta = 1.0 if sampler == "ddim" else 0.0
    together = picture(guided(network, labels, 2.0), sampler, range(4), (1, 16, 16), 5, eta)
    for k in range(4):
        alone = picture(guided(network, labels[k : k + 1], 2.0), sampler, range(k, k + 1), (1, 16, 16), 5, eta)
        torch.testing.assert_close(alone[0], together[k], atol=1e-5, rtol=0)


@every_sampler
def test_only_stochastic_samplers_draw_noise_on_the_way(network: Diffusion, sampler: str) -> None:
    denoise = guided(network, torch.tensor([[0]]), 1.0)
    noise = draw_noise(seeded_generators([0]), (1, 16, 16))

    def end(seed: int) -> Tensor:
        *_, last = reverse(denoise, build_scheduler(sampler, NOISE_SCHEDULE), noise, 5, seeded_generators([seed]))
        return last.x_next

    assert torch.equal(end(1), end(1))
    assert torch.equal(end(1), end(2)) == (sampler not in STOCHASTIC)


@every_sampler
def test_interleaved_runs_do_not_disturb_each_other(network: Diffusion, sampler: str) -> None:
    def start(seed: int, steps: int) -> object:
        generators = seeded_generators([seed])
        noise = draw_noise(generators, (1, 16, 16))
        denoise = guided(network, torch.tensor([[0]]), 1.0)
        return reverse(denoise, build_scheduler(sampler, NOISE_SCHEDULE), noise, steps, generators)

    solo = [[step.x_next for step in start(seed, steps)] for seed, steps in ((0, 6), (1, 6))]
    for k, (first, second) in enumerate(zip(start(0, 6), start(1, 6), strict=True)):
        assert torch.equal(first.x_next, solo[0][k])
        assert torch.equal(second.x_next, solo[1][k])


def test_every_request_gets_its_own_scheduler() -> None:
    assert set(SCHEDULERS) == set(SAMPLERS)
    for sampler in SAMPLERS:
        assert build_scheduler(sampler, NOISE_SCHEDULE) is not build_scheduler(sampler, NOISE_SCHEDULE)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_walk_leaves_no_trace_in_what_schedulers_share(sampler: str) -> None:
    noise = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    kept = build_scheduler(sampler, NOISE_SCHEDULE)
    before = {name: value.clone() for name, value in vars(kept).items() if isinstance(value, Tensor)}
    assert len(before) >= 3
    config = dict(kept.config)
    for steps in (3, 7):
        walked = build_scheduler(sampler, NOISE_SCHEDULE)
        list(reverse(lambda x_t, t: 0.5 * x_t, walked, noise, steps, seeded_generators([0])))
    assert config == dict(kept.config) == dict(build_scheduler(sampler, NOISE_SCHEDULE).config)
    for name, value in before.items():
        assert torch.equal(getattr(kept, name), value), name
        assert torch.equal(getattr(build_scheduler(sampler, NOISE_SCHEDULE), name), value), name


def test_what_the_network_predicted_is_worked_out_when_somebody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[float] = []

    def watched(kind: str, x_t: Tensor, output: Tensor, a: float) -> tuple[Tensor, Tensor]:
        looked.append(a)
        return predictions(kind, x_t, output, a)

    monkeypatch.setattr("playground.sampling.reverse.predictions", watched)
    noise = torch.randn(1, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    scheduler = build_scheduler("dpmpp", NOISE_SCHEDULE)
    first, second, _ = reverse(lambda x_t, t: 0.5 * x_t, scheduler, noise, 3, seeded_generators([0]))
    assert looked == []
    a = float(scheduler.alphas_cumprod[scheduler.timesteps[1]])
    assert torch.equal(second.x0, predictions(NOISE_SCHEDULE["prediction_type"], second.x_t, 0.5 * second.x_t, a)[0])
    assert torch.equal(second.eps, predictions(NOISE_SCHEDULE["prediction_type"], second.x_t, 0.5 * second.x_t, a)[1])
    assert looked == [a], "once, and for that step alone"
    assert first.x0.shape == noise.shape


def test_reverse_asks_the_network_only_when_it_is_asked() -> None:
    asked: list[float] = []

    def denoise(x_t: Tensor, t: Tensor) -> Tensor:
        asked.append(float(t))
        return x_t

    run = reverse(denoise, build_scheduler("ddim", NOISE_SCHEDULE), torch.zeros(1, 1, 1, 1), 20, seeded_generators([0]))
    assert asked == []
    next(run)
    next(run)
    run.close()
    assert len(asked) == 2


class TestGuidance:
    @pytest.fixture
    def asked(self) -> list[tuple[int, list[int]]]:
        """How many pictures each call of `predict` was given, and their labels."""
        return []

    @pytest.fixture
    def predict(self, network: Diffusion, asked: list) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
        def predict(x_t: Tensor, t: Tensor, labels: Tensor) -> Tensor:
            assert len(x_t) == len(t) == len(labels)
            asked.append((len(x_t), labels[:, 0].tolist()))
            return network(x_t, t, labels)

        return predict

    X_T = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    T = torch.tensor(500)
    LABELS = torch.tensor([[3], [7]])

    @torch.inference_mode()
    def output(self, predict: Callable, scale: float, labels: Tensor = LABELS) -> Tensor:
        return guided(predict, labels, scale)(self.X_T, self.T)

    def test_scale_0_is_unconditional_and_1_conditional_with_one_ask(self, predict: Callable, asked: list) -> None:
        without = self.output(predict, 0.0)
        towards = self.output(predict, 1.0)
        assert asked == [(2, [0, 0]), (2, [3, 7])]
        assert not torch.equal(without, towards)

    @pytest.mark.parametrize("scale", [0.3, 0.999, 2.0, 7.5])
    def test_other_scales_lie_on_the_line_through_both(self, predict: Callable, asked: list, scale: float) -> None:
        without, towards = self.output(predict, 0.0), self.output(predict, 1.0)
        asked.clear()
        expected = (1 - scale) * without + scale * towards
        torch.testing.assert_close(self.output(predict, scale), expected, atol=1e-5, rtol=1e-5)
        assert asked == [(4, [0, 0, 3, 7])]

    def test_without_labels_there_is_nothing_to_guide_towards(self, predict: Callable, asked: list) -> None:
        guided_output = self.output(predict, 5.0, torch.zeros_like(self.LABELS))
        assert asked == [(2, [0, 0])]
        assert torch.equal(guided_output, self.output(predict, 0.0))


class TestPredictions:
    @given(st.integers(0, 999), st.integers(0, 2**32))
    def test_every_kind_of_output_gives_back_the_picture_and_the_noise(self, t: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        x0, eps = torch.randn(2, 3, 1, 4, 4, generator=generator, dtype=torch.float64)
        a = ALPHAS_CUMPROD[t].double()
        x_t = add_noise(x0, eps, a)
        outputs = {"v_prediction": velocity(x0, eps, a), "epsilon": eps, "sample": x0}
        for kind, output in outputs.items():
            found_x0, found_eps = predictions(kind, x_t, output, a)
            torch.testing.assert_close(found_x0, x0, atol=1e-9, rtol=1e-9)
            torch.testing.assert_close(found_eps, eps, atol=1e-9, rtol=1e-9)

    @given(st.lists(st.integers(0, 999), min_size=3, max_size=3))
    def test_forward_process_and_velocity_are_those_of_diffusers(self, t: list[int]) -> None:
        scheduler = DDPMScheduler(**NOISE_SCHEDULE)
        x0, eps = torch.randn(2, 3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
        timesteps = torch.tensor(t)
        a = ALPHAS_CUMPROD[timesteps].view(3, 1, 1, 1)
        torch.testing.assert_close(add_noise(x0, eps, a), scheduler.add_noise(x0, eps, timesteps))
        torch.testing.assert_close(velocity(x0, eps, a), scheduler.get_velocity(x0, eps, timesteps))


@pytest.mark.parametrize("steps", [1, 3, 20, 64, 1000])
def test_steps_of_ddpm_are_those_of_diffusers_to_the_bit(steps: int) -> None:
    ours = build_scheduler("ddpm", NOISE_SCHEDULE)
    theirs = DDPMScheduler(**NOISE_SCHEDULE, timestep_spacing="trailing")
    for scheduler in (ours, theirs):
        set_steps(scheduler, steps)
    assert torch.equal(ours.timesteps, theirs.timesteps)
    draw = torch.Generator().manual_seed(steps)
    for t in ours.timesteps[:: max(1, steps // 25)]:
        output, x_t = (2 * torch.randn(2, 1, 8, 8, generator=draw) for _ in range(2))
        found, expected = (s.step(output, t, x_t, generator=seeded_generators([1, 2])) for s in (ours, theirs))
        assert torch.equal(found.prev_sample, expected.prev_sample)
        assert torch.equal(found.pred_original_sample, expected.pred_original_sample)


@pytest.mark.parametrize("sampler", ["dpmpp", "sde_dpmpp", "unipc"])
def test_the_static_clip_is_the_dynamic_one_that_diffusers_would_take(sampler: str) -> None:
    ours = build_scheduler(sampler, NOISE_SCHEDULE)
    plain = type(ours).__mro__[2].from_config(ours.config)
    assert "_threshold_sample" in type(plain).__dict__  # diffusers' own
    assert plain.config.thresholding
    x0 = 2 * torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ours._threshold_sample(x0), plain._threshold_sample(x0))
