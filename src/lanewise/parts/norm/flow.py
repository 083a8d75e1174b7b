"""Which layer's output goes into which: the graph of a model, as far as `torch.fx` can trace it.

A model that cannot be traced as a whole (its forward branches on values, say) is traced in pieces: the modules that
cannot be entered stay closed boxes in the graph around them, and what can be traced inside them has graphs of its own.
"""

import copy
from collections import Counter
from dataclasses import dataclass

from torch import fx, nn

from lanewise.base.torch_modules import AnyNorm, own_children
from lanewise.parts.dropout import Dropout

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, Dropout)
NORMS = (AnyNorm, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)


@dataclass(frozen=True)
class Flow:
    """The graph of one traced module of a model; `prefix` and a name in it give the name in the model."""

    prefix: str
    module: nn.Module
    graph: fx.Graph

    def layer(self, node: object) -> nn.Module | None:
        """The layer that `node` calls, or None where it calls none."""
        if isinstance(node, fx.Node) and node.op == "call_module":
            return self.module.get_submodule(str(node.target))
        return None

    def name(self, node: fx.Node) -> str:
        """The name, in the model, of the layer that `node` calls."""
        return f"{self.prefix}{node.target}"


class LayerTracer(fx.Tracer):
    """Traces down to torch's own layers, norms and dropouts, and does not enter the modules in `closed`."""

    def __init__(self, closed: list[nn.Module]) -> None:
        super().__init__()
        self.closed = closed

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether `m` stays one node of the graph."""
        known = isinstance(m, (*DROPOUTS, *NORMS)) or any(m is module for module in self.closed)
        return known or super().is_leaf_module(m, module_qualified_name)


def flows(model: nn.Module, training: bool) -> list[Flow]:
    """The graphs of `model` in training or evaluation: one if it can be traced whole, else one for each part that can.

    Their modules are those of a copy, since tracing runs the model's own code.
    """
    found, _ = trace(copy.deepcopy(model).train(training), "")
    return found


def trace(module: nn.Module, prefix: str) -> tuple[list[Flow], list[nn.Module]]:
    """The graphs of `module`, and the modules in it, perhaps itself, that had to stay closed boxes."""
    if next(module.children(), None) is None:
        return [], []
    graph = graph_of(module, [])
    if graph is not None:
        return [Flow(prefix, module, graph)], []
    parts = [trace(child, f"{prefix}{name}.") for name, child in module.named_children()]
    inside = [flow for found, _ in parts for flow in found]
    closed = [box for _, boxes in parts for box in boxes]
    graph = graph_of(module, closed)
    if graph is None:
        return inside, [module, *closed]
    return [Flow(prefix, module, graph), *(flow for flow in inside if is_closed(flow.module, closed))], closed


def is_closed(part: nn.Module, closed: list[nn.Module]) -> bool:
    """Whether `part` lies inside one of the `closed` boxes."""
    return any(part is module for box in closed for module in box.modules())


def graph_of(module: nn.Module, closed: list[nn.Module]) -> fx.Graph | None:
    """The graph of `module` with the modules in `closed` as boxes, or None where its forward cannot be traced."""
    try:
        return LayerTracer(closed).trace(module)
    except Exception:  # the user's forward, run on stand-ins for tensors, may raise whatever it likes
        return None


def calls(found: list[Flow]) -> Counter[nn.Module]:
    """How often each layer is called, plus how often its parameters or buffers are read from outside it."""
    used: Counter[nn.Module] = Counter()
    for flow in found:
        for node in flow.graph.nodes:
            if node.op == "call_module":
                used[flow.module.get_submodule(node.target)] += 1
            elif node.op == "get_attr":
                used[flow.module.get_submodule(node.target.rpartition(".")[0])] += 1
    return used


def source(node: fx.Node) -> fx.Node | None:
    """The node whose output is the first input of `node`, or None where that is no node."""
    given = node.args[0] if node.args else node.kwargs.get("input")
    return given if isinstance(given, fx.Node) else None


def replaced(model: nn.Module, swap: dict[nn.Module, nn.Module]) -> nn.Module:
    """`model` with every module that is a key of `swap` replaced, in place, under each of its names."""
    if model in swap:
        return swap[model]
    for module in model.modules():
        for name, child in own_children(module).items():  # named_children leaves out second names
            if child in swap:
                own_children(module)[name] = swap[child]
    return model
