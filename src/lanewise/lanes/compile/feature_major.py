"""Hidden activations of a pack written feature by feature instead of row by row.

`vmap` gives a layer's outputs as [lanes, rows, features]. Batch norm and the gradients of biases add over rows, so that
a compiled program walks through memory in strides, several times. Where a group of values is added up over rows more
often than over features, the products that make it are turned around, (A B)^T = B^T A^T, and all that is computed from
them place by place follows: the same numbers as [lanes, features, rows], in which a sum runs along memory.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.fx import Graph, GraphModule, Node

aten: Any = torch.ops.aten
Value: TypeAlias = Any
"""A `torch.fx.Node`, whose arguments are of a type too wide to be of use."""
VIEWS = {aten.view.default, aten._unsafe_view.default, aten.expand.default}
COPIES = {aten.detach.default, aten.clone.default, aten._to_copy.default}
SUMS = {aten.sum.dim_IntList, aten.mean.dim}
SWAPPED = {0: 0, 1: 2, 2: 1}
LEAST_SUMS = 2
"""More sums over rows than over features that a group must have: batch norm has four, a bias alone has one."""


def feature_major(graph: GraphModule) -> GraphModule:
    """`graph`, changed in place: groups of [lanes, rows, features] values that gain by it are held transposed."""
    drop_idle_views(graph.graph)
    turning = Turning(graph.graph)
    for group in groups(graph.graph):
        if gains(group):
            turning.turn(group)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def drop_idle_views(graph: Graph) -> None:
    """Take out the views that change no shape, of which `vmap` writes a good many."""
    for node in list(graph.nodes):
        if node.target in VIEWS and shape_of(node.args[0]) == shape_of(node):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)


def shape_of(node: Any) -> tuple[int, ...]:
    """The shape of the tensor that `node` stands for; () for anything else."""
    value = node.meta.get("val") if isinstance(node, Node) else None
    return tuple(value.shape) if isinstance(value, Tensor) else ()


def is_pointwise(node: Value) -> bool:
    """Whether each value of the result depends on the values at its own place only."""
    target = node.target
    if not isinstance(target, OpOverload) or target._schema.is_mutable:
        return False
    if node.all_input_nodes != list(dict.fromkeys(arg for arg in node.args if isinstance(arg, Node))):
        return False  # tensors in keywords or lists
    return torch.Tag.pointwise in target.tags or target in COPIES


def is_swap(node: Value) -> bool:
    """Whether `node` is a transposition of the last two of three dimensions."""
    if len(shape_of(node)) != 3:
        return False
    if node.target is aten.transpose.int:
        return {dim % 3 for dim in node.args[1:3]} == {1, 2}
    return node.target is aten.permute.default and [dim % 3 for dim in node.args[1]] == [0, 2, 1]


def groups(graph: Graph) -> list[list[Value]]:
    """The values of three dimensions that are computed from one another place by place, each group in order."""
    leader: dict[Value, Value] = {}

    def find(node: Value) -> Value:
        while leader[node] is not node:
            node = leader[node]
        return node

    for node in graph.nodes:
        if len(shape_of(node)) == 3:
            leader[node] = node
            if is_pointwise(node):
                for other in node.all_input_nodes:
                    if shape_of(other) == shape_of(node):
                        leader[find(other)] = find(node)
    found: dict[Value, list[Value]] = {}
    for node in leader:
        found.setdefault(find(node), []).append(node)
    return list(found.values())


def gains(group: Sequence[Value]) -> bool:
    """Whether `group` can be turned and adds more over rows than over features.

    All its values must come from products or from what is broadcast, and go into what `Turning` knows how to turn.
    """
    inside, score = set(group), 0
    for node in group:
        if not (is_pointwise(node) or node.target in (aten.bmm.default, aten.expand.default)):
            return False
        for user in node.users:
            if user.target in SUMS:
                dims = {dim % 3 for dim in user.args[1] or ()}
                score += (dims == {1}) - (dims == {2})
            elif not (user in inside or user.target is aten.bmm.default or is_swap(user)):
                return False
    return score >= LEAST_SUMS and any(node.target is aten.bmm.default for node in group)


class Turning:
    """Turns groups of a graph, one after another."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.turned: dict[Value, Value] = {}
        self.swaps: dict[Value, Value] = {}

    def turn(self, group: Iterable[Value]) -> None:
        """Compute every value of `group` transposed, and hand it on to its users."""
        members = sorted(group)
        for node in members:
            with self.graph.inserting_before(node):
                self.turned[node] = self.counterpart(node)
        for node in members:
            for user in list(node.users):
                if user in self.turned:
                    continue
                with self.graph.inserting_before(user):
                    self.hand_on(node, user)

    def counterpart(self, node: Value) -> Value:
        """A new node with the values of `node`, transposed."""
        call = self.graph.call_function
        if node.target is aten.bmm.default:
            left, right = node.args
            made = call(aten.bmm.default, (self.swapped(right), self.swapped(left)))
        elif node.target is aten.expand.default:
            lanes, rows, features = shape_of(node)
            made = call(aten.expand.default, (self.swapped(node.args[0]), [lanes, features, rows]))
        else:
            made = call(node.target, tuple(map(self.swapped, node.args)), dict(node.kwargs))
        return made

    def swapped(self, value: Any) -> Any:
        """`value`, an argument that broadcasts to [lanes, rows, features], with the last two dimensions swapped."""
        if not isinstance(value, Node):
            return value
        if value in self.turned:
            return self.turned[value]
        if is_swap(value):
            return value.args[0]
        if value not in self.swaps:
            self.swaps[value] = self.swap(value)
        return self.swaps[value]

    def swap(self, value: Value) -> Value:
        """`value`, which is not turned, with its last two dimensions swapped."""
        call, shape = self.graph.call_function, shape_of(value)
        with self.graph.inserting_after(value):
            if len(shape) == 0:
                return value
            if len(shape) == 1:
                return call(aten.unsqueeze.default, (value, -1))
            made = call(aten.transpose.int, (value, -2, -1))
        if len(shape) == 3 or 1 in shape:
            return made
        # What all lanes share is transposed once, not again by every lane: as_strided needs it in memory.
        with self.graph.inserting_after(made):
            copied = call(aten.clone.default, (made,), {"memory_format": torch.contiguous_format})
        with self.graph.inserting_after(copied):
            return call(aten.as_strided.default, (copied, [shape[1], shape[0]], [shape[0], 1]))

    def hand_on(self, node: Value, user: Value) -> None:
        """Let `user`, which stays as it is, take the values of `node` from its counterpart."""
        call, turned = self.graph.call_function, self.turned[node]
        if is_swap(user):
            user.replace_all_uses_with(turned)
        elif user.target in SUMS:
            dims, *keep = user.args[1:]
            made = call(user.target, (turned, [SWAPPED[dim % 3] for dim in dims or ()], *keep), dict(user.kwargs))
            if len(shape_of(user)) == 3:
                made = call(aten.transpose.int, (made, 1, 2))
            made.meta = dict(user.meta)
            user.replace_all_uses_with(made)
        elif user.target is aten.bmm.default and user.args[0] is node:
            made = call(aten.bmm.default, (self.swapped(user.args[1]), turned))
            made = call(aten.transpose.int, (made, 1, 2))
            made.meta = dict(user.meta)
            user.replace_all_uses_with(made)
        else:
            back = call(aten.transpose.int, (turned, 1, 2))
            back.meta = dict(node.meta)
            user.replace_input_with(node, back)
