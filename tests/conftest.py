"""What all tests share: one thread, no network, no display, steady random numbers."""

import os
import random

# Before torch, JAX and Keras are imported: they read these once.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_CBWR", "AUTO")
os.environ.setdefault("JAX_ENABLE_X64", "1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import numpy as np
import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)

# The clock says nothing about correctness, and a commit that passed once must pass again. Look for new
# counterexamples with `make test ARGS="--hypothesis-profile=explore"`.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None, derandomize=False, max_examples=1000)
settings.load_profile("steady")


def pytest_addoption(parser: pytest.Parser) -> None:
    # Not by `-m`, of which pytest heeds the last only: that one is the user's.
    parser.addoption("--oracles", choices=["with", "without", "only"], default="with", help="tests marked `oracle`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests marked `oracle`, or all others, where that was asked for."""
    if (asked := config.getoption("--oracles")) != "with":
        sides: dict[bool, list[pytest.Item]] = {True: [], False: []}
        for item in items:
            sides["oracle" in item.keywords].append(item)
        items[:] = sides[asked == "only"]
        config.hook.pytest_deselected(items=sides[asked != "only"])


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    """Start every test from the same global generators, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)
    # Not torch.manual_seed, which keeps the text of the stack where there is no accelerator.
    torch.default_generator.manual_seed(0)
