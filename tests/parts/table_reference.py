"""One recipe trained alone in plain PyTorch: modules, autograd, `torch.optim`, and a loop.

Nothing is shared with the engine but the initial weights, the batches and the uniform draws. The values of a schedule
come from its `table`. Optimizers that torch has not are run by `TorchOptimizer`, which has oracles of its own
(`tests/parts/test_optimizers.py`, `tests/bridges/test_torch_optimizers.py`).
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import fields
from fnmatch import fnmatch
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lanewise.bridges.torch_optimizer import TorchOptimizer, role_groups
from lanewise.parts.optimizers import Optimizer
from lanewise.parts.stochastic_depth import StochasticDepth
from tests.parts.table_groups import ParameterGroups

OWN_NUMBERS = (
    "l2", "l1", "decay", "dropout", "stochastic_depth", "norm_momentum", "mixup", "label_smoothing", "clip", "ema",
    "lora_alpha", "layer_decay",
)  # fmt: skip
LAYERS: dict[type, str] = {nn.Dropout: "dropout", nn.Dropout2d: "dropout", StochasticDepth: "stochastic_depth"}
TORCH: dict[str, Callable[[Any, Any], torch.optim.Optimizer]] = {
    "gradient_descent": lambda params, optimizer: torch.optim.SGD(params, lr=0.0),
    "sgd": lambda params, optimizer: torch.optim.SGD(params, lr=0.0, momentum=0.5, nesterov=optimizer.nesterov),
    "adam": lambda params, optimizer: torch.optim.Adam(params, lr=0.0, amsgrad=optimizer.amsgrad),
    "adamw": lambda params, optimizer: torch.optim.AdamW(params, lr=0.0, amsgrad=optimizer.amsgrad),
    # Its buffer is made before the first step, or never.
    "rmsprop": lambda params, optimizer: torch.optim.RMSprop(params, lr=0.0, momentum=0.5, centered=optimizer.centered),
}
"""Every number is set before each step; those given here only allow what the optimizer's flags need."""


class GivenDropout(nn.Module):
    """Dropout by uniform draws that are handed in before each step, one for each call."""

    def __init__(self, rate: float, number: str) -> None:
        super().__init__()
        self.rate, self.number = rate, number
        self.uniforms: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        return torch.where(self.uniforms.pop(0) >= self.rate, x / (1 - self.rate), 0.0)


class PlainRun:
    """A run of `recipe` on `model`, which becomes the run's own, one step at a time.

    Args:
        rows: training rows, by which penalties given per row are divided.
    """

    def __init__(self, model: nn.Module, recipe: Any, total_steps: int, steps_per_epoch: int, rows: int) -> None:
        self.model, self.recipe = with_given_dropout(model).train(), recipe
        values = dict(numbers_of(recipe))
        self.tables = {
            name: value.table(total_steps, steps_per_epoch) if hasattr(value, "table") else np.full(total_steps, value)
            for name, value in values.items()
        }
        if recipe.penalty_per == "row":
            self.tables |= {name: self.tables[name] / rows for name in ("l2", "l1")}
        # Of Muon's parameters those that are no matrices have a rate of their own.
        self.penalised = [
            (name, param, "adam_lr" if recipe.optimizer.name == "muon" and param.ndim < 2 else "lr")
            for name, param in self.model.named_parameters()
            if param.requires_grad and is_penalised(recipe, self.model, name)
        ]
        self.optimizer = optimizer_for(recipe.optimizer, self.model)
        self.groups = ParameterGroups(recipe, self.model, total_steps, steps_per_epoch, rows)
        self.steps, self.done, self.steps_done = total_steps, 0, 0
        self.average = self.weights() if recipe.ema is not None or recipe.average_from is not None else None

    def values(self, step: int) -> dict[str, float]:
        """Every number at `step`."""
        return {name: float(table[step]) for name, table in self.tables.items()}

    def step(self, values: dict[str, float], x: Tensor, y: Tensor, draws: dict[str, Tensor]) -> float:
        """One step with the numbers `values`; returns the training loss. `draws`: uniform, by the engine's names."""
        at = self.steps_done
        self.steps_done += 1
        for group in self.optimizer.param_groups:
            (name,) = (name for name, param in self.model.named_parameters() if param is group["params"][0])
            set_group(group, self.groups.values(name, values, at))
        self.optimizer.zero_grad()
        count, total = self.recipe.accumulate, 0.0
        for number in range(count):
            part = slice(number * len(x) // count, (number + 1) * len(x) // count)
            self.set_layers(values, draws if count == 1 else {name: draw[number] for name, draw in draws.items()})
            loss = self.loss(values, x[part], y[part], draws)
            (loss / count).backward()
            total += loss.item() / count
        for name, param in self.model.named_parameters():
            if self.groups.is_frozen(name, at):
                param.grad = None
        if "clip" in values:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), values["clip"])
        proximal, by_rate = self.recipe.l1_step == "proximal", self.recipe.decay_by == "rate"
        with torch.no_grad():
            trained = [(param, rate, self.groups.values(name, values, at))
                       for name, param, rate in self.penalised if param.grad is not None]  # fmt: skip
            for param, rate, own in trained:
                param.grad += own["l2"] * param + (0.0 if proximal else own["l1"]) * param.sign()
                param -= own["decay"] * (own[rate] if by_rate else 1.0) * param
            self.optimizer.step()
            for param, rate, own in trained if proximal else ():
                param.copy_(param.sign() * (param.abs() - own[rate] * own["l1"]).clamp(min=0.0))
        self.take_average(values)
        return total

    def take_average(self, values: dict[str, float]) -> None:
        """Move the averaged weights by the step just done."""
        if self.average is None:
            return
        self.done += 1
        now = self.weights()
        if self.recipe.average_from is None:
            keep = values["ema"] if self.done > 1 else 0.0
        else:
            since = max(0, self.done - 1 - int(self.recipe.average_from * self.steps))
            keep = since / (since + 1)
        for name, kept in self.average.items():
            self.average[name] = keep * kept + (1 - keep) * now[name] if kept.is_floating_point() else now[name]

    def loss(self, values: dict[str, float], x: Tensor, y: Tensor, draws: dict[str, Tensor]) -> Tensor:
        """Smoothed cross entropy of the batch, of blended rows where the recipe has mixup."""
        smoothing = values["label_smoothing"]
        if "mixup" not in values:
            return F.cross_entropy(self.model(x), y, label_smoothing=smoothing)
        partners = draws["mixup_partners"].argsort()
        share = kept_share(values["mixup"], *draws["mixup_weight"].tolist())
        labels = share * one_hot(y, self.classes(x)) + (1 - share) * one_hot(y[partners], self.classes(x))
        return F.cross_entropy(self.model(share * x + (1 - share) * x[partners]), labels, label_smoothing=smoothing)

    def classes(self, x: Tensor) -> int:
        """How many classes the model tells apart."""
        return int([module for module in self.model.modules() if isinstance(module, nn.Linear)][-1].out_features)

    def set_layers(self, values: dict[str, float], draws: dict[str, Tensor]) -> None:
        """Write rates, momenta and draws into the layers; a draw's name is its layer's, then a buffer's."""
        for name, module in self.model.named_modules():
            if isinstance(module, GivenDropout):
                module.rate = values.get(module.number, module.rate)
                module.uniforms = [draw for own, draw in draws.items() if own.rpartition(".")[0] == name]
            elif isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = values.get("norm_momentum", module.momentum)
            elif hasattr(module, "lora_alpha") and "lora_alpha" in values:
                module.lora_alpha.fill_(values["lora_alpha"])

    def weights(self) -> dict[str, Tensor]:
        """The weights that the optimizer evaluates and all buffers, by name."""
        if isinstance(self.optimizer, TorchOptimizer):
            self.optimizer.eval()
        found = {name: value.clone() for name, value in self.model.state_dict().items()}
        if isinstance(self.optimizer, TorchOptimizer):
            self.optimizer.train()
        return found

    def final(self) -> dict[str, Tensor]:
        """The weights to evaluate and all buffers, by name; the model holds them, in evaluation mode, afterwards."""
        final = self.weights() if self.average is None else self.average
        self.model.eval().load_state_dict(final)
        return final


