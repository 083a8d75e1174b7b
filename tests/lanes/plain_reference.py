"""One recipe trained alone by plain PyTorch: `torch.optim`, `nn.BatchNorm`, autograd.

It shares nothing with the engine but the recipe, the initial weights, the batches and the uniform draws. The values of
a schedule come from its `table`; every formula that the engine has of its own is written here a second time.
"""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

RULE_NUMBERS = {"sgd": ("lr", "momentum", "dampening"), "adam": ("lr", "beta1", "beta2", "eps")}
OWN_NUMBERS = ("l2", "l1", "decay", "dropout", "norm_momentum", "label_smoothing")


class GivenDropout(nn.Module):
    """Dropout by uniform draws that are handed in before each step, one for each call."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.uniforms: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        kept = self.uniforms.pop(0) >= self.rate
        return torch.where(kept, x / (1 - self.rate), 0.0)


class PlainRun:
    """A run of `recipe` from the weights of `model`, advanced one step at a time.

    Args:
        model: its dropout layers are replaced; batch norm layers stay torch's own.
        recipe: with `SGD` or `Adam` as its optimizer.
        rows: training rows, by which penalties given per row are divided.
    """

    def __init__(self, model: nn.Module, recipe: Any, total_steps: int, steps_per_epoch: int, rows: int) -> None:
        self.model = with_given_dropout(copy.deepcopy(model)).train()
        self.recipe = recipe
        given = {name: getattr(recipe.optimizer, name) for name in RULE_NUMBERS[recipe.optimizer.name]}
        given |= {name: getattr(recipe, name) for name in OWN_NUMBERS if getattr(recipe, name) is not None}
        self.tables = {
            name: value.table(total_steps, steps_per_epoch) if hasattr(value, "table") else np.full(total_steps, value)
            for name, value in given.items()
        }
        if recipe.penalty_per == "row":
            self.tables["l2"] = self.tables["l2"] / rows
            self.tables["l1"] = self.tables["l1"] / rows
        layers = (module for module in self.model.modules() if isinstance(module, (nn.Linear, nn.Conv2d)))
        # Once each: layers may share a weight.
        self.weights = list({id(layer.weight): layer.weight for layer in layers if layer.weight.requires_grad}.values())
        # Its numbers are set before every step; the one given here only allows Nesterov's momentum.
        self.optimizer: torch.optim.Optimizer = (
            torch.optim.SGD(self.model.parameters(), lr=0.0, momentum=0.5, nesterov=recipe.optimizer.nesterov)
            if recipe.optimizer.name == "sgd"
            else torch.optim.Adam(self.model.parameters(), lr=0.0, amsgrad=recipe.optimizer.amsgrad)
        )

    def values(self, step: int) -> dict[str, float]:
        """Every number at `step`."""
        return {name: float(table[step]) for name, table in self.tables.items()}

    def step(self, values: dict[str, float], x: Tensor, y: Tensor, draws: dict[str, Tensor]) -> float:
        """One step with the numbers `values`; returns the training loss. `draws`: see `set_layers`."""
        self.set_layers(values, draws)
        self.set_optimizer(values)
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(x), y, label_smoothing=values["label_smoothing"])
        loss.backward()
        proximal = self.recipe.l1_step == "proximal"
        shrink = values["decay"] * (values["lr"] if self.recipe.decay_by == "rate" else 1.0)
        with torch.no_grad():
            for weight in self.weights:
                weight.grad += values["l2"] * weight
                if not proximal:
                    weight.grad += values["l1"] * weight.sign()
                weight -= shrink * weight
            self.optimizer.step()
            if proximal:
                for weight in self.weights:
                    size = (weight.abs() - values["lr"] * values["l1"]).clamp(min=0.0)
                    weight.copy_(weight.sign() * size)
        return loss.item()

    def set_layers(self, values: dict[str, float], draws: dict[str, Tensor]) -> None:
        """Write rates and momenta into the layers; `draws` are the uniform draws by the names the engine has for them.

        Such a name is the layer's, then a buffer's that ends with the number of the call.
        """
        for name, module in self.model.named_modules():
            if isinstance(module, GivenDropout):
                module.rate = values.get("dropout", module.rate)
                module.uniforms = [draw for own, draw in sorted(draws.items()) if own.rpartition(".")[0] == name]
            elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
                module.momentum = values.get("norm_momentum", module.momentum)

    def set_optimizer(self, values: dict[str, float]) -> None:
        """Write the optimizer's numbers into the optimizer's groups."""
        for group in self.optimizer.param_groups:
            group["lr"] = values["lr"]
            if self.recipe.optimizer.name == "sgd":
                group["momentum"], group["dampening"] = values["momentum"], values["dampening"]
            else:
                group["betas"], group["eps"] = (values["beta1"], values["beta2"]), values["eps"]

    def set_state(self, weights: dict[str, Tensor], optimizer_state: dict[str, dict[str, Tensor]], step: int) -> None:
        """Continue before `step`, from a lane's weights and buffers by name and its optimizer's state by parameter."""
        with torch.no_grad():
            self.model.load_state_dict(weights)
        for name, param in self.model.named_parameters():
            own = {kind: slot.clone() for kind, slot in optimizer_state[name].items()}
            if self.recipe.optimizer.name == "sgd":
                # torch's buffer does not exist before the first step.
                state: dict[str, Any] = {"momentum_buffer": own["momentum"] if step else None}
            else:
                state = {"step": torch.tensor(float(step)), "exp_avg": own["average"], "exp_avg_sq": own["square"]}
            self.optimizer.state[param] = state

    def outputs(self, x: Tensor) -> Tensor:
        """The outputs in evaluation mode."""
        self.model.eval()
        with torch.no_grad():
            found = self.model(x)
        self.model.train()
        return found


def with_given_dropout(model: nn.Module) -> nn.Module:
    """`model` with its dropout layers replaced, in place; a layer in two places stays one layer."""
    made: dict[nn.Module, GivenDropout] = {}
    for module in list(model.modules()):
        for name, child in list(module._modules.items()):
            if isinstance(child, (nn.Dropout, nn.Dropout2d)):
                setattr(module, name, made.setdefault(child, GivenDropout(child.p)))
    return model
