"""The VAE, its measures against values worked out by hand, and its training."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine.errors import UserError
from engine.latent.evaluation import trustworthiness
from engine.latent.pca import Pca, principal_axes
from engine.latent.training import (
    Learning,
    Settings,
    Trained,
    TrainingStopped,
    split_passages,
    train_steps,
)
from engine.latent.vae import (
    VAE,
    Standardiser,
    active_units,
    evidence_bound,
    explained_variance,
    free_bits,
    kl_divergence,
    kl_per_dimension,
    mutual_information,
    sample,
)

QUICK = Settings(latent=2, hidden=16, epochs=12, batch=128, seed=1)


def drain(steps: Generator[Any, None, Any]) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


def linear_gaussian(count: int, width: int = 10, noise: float = 0.5, seed: int = 0) -> Tensor:
    """x = W z + noise, z ~ N(0, I₂), with orthogonal columns of lengths 4 and 2 in W."""
    generator = torch.Generator().manual_seed(seed)
    axes = torch.linalg.qr(torch.randn(width, 2, generator=torch.Generator().manual_seed(9)))[0]
    z = torch.randn(count, 2, generator=generator)
    return z @ (axes * torch.tensor([4.0, 2.0])).T + noise * torch.randn(
        count, width, generator=generator
    )


def passages(count: int, length: int = 20) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.arange(count) // length


@pytest.mark.parametrize(
    ("mu", "variance", "expected"), [(1.0, 1.0, 0.5), (0.0, 4.0, 0.8069), (0.0, 1.0, 0.0)]
)
def test_kl_values(mu: float, variance: float, expected: float) -> None:
    kl = kl_divergence(torch.tensor([[mu]]), torch.tensor([[variance]]).log())
    assert float(kl) == pytest.approx(expected, abs=5e-5)


def test_kl_per_dimension_is_torchs() -> None:
    generator = torch.Generator().manual_seed(0)
    mu, logvar = torch.randn(2, 50, 3, generator=generator)
    normal = torch.distributions.Normal
    expected = torch.distributions.kl_divergence(
        normal(mu, (0.5 * logvar).exp()), normal(torch.zeros(()), torch.ones(()))
    )
    torch.testing.assert_close(kl_per_dimension(mu, logvar), expected.mean(dim=0))


def test_free_bits_give_a_unit_its_least() -> None:
    kl = torch.tensor([0.1, 0.5, 2.0], requires_grad=True)
    total = free_bits(kl, 0.5)
    assert float(total.detach()) == pytest.approx(3.0)
    total.backward()
    assert kl.grad is not None
    assert kl.grad[0] == 0  # nothing is gained by pressing it further
    assert kl.grad[2] == 1


def test_free_bits_may_count_units_by_share() -> None:
    kl = torch.tensor([0.1, 2.0])
    assert float(free_bits(kl, 0.5, torch.tensor([1.0, 0.5]))) == pytest.approx(1.5)


def test_trustworthiness_by_hand() -> None:
    """Five points on a line, whose picture swaps the first and the last.

    The nearest in the picture are 0 → 3, 1 → 4, 2 → 1, 3 → 2 and 4 → 1; in truth these are the
    third, the fourth, the first, the first and the third nearest.
    """
    x = torch.tensor([[0.0], [1.0], [2.1], [3.3], [4.6]])
    picture = torch.tensor([[5.0, 0], [0.9, 0], [2.1, 0], [3.4, 0], [0.0, 0]])
    intruding = (3 - 1) + (4 - 1) + (1 - 1) + (1 - 1) + (3 - 1)
    found = trustworthiness(x, picture, neighbours=1)
    assert found == pytest.approx(1 - 2 * intruding / (5 * 1 * (2 * 5 - 3 * 1 - 1)))
    assert trustworthiness(x, x.expand(5, 2) * 2, neighbours=1) == 1


def test_active_units_count_variances_above_a_hundredth() -> None:
    mu = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0))
    mu = (mu - mu.mean(dim=0)) / mu.std(dim=0, correction=0)
    assert active_units(mu * torch.tensor([1.0, 0.11, 0.09])) == 2


def test_mutual_information_of_states_far_apart_is_the_logarithm_of_their_number() -> None:
    mu = torch.arange(16.0)[:, None] * 100
    logvar = torch.zeros(16, 1)
    found = mutual_information(mu, logvar, torch.Generator().manual_seed(0), rows=5)
    kl = float(kl_divergence(mu, logvar).mean())
    assert found == pytest.approx(math.log(16), rel=0.01 * kl)  # sampled term against exact term


def test_mutual_information_of_a_collapsed_posterior_is_none() -> None:
    nothing = torch.zeros(200, 4)
    found = mutual_information(nothing, nothing, torch.Generator().manual_seed(0))
    assert found == pytest.approx(0, abs=1e-9)


def test_mutual_information_of_a_gaussian_channel() -> None:
    """μ ~ N(0, 1 − s²), σ² = s²: q(z) is the prior, and I = −½ ln s² a unit."""
    generator = torch.Generator().manual_seed(0)
    variance = 0.2
    mu = torch.randn(3000, 1, generator=generator) * math.sqrt(1 - variance)
    logvar = torch.full_like(mu, math.log(variance))
    found = mutual_information(mu, logvar, generator)
    assert found == pytest.approx(-0.5 * math.log(variance), abs=0.05)


def test_samples_have_the_posteriors_moments() -> None:
    mu = torch.tensor([[1.0, -2.0]]).expand(40_000, 2)
    logvar = torch.tensor([[0.0, math.log(4.0)]]).expand(40_000, 2)
    z = sample(mu, logvar, torch.Generator().manual_seed(0))
    torch.testing.assert_close(z.mean(dim=0), mu[0], atol=0.05, rtol=0)
    torch.testing.assert_close(z.var(dim=0), logvar[0].exp(), atol=0.1, rtol=0)


def states_with_a_sink(count: int = 400, width: int = 12) -> Tensor:
    states = torch.randn(count, width, generator=torch.Generator().manual_seed(3)) * 2 + 1
    states[::50, 4] = 20_000
    return states


def test_standardised_states_are_of_size_one_and_massive_ones_are_not_everything() -> None:
    states = states_with_a_sink()
    standard = Standardiser(12)
    standard.fit(states)
    x = standard(states)
    ordinary = torch.ones(len(x), dtype=torch.bool)
    ordinary[::50] = False
    torch.testing.assert_close(x[ordinary].std(dim=0), torch.ones(12), atol=0.2, rtol=0)
    share = x[::50].square().sum() / x.square().sum()
    assert share < 0.5
    assert ((states[::50] - 1) / 2).square().sum() / ((states - 1) / 2).square().sum() > 0.99


def test_standardising_can_be_undone() -> None:
    states = states_with_a_sink()
    standard = Standardiser(12)
    standard.fit(states)
    torch.testing.assert_close(standard.inverse(standard(states)), states, rtol=1e-3, atol=1e-3)


def test_a_constant_dimension_does_no_harm() -> None:
    states = torch.randn(100, 3)
    states[:, 1] = 7.0
    standard = Standardiser(3)
    standard.fit(states)
    assert torch.isfinite(standard(states)).all()
    torch.testing.assert_close(standard.inverse(standard(states)), states)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.1, 300.0), st.integers(0, 2**31))
def test_change_of_volume_is_the_jacobians(size: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    standard = Standardiser(4).double()
    standard.scale.copy_(torch.tensor([0.5, 1.0, 2.0, 3.0]))
    state = torch.randn(4, generator=generator, dtype=torch.float64)
    state = state / state.norm() * size
    # forward() works in float32; the formula itself is what is differentiated here.
    jacobian = torch.autograd.functional.jacobian(lambda h: standard(h[None].float())[0], state)
    expected = torch.linalg.slogdet(jacobian.double())[1]
    found = standard.log_volume(state[None])[0].double()
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


def test_the_first_weights_are_probabilistic_pca() -> None:
    x = linear_gaussian(2000)
    vae = VAE(10, 2, 8)
    vae.start_from(x)
    standardised = vae.standard(x)
    mu, logvar = vae.posterior(standardised)
    pca = Pca.of(standardised, 2)
    ours = explained_variance(standardised, vae.mean(mu))
    theirs = explained_variance(standardised, pca.rebuild(standardised))
    assert ours == pytest.approx(theirs, abs=0.01)  # shrunk by the noise, so a little less
    # The bound is tight where the posterior is exact, and it is for a linear Gaussian model.
    weights = vae.decoder_line.weight
    covariance = weights @ weights.T + vae.log_noise.exp() * torch.eye(10)
    exact = torch.distributions.MultivariateNormal(vae.decoder_line.bias, covariance)
    bound = evidence_bound(vae, standardised, torch.Generator().manual_seed(0), samples=50)
    evidence = float(exact.log_prob(standardised).mean().detach())
    assert bound.elbo == pytest.approx(evidence, abs=0.05)
    assert bound.elbo == pytest.approx(bound.reconstruction - bound.kl)
    assert logvar.shape == (2000, 2)


def test_the_bound_is_below_the_evidence() -> None:
    """ln p(x) by quadrature over one latent dimension, for a decoder that is not a line."""
    torch.manual_seed(0)
    vae = VAE(3, 1, 8)
    for parameter in vae.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x = torch.randn(64, 3)
    grid = torch.linspace(-8, 8, 4001)[:, None]
    with torch.no_grad():
        log_prior = -0.5 * (grid[:, 0].square() + math.log(2 * math.pi))
        joint = torch.stack([vae.log_likelihood(row.expand(4001, 3), grid) for row in x])
        step = math.log(16 / 4000)
        evidence = (joint + log_prior).logsumexp(dim=1).mean() + step
    bound = evidence_bound(vae, x, torch.Generator().manual_seed(0), samples=400)
    assert bound.elbo < float(evidence)


@pytest.fixture(scope="module")
def trained() -> Trained:
    states = linear_gaussian(1500)
    result: Trained = drain(train_steps(states, passages(1500), QUICK))
    return result


def test_a_known_latent_is_found(trained: Trained) -> None:
    held_out = linear_gaussian(1000, seed=5)
    vae = trained.vae
    x = vae.standard(held_out)
    with torch.no_grad():
        mu, logvar = vae.posterior(x)
    generator = torch.Generator().manual_seed(5)
    z = torch.randn(1000, 2, generator=generator)  # the ones linear_gaussian drew
    centred, known = mu - mu.mean(dim=0), z - z.mean(dim=0)
    solution = torch.linalg.lstsq(centred, known).solution
    assert explained_variance(known, centred @ solution) > 0.9
    assert active_units(mu) == 2
    assert (kl_per_dimension(mu, logvar) > 0.5).all()
    pca = Pca.of(vae.standard(linear_gaussian(1500)), 2)
    assert explained_variance(x, vae.mean(mu).detach()) > (
        explained_variance(x, pca.rebuild(x)) - 0.02
    )


def test_the_bound_of_a_linear_latent_comes_near_to_the_analytic_evidence(
    trained: Trained,
) -> None:
    """Probabilistic PCA has its likelihood in closed form: ln N(x; m, W Wᵀ + s² I)."""
    vae = trained.vae
    fitted = vae.standard(linear_gaussian(1500))
    held_out = vae.standard(linear_gaussian(4000, seed=5))
    mean, values, vectors = principal_axes(fitted.double())
    noise = values[2:].mean()
    weights = vectors[:, :2] * (values[:2] - noise).sqrt()
    covariance = weights @ weights.T + noise * torch.eye(10).double()
    exact = torch.distributions.MultivariateNormal(mean, covariance)
    evidence = float(exact.log_prob(held_out.double()).mean())
    bound = evidence_bound(vae, held_out, torch.Generator().manual_seed(0), samples=20)
    # The standardiser bends what lies far out, so that a curve may find a little more than a line.
    assert bound.elbo == pytest.approx(evidence, abs=0.25)


def test_an_encoder_that_sees_less_learns_something_else_but_finds_the_latent() -> None:
    def learned(**changes: float) -> Trained:
        given = replace(QUICK, epochs=6, **changes)  # type: ignore[arg-type]
        result: Trained = drain(train_steps(linear_gaussian(1500), passages(1500), given))
        return result

    plain = learned()
    for changes in ({"dropout": 0.2}, {"noise": 0.3}):
        blurred = learned(**changes)
        assert blurred.epochs[-1].active_units == 2
        assert blurred.epochs[-1].choose.elbo != plain.epochs[-1].choose.elbo
        # Nothing is hidden while it is measured: before the first step both are the same.
        assert blurred.epochs[0] == plain.epochs[0]
        assert learned(**changes).epochs == blurred.epochs


def test_what_a_line_cannot_follow_is_found() -> None:
    """States on a curve: one latent dimension follows it where a principal component cannot."""
    generator = torch.Generator().manual_seed(0)
    t = (torch.rand(1000, generator=generator) - 0.5) * 3
    states = torch.stack([t, t, t, (3 * t).cos()], dim=1)
    states = states + 0.05 * torch.randn(states.shape, generator=generator)
    quick = Settings(latent=1, hidden=32, epochs=10, batch=128, rate=1e-2, seed=0)
    result = drain(train_steps(states, passages(1000), quick))
    x = result.vae.standard(states)
    rebuilt = result.vae.mean(result.vae.posterior(x)[0])
    line = explained_variance(x, Pca.of(x, 1).rebuild(x))
    assert explained_variance(x, rebuilt) > line + 0.1


def test_the_first_two_dimensions_tell_what_two_can() -> None:
    """Clusters in six dimensions: with `picture` two latent ones alone tell them apart."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(10, 6, generator=generator) * 3
    which = torch.randint(10, (1200,), generator=generator)
    states = centres[which] + 0.3 * torch.randn(1200, 6, generator=generator)
    rebuilt = {}
    for picture in (0.0, 0.5):
        quick = Settings(
            latent=4, hidden=32, epochs=10, batch=128, rate=1e-2, seed=1, picture=picture
        )
        vae = drain(train_steps(states, passages(1200), quick)).vae
        x = vae.standard(states)
        with torch.no_grad():
            mu, _ = vae.posterior(x)
        mu[:, 2:] = 0
        rebuilt[picture] = explained_variance(x, vae.mean(mu))
    assert rebuilt[0.5] > rebuilt[0.0] + 0.1


