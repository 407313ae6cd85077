"""The mathematics of the networks and their losses, against closed forms, torch and diffusers."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.nn import functional as F

from playground.models import GAN, GANConfig, Model
from playground.models.conditioning import AttributeEmbedding, drop_labels
from playground.models.diffusion import NOISE_SCHEDULE
from playground.models.gan import Discriminator, Generator
from playground.models.vae import kl_per_dimension, reconstruction_loss, sample_posterior
from playground.training.losses import min_snr_weight, relativistic_loss, zero_centred_penalty

seeds = st.integers(0, 2**32)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class TestVAE:
    @given(seeds)
    def test_kl_is_that_of_torch(self, seed: int) -> None:
        mu, logvar = 2 * normal(seed, 2, 4, 6)
        expected = kl_divergence(Normal(mu, (logvar / 2).exp()), Normal(0.0, 1.0))
        torch.testing.assert_close(kl_per_dimension(mu, logvar), expected, atol=1e-5, rtol=1e-5)

    def test_kl_is_zero_only_at_the_prior(self) -> None:
        zero = torch.zeros(1, 3)
        assert torch.equal(kl_per_dimension(zero, zero), zero)
        assert kl_per_dimension(zero + 0.1, zero).min() > 0
        assert kl_per_dimension(zero, zero + 0.1).min() > 0

    @given(seeds)
    def test_reconstruction_loss_is_torchs_bernoulli_on_binary_pictures(self, seed: int) -> None:
        logits = 3 * normal(seed, 4, 1, 8, 8)
        x0 = normal(seed + 1, 4, 1, 8, 8).sign()
        expected = -Bernoulli(logits=logits).log_prob((x0 + 1) / 2).sum((1, 2, 3))
        torch.testing.assert_close(reconstruction_loss(logits, x0), expected)

    def test_reconstruction_loss_of_grey_pictures_is_least_at_the_picture_itself(self) -> None:
        brightness = torch.linspace(0.05, 0.95, 64).view(1, 1, 8, 8)
        best = reconstruction_loss(torch.logit(brightness), 2 * brightness - 1)
        entropy = -(brightness * brightness.log() + (1 - brightness) * (1 - brightness).log()).sum()
        torch.testing.assert_close(best[0], entropy)
        for nudge in (-0.1, 0.1):
            assert reconstruction_loss(torch.logit(brightness) + nudge, 2 * brightness - 1) > best

    def test_posterior_samples_have_its_mean_and_spread(self) -> None:
        mu, logvar = torch.tensor([[0.5, -1.0, 0.0]]), torch.tensor([[0.0, -2.0, 1.0]])
        z = sample_posterior(mu, logvar, normal(0, 100_000, 3))
        sigma = (logvar / 2).exp()[0]
        assert ((z.mean(0) - mu[0]).abs() < 4 * sigma / 100_000**0.5).all()
        assert ((z.std(0) / sigma - 1).abs() < 4 / 200_000**0.5).all()

    def test_the_code_of_a_plain_autoencoder_is_a_point(self) -> None:
        mu = normal(0, 2, 3)
        assert torch.equal(sample_posterior(mu, None, normal(1, 2, 3)), mu)

    def test_autoencoder_and_vae_are_the_same_network(self, tiny_network: Callable[..., Model]) -> None:
        ae, vae = tiny_network("ae"), tiny_network("vae")
        assert [(k, v.shape) for k, v in ae.state_dict().items()] == [(k, v.shape) for k, v in vae.state_dict().items()]
        x0, labels = normal(0, 2, 1, 32, 32), torch.tensor([[1], [0]])
        assert ae.encode(x0, labels)[1] is None
        assert torch.equal(ae.encode(x0, labels)[0], vae.encode(x0, labels)[0])
        assert torch.equal(ae.decode(normal(1, 2, 5), labels), vae.decode(normal(1, 2, 5), labels))

    def test_pictures_are_twice_the_sigmoid_of_the_logits_less_one(self, tiny_network: Callable[..., Model]) -> None:
        vae, z, labels = tiny_network("vae"), normal(0, 3, 5), torch.tensor([[1], [0], [2]])
        torch.testing.assert_close(vae.decode(z, labels), torch.tanh(vae.decode_logits(z, labels) / 2))


class TestGANLosses:
    @given(seeds)
    def test_relativistic_loss_is_the_log_loss_of_the_difference(self, seed: int) -> None:
        real, fake = 5 * normal(seed, 2, 8)
        expected = F.binary_cross_entropy_with_logits(real - fake, torch.ones(8), reduction="none")
        torch.testing.assert_close(relativistic_loss(real, fake), expected)

    @given(seeds, st.floats(-5, 5))
    def test_relativistic_loss_sees_only_differences(self, seed: int, shift: float) -> None:
        real, fake = normal(seed, 2, 8)
        torch.testing.assert_close(
            relativistic_loss(real + shift, fake + shift), relativistic_loss(real, fake), atol=1e-5, rtol=1e-5
        )
        assert float(relativistic_loss(real, real).mean()) == pytest.approx(math.log(2))

    @given(seeds)
    def test_penalty_of_a_linear_discriminator_is_its_squared_weight(self, seed: int) -> None:
        linear = nn.Linear(12, 1)
        pictures = normal(seed, 5, 3, 2, 2).requires_grad_()
        penalty = zero_centred_penalty(linear(pictures.flatten(1))[:, 0], pictures)
        torch.testing.assert_close(penalty, linear.weight.square().sum().expand(5))
        penalty.mean().backward()  # d |w|^2 / dw
        torch.testing.assert_close(linear.weight.grad, 2 * linear.weight.detach())

    def test_penalty_of_a_quadratic_discriminator_is_each_pictures_own(self) -> None:
        pictures = normal(0, 5, 1, 2, 2).requires_grad_()
        penalty = zero_centred_penalty(pictures.square().flatten(1).sum(1), pictures)
        torch.testing.assert_close(penalty, 4 * pictures.square().flatten(1).sum(1))


class TestMinSNR:
    def test_weight_of_v_is_that_of_x0_over_the_odds(self) -> None:
        a = torch.linspace(0.001, 0.999, 200)
        snr = a / (1 - a)
        x0_weight = torch.minimum(snr, torch.tensor(5.0))  # Hang et al. 2023, section 3.4
        torch.testing.assert_close(min_snr_weight(a), x0_weight / (snr + 1))
        torch.testing.assert_close(min_snr_weight(a, 20.0, 1.0), snr.clip(1, 20) / (snr + 1))

    def test_weight_is_the_signal_share_below_gamma_and_falls_above(self) -> None:
        torch.testing.assert_close(min_snr_weight(torch.tensor([0.1, 0.5, 0.8])), torch.tensor([0.1, 0.5, 0.8]))
        torch.testing.assert_close(min_snr_weight(torch.tensor([0.95])), torch.tensor([5 * 0.05]))
        assert min_snr_weight(torch.tensor([5 / 6])) == pytest.approx(5 / 6)

    def test_a_floor_lifts_the_levels_of_most_noise_and_no_other(self) -> None:
        a = torch.linspace(0.0001, 0.999, 200)
        lifted = min_snr_weight(a, floor=1.0)
        torch.testing.assert_close(lifted[a < 0.5], 1 - a[a < 0.5])  # an error of x0 counts as it is, as from SNR 1 on
        assert torch.equal(lifted[a > 0.5], min_snr_weight(a)[a > 0.5])


class TestLabels:
    CARDINALITIES = (3, 5, 2)

    @pytest.fixture
    def embedding(self) -> AttributeEmbedding:
        torch.manual_seed(0)
        return AttributeEmbedding(self.CARDINALITIES, 7)

    def test_any_is_the_zero_vector(self, embedding: AttributeEmbedding) -> None:
        assert torch.equal(embedding(torch.zeros(2, 3, dtype=torch.long)), torch.zeros(2, 7))

    @given(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 2)))
    def test_labels_add_up(self, row: tuple[int, int, int]) -> None:
        torch.manual_seed(0)
        embedding = AttributeEmbedding(self.CARDINALITIES, 7)
        alone = [embedding(torch.tensor([[v if k == i else 0 for k, v in enumerate(row)]])) for i in range(3)]
        torch.testing.assert_close(embedding(torch.tensor([row])), sum(alone))

    def test_training_leaves_any_at_zero(self, embedding: AttributeEmbedding) -> None:
        optimizer = torch.optim.Adam(embedding.parameters(), lr=0.1)
        (embedding(torch.tensor([[0, 1, 2], [3, 0, 0]])) - 1).square().sum().backward()
        optimizer.step()
        assert torch.equal(embedding(torch.zeros(1, 3, dtype=torch.long)), torch.zeros(1, 7))

    def test_no_attributes_are_no_vector(self) -> None:
        assert torch.equal(AttributeEmbedding((), 4)(torch.zeros(2, 0, dtype=torch.long)), torch.zeros(2, 4))

    def test_dropping_labels_makes_each_any_with_its_probability_on_its_own(self) -> None:
        labels = torch.full((20_000, 2), 3)
        dropped = drop_labels(labels, 0.15, torch.Generator().manual_seed(0))
        assert set(dropped.unique().tolist()) == {0, 3}
        assert dropped.dtype == labels.dtype
        is_any = (dropped == 0).double()
        spread = (0.15 * 0.85 / 20_000) ** 0.5
        assert ((is_any.mean(0) - 0.15).abs() < 4 * spread).all()
        assert abs(float(torch.corrcoef(is_any.T)[0, 1])) < 4 / 20_000**0.5

    def test_dropping_none_or_all(self) -> None:
        labels = torch.tensor([[1, 2], [3, 4]])
        assert torch.equal(drop_labels(labels, 0.0, torch.Generator()), labels)
        assert torch.equal(drop_labels(labels, 1.0, torch.Generator()), torch.zeros_like(labels))


class TestLatentSpaceOfTheGAN:
    @pytest.fixture(scope="class")
    def gan(self, tiny_network: Callable[..., Model]) -> GAN:
        gan = tiny_network("gan")
        gan.measure_w(torch.Generator().manual_seed(0))
        return gan

    def test_truncation_1_leaves_w_and_0_is_the_mean(self, gan: GAN) -> None:
        w = gan.generator.map(normal(0, 5, 5))
        torch.testing.assert_close(gan.truncate(w, 1.0), w)
        torch.testing.assert_close(gan.truncate(w, 0.0), gan.w_mean.expand(5, -1))
        halfway = (gan.truncate(w, 0.5) - gan.w_mean).norm(dim=1)
        torch.testing.assert_close(halfway, (w - gan.w_mean).norm(dim=1) / 2)

    def test_directions_are_orthogonal_and_sorted(self, gan: GAN) -> None:
        products = gan.w_directions @ gan.w_directions.T
        scale = products.diagonal()
        assert (products - torch.diag(scale)).abs().max() < 1e-4 * scale.max()
        assert (scale[:-1] >= scale[1:]).all()

    def test_w_has_the_measured_mean_and_spread_along_each_direction(self, gan: GAN) -> None:
        w = gan.generator.map(normal(1, 50_000, 5)) - gan.w_mean  # other noise than it was measured with
        along = w @ F.normalize(gan.w_directions, dim=1).T
        spread = gan.w_directions.norm(dim=1)
        assert (along.mean(0).abs() < 6 * spread / 20_000**0.5 + 1e-6).all()
        torch.testing.assert_close(along.std(0), spread, rtol=0.05, atol=1e-5)

    @pytest.mark.parametrize("scale", [0.1, 3.0])
    def test_only_the_direction_of_z_matters(self, gan: GAN, scale: float) -> None:
        z = normal(0, 8, 5)
        torch.testing.assert_close(gan.generator.map(scale * z), gan.generator.map(z), atol=1e-5, rtol=1e-4)


class TestFineStage:
    @pytest.fixture
    def generator(self) -> Generator:
        torch.manual_seed(0)
        return Generator(GANConfig(12, 3, (2,), latent_dim=4, w_dim=4, widths=(8, 8), patch=3, fine_width=4))

    def test_it_begins_as_no_correction(self, generator: Generator) -> None:
        z, labels = normal(0, 5, 4), torch.tensor([[0], [1], [2], [0], [1]])
        made = generator(z, labels)
        generator.fine = None
        assert torch.equal(made, generator(z, labels))

    def test_it_sees_across_the_seams_of_the_patches_and_no_further_than_two_pixels(self, generator: Generator) -> None:
        nn.init.normal_(generator.fine.pixels.weight)
        x = torch.zeros(1, 8, 4, 4)
        written = normal(0, 1, 3, 12, 12)
        other = written.clone()
        other[..., 5, 5] += 1  # at the corner of a patch
        change = (generator.fine(x, other) - generator.fine(x, written)).abs().sum((0, 1))
        reached = change.nonzero()
        assert reached.min(0).values.tolist() == [3, 3]
        assert reached.max(0).values.tolist() == [7, 7]

    def test_training_reaches_it(self, generator: Generator) -> None:
        generator(normal(0, 5, 4), torch.ones(5, 1, dtype=torch.long)).sum().backward()
        assert generator.fine.pixels.weight.grad.any()


class TestFineSight:
    @pytest.fixture
    def discriminator(self) -> Discriminator:
        torch.manual_seed(0)
        return Discriminator(GANConfig(12, 3, (2,), widths=(8, 8), patch=3, fine_sight=4))

    def test_it_begins_as_nothing_seen(self, discriminator: Discriminator) -> None:
        x0, labels = normal(0, 3, 3, 12, 12), torch.tensor([[0], [1], [2]])
        judged = discriminator(x0, labels)
        discriminator.fine = None
        assert torch.equal(judged, discriminator(x0, labels))

    def test_it_sees_grain_to_which_patches_are_blind(self, discriminator: Discriminator) -> None:
        """Of 108 colours in a picture's first 6x6 pixels the first look at patches keeps eight numbers a patch."""
        labels = torch.tensor([[1]])
        corner = torch.zeros(108, 3, 12, 12)
        corner[torch.arange(108), torch.arange(108) // 36, torch.arange(108) % 36 // 6, torch.arange(108) % 6] = 1
        taken_in = discriminator.pixels(discriminator.unshuffle(corner)) - discriminator.pixels.bias[:, None, None]
        _, _, rows = torch.linalg.svd(taken_in.flatten(1).T.double())
        grain = (rows[-1].float()[:, None, None, None] * corner).sum(0, keepdim=True)
        plain = torch.zeros(1, 3, 12, 12)
        assert grain.norm() > 0.99
        torch.testing.assert_close(
            discriminator(plain + grain, labels), discriminator(plain, labels), atol=1e-5, rtol=0
        )
        nn.init.normal_(discriminator.fine.seen.weight)
        assert (discriminator(plain + grain, labels) - discriminator(plain, labels)).abs() > 1e-3

    def test_training_reaches_it(self, discriminator: Discriminator) -> None:
        discriminator(normal(0, 3, 3, 12, 12), torch.ones(3, 1, dtype=torch.long)).sum().backward()
        assert discriminator.fine.seen.weight.grad.any()


def test_the_noise_schedule_ends_in_almost_pure_noise(tiny_network: Callable[..., Model]) -> None:
    network = tiny_network("diffusion")
    betas = torch.linspace(0.0001, 0.02, 1000, dtype=torch.float64)
    expected = (1 - betas).cumprod(0)
    found = network.scheduler().alphas_cumprod
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-7)
    assert found[-1] < 1e-4
    assert network.scheduler() is not network.scheduler()
    assert network.noise_schedule == NOISE_SCHEDULE
