"""The plots of penalties, dropout, smoothing, mixup and losses."""

import torch

import lanewise as lw
from docs.plots.optimizers import descend
from docs.plots.style import CYCLE, GREY, Axes, Plot, draw_cells
from lanewise.parts.dropout import dropout, uniform_shape
from lanewise.parts.losses import half_mean, half_sum, mean
from lanewise.parts.mixup import mixing_weight
from lanewise.parts.penalties import decayed, penalty_gradient, proximal_l1
from lanewise.parts.roles import Role, roles
from lanewise.parts.schedules import tabulate
from lanewise.parts.smoothing import smoothed_cross_entropy
from lanewise.parts.stochastic_depth import depth_rates
from lanewise.task.models import cnn


def l2(axes: Axes) -> None:
    """One weight with curvature 1 and its best value at 1: L2 moves the goal."""
    for strength in (0.0, 0.25, 1.0):
        optimizer = lw.SGD(lr=0.1, momentum=0.5)
        path = descend(
            optimizer,
            lambda w, _, l2=strength: w - 1 + penalty_gradient(w, l2, 0.0),
            torch.zeros(1, dtype=torch.float64),
            50,
        )
        axes.plot([float(w) for w, _ in path], label=f"lambda {strength}: ends at {1 / (1 + strength):g}")
    axes.set_xlabel("step")
    axes.set_ylabel("weight")
    axes.legend()


def l1(axes: Axes) -> None:
    """A weight that L1 should bring to zero: the subgradient steps around it, the proximal step ends in it."""
    rate, strength = 0.1, 0.4
    for kind in ("subgradient", "proximal"):
        weight, path = torch.tensor([0.5], dtype=torch.float64), []
        for _ in range(40):
            path.append(float(weight))
            gradient = weight - 0.2
            if kind == "subgradient":
                weight = weight - rate * (gradient + penalty_gradient(weight, 0.0, strength))
            else:
                weight = proximal_l1(weight - rate * gradient, rate * strength)
        axes.plot(path, label=f"{kind}: ends at {path[-1] + 0.0:.3g}")
    axes.axhline(0.0, color=GREY, linestyle=":", linewidth=1)
    axes.set_xlabel("step")
    axes.set_ylabel("weight")
    axes.legend()


def elastic_net(axes: Axes) -> None:
    """Where a weight ends, by where it would end without a penalty (curvature 1)."""
    free = torch.linspace(-2, 2, 201, dtype=torch.float64)
    axes.plot(free, free, color=GREY, linestyle=":", label="no penalty")
    axes.plot(free, free / (1 + 0.5), label="L2: lambda 0.5")
    axes.plot(free, proximal_l1(free, 0.5), label="L1: lambda 0.5")
    axes.plot(free, proximal_l1(free, 0.5) / (1 + 0.5), label="both")
    axes.set_xlabel("weight without a penalty")
    axes.set_ylabel("with it")
    axes.legend()


def weight_decay(axes: Axes) -> None:
    """A weight that takes no gradient, under the two kinds of decay with a cosine rate."""
    table = tabulate(0.1 * lw.Cosine(), 100)
    for by, decay in (("rate", 0.1), ("independent", 0.01)):
        weight, path = torch.ones(1, dtype=torch.float64), []
        for rate in table:
            path.append(float(weight))
            weight = decayed(weight, decay, rate, by)  # type: ignore[arg-type]
        axes.plot(path, label=f"decay {decay}, decay_by {by}")
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("step; rate 0.1 * cosine()")
    axes.set_ylabel("weight")
    axes.legend()


def role_counts(axes: Axes) -> None:
    """How many numbers of the built-in cnn have which role."""
    model = cnn((1, 8, 8), (16, 32), 10)
    parameters = dict(model.named_parameters())
    counts = {role: sum(parameters[n].numel() for n, r in roles(model).items() if r is role) for role in Role}
    kept = {str(role): count for role, count in counts.items() if count}
    bars = axes.barh(list(kept), list(kept.values()), color=CYCLE[0], height=0.6)
    axes.bar_label(bars, padding=3)
    axes.set_xscale("log")
    axes.set_xlim(1, 30_000)
    axes.set_xlabel("numbers in the model cnn, for digits")
    axes.invert_yaxis()


def masks(axes: Axes) -> None:
    """What the two kinds drop at rate 0.3 from one row of 8 channels with 16 places each."""
    generator = torch.Generator().manual_seed(1)
    for place, kind in enumerate(("plain", "spatial")):
        uniform = torch.rand(uniform_shape(kind, (1, 8, 16)), generator=generator)
        kept = dropout(torch.ones(1, 8, 16), 0.3, uniform)[0]
        draw_cells(axes, kept, place * 18)
        axes.text(place * 18 + 8, 0.4, kind, ha="center")
    axes.set_xlim(-1.5, 35)
    axes.set_ylim(-9.5, 1.5)
    axes.set_axis_off()
    axes.text(-0.3, -4, "channels", rotation=90, va="center", ha="right")
    axes.text(8, -8.2, "places", ha="center", va="top")