def test_training_raises_the_bound_and_tells_of_it(trained: Trained) -> None:
    first, best = trained.epochs[0], trained.epochs[trained.best]
    assert [epoch.number for epoch in trained.epochs] == list(range(QUICK.epochs + 1))
    assert best.choose.elbo >= max(epoch.choose.elbo for epoch in trained.epochs)
    assert best.choose.elbo >= first.choose.elbo
    assert len(best.kl_per_dimension) == 2


def test_it_yields_after_every_step() -> None:
    states = linear_gaussian(400)
    steps = list(train_steps(states, passages(400), Settings(latent=2, hidden=8, epochs=2)))
    told = [step for step in steps if isinstance(step, Learning) and step.epoch]
    assert [step.epoch.number for step in told if step.epoch] == [0, 1, 2]
    fractions = [step.fraction for step in steps if step.fraction is not None]
    assert len(fractions) == len(steps)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    # 320 states to train on are two batches of 256 an epoch.
    trained_on = [step for step in steps if step.text.startswith("Training")]
    assert len(trained_on) == 2 * 2
    for step in told:
        assert step.picture is not None
        assert step.rows is not None
        assert step.picture.shape == (len(step.rows), 2) == (40, 2)
        assert not step.picture.flags.writeable
    # The same states each time, in the same order.
    assert len({tuple(step.rows.tolist()) for step in told if step.rows is not None}) == 1


