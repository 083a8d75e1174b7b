"""The plots of the optimizers: each path is made by the real optimizer on a loss of one or two numbers."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

import lanewise as lw
from docs.plots.style import GREY, Axes, Plot
from lanewise.parts.clipping import clipped
from lanewise.parts.early_stopping import StoppingState
from lanewise.parts.early_stopping import early_stopping as updated_stopping
from lanewise.parts.optimizers import Optimizer
from lanewise.parts.optimizers.muon import orthogonalised
from lanewise.parts.schedules import tabulate

CURVATURES = torch.tensor([1.0, 50.0], dtype=torch.float64)


def descend(
    optimizer: Optimizer, gradient: Callable[[Tensor, int], Tensor], start: Tensor, steps: int
) -> list[list[Tensor]]:
    """[parameters that train, parameters to evaluate] after 0 .. `steps` updates."""
    tables = {name: tabulate(value, steps) for name, value in optimizer.numbers().items()}
    theta, state = start, optimizer.init(start)
    path = [[theta, theta]]
    for step in range(steps):
        numbers = {name: torch.tensor(table[step]) for name, table in tables.items()}
        theta, state = optimizer.update(theta, gradient(theta, step), state, numbers, step)
        path.append([theta, optimizer.evaluated(theta, state, numbers)])
    return path


def valley(theta: Tensor, step: int) -> Tensor:
    """The gradient of a quadratic loss whose curvatures differ."""
    return CURVATURES * theta


def losses(optimizer: Optimizer, steps: int) -> list[float]:
    """The loss in the valley along the path of `optimizer`."""
    path = descend(optimizer, valley, torch.ones(2, dtype=torch.float64), steps)
    return [float((0.5 * CURVATURES * theta**2).sum()) for theta, _ in path]


def gradient_descent(axes: Axes) -> None:
    """One number with curvature 1: the rate decides between a glide, a swing and an escape."""
    for rate in (0.2, 1.0, 1.9, 2.05):
        path = descend(lw.GradientDescent(lr=rate), lambda theta, _: theta, torch.tensor([1.0]), 20)
        axes.plot([float(theta) for theta, _ in path], marker=".", label=f"rate {rate}")
    axes.set_xlabel("step")
    axes.set_ylabel("parameter")
    axes.legend(ncols=2)


def sgd(axes: Axes) -> None:
    """Momentum in a valley."""
    for optimizer in (lw.SGD(lr=0.02), lw.SGD(lr=0.02, momentum=0.9), lw.SGD(lr=0.02, momentum=0.9, nesterov=True)):
        axes.semilogy(losses(optimizer, 100), label=str(optimizer))
    name_axes(axes)


def adam(axes: Axes) -> None:
    """Two gradients of different size: Adam moves both parameters alike."""
    size = torch.tensor([1.0, 0.01], dtype=torch.float64)
    for optimizer in (lw.Adam(lr=0.05), lw.SGD(lr=0.05)):
        path = descend(optimizer, lambda theta, _: size * theta, torch.ones(2, dtype=torch.float64), 100)
        for index, style in enumerate(("-", "--")):
            label = f"{optimizer}, curvature {float(size[index]):g}"
            axes.plot([float(theta[index]) for theta, _ in path], style, label=label)
    axes.set_xlabel("step")
    axes.set_ylabel("parameter")
    axes.legend()


def rmsprop(axes: Axes) -> None:
    """How long the step remembers that the gradient was ten times as large before."""
    gradient = lambda theta, step: torch.full_like(theta, 10.0 if step < 40 else 1.0)  # noqa: E731
    for alpha in (0.9, 0.99):
        path = descend(lw.RMSprop(lr=1.0, alpha=alpha), gradient, torch.zeros(1, dtype=torch.float64), 160)
        sizes = [float(before - after) for (before, _), (after, _) in pairwise(path)]
        axes.plot(sizes, label=f"rmsprop(alpha={alpha})")
    axes.axvline(40, color=GREY, linestyle=":")
    axes.set_ylim(0, 5)
    axes.set_xlabel("step; the gradient falls from 10 to 1 at step 40")
    axes.set_ylabel("size of the step / rate")
    axes.legend()


def lion(axes: Axes) -> None:
    """Steps of one size reach the minimum only if the rate decays."""
    for rate in (0.05, 0.05 * lw.Linear()):
        optimizer = lw.Lion(lr=rate)
        path = descend(optimizer, lambda theta, _: theta, torch.ones(1, dtype=torch.float64), 80)
        axes.plot([float(theta) for theta, _ in path], label=str(optimizer))
    axes.set_xlabel("step")
    axes.set_ylabel("parameter")
    axes.legend()


def muon(axes: Axes) -> None:
    """What the orthogonalisation makes of each singular value."""
    values = torch.logspace(-4, 0, 200, dtype=torch.float64)
    scaled = values / torch.linalg.vector_norm(values)
    after = torch.linalg.vecdot(orthogonalised(torch.diag(values)), torch.eye(200, dtype=torch.float64))
    axes.semilogx(scaled, after, label="after the orthogonalisation")
    axes.semilogx(scaled, scaled, color=GREY, linestyle=":", label="before it")
    axes.set_xlabel("singular value / norm of the matrix")
    axes.legend()


def schedule_free(axes: Axes) -> None:
    """A noisy gradient: the average that is evaluated is steadier than the weights that train."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(300, 50, generator=generator, dtype=torch.float64)
    path = descend(
        lw.ScheduleFreeSGD(lr=1.0), lambda theta, step: theta + noise[step], torch.ones(50, dtype=torch.float64), 300
    )
    for index, label in enumerate(("y, where the gradient is taken", "x, the average: what is evaluated")):
        axes.semilogy([float((0.5 * pair[index] ** 2).mean()) for pair in path], label=label)
    name_axes(axes)


