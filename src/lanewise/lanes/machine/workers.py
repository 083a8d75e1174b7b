"""Threads that run blocks side by side, each with its own number of torch threads."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import torch


class Workers:
    """`count` threads with `threads` torch threads each.

    Two workers of one thread serve better than one of two: OpenMP's threads wait by spinning, and on a busy machine a
    step then takes many times as long.
    """

    def __init__(self, count: int, threads: int) -> None:
        self.count, self.threads = count, threads
        self._pool = ThreadPoolExecutor(count, "lanes", initializer=use_torch_threads, initargs=(threads,))

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


def use_torch_threads(count: int) -> None:
    """Let torch compute on `count` threads in this thread, whatever other threads set later.

    The first operation of a thread that torch may divide sets the number that was last set anywhere in the process,
    unless the thread was asked for its number before.
    """
    torch.get_num_threads()
    torch.set_num_threads(count)


@contextlib.contextmanager
def one_torch_thread() -> Iterator[None]:
    """Let torch compute on one thread in this thread for a while, and on as many as before afterwards.

    What a run does beside its workers is small: gathering, merging, filling, scoring. OpenMP's threads wait by
    spinning, and so take the processors from the workers. Nor do results depend on how many threads there are.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def available_threads() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
