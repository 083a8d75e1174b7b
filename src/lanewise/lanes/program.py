"""A lane's step made into a program for a block of lanes: packed by `vmap` or looped, eager or compiled."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.func import vjp, vmap
from torch.fx import GraphModule

from lanewise.lanes.channels_last import channels_last
from lanewise.lanes.layout import feature_major
from lanewise.lanes.step import LaneStep

POOLS = (torch.ops.aten.max_pool2d_with_indices.default, torch.ops.aten.max_pool2d_with_indices_backward.default)
"""On the CPU Inductor scatters the gradient of a pool value by value, in a layout of its own, which takes as long as
a convolution: a step of a CNN with 32 and 64 channels took 34 ms so, and takes 25 ms with torch's own pools."""

Program: TypeAlias = Callable[..., Sequence[Tensor]]
"""(*state [lanes, ...], numbers [count, lanes], *batch, *draws) -> (*new state, loss [lanes])."""


def train_program(step: LaneStep, packed: bool, native: bool = False, images_last: bool = False) -> Program:
    """The program that trains a block; looped programs take blocks of one lane.

    Args:
        native: where it will run eagerly and looped, torch's own batch norm is faster than ours.
        images_last: whether a looped program holds images and weights of convolutions in channels-last format.
    """
    if not packed:
        return lambda *flat: _one_lane(partial(step.train, native=native), step.state_size, flat, images_last)
    lanes = (0,) * step.state_size + (1,) + (None,) * (step.layout.count + len(step.draws))
    return _by_lane(step.train, lanes)


def evaluate_program(step: LaneStep, packed: bool, taken_apart: bool = False, images_last: bool = False) -> Program:
    """The eager program that scores rows: (*state, numbers, *batch) -> losses and metrics, each [lanes, rows].

    With `taken_apart` it is run as if to be differentiated, for which torch takes some layers (LSTM, GRU) apart into
    operations that can be packed.
    """
    if not packed:
        return lambda *flat: _one_lane(partial(step.evaluate, native=True), step.state_size, flat, images_last)

    size = step.state_size

    def differentiable(*flat: Tensor) -> Any:
        def scores(*floating: Tensor) -> Any:
            given = iter(floating)
            state = [next(given) if leaf.is_floating_point() else leaf for leaf in flat[:size]]
            return step.evaluate(*state, *flat[size:])

        return vjp(scores, *(leaf for leaf in flat[:size] if leaf.is_floating_point()))[0]

    lanes = (0,) * size + (1,) + (None,) * step.layout.count
    return _by_lane(differentiable if taken_apart else step.evaluate, lanes)


def statistics_program(step: LaneStep, packed: bool) -> Program:
    """The eager program that takes batch norm statistics: as `LaneStep.statistics`, of stacked lanes."""
    if not packed:
        return lambda *flat: _one_lane(partial(step.statistics, native=True), step.state_size, flat)
    return _by_lane(step.statistics, (0,) * step.state_size + (1,) + (None,) * step.layout.count)


def lane_after_lane(program: Program, size: int) -> Program:
    """A looped program for blocks of any width: what packs are evaluated by where packing works in training only."""

    def each(*flat: Tensor) -> list[Tensor]:
        state, numbers, shared = flat[:size], flat[size], flat[size + 1 :]
        lanes = range(numbers.shape[1])
        ran = [program(*(leaf[at : at + 1] for leaf in state), numbers[:, at : at + 1], *shared) for at in lanes]
        return [torch.cat(found) for found in zip(*ran, strict=True)]

    return each


def _by_lane(function: Callable[..., Any], in_dims: tuple[int | None, ...]) -> Program:
    # Randomness inside the model would be drawn from the global generator: refuse it, so that the loop takes over.
    program: Program = vmap(function, in_dims=in_dims, randomness="error")
    return program


def _one_lane(
    function: Callable[..., Any], size: int, flat: tuple[Tensor, ...], images_last: bool = False
) -> list[Tensor]:
    if images_last:
        # Set anew at every step, so that a lane's bits depend on its numbers alone, not on how they happen to lie.
        batch = (channels_last(leaf, leading=0) for leaf in flat[size + 1 :])
        flat = (*map(channels_last, flat[:size]), flat[size], *batch)
    state, numbers, *shared = [leaf.squeeze(0) for leaf in flat[:size]], flat[size].squeeze(1), *flat[size + 1 :]
    return [leaf.unsqueeze(0) for leaf in function(*state, numbers, *shared)]


def has_compiler() -> bool:
    """Whether the C++ compiler that Inductor takes on the CPU is on the path: that of CXX, else g++."""
    return shutil.which(os.environ.get("CXX", "g++")) is not None