def effective_rate(axes: Axes) -> None:
    """Weights in front of a batch norm: large or small, they turn at the same speed in the end."""
    rate, decay, steps = 0.1, 0.05, 600
    noise = torch.randn(steps, 400, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for start in (0.3, 3.0):
        first = torch.full((400,), start / 20, dtype=torch.float64)

        def gradient(theta: Tensor, step: int) -> Tensor:
            direction = theta / theta.norm()
            across = noise[step] - (noise[step] @ direction) * direction
            return across / theta.norm() + decay * theta

        path = [theta for theta, _ in descend(lw.SGD(lr=rate), gradient, first, steps)]
        turns = [float(torch.arccos((a @ b) / (a.norm() * b.norm()))) for a, b in pairwise(path)]
        axes.semilogy(range(0, steps, 5), turns[::5], label=f"norm {start} at the start")
    axes.axhline((2 * rate * decay) ** 0.5, color=GREY, linestyle=":", label="sqrt(2 rate lambda)")
    axes.set_xlabel("step")
    axes.set_ylabel("turn a step (radians)")
    axes.legend()


def clipping(axes: Axes) -> None:
    """Noisy gradients, of which one in twenty is thirty times as long as the others."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(300, 50, generator=generator, dtype=torch.float64)
    lengths = torch.where(torch.rand(300, generator=generator) < 0.05, 30.0, 1.0)
    for most in (None, 10.0, 2.0):

        def gradient(theta: Tensor, step: int, most: float | None = most) -> Tensor:
            found = lengths[step] * (theta + noise[step])
            return found if most is None else clipped({"theta": found}, most)["theta"]

        path = descend(lw.SGD(lr=0.05), gradient, torch.full((50,), 3.0, dtype=torch.float64), 300)
        label = "not clipped" if most is None else f"clip {most:g}"
        axes.semilogy([float(theta.square().mean()) for theta, _ in path], label=label)
    axes.set_xlabel("step")
    axes.set_ylabel("distance$^2$")
    axes.legend()


def accumulation(axes: Axes) -> None:
    """Noisy gradients: more batches a step, fewer and quieter steps."""
    noise = torch.randn(480, 50, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for count in (1, 4, 16):
        batches = noise.view(480 // count, count, 50)

        def gradient(theta: Tensor, step: int, batches: Tensor = batches) -> Tensor:
            return theta + batches[step].mean(0)

        path = descend(lw.SGD(lr=0.2), gradient, torch.full((50,), 3.0, dtype=torch.float64), len(batches))
        label = f"accumulate {count}: {len(batches)} steps"
        axes.semilogy(range(0, 481, count), [float(theta.square().mean()) for theta, _ in path], label=label)
    axes.set_xlabel("batches; rate 0.2")
    axes.set_ylabel("distance$^2$")
    axes.legend()


def early_stopping(axes: Axes) -> None:
    """A validation loss that falls and rises again, and where three patiences end the run."""
    steps = np.arange(1, 101)
    noise = torch.randn(100, generator=torch.Generator().manual_seed(2), dtype=torch.float64).numpy()
    loss = np.exp(-steps / 15) + 0.2 + 0.004 * np.maximum(steps - 40, 0) + 0.015 * noise
    axes.plot(steps, loss, color=GREY, linestyle=":", label="validation loss")
    for patience in (5, 15, 30):
        state = StoppingState()
        for step, measured in zip(steps.tolist(), loss.tolist(), strict=True):
            state = updated_stopping(state, step, measured, patience)
            if state.stopped:
                break
        ends = ([state.step, step], [state.loss, measured])
        axes.plot(*ends, marker="o", label=f"{patience}st: ends at {step}, keeps {state.step}")
    name_axes(axes)


def name_axes(axes: Axes) -> None:
    """Loss by step."""
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.legend()


PLOTS: dict[str, Plot] = {
    "gradient-descent": gradient_descent,
    "sgd": sgd,
    "adam": adam,
    "rmsprop": rmsprop,
    "lion": lion,
    "muon": muon,
    "schedule-free": schedule_free,
    "effective-rate": effective_rate,
    "clipping": clipping,
    "accumulation": accumulation,
    "early-stopping": early_stopping,
}
