"""What the package changes in the process it runs in, and when."""

import os
import subprocess
import sys

SEEN = """
import os, warnings
import torch
import lanewise as lw
def changes():
    return [
        "MKL_CBWR" in os.environ,
        any("performance drop" in str(kept[1]) for kept in warnings.filters),
        type(vars(torch).get("_dynamo")).__module__ == "lanewise.base.dynamo",
        torch.get_num_threads() != threads, torch.initial_seed() != seed, torch.is_grad_enabled() is False,
    ]
threads, seed = torch.get_num_threads(), torch.initial_seed()
"""


def shown(program: str) -> str:
    """What a new process without our settings prints."""
    clean = {name: value for name, value in os.environ.items() if name != "MKL_CBWR"}
    command = [sys.executable, "-c", f"{SEEN}{program}print(changes())"]
    return subprocess.run(command, env=clean, capture_output=True, text=True, check=True).stdout.strip()


def test_importing_it_and_using_parts_sets_mkl_alone() -> None:
    program = """
optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
lw.LRScheduler(optimizer, lw.Cosine(), total_steps=10)
"""
    assert shown(program) == str([True] + [False] * 5)


def test_a_task_prepares_the_process_and_changes_nothing_else() -> None:
    program = """
lw.Task("mlp", (torch.rand(40, 3), torch.arange(40) % 2))
"""
    assert shown(program) == str([True] * 3 + [False] * 3)
