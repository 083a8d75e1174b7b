"""A share of the damaged inputs of `python -m bench fuzz`: each is read, or refused in one line."""

import pytest

from bench.fuzz import KINDS, Material, tried

FEW = {"expressions": 300, "recipes": 60, "tables": 60, "arrays": 40, "verdicts": 80, "models": 60, "records": 10}
SEED = 1


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return Material(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_input_is_read_or_refused_in_one_line(kind: str, material: Material) -> None:
    ends = {number: tried(kind, number, SEED, material) for number in range(FEW.get(kind, 8))}
    assert set(ends.values()) <= {"read", "refused"}, {
        n: end for n, end in ends.items() if end not in ("read", "refused")
    }
    assert "refused" in ends.values() or kind in ("checkpoints", "databases")
