"""Penalties against autograd, against the proximal operator's definition and against torch's decay."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lanewise.errors import InputError
from lanewise.parts.penalties import (
    decayed,
    penalty_gradient,
    penalty_value,
    proximal_l1,
    sparsity,
    strength,
)

numbers = st.floats(-10, 10, allow_subnormal=False)
strengths = st.floats(0, 5, allow_subnormal=False)


def parameters(seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in [(3, 4), (5,), ()]]


@pytest.mark.parametrize(("l2", "l1"), [(0.3, 0.0), (0.0, 0.2), (0.3, 0.2)])
def test_gradient_is_autograds_of_the_value(l2: float, l1: float) -> None:
    params = [param.requires_grad_() for param in parameters()]
    gradients = torch.autograd.grad(penalty_value(params, l2, l1), params)
    for param, gradient in zip(params, gradients, strict=True):
        torch.testing.assert_close(penalty_gradient(param.detach(), l2, l1), gradient, rtol=0, atol=1e-14)


def test_value_without_parameters_is_zero() -> None:
    assert penalty_value([], 1.0, 1.0).item() == 0


def test_value_keeps_the_dtype_of_the_parameters() -> None:
    assert penalty_value(parameters(), 0.1, 0.1).dtype is torch.float64
    assert penalty_value([torch.ones(2)], 0.1, 0.1).dtype is torch.float32


@given(theta=numbers, threshold=strengths)
def test_proximal_step_is_the_nearest_cheap_point(theta: float, threshold: float) -> None:
    """No point of a fine grid has a smaller 1/2 (x - theta)^2 + threshold |x|."""
    x = proximal_l1(torch.tensor(theta, dtype=torch.float64), threshold).item()

    def cost(point: torch.Tensor) -> torch.Tensor:
        return (point - theta) ** 2 / 2 + threshold * point.abs()

    grid = torch.linspace(-11, 11, 2001, dtype=torch.float64)
    assert cost(torch.tensor(x, dtype=torch.float64)) <= cost(grid).min() + 1e-12
    assert (x == 0) == (abs(theta) <= threshold)


def test_proximal_step_keeps_nan_and_infinity() -> None:
    after = proximal_l1(torch.tensor([math.nan, math.inf, -math.inf]), 0.5)
    assert torch.isnan(after[0])
    assert after[1:].tolist() == [math.inf, -math.inf]


def test_threshold_zero_and_minus_zero() -> None:
    param = torch.tensor([0.3, -0.0, 0.0])
    assert proximal_l1(param, 0.0).tolist() == param.tolist()


def test_decay_by_rate_is_adamws() -> None:
    param = torch.nn.Parameter(parameters()[0])
    ours = param.detach().clone()
    optimizer = torch.optim.AdamW([param], lr=0.1, weight_decay=0.3)
    for t in range(100):
        optimizer.param_groups[0].update(lr=0.1 / (1 + t), weight_decay=0.3 * t / 100)
        param.grad = torch.zeros_like(param)
        optimizer.step()
        ours = decayed(ours, 0.3 * t / 100, 0.1 / (1 + t), "rate")
    torch.testing.assert_close(ours, param.detach(), rtol=0, atol=1e-14)


def test_independent_decay_does_not_know_the_rate() -> None:
    param = parameters()[0]
    assert decayed(param, 0.25, 0.1, "independent").equal(0.75 * param)
    assert decayed(param, 0.25, 0.9, "independent").equal(0.75 * param)


def test_strength_per_row() -> None:
    assert strength(0.5, "mean") == strength(0.5, "mean", rows=7) == 0.5
    assert strength(0.5, "row", rows=8) == 0.0625
    assert isinstance(strength(torch.tensor(0.5), "row", rows=8), torch.Tensor)


@pytest.mark.parametrize("rows", [None, 0, -3, 2.5, "8"])
def test_rows_are_needed_per_row(rows: Any) -> None:
    with pytest.raises(InputError, match=r"rows = .*: must be an integer in \[1, inf\)"):
        strength(0.5, "row", rows)


def test_unknown_words_are_refused() -> None:
    with pytest.raises(InputError, match="per = 'batch': must be one of mean, row"):
        strength(0.5, "batch")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="decay_by = 'lr': must be one of rate, independent"):
        decayed(torch.ones(2), 0.1, 0.1, "lr")  # type: ignore[arg-type]


def test_sparsity_counts_exact_zeros_of_both_signs() -> None:
    assert sparsity([torch.tensor([0.0, -0.0, 1e-30]), torch.tensor(0.0)]) == (3, 4)
    assert sparsity([]) == (0, 0)


def test_lanes_have_their_own_strengths() -> None:
    """Under vmap, every lane with its own numbers, as each alone; a proximal step on a lane of NaN stays there."""
    params = torch.stack([parameters(seed)[0] for seed in range(3)])
    l2, l1 = torch.tensor([0.0, 0.1, 0.2]).double(), torch.tensor([0.3, 0.0, 0.5]).double()
    gradients = torch.vmap(penalty_gradient)(params, l2, l1)
    thresholded = torch.vmap(proximal_l1)(params, l1)
    by_rate = torch.vmap(lambda param, decay, lr: decayed(param, decay, lr, "rate"))(params, l2, l1)
    for lane in range(3):
        numbers = float(l2[lane]), float(l1[lane])
        torch.testing.assert_close(gradients[lane], penalty_gradient(params[lane], *numbers), rtol=0, atol=1e-15)
        torch.testing.assert_close(thresholded[lane], proximal_l1(params[lane], numbers[1]), rtol=0, atol=0)
        torch.testing.assert_close(by_rate[lane], decayed(params[lane], *numbers, "rate"), rtol=0, atol=1e-15)
