"""Threads that run blocks side by side, each with its own number of torch threads."""

import ctypes
import os
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch

# MKL otherwise chooses how to add up a product by the address its matrices happen to have, so that a lane's last bits
# would depend on its place in the pack. It reads this at its first product in a process; it costs no time.
os.environ.setdefault("MKL_CBWR", "AUTO")

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
        """The results of all jobs, in order; waits for the last."""
        return [future.result() for future in [self._pool.submit(job) for job in jobs]]

    def close(self, wait: bool = True) -> None:
        """End the threads once their present jobs are done, and `wait` for that."""
        self._pool.shutdown(wait=wait, cancel_futures=True)


def available_threads() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
