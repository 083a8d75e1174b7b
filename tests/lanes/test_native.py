"""Programs compiled ahead of time: the bits of the program they were made of, found again, and what can go wrong."""

import ctypes
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import grad_and_value, vmap

from lanewise.lanes.compile import compiled as compiled_module
from lanewise.lanes.compile import native, program_cache
from lanewise.lanes.compile.capture import vectors_to_the_end
from lanewise.lanes.compile.compiled import Compiled, Fused, Native, Uncompiled
from lanewise.lanes.compile.operations import operations

Made = Callable[..., list[Tensor]]


def falling(weight: Tensor, count: Tensor, rate: Tensor, x: Tensor, y: Tensor) -> list[Tensor]:
    """A step of gradient descent of a linear model, for one lane."""
    gradient, loss = grad_and_value(lambda weight: ((x @ weight - y) ** 2).mean())(weight)
    return [weight - rate * gradient, count + 1, loss]


STEP: Any = vmap(falling, in_dims=(0, 0, 0, None, None))


def inputs(steps: int = 5, lanes: int = 2) -> tuple[list[Tensor], list[Tensor]]:
    """(state, what each of `steps` steps is given)."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(steps, 8, 3, generator=generator)
    state = [torch.randn(lanes, 3, generator=generator), torch.zeros(lanes, dtype=torch.int64)]
    return state, [torch.rand(steps, lanes, generator=generator), x, x.sum(2)]


def by_hand(state: list[Tensor], given: list[Tensor]) -> tuple[list[Tensor], Tensor]:
    losses = []
    for slices in zip(*given, strict=True):
        *state, loss = STEP(*state, *slices)
        losses.append(loss)
    return state, torch.stack(losses)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="module")
def compiled(folder: Path) -> Compiled:
    state, given = inputs()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(folder))
        native._driver.cache_clear()
        uncompiled = Uncompiled(STEP, [*state, *(each[0] for each in given)])
        assert not uncompiled.is_kept
        return uncompiled.compiled()


def test_a_stretch_is_its_steps_and_leaves_the_state_alone(compiled: Compiled) -> None:
    state, given = inputs()
    before = [leaf.clone() for leaf in state]
    after, losses = compiled.stretch(state, given)
    expected, expected_losses = by_hand(state, given)
    assert isinstance(compiled, Native)
    assert all(map(torch.equal, state, before))
    assert after[1].tolist() == [5, 5]
    torch.testing.assert_close(after, expected)
    torch.testing.assert_close(losses, expected_losses)
    one, loss = compiled(*state, *(each[0] for each in given))[::2]
    torch.testing.assert_close([one, loss], [by_hand(state, [each[:1] for each in given])[0][0], expected_losses[0]])


def test_what_lies_otherwise_in_memory_is_the_same(compiled: Compiled) -> None:
    state, given = inputs()
    other = [given[0].t().contiguous().t(), given[1].transpose(0, 2).contiguous().transpose(0, 2), given[2]]
    turned = [state[0].t().contiguous().t(), state[1]]
    assert other[1].stride() != given[1].stride()
    after, losses = compiled.stretch(turned, other)
    expected, expected_losses = compiled.stretch(state, given)
    assert all(map(torch.equal, [*after, losses], [*expected, expected_losses]))


def test_other_shapes_are_refused(compiled: Compiled) -> None:
    state, given = inputs()
    with pytest.raises(AssertionError, match=r"compiled for \[5, 8, 3\] was given \[5, 7, 3\]"):
        compiled.stretch(state, [given[0], given[1][:, :7], given[2]])
    with pytest.raises(AssertionError, match=r"compiled for \[2, 3\] was given \[3, 3\]"):
        compiled.stretch(inputs(lanes=3)[0], given)


AGAIN = """
import sys
from tests.lanes.test_native import STEP, inputs
from lanewise.base.lane_process import prepare_process
from lanewise.lanes.compile.compiled import Uncompiled