def capture(program: Program, examples: Sequence[Tensor]) -> GraphModule:
    """The operations of `program` on tensors of the shapes of `examples`, as a graph."""
    # Imported here and below, because Inductor and what it brings take a second, which eager runs can do without.
    from torch.fx.experimental.proxy_tensor import make_fx

    graph: GraphModule = make_fx(program, tracing_mode="real")(*examples)
    if examples[0].device.type == "cpu":
        graph = feature_major(graph)
    for node in graph.graph.nodes:
        # Each recorded value belongs to a fake mode of its own, and Inductor accepts one only; it makes them anew.
        node.meta.pop("val", None)
    return graph


def compile_mark(graph: GraphModule, examples: Sequence[Tensor]) -> Path:
    """A file in Inductor's cache that is there once this very graph has been compiled on this machine."""
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    shapes = [(tuple(example.shape), example.stride(), str(example.dtype), str(example.device)) for example in examples]
    text = f"{torch.__version__} {shapes} {graph.code}"
    return Path(cache_dir()) / f"lanewise-{hashlib.sha256(text.encode()).hexdigest()}"


class Fused:
    """A compiled program. Called like any other, it leaves the state that it is given as it was.

    Inside, the new state is written over the old: a step then asks for less memory and moves less. So a stretch of
    steps begins with `own`, a copy that each `step` after it overwrites.

    Args:
        compiled: what Inductor made of an overwriting graph; it does not look at how its inputs lie in memory.
        examples: inputs of one call, which tell how they must lie. size: how many of them are state.
    """

    def __init__(self, compiled: Callable[..., Sequence[Tensor]], examples: Sequence[Tensor], size: int) -> None:
        self._compiled, self._size = compiled, size
        self._layouts = [(example.shape, example.stride()) for example in examples]

    def own(self, state: Sequence[Tensor]) -> list[Tensor]:
        """A copy of `state` that may be overwritten."""
        return [copied(leaf, *layout) for leaf, layout in zip(state, self._layouts, strict=False)]

    def step(self, *flat: Tensor) -> list[Tensor]:
        """One call; the state among `flat`, which `own` or `step` gave, is overwritten and given back."""
        state, given = flat[: self._size], flat[self._size :]
        layouts = self._layouts[self._size :]
        fit = [
            value if (value.shape, value.stride()) == layout else copied(value, *layout)
            for value, layout in zip(given, layouts, strict=True)
        ]
        return [*state, *self._compiled(*state, *fit)]

    def __call__(self, *flat: Tensor) -> list[Tensor]:
        return self.step(*self.own(flat[: self._size]), *flat[self._size :])


def copied(value: Tensor, shape: torch.Size, stride: tuple[int, ...]) -> Tensor:
    """A copy of `value`, which must have the shape `shape`, that lies in memory as `stride` says."""
    assert value.shape == shape, f"a program compiled for {list(shape)} was given {list(value.shape)}"
    return torch.empty_strided(shape, stride, dtype=value.dtype, device=value.device).copy_(value)


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
def called_as_they_are(operations: Sequence[Any]) -> Iterator[None]:
    """Let Inductor call torch's own code for `operations` instead of writing loops for them."""
    from torch._inductor.lowering import fallback_handler, lowerings

    before = {operation: lowerings[operation] for operation in operations}
    called: Callable[..., Any] = fallback_handler
    lowerings.update({one: called(one, add_to_fallback_set=False) for one in operations})
    try:
        yield
    finally:
        lowerings.update(before)


def fused(graph: GraphModule, examples: Sequence[Tensor]) -> Fused:
    """`graph`, which is changed, fused by Inductor for tensors of the shapes of `examples`.

    The graph is captured by `make_fx` instead of Dynamo: no guards are checked at each call (50 us of a step of 1 ms).
    With Inductor's C++ wrapper a call leaves Python's lock, so that two threads run two blocks at a time. `Fused` sees
    to the layout of the inputs, which Inductor would look at anew in every call (7 us).
    """
    from torch._guards import TracingContext, tracing
    from torch._inductor.compile_fx import compile_fx
    from torch._inductor.decomposition import select_decomp_table
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    mark = compile_mark(graph, examples)
    size = overwrite(graph)
    on_cpu = examples[0].device.type == "cpu"
    options = {"size_asserts": False} | ({"cpp_wrapper": True} if on_cpu else {})
    pools = POOLS if on_cpu else ()
    decompositions = {one: way for one, way in select_decomp_table().items() if one not in pools}
    # Inductor keeps what it compiled on the disk only where there is a context with an environment of shapes, though
    # all shapes are fixed here: without it, a second start generates all code anew (4.5 s instead of 0.7).
    with tracing(TracingContext(FakeTensorMode(shape_env=ShapeEnv()))), called_as_they_are(pools):
        compiled: Any = compile_fx(graph, list(examples), config_patches=options, decompositions=decompositions)
    program = Fused(compiled, examples, size)
    with contextlib.suppress(OSError):
        mark.touch()
    return program