def numbers_of(recipe: Any) -> Iterator[tuple[str, Any]]:
    """Names and values of the numbers that may change with the step."""
    for name in recipe.optimizer.number_names():
        yield name, getattr(recipe.optimizer, name)
    for name in OWN_NUMBERS:
        if getattr(recipe, name) is not None:
            yield name, getattr(recipe, name)


def is_penalised(recipe: Any, model: nn.Module, name: str) -> bool:
    """Whether penalties apply to a parameter: to weights of dense layers and convolutions unless the recipe says."""
    if recipe.penalised is not None:
        return any(fnmatch(name, pattern) for pattern in recipe.penalised)
    layer, _, own = name.rpartition(".")
    return own in ("weight", "lora_A", "lora_B") and isinstance(model.get_submodule(layer), (nn.Linear, nn.Conv2d))


def optimizer_for(optimizer: Optimizer, model: nn.Module) -> torch.optim.Optimizer:
    """torch's own optimizer where it has the optimizer, each parameter in a group of its own.

    Its numbers are set before each step.
    """
    groups = [{**group, "params": [pair]} for group in role_groups(model) for pair in group["params"]]
    if optimizer.name in TORCH:
        return TORCH[optimizer.name](groups, optimizer)
    flags = [item.name for item in fields(optimizer) if item.name not in optimizer.number_names()]
    return TorchOptimizer(groups, type(optimizer)(**{name: getattr(optimizer, name) for name in flags}))


def set_group(group: dict[str, Any], values: dict[str, float]) -> None:
    """Write the optimizer's numbers into one of its groups."""
    group.update({name: value for name, value in values.items() if name in group})
    if "betas" in group:
        group["betas"] = (values["beta1"], values["beta2"])


def kept_share(strength: float, u: float, v: float) -> float:
    """Mixup's weight of a row itself: (1 + |t| / sqrt(2 a + t^2)) / 2, with t of Student's law of 2 a degrees."""
    t_squared = 2 * strength * (u ** (-1 / strength) - 1) * math.cos(2 * math.pi * v) ** 2 if strength else 0.0
    return (1 + math.sqrt(t_squared / (2 * strength + t_squared))) / 2 if strength else 1.0


def one_hot(y: Tensor, classes: int) -> Tensor:
    return F.one_hot(y, classes).to(torch.float64)


def with_given_dropout(model: nn.Module) -> nn.Module:
    """`model` with its dropout layers replaced, in place."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if type(child) in LAYERS:
                setattr(module, name, GivenDropout(getattr(child, "p", None) or child.rate, LAYERS[type(child)]))
    return model