def depth(axes: Axes) -> None:
    """The linear rule of the paper for 12 blocks."""
    rates = depth_rates(0.5, 12)
    axes.bar(range(1, 13), rates, color=CYCLE[0], label="skips the block")
    axes.bar(range(1, 13), [1 - rate for rate in rates], bottom=rates, color="none", edgecolor=GREY, label="takes it")
    axes.set_xlabel("block")
    axes.set_ylabel("share of rows")
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, labelcolor=GREY)


def smoothing(axes: Axes) -> None:
    """The loss of one row with ten classes, by how far the right class is ahead of all others."""
    lead = torch.linspace(0, 10, 101, dtype=torch.float64)
    logits = torch.zeros(101, 10, dtype=torch.float64)
    logits[:, 0] = lead
    label = torch.zeros(1, dtype=torch.long)
    for share in (0.0, 0.05, 0.1, 0.2):
        values = [float(smoothed_cross_entropy(row[None], label, share)) for row in logits]
        axes.plot(lead, values, label=f"smoothing {share}")
    axes.set_xlabel("logit of the right class above the nine others")
    axes.set_ylabel("loss (nats)")
    axes.legend()


def mixup(axes: Axes) -> None:
    """How much of itself a row keeps, from the strongest mixing to none."""
    u, v = torch.rand(2, 2000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for strength in (0.1, 0.2, 1.0, 8.0):
        values = mixing_weight(torch.tensor(strength, dtype=torch.float64), u, v).sort().values
        axes.plot(torch.linspace(0, 1, 100), values[:: len(values) // 99][:100], label=f"strength {strength}")
    axes.set_ylim(0.48, 1.02)
    axes.set_xlabel("share of the steps")
    axes.set_ylabel("weight of the row itself")
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2)


def squared_errors(axes: Axes) -> None:
    """The three squared errors for 4 rows of 2 values that are all off by the same."""
    errors = torch.linspace(-2, 2, 81, dtype=torch.float64)
    for loss in (half_sum, half_mean, mean):
        values = [float(loss(torch.full((4, 2), float(error)), torch.zeros(4, 2))) for error in errors]
        axes.plot(errors, values, "--" if loss is mean else "-", label=loss.__name__)
    axes.set_xlabel("error of each of the 4 x 2 values")
    axes.set_ylabel("loss")
    axes.legend()


def width(axes: Axes) -> None:
    """Ridge regression on random ReLU features: 100 noisy rows to fit, 1,000 to validate on, means of 40 draws."""
    generator = torch.Generator().manual_seed(0)
    widths = (5, 10, 20, 40, 60, 80, 90, 100, 110, 125, 150, 200, 300, 400)
    errors = torch.zeros(3, len(widths), dtype=torch.float64)
    strengths = (0.01, 0.1, 3.0)
    for _ in range(40):
        x = torch.randn(1100, 20, generator=generator, dtype=torch.float64)
        slope = torch.randn(20, generator=generator, dtype=torch.float64) / 20**0.5
        y = (x @ slope).tanh() + 0.3 * torch.randn(1100, generator=generator, dtype=torch.float64)
        features = torch.randn(20, max(widths), generator=generator, dtype=torch.float64)
        for at, units in enumerate(widths):
            hidden = (x @ features[:, :units]).relu()
            fit, valid = hidden[:100], hidden[100:]
            for row, strength in enumerate(strengths):
                square = fit.T @ fit + strength * torch.eye(units, dtype=torch.float64)
                weights = torch.linalg.solve(square, fit.T @ y[:100])
                errors[row, at] += (valid @ weights - y[100:]).square().mean() / 40
    for row, strength in enumerate(strengths):
        axes.plot(widths, errors[row], label=f"lambda {strength:g}")
    axes.set_xscale("log")
    axes.set_ylim(0, 3)
    axes.set_xlabel("width; 100 rows to fit")
    axes.set_ylabel("validation error$^2$")
    axes.legend()


def low_rank(axes: Axes) -> None:
    """Share of the squares of a 256 x 256 matrix in its best approximation of a rank (Eckart and Young, 1936)."""
    ranks = torch.arange(1, 257, dtype=torch.float64)
    for fall in (0.5, 1.0, 2.0):
        share = (ranks ** (-2 * fall)).cumsum(0)
        axes.plot(ranks[:64], share[:64] / share[-1], label=f"k-th singular value as $k^{{-{fall:g}}}$")
    axes.set_xscale("log", base=2)
    axes.set_xlabel("rank")
    axes.set_ylabel("share of the change")
    axes.legend()


PLOTS: dict[str, Plot] = {
    "width": width,
    "lora": low_rank,
    "l2": l2,
    "l1": l1,
    "elastic-net": elastic_net,
    "weight-decay": weight_decay,
    "roles": role_counts,
    "dropout": masks,
    "stochastic-depth": depth,
    "label-smoothing": smoothing,
    "mixup": mixup,
    "losses": squared_errors,
}
