"""Splitting a data set by indices."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from safs.data.partition import Counts, counts_of, cut
from safs.errors import DataError


@given(
    labels=st.lists(st.integers(0, 4), min_size=5, max_size=200).map(lambda labels: np.array(labels, dtype=np.int64)),
    validation=st.floats(0.01, 0.5),
    test=st.floats(0.01, 0.5),
    seed=st.integers(0, 100),
)
def test_splits_are_disjoint_complete_exact_and_stratified(labels, validation, test, seed):
    counts = counts_of(len(labels), validation, test)

    parts = cut(labels, counts, seed)

    assert [len(part) for part in parts] == [counts.train, counts.validation, counts.test]
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    for label in range(5):
        share = (labels == label).sum() * counts.test / len(labels)
        assert abs((labels[parts[2]] == label).sum() - share) <= 1


def test_a_fraction_of_zero_takes_no_samples():
    assert counts_of(60_000, 0.1, 0.0) == Counts(train=54_000, validation=6_000, test=0)


def test_validation_is_a_fraction_of_the_samples_that_test_leaves():
    # 359 = round(0.2 * 1797); 144 = round(0.1 * 1438).
    assert counts_of(1797, 0.1, 0.2) == Counts(train=1294, validation=144, test=359)


def test_another_seed_gives_another_split():
    labels = np.zeros(100, dtype=np.int64)

    first, second = (cut(labels, Counts(80, 10, 10), seed)[1].tolist() for seed in (0, 1))

    assert first != second


def test_too_few_samples_are_refused():
    with pytest.raises(DataError, match="2 samples leave none to train on"):
        counts_of(2, 0.1, 0.2)
