"""The plots of the normalisation parts."""

import copy

import torch
from torch import Tensor, nn

from docs.plots.style import CYCLE, GREY, Axes, Plot, draw_cells
from lanewise.parts.norm import (
    AveragedWeights,
    GhostBatchNorm,
    batch_norm,
    convert_norm,
    fold_norm,
    freeze_norm,
    reestimate,
    variance_shift,
)
from lanewise.parts.norm.lint import RELU_OF_NORMAL


def normal(*shape: int) -> Tensor:
    """Standard normal values, the same at every run."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def batch_norm_momentum(axes: Axes) -> None:
    """How the running mean follows a jump of the batch mean from 0 to 1."""
    batch = torch.tensor([[0.0], [2.0]])
    for momentum in (0.01, 0.1, 0.5):
        mean, var, seen = torch.zeros(1), torch.ones(1), [0.0]
        for _ in range(60):
            _, mean, var = batch_norm(batch, None, None, mean, var, momentum, 1e-5, True)
            assert mean is not None
            seen.append(float(mean))
        axes.plot(seen, label=f"momentum {momentum}")
    axes.axhline(1.0, color=GREY, linestyle=":", label="mean of the batches")
    axes.set_xlabel("step")
    axes.set_ylabel("running mean")
    axes.legend()


def ghost(axes: Axes) -> None:
    """One row among 256 others: what it becomes depends on its virtual batch."""
    rows = normal(256, 64)
    rows[:, :] = torch.cat([torch.ones(1, 64), rows[1:]])
    for size in (4, 16, 64, 256):
        layer = GhostBatchNorm(64, size, affine=False).double()
        values = layer(rows)[0].sort().values
        axes.plot(values, torch.linspace(0, 1, 64), label=f"virtual batches of {size}")
    axes.set_xlabel("normalised value of a row that holds 1 in all 64 channels")
    axes.set_ylabel("share of the channels")
    axes.legend()


def convert(axes: Axes) -> None:
    """Which inputs the first value depends on, found by its gradient."""
    model = nn.Sequential(nn.BatchNorm1d(8)).double()
    for place, (kind, groups) in enumerate((("batch", 1), ("layer", 1), ("group", 4), ("none", 1))):
        x = normal(6, 8).requires_grad_()
        convert_norm(model, to=kind, groups=groups).train()(x)[0, 0].backward()  # type: ignore[arg-type]
        assert x.grad is not None
        draw_cells(axes, x.grad != 0, place * 10)
        axes.text(place * 10 + 4, 0.5, kind, ha="center")
    axes.set_xlim(-1.5, 38.5)
    axes.set_ylim(-7.5, 1.5)
    axes.set_axis_off()
    axes.text(-0.3, -3, "rows", rotation=90, va="center", ha="right")
    axes.text(4, -6.2, "channels", ha="center", va="top")


def freeze(axes: Axes) -> None:
    """The running mean of a layer that is frozen half way, and of one that is not."""
    for frozen in (False, True):
        layer, seen = nn.Sequential(nn.BatchNorm1d(1)).double(), []
        for step in range(60):
            if frozen and step == 30:
                freeze_norm(layer)
            layer.train()(normal(32, 1) + step / 20)
            seen.append(float(layer[0].running_mean))
        axes.plot(seen, "--" if frozen else "-", label="frozen at step 30" if frozen else "not frozen")
    axes.set_xlabel("step; model.train() is called at each, and the mean of the input rises")
    axes.set_ylabel("running mean")
    axes.legend()


def fold(axes: Axes) -> None:
    """A folded model gives what the model gave."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1)).double()
    model(3 * normal(64, 4))
    x = normal(40, 4)
    with torch.no_grad():
        axes.plot(model.eval()(x), fold_norm(model).model(x), ".", label="40 rows")
    axes.axline((0, 0), slope=1, color=GREY, linestyle=":", linewidth=1)
    axes.set_xlabel("output of the model")
    axes.set_ylabel("of the folded model")
    axes.legend()


def reestimation(axes: Axes) -> None:
    """The variance that batch norm should have, what its running average says, and what re-estimation finds."""
    layer = nn.Linear(4, 1, bias=False).double()
    model = nn.Sequential(layer, nn.BatchNorm1d(1, momentum=0.05)).double()
    x, truth, running, found = normal(256, 4), [], [], []
    for step in range(100):
        with torch.no_grad():
            layer.weight.fill_(1 - step / 120)
            truth.append(float(layer(x).var()))
        model.train()(x[step : step + 32])
        running.append(float(model[1].running_var))
        if step % 10 == 9:
            estimated = copy.deepcopy(model)
            reestimate(estimated, x.split(100))
            found.append((step, float(estimated[1].running_var)))
    axes.plot(truth, color=GREY, label="of all rows, for the weights at this step")
    axes.plot(running, color=CYCLE[1], label="running average, momentum 0.05")
    axes.plot(*zip(*found, strict=True), "o", color=CYCLE[0], label="re-estimated from three batches")
    axes.set_xlabel("step")
    axes.set_ylabel("variance")
    axes.legend()


def averages(axes: Axes) -> None:
    """The weights of a noisy run and three averages of them: squared distance from the best weights."""
    model = nn.Linear(50, 1, bias=False).double()
    nn.init.ones_(model.weight)
    kept = {"uniform, from step 100 on": AveragedWeights(model)}
    kept |= {f"exponential, decay {decay}": AveragedWeights(model, decay) for decay in (0.9, 0.99)}
    noise, distances = normal(300, 1, 50), {"the weights that train": []} | {label: [] for label in kept}
    for step in range(300):
        with torch.no_grad():
            model.weight -= 0.2 * (model.weight + noise[step])
        distances["the weights that train"].append(distance(model))
        for label, average in kept.items():
            if step >= 100 or average.decay is not None:
                average.update(model)
                distances[label].append(distance(average.model))
    for label, values in distances.items():
        axes.semilogy(range(300 - len(values), 300), values, label=label)
    axes.set_xlabel("step")
    axes.set_ylabel("distance$^2$")
    axes.legend(ncols=2)


def distance(model: nn.Module) -> float:
    """Mean square of the weights, whose best values are 0."""
    (weight,) = model.parameters()
    return float(weight.detach().square().mean())


def lint(axes: Axes) -> None:
    """The factor by which dropout in front of a batch norm raises the variance it stores."""
    rates = torch.linspace(0, 0.8, 81, dtype=torch.float64)
    for label, ratio in (("behind a ReLU of standard normal values", RELU_OF_NORMAL), ("values of zero mean", 0.0)):
        mean, var = torch.tensor(ratio**0.5), torch.tensor(1.0)
        axes.plot(rates, [float(variance_shift(rate, mean, var)) for rate in rates.tolist()], label=label)
    axes.set_xlabel("dropout rate")
    axes.set_ylabel("stored / evaluated")
    axes.legend()


PLOTS: dict[str, Plot] = {
    "batch-norm": batch_norm_momentum,
    "ghost-batch-norm": ghost,
    "convert-norm": convert,
    "freeze-norm": freeze,
    "fold-norm": fold,
    "reestimate": reestimation,
    "averaged-weights": averages,
    "norm-lint": lint,
}
