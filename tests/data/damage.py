"""Archives damaged at many places, for the tests of their readers."""

from pathlib import Path

import numpy as np

from lanewise import data
from lanewise.errors import InputError


def assert_damage_is_noticed(path: Path, x: np.ndarray, every: int) -> None:
    """Cut or changed at every so many bytes, the file gives an InputError or the same `x`, and nothing else."""
    sound, refused = path.read_bytes(), 0
    for at in range(0, len(sound), every):
        for content in (sound[:at], sound[:at] + bytes([sound[at] ^ 0xFF]) + sound[at + 1 :]):
            path.write_bytes(content)
            try:
                found = data.load(path)
            except InputError:
                refused += 1
            else:
                assert np.array_equal(found.x.numpy(), x)
    assert refused > len(sound) // every
