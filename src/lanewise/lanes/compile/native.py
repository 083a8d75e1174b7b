"""Programs compiled to shared libraries, which run many steps at a call without Python and without its lock."""

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from lanewise.lanes.compile.program_cache import DamagedError, cache_folder, keep, loaded, read, say
from lanewise.lanes.machine.workers import available_threads

__all__ = ["Library", "cache_folder", "compiler", "keep"]

SOURCE = Path(__file__).with_name("stretch.c")
OUT_OF_MEMORY = "empty_strided"
"""What the C interface of torch fails in where memory runs out; it prints the reason to standard error only."""


def compiler() -> str | None:
    """The C++ compiler that Inductor takes on the CPU, if it is on the path: that of CXX, else g++."""
    return shutil.which(os.environ.get("CXX", "g++"))


@cache
def _driver() -> ctypes.CDLL:
    """The library of `stretch.c`, compiled by the first process that needs it."""
    torch_libraries = Path(torch.__file__).parent / "lib"
    text = f"{torch.__version__} {torch_libraries} {SOURCE.read_text(encoding='utf-8')}"
    place = cache_folder() / f"stretch-{hashlib.sha256(text.encode()).hexdigest()}.so"
    try:
        return loaded(read(place), place.stem)
    except DamagedError as error:
        say(f"{error}; compiled anew")
    except OSError:
        pass
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / place.name
        command = [str(compiler()), "-x", "c", "-O2", "-shared", "-fPIC", str(SOURCE), "-o", str(made)]
        linked = [f"-L{torch_libraries}", "-ltorch_cpu", f"-Wl,-rpath,{torch_libraries}"]
        done = subprocess.run([*command, *linked], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{SOURCE.name} could not be compiled: {done.stderr.strip()[-200:]}")
        content = made.read_bytes()
        keep(made, place)
        return loaded(content, place.stem)


class _Input(ctypes.Structure):
    """`Input` of `stretch.c`."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("advance", ctypes.c_int64),
        ("sizes", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("dimensions", ctypes.c_int32),
        ("dtype", ctypes.c_int32),
    )


class Library:
    """A program in the shared library at `path`, which AOTInductor made of it.

    Args:
        content: of that library, where it has just been made; else it is read, if it is as it was written.

    Raises:
        OSError: there is no such library, or it is damaged.
    """

    def __init__(self, path: Path, examples: Sequence[Tensor], content: bytes | None = None) -> None:
        content = read(path) if content is None else content
        self._library, self._program = loaded(content, path.stem), ctypes.c_void_p()
        self._stretch = _driver().stretch
        create = self._library.AOTInductorModelContainerCreateWithDevice
        # As many at a time as there may be workers; a call waits for its turn otherwise.
        if create(ctypes.byref(self._program), ctypes.c_size_t(max(16, available_threads())), b"cpu", None):
            raise OSError(f"{path}: {self._error()}")
        self._run = ctypes.cast(self._library.AOTInductorModelContainerRun, ctypes.c_void_p)
        torch_cpu = ctypes.CDLL(str(next((Path(torch.__file__).parent / "lib").glob("libtorch_cpu.*"), "libtorch_cpu")))
        self._inputs = [
            (
                (ctypes.c_int64 * len(one.shape))(*one.shape),
                (ctypes.c_int64 * len(one.shape))(*one.stride()),
                len(one.shape),
                int(getattr(torch_cpu, f"aoti_torch_dtype_{str(one.dtype).removeprefix('torch.')}")()),
            )
            for one in examples
        ]

    def stretch(self, state: Sequence[Tensor], given: Sequence[Tensor], losses: Tensor) -> None:
        """As many steps as `losses` [steps, lanes] has room for, each with its slice of the tensors `given`.

        `state` is overwritten. All must lie in memory as the examples did, `losses` contiguous.
        """
        tensors = [*state, *given]
        inputs = (_Input * len(tensors))(
            *(
                _Input(one.data_ptr(), 0 if at < len(state) else one.stride(0) * one.element_size(), *layout)
                for at, (one, layout) in enumerate(zip(tensors, self._inputs, strict=True))
            )
        )
        steps, lanes, size = losses.shape[0], losses.shape[1], losses.element_size()
        count, room = ctypes.c_size_t(len(tensors)), ctypes.c_void_p(losses.data_ptr())
        sizes = map(ctypes.c_size_t, (lanes, size))
        # ctypes gives Python's lock away for the time of the call.
        if self._stretch(self._run, self._program, inputs, count, ctypes.c_size_t(steps), room, *sizes):
            error = self._error()
            raise MemoryError(error) if OUT_OF_MEMORY in error else RuntimeError(error)

    def _error(self) -> str:
        text = ctypes.c_char_p()
        self._library.AOTInductorGetLastError(ctypes.byref(text))
        return (text.value or b"a compiled program failed").decode(errors="replace")
