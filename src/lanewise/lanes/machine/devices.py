"""Devices and threads that this machine has."""

import os

import torch

from lanewise.errors import InputError
from lanewise.parts.part import Allowed, check_number

THREADS_PER_PROCESSOR = 4
ALWAYS_ALLOWED_THREADS = 256
"""On small machines too: a race begun on a large one is resumed with as many threads as it had."""


def check_threads(threads: int) -> None:
    """Raise `InputError` unless so many threads can be started without the system running out of them."""
    most = max(ALWAYS_ALLOWED_THREADS, THREADS_PER_PROCESSOR * (os.cpu_count() or 1))
    check_number("threads", threads, Allowed(1, most, integer=True))


def usable_device(name: str) -> torch.device:
    """The torch device called `name`, or `InputError` saying which there are."""
    there = ["cpu", *(f"cuda:{n}" for n in range(torch.cuda.device_count()))]
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    # Backends that are not there raise what they like.
    except Exception:
        raise InputError(f"device = {name!r}: not usable here; must be one of {', '.join(there)}") from None
    return device
