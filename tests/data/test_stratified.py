"""The split class by class is scikit-learn's, draw for draw."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedShuffleSplit

from lanewise.data.splitting.stratified import stratified


@given(st.lists(st.integers(2, 40), min_size=2, max_size=8), st.integers(0, 2**32 - 1), st.data())
def test_it_is_scikit_learns(counts: list[int], seed: int, data: st.DataObject) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(3 * np.arange(len(counts)), counts))
    validating = data.draw(st.integers(len(counts), len(labels) - len(counts)))
    splitter = StratifiedShuffleSplit(n_splits=1, test_size=validating, random_state=seed)
    for mine, theirs in zip(
        stratified(labels, validating, seed), next(splitter.split(np.zeros(len(labels)), labels)), strict=True
    ):
        assert mine.tolist() == sorted(theirs.tolist())


@pytest.mark.parametrize("validating", [1, 5, 9])
def test_one_class_is_shuffled(validating: int) -> None:
    train, valid = stratified(np.zeros(10, dtype=np.int64), validating, 0)
    assert sorted([*train, *valid]) == list(range(10))
    assert len(valid) == validating
