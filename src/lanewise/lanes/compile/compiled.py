"""Programs compiled by Inductor: ahead of time to a library on the CPU, where that works, else just in time."""

import contextlib
import hashlib
import json
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule

from lanewise.lanes.compile import capture as capture_module
from lanewise.lanes.compile import feature_major
from lanewise.lanes.compile.capture import (
    capture,
    overwrite,
    pools_as_they_are,
    sources_side_by_side,
    vectors_to_the_end,
)
from lanewise.lanes.compile.native import Library, compiler
from lanewise.lanes.compile.operations import operations
from lanewise.lanes.compile.program import Program
from lanewise.lanes.compile.program_cache import DamagedError, cache_folder, is_whole, keep, say
from lanewise.lanes.compile.torch_cache import fresh_folder, kept_folder

AHEAD_OF_TIME = {
    "cpp_wrapper": True,
    "aot_inductor.package": False,
    # The wrapper only passes pointers on, and takes longest to compile.
    "aot_inductor.compile_wrapper_opt_level": "O0",
    # Compiling the headers by themselves takes 10 seconds, and saves 0.3 of each program.
    "aot_inductor.precompile_headers": False,
    "cpp.enable_loop_tail_vec": True,
    # Inductor would compile six small programs to see whether the compiler knows what the processor can, for 5 seconds.
    "cpp.vec_isa_ok": True,
}