prepare_process()
state, given = inputs()
uncompiled = Uncompiled(STEP, [*state, *(each[0] for each in given)])
assert uncompiled.is_kept
print(uncompiled.compiled().stretch(state, given)[1].tolist())
print([name for name in ("torch._dynamo", "torch._inductor", "sympy") if name in sys.modules])
"""


def test_another_process_finds_it_and_needs_no_compiler(
    compiled: Compiled, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(folder))
    root = Path(__file__).parents[2]
    shown = subprocess.run([sys.executable, "-c", AGAIN], capture_output=True, text=True, check=False, cwd=root)
    assert not shown.returncode, shown.stderr
    losses, imported = shown.stdout.splitlines()
    assert losses == str(compiled.stretch(*inputs())[1].tolist())
    assert imported == "[]"


def test_what_needs_python_is_compiled_just_in_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(folder))
    monkeypatch.setattr(compiled_module, "compiled_ahead_of_time", lambda *_: None)
    state, given = inputs(lanes=4)
    uncompiled = Uncompiled(STEP, [*state, *(each[0] for each in given)])
    assert not uncompiled.was_compiled
    fused = uncompiled.compiled()
    assert uncompiled.was_compiled
    assert not uncompiled.is_kept
    assert isinstance(fused, Fused)
    torch.testing.assert_close(fused.stretch(state, given), by_hand(state, given))


LIGHT = """
import sys
import lanewise.cli
heavy = ("torch._dynamo", "torch._inductor", "sklearn", "scipy.stats", "scipy.optimize", "sqlalchemy", "plotly")
print([name for name in heavy if name in sys.modules])
"""


def test_starting_imports_nothing_that_takes_seconds() -> None:
    shown = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"


@pytest.mark.parametrize("content", [b"", b"\x7fELF" + bytes(100)])
def test_a_damaged_library_is_no_library(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "damaged.so"
    path.write_bytes(content)
    with pytest.raises(OSError, match="damaged"):
        native.Library(path, [])


def test_a_folder_that_cannot_be_written_costs_nothing(tmp_path: Path) -> None:
    (made := tmp_path / "made.so").write_bytes(b"code")
    (tmp_path / "file").touch()
    assert native.keep(made, tmp_path / "file" / "kept.so") == made
    kept = native.keep(made, tmp_path / "folder" / "kept.so")
    assert (kept.read_bytes(), sorted(path.name for path in kept.parent.iterdir())) == (
        b"code",
        ["kept.sha256", "kept.so"],
    )


def test_a_step_that_fails_says_why(compiled: Compiled, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(compiled, Native)
    library = compiled._library
    refused = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 2)(lambda *_: 1)
    monkeypatch.setattr(library, "_run", ctypes.cast(refused, ctypes.c_void_p))
    for said, kind in (("aoti_torch_empty_strided(...) failed", MemoryError), ("no such thing", RuntimeError)):
        monkeypatch.setattr(library, "_error", lambda said=said: said)
        with pytest.raises(kind, match=said.split("(")[0]):
            compiled.stretch(*inputs())


@pytest.mark.parametrize("damage", ["flipped", "truncated"])
def test_a_damaged_library_is_compiled_anew_and_that_is_said(
    damage: str, compiled: Compiled, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(folder))
    monkeypatch.setattr(program_cache, "_said", [])
    state, given = inputs()
    uncompiled = Uncompiled(STEP, [*state, *(each[0] for each in given)])
    content = bytearray(uncompiled.place.read_bytes())
    content[len(content) // 2] ^= 1
    uncompiled.place.write_bytes(content if damage == "flipped" else content[: len(content) // 2])
    assert not uncompiled.is_kept
    program_cache.notes()
    expected = compiled.stretch(state, given)[1]
    assert torch.equal(uncompiled.compiled().stretch(state, given)[1], expected)
    (line,) = program_cache.notes()
    assert line.endswith("is damaged: it does not match its digest; compiled anew")
    assert uncompiled.is_kept


def digest(program: Made, *examples: Tensor) -> str:
    return operations(program, examples)[0]


def test_programs_are_told_apart_by_what_they_do() -> None:
    x, y = torch.ones(3), torch.zeros(3)

    def shifted(by: Any) -> Made:
        return lambda a, b: [a * b + by, b]

    same = digest(shifted(1.0), x, y)
    assert digest(shifted(1.0), y, x) == same, "the values of what is given do not matter"
    others = [
        digest(shifted(2.0), x, y),
        digest(lambda a, b: [b * a + 1.0, b], x, y),
        digest(lambda a, b: [a * b + 1.0, a], x, y),
        digest(shifted(1.0), torch.ones(4), torch.ones(4)),
        digest(shifted(1.0), x.double(), y.double()),
        digest(shifted(1.0), torch.ones(6)[::2], y),
        digest(shifted(torch.ones(3)), x, y),
        digest(shifted(torch.zeros(3)), x, y),
    ]
    assert len({same, *others}) == 1 + len(others)
    assert digest(shifted(torch.ones(3)), x, y) == others[-2], "a tensor of the program's own counts by its values"


@pytest.mark.parametrize("capability", ["DEFAULT", "AVX2", "AVX512"])
def test_a_library_is_not_found_by_a_process_that_uses_other_instructions(
    capability: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, given = inputs()
    examples = [*state, *(each[0] for each in given)]
    before = Uncompiled(STEP, examples).place
    now = torch.backends.cpu.get_cpu_capability()
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert (Uncompiled(STEP, examples).place == before) == (capability == now)


def test_a_library_is_not_found_where_inductor_is_told_another_width_of_vectors() -> None:
    from torch._inductor import config

    state, given = inputs()
    examples = [*state, *(each[0] for each in given)]
    before = Uncompiled(STEP, examples).place
    # Not by monkeypatch, which would leave the setting hidden for all tests to come.
    with config.patch({"cpp.simdlen": 128}):
        assert Uncompiled(STEP, examples).place != before
    assert Uncompiled(STEP, examples).place == before


def test_inductor_takes_vectors_to_the_end_of_a_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor.codegen.cpp import KernelOpStats, TilingSelect

    def select_tiling(self: object, *args: object) -> object:
        return [16], [0], KernelOpStats({"where": 4, "exp": 1}, {}, 4)

    monkeypatch.setattr(TilingSelect, "select_tiling", select_tiling)
    with vectors_to_the_end():
        assert TilingSelect().select_tiling([], []) == ([16], [0], KernelOpStats())
    assert TilingSelect.select_tiling is select_tiling