def test_the_same_seed_gives_the_same_weights_and_leaves_the_process_its_own(
    trained: Trained,
) -> None:
    torch.manual_seed(77)
    expected = torch.rand(1)
    torch.manual_seed(77)
    again: Trained = drain(train_steps(linear_gaussian(1500), passages(1500), QUICK))
    assert torch.rand(1) == expected
    for one, other in zip(
        trained.vae.state_dict().values(), again.vae.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)


def test_another_seed_gives_other_weights() -> None:
    short = [
        drain(
            train_steps(
                linear_gaussian(300), passages(300), Settings(latent=2, hidden=8, epochs=1, seed=n)
            )
        )
        for n in (1, 2)
    ]
    one, other = (result.vae.encoder_curve[0].weight for result in short)
    assert not torch.equal(one, other)


def test_passages_are_held_out_whole() -> None:
    of = passages(1000, 20)
    split = split_passages(of, seed=3)
    groups = [set(of[part]) for part in (split.train, split.choose, split.held_out)]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]
    assert [len(group) for group in groups] == [40, 5, 5]


def test_states_that_are_not_numbers_stop_it() -> None:
    states = linear_gaussian(200)
    states[17, 3] = torch.nan
    with pytest.raises(TrainingStopped, match="not numbers") as stopped:
        drain(train_steps(states, passages(200), QUICK))
    assert stopped.value.trained is None


def test_a_loss_that_is_no_number_stops_it_and_keeps_the_last_good_weights() -> None:
    rash = Settings(latent=2, hidden=16, epochs=30, batch=128, rate=1e8, seed=1)
    with pytest.raises(TrainingStopped, match="no longer a number") as stopped:
        drain(train_steps(linear_gaussian(600), passages(600), rash))
    kept = stopped.value.trained
    assert kept is not None
    assert all(torch.isfinite(tensor).all() for tensor in kept.vae.state_dict().values())
    assert math.isfinite(kept.epochs[kept.best].choose.elbo)


@pytest.mark.parametrize(
    ("count", "length", "latent", "why"),
    [
        (30, 10, 2, "30|24|states"),
        (200, 100, 2, "2 passages"),
        (400, 20, 10, "not fewer than the states' 10"),
    ],
)
def test_too_little_is_refused(count: int, length: int, latent: int, why: str) -> None:
    with pytest.raises(UserError, match=why):
        drain(
            train_steps(
                linear_gaussian(count), passages(count, length), Settings(latent=latent, hidden=8)
            )
        )
