"""Named random streams: every draw is a function of (study seed, repeat, purpose), never of a global generator."""

import hashlib

import torch


def stream_seed(study_seed: int, *purpose: int | str) -> int:
    """A seed in [0, 2**63) for the stream called `purpose`, such as `(repeat, "order", epoch)`.

    >>> stream_seed(0, 1, "order") == stream_seed(0, 1, "order")
    True
    >>> stream_seed(0, 1, "order") == stream_seed(0, 2, "order")
    False
    """
    text = "/".join([str(study_seed), *(str(word) for word in purpose)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def stream(study_seed: int, *purpose: int | str) -> torch.Generator:
    """A generator on the CPU at the start of the stream called `purpose`."""
    return torch.Generator().manual_seed(stream_seed(study_seed, *purpose))
