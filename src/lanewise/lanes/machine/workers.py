"""Threads that run blocks side by side, each with its own number of torch threads."""

import ctypes
import os
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import torch

MKL_CBWR_OFF = 1
"""What `mkl_cbwr_get` gives where MKL may choose by addresses, as mkl_types.h has it."""
MKL_TOO_LATE = (
    "torch multiplied matrices before lanewise was imported, so MKL may add up by addresses and a lane's last bits may "
    "depend on its place: import lanewise first, or set MKL_CBWR=AUTO before Python starts"
)

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES = 1 << 30


class Workers:
    """`count` threads with `threads` torch threads each.

    Two workers of one thread serve better than one of two: OpenMP's threads wait by spinning, and on a busy machine a
    step then takes many times as long.
    """

    def __init__(self, count: int, threads: int) -> None:
        self.count, self.threads = count, threads
        self._pool = ThreadPoolExecutor(count, "lanes", initializer=torch.set_num_threads, initargs=(threads,))

    def submit(self, job: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Start `job(*arguments)` on the next free worker."""
        return self._pool.submit(job, *arguments)

    def run(self, jobs: Iterable[Callable[[], Any]]) -> list[Any]:
        """The results of all jobs, in order; waits for the last, also where another has failed."""
        futures = [self._pool.submit(job) for job in jobs]
        wait(futures)
        return [future.result() for future in futures]

    def close(self, wait: bool = True) -> None:
        """End the threads once their present jobs are done, and `wait` for that."""
        self._pool.shutdown(wait=wait, cancel_futures=True)


def available_threads() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def adds_by_address() -> bool:
    """Whether MKL may choose how to add up a product by the addresses of its matrices.

    So it is in a process whose first product came before this module was imported. Where torch was built without MKL,
    or with one that does not tell its mode, the answer is no.
    """
    library = next(iter(sorted((Path(torch.__file__).parent / "lib").glob("*torch_cpu.*"))), None)
    try:
        mkl = ctypes.CDLL(str(library))
        # Built into torch MKL exports its inner names only, as a library of its own the documented one.
        mode = getattr(mkl, "mkl_serv_cbwr_get", None) or mkl.mkl_cbwr_get
    except (OSError, AttributeError):
        return False
    return int(mode(1)) == MKL_CBWR_OFF


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks up to 1 GiB instead of handing them back to the kernel at every step.

    Mapping fresh pages is half the cost of a wide step otherwise. Does nothing with another C library.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
