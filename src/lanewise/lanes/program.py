"""A lane's step made into a program for a block of lanes: packed by `vmap` or looped, eager or compiled."""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.func import vjp, vmap
from torch.fx import GraphModule

from lanewise.lanes.step import LaneStep

Program: TypeAlias = Callable[..., Sequence[Tensor]]
"""(*state [lanes, ...], numbers [count, lanes], *batch, *draws) -> (*new state, loss [lanes])."""


def train_program(step: LaneStep, packed: bool) -> Program:
    """The eager program that trains a block; looped programs take blocks of one lane."""
    if not packed:
        return lambda *flat: _one_lane(step.train, step.state_size, flat)
    lanes = (0,) * step.state_size + (1,) + (None,) * (step.layout.count + len(step.draws))
    return _by_lane(step.train, lanes)


def evaluate_program(step: LaneStep, packed: bool, taken_apart: bool = False) -> Program:
    """The eager program that scores rows: (*state, numbers, *batch) -> losses and metrics, each [lanes, rows].

    With `taken_apart` it is run as if to be differentiated, for which torch takes some layers (LSTM, GRU) apart into
    operations that can be packed.
    """
    if not packed:
        return lambda *flat: _one_lane(step.evaluate, step.state_size, flat)

    size = step.state_size

    def differentiable(*flat: Tensor) -> Any:
        def scores(*floating: Tensor) -> Any:
            given = iter(floating)
            state = [next(given) if leaf.is_floating_point() else leaf for leaf in flat[:size]]
            return step.evaluate(*state, *flat[size:])

        return vjp(scores, *(leaf for leaf in flat[:size] if leaf.is_floating_point()))[0]

    lanes = (0,) * size + (1,) + (None,) * step.layout.count
    return _by_lane(differentiable if taken_apart else step.evaluate, lanes)


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


def _one_lane(function: Callable[..., Any], size: int, flat: tuple[Tensor, ...]) -> list[Tensor]:
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
    for node in graph.graph.nodes:
        # Each recorded value belongs to a fake mode of its own, and Inductor accepts one only; it makes them anew.
        node.meta.pop("val", None)
    return graph


def compile_mark(graph: GraphModule, examples: Sequence[Tensor]) -> Path:
    """A file in Inductor's cache that is there once this very graph has been compiled on this machine."""
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    shapes = [(tuple(example.shape), str(example.dtype), str(example.device)) for example in examples]
    text = f"{torch.__version__} {shapes} {graph.code}"
    return Path(cache_dir()) / f"lanewise-{hashlib.sha256(text.encode()).hexdigest()}"


def compiled(program: Program, examples: Sequence[Tensor]) -> Program:
    """`program` captured and fused for tensors of the shapes of `examples`."""
    return fused(capture(program, examples), examples)


def fused(graph: GraphModule, examples: Sequence[Tensor]) -> Program:
    """`graph` fused by Inductor for tensors of the shapes of `examples`.

    The graph is captured by `make_fx` instead of Dynamo: no guards are checked at each call (50 us of a step of 1 ms).
    With Inductor's C++ wrapper a call leaves Python's lock, so that two threads run two blocks at a time.
    """
    from torch import _inductor

    options = {"cpp_wrapper": True} if examples[0].device.type == "cpu" else {}
    program: Program = _inductor.compile(graph, list(examples), options=options)
    with contextlib.suppress(OSError):
        compile_mark(graph, examples).touch()
    return program