class Compiled(ABC):
    """A compiled program. Called like any other, it leaves the state that it is given as it was.

    Inside, the new state is written over the old: a step then asks for less memory and moves less. So a stretch of
    steps begins with `own`, a copy that the steps overwrite.

    Args:
        examples: inputs of one call, which tell how they must lie in memory. size: how many of them are state.
    """

    def __init__(self, examples: Sequence[Tensor], size: int) -> None:
        self._size = size
        self._layouts = [(example.shape, example.stride()) for example in examples]

    def own(self, state: Sequence[Tensor]) -> list[Tensor]:
        """A copy of `state` that may be overwritten."""
        return [copied(leaf, *place) for leaf, place in zip(state, self._layouts, strict=False)]

    @abstractmethod
    def stretch(self, state: Sequence[Tensor], given: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """(new state, losses [steps, lanes]) of as many steps as `given`, tensors [steps, ...], have slices."""

    def __call__(self, *flat: Tensor) -> list[Tensor]:
        state, losses = self.stretch(flat[: self._size], [value.unsqueeze(0) for value in flat[self._size :]])
        return [*state, losses[0]]


class Fused(Compiled):
    """A program compiled just in time, called step by step.

    Args:
        compiled: what Inductor made of an overwriting graph; it does not look at how its inputs lie in memory.
    """

    def __init__(self, compiled: Callable[..., Sequence[Tensor]], examples: Sequence[Tensor], size: int) -> None:
        super().__init__(examples, size)
        self._compiled = compiled

    def step(self, *flat: Tensor) -> list[Tensor]:
        """One call; the state among `flat`, which `own` or `step` gave, is overwritten and given back."""
        state, given = flat[: self._size], flat[self._size :]
        layouts = self._layouts[self._size :]
        fit = [
            value if (value.shape, value.stride()) == place else copied(value, *place)
            for value, place in zip(given, layouts, strict=True)
        ]
        return [*state, *self._compiled(*state, *fit)]

    def stretch(self, state: Sequence[Tensor], given: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        losses, state = [], self.own(state)
        for slices in zip(*(tensor.unbind() for tensor in given), strict=True):
            *state, loss = self.step(*state, *slices)
            losses.append(loss)
        return state, torch.stack(losses)


class Native(Compiled):
    """A program compiled to a library. Its stretches do without Python, so that workers do not wait for one another.

    Args:
        library: runs it. loss: of one call.
    """

    def __init__(self, library: Library, examples: Sequence[Tensor], size: int, loss: Tensor) -> None:
        super().__init__(examples, size)
        self._library, self._loss = library, loss

    def stretch(self, state: Sequence[Tensor], given: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        state = self.own(state)
        steps, layouts = len(given[0]), self._layouts[self._size :]
        fit = [
            value
            if (value.shape[1:], value.stride()[1:]) == (shape, stride)
            else copied(value, torch.Size((steps, *shape)), (extent(shape, stride), *stride))
            for value, (shape, stride) in zip(given, layouts, strict=True)
        ]
        losses = self._loss.new_empty(steps, *self._loss.shape)
        self._library.stretch(state, fit, losses)
        return state, losses


def extent(shape: Sequence[int], stride: Sequence[int]) -> int:
    """How many places in memory a tensor reaches over.

    >>> extent((2, 3), (3, 1)), extent((3, 2), (1, 4))
    (6, 7)
    """
    return 1 + sum((size - 1) * step for size, step in zip(shape, stride, strict=True))


def copied(value: Tensor, shape: torch.Size, stride: tuple[int, ...]) -> Tensor:
    """A copy of `value`, which must have the shape `shape`, that lies in memory as `stride` says."""
    assert value.shape == shape, f"a program compiled for {list(shape)} was given {list(value.shape)}"
    return torch.empty_strided(shape, stride, dtype=value.dtype, device=value.device).copy_(value)


@dataclass(frozen=True)
class Uncompiled:
    """A program that can be compiled for inputs like `examples`.

    Attributes:
        threads: torch threads of each call.
    """

    program: Program
    examples: Sequence[Tensor]
    threads: int = 1

    @cached_property
    def _operations(self) -> tuple[str, list[Tensor]]:
        return operations(self.program, self.examples)

    @property
    def _ahead(self) -> bool:
        return self.examples[0].device.type == "cpu"

    @cached_property
    def place(self) -> Path:
        """Where the library is kept once this very program has been compiled for this processor."""
        # What is done to a graph before it is compiled is written in these files.
        ours = [Path(str(file)).read_bytes() for file in (__file__, capture_module.__file__, feature_major.__file__)]
        about = [torch.__version__, self.threads, processor(), compiler(), self._operations[0]]
        return cache_folder() / f"{hashlib.sha256(repr((about, ours)).encode()).hexdigest()}.so"

    @property
    def is_kept(self) -> bool:
        """Whether it need not be compiled."""
        return self._ahead and is_whole(self.place)

    @property
    def was_compiled(self) -> bool:
        """Whether Inductor has compiled it just in time on this machine, and may have kept a part of its work."""
        return self._mark.exists()

    @property
    def _mark(self) -> Path:
        return self.place.with_suffix(".compiled")

    def compiled(self) -> Compiled:
        """The compiled program."""
        size = len(self._operations[1]) - 1
        if self._ahead:
            # Whatever cannot be loaded here is compiled anew, or just in time.
            try:
                return self._native(self.place)
            except DamagedError as error:
                say(f"{error}; compiled anew")
            except (OSError, RuntimeError):
                pass
            graph = capture(self.program, self.examples)
            overwrite(graph)
            with fresh_folder():
                library = compiled_ahead_of_time(graph, self.examples, self.threads)
                with contextlib.suppress(OSError, RuntimeError):
                    if library:
                        content = library.read_bytes()
                        keep(library, self.place)
                        return self._native(self.place, content)
        graph = capture(self.program, self.examples)
        overwrite(graph)
        with kept_folder(self._mark, self._ahead):
            return Fused(compiled_just_in_time(graph, self.examples), self.examples, size)

    def _native(self, path: Path, content: bytes | None = None) -> Native:
        made = self._operations[1]
        return Native(Library(path, self.examples, content), self.examples, len(made) - 1, made[-1])


def processor() -> str:
    """What the processor can do, and what of that is to be used: code compiled for one may not do for another."""
    return f"{_flags()} {chosen_vectors()}"


def chosen_vectors() -> str:
    """The instructions that torch and Inductor keep to, as the environment or Inductor's settings say."""
    # Inductor is not imported to be asked: what has not been imported has not been set.
    settings = sys.modules.get("torch._inductor.config")
    return f"{torch.backends.cpu.get_cpu_capability()} {settings.cpp.simdlen if settings else None}"


def _flags() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("flags", "Features")):
                return line
    return torch.backends.cpu.get_cpu_capability()


def compiled_ahead_of_time(graph: GraphModule, examples: Sequence[Tensor], threads: int) -> Path | None:
    """The library that AOTInductor makes of `graph`; None if it cannot, or needs Python for some operation."""
    from torch._inductor import cpu_vec_isa
    from torch._inductor.codecache import code_hash
    from torch._inductor.compile_fx import compile_fx
    from torch._inductor.virtualized import V

    options = AHEAD_OF_TIME | {"cpp.threads": threads, "aot_inductor.output_path": code_hash(graph.code)}
    try:
        with (
            warnings.catch_warnings(),
            pools_as_they_are() as decompositions,
            vectors_to_the_end(),
            sources_side_by_side(),
            V.set_aot_compilation(True),
        ):
            # torch copies something of its own in a way that it deprecates.
            warnings.simplefilter("ignore", FutureWarning)
            made: Any = compile_fx(graph, list(examples), config_patches=options, decompositions=decompositions)
    except Exception:
        # Maybe a compiler older than the processor. Whoever tries next asks it what it knows.
        cpu_vec_isa.valid_vec_isa_list.cache_clear()
        return None
    library = Path(made.filename)
    calls = library.with_suffix(".json")
    return None if calls.exists() and json.loads(calls.read_text(encoding="utf-8"))["nodes"] else library


def compiled_just_in_time(graph: GraphModule, examples: Sequence[Tensor]) -> Callable[..., Sequence[Tensor]]:
    """`graph`, which is changed, fused by Inductor for tensors of the shapes of `examples`.

    The graph is captured by `make_fx` instead of Dynamo: no guards are checked at each call (50 us of a step of 1 ms).
    `Fused` sees to the layout of the inputs, which Inductor would look at anew in every call (7 us).
    """
    from torch._guards import TracingContext, tracing
    from torch._inductor.compile_fx import compile_fx
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    on_cpu = examples[0].device.type == "cpu"
    # Headers compiled by themselves would be kept in a folder that everybody knows.
    options = {"size_asserts": False, "cpp_cache_precompile_headers": False}
    options |= {"cpp_wrapper": True, "cpp.enable_loop_tail_vec": True} if on_cpu else {}
    # Inductor keeps what it compiled on the disk only where there is a context with an environment of shapes, though
    # all shapes are fixed here: without it, a second start generates all code anew (4.5 s instead of 0.7).
    with tracing(TracingContext(FakeTensorMode(shape_env=ShapeEnv()))), contextlib.ExitStack() as stack:
        apart = stack.enter_context(pools_as_they_are()) if on_cpu else None
        stack.enter_context(vectors_to_the_end())
        made: Any = compile_fx(graph, list(examples), config_patches=options, decompositions=apart)
    compiled: Callable[..., Sequence[Tensor]] = made
    return compiled
