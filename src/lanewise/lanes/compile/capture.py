"""Graphs captured for Inductor, and the settings under which it compiles them."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from lanewise.lanes.compile import feature_major
from lanewise.lanes.compile.program import Program

POOLS = (torch.ops.aten.max_pool2d_with_indices.default, torch.ops.aten.max_pool2d_with_indices_backward.default)
"""On the CPU Inductor scatters the gradient of a pool value by value, in a layout of its own, which takes as long as
a convolution: a step of a CNN with 32 and 64 channels took 34 ms so, and takes 25 ms with torch's own pools."""


def capture(program: Program, examples: Sequence[Tensor]) -> GraphModule:
    """The operations of `program` on tensors of the shapes of `examples`, as a graph."""
    # Imported here and below, because Inductor and what it brings take seconds, which others can do without.
    from torch.fx.experimental.proxy_tensor import make_fx

    graph: GraphModule = make_fx(program, tracing_mode="real")(*examples)
    if examples[0].device.type == "cpu":
        graph = feature_major.feature_major(graph)
    for node in graph.graph.nodes:
        # Each recorded value belongs to a fake mode of its own, and Inductor accepts one only; it makes them anew.
        node.meta.pop("val", None)
    return graph


def overwrite(graph: GraphModule) -> int:
    """Change `graph`, which returns (*state, loss), to write the state over its first inputs and return the loss.

    Returns how many tensors the state has.
    """
    aten: Any = torch.ops.aten
    nodes = graph.graph
    inputs = nodes.find_nodes(op="placeholder")
    output: Any = nodes.output_node()
    *state, loss = output.args[0]
    with nodes.inserting_before(output):
        # All copies are taken before the first is overwritten: a part of the state may be another's old value.
        kept = [nodes.call_function(aten.clone.default, (new,)) for new in state]
        for old, new in zip(inputs, kept, strict=False):
            nodes.call_function(aten.copy_.default, (old, new))
    output.args = ([loss],)
    graph.recompile()
    return len(state)


@contextlib.contextmanager
def pools_as_they_are() -> Iterator[dict[Any, Any]]:
    """Let Inductor call torch's own code for pools instead of writing loops for them; gives what it may take apart."""
    from torch._inductor.decomposition import select_decomp_table
    from torch._inductor.lowering import fallback_handler, lowerings

    before: dict[Any, Any] = {operation: lowerings[operation] for operation in POOLS}
    called: Callable[..., Any] = fallback_handler
    lowerings.update({one: called(one, add_to_fallback_set=False) for one in POOLS})
    try:
        yield {one: way for one, way in select_decomp_table().items() if one not in POOLS}
    finally:
        lowerings.update(before)


@contextlib.contextmanager
def vectors_to_the_end() -> Iterator[None]:
    """Let Inductor compute all values of a loop in vectors, masked at its end, or all one by one.

    It takes the scalar functions for a loop's end where the masks may cost more than they save; these differ from the
    functions of vectors in the last bits, and at the end of a loop stand the last lanes of a pack.
    """
    from torch._inductor.codegen.cpp import KernelOpStats, TilingSelect

    selecting: Any = TilingSelect
    before = selecting.select_tiling

    def select_tiling(self: Any, *args: Any) -> Any:
        factors, dimensions, _ = before(self, *args)
        # Without figures to go by, masks are taken to be worth while.
        return factors, dimensions, KernelOpStats()

    selecting.select_tiling = select_tiling
    try:
        yield
    finally:
        selecting.select_tiling = before


@contextlib.contextmanager
def sources_side_by_side() -> Iterator[None]:
    """Let Inductor compile the sources of a library at the same time, which it does one after another: 6 and 3 s."""
    from torch._inductor.cpp_builder import CppBuilder

    builder: Any = CppBuilder
    before, begun = builder.build, list[Future[None]]()

    def build(self: Any) -> None:
        # Other sources, which hold the constants, are removed at once.
        if self._build_option.get_compile_only() and ".cpp" in self._sources_args:
            begun.append(pool.submit(copy_context().run, before, self))
            return
        if not self._build_option.get_compile_only():
            while begun:
                begun.pop().result()
        before(self)

    with ThreadPoolExecutor() as pool:
        builder.build = build
        try:
            yield
        finally:
            builder.build = before
