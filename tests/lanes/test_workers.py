"""Threads that run lanes keep their own number of torch threads."""

import torch

from lanewise.lanes.machine.workers import Workers


def threads_of_an_operation() -> int:
    # Large enough for torch to divide it.
    torch.ones(200_000).exp_()
    return torch.get_num_threads()


def test_a_worker_keeps_its_torch_threads_when_others_set_theirs() -> None:
    before = torch.get_num_threads()
    one, three = Workers(1, 1), Workers(1, 3)
    try:
        # Both threads have begun before any of them computes.
        one.submit(int).result()
        three.submit(int).result()
        torch.set_num_threads(2)
        assert one.submit(threads_of_an_operation).result() == 1
        assert three.submit(threads_of_an_operation).result() == 3
        assert threads_of_an_operation() == 2
    finally:
        torch.set_num_threads(before)
        one.close()
        three.close()
