"""Splits a data set by indices into three disjoint parts that depend on the seed only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from safs.errors import DataError

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Counts:
    """Number of samples that the training samples give to each split."""

    train: int
    validation: int
    test: int


def counts_of(samples: int, validation_fraction: float, test_fraction: float) -> Counts:
    """Sizes of the splits: test first, then validation as a fraction of the remaining samples.

    Args:
        validation_fraction, test_fraction: in [0, 1); 0 if the data set comes with that split. A split with a positive
            fraction has at least one sample.

    Raises:
        DataError: no sample is left to train on.
    """
    test = max(1, round(test_fraction * samples)) if test_fraction else 0
    rest = samples - test
    validation = max(1, round(validation_fraction * rest)) if validation_fraction else 0
    if rest - validation < 1:
        raise DataError(
            f"{samples} samples leave none to train on after {test} for test and {validation} for validation; "
            "give more data, or lower data.validation_fraction and data.test_fraction.",
            field="data",
        )
    return Counts(rest - validation, validation, test)


def cut(labels: Indices, counts: Counts, seed: int) -> tuple[Indices, Indices, Indices]:
    """Ascending indices of train, validation and test. They are disjoint, complete and stratified by class.

    Args:
        labels: int64 [N], where N is the sum of ``counts``.
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    rest, test = _take(shuffled, labels, counts.test)
    train, validation = _take(rest, labels, counts.validation)
    return np.sort(train), np.sort(validation), np.sort(test)


def _take(pool: Indices, labels: Indices, samples: int) -> tuple[Indices, Indices]:
    """The rest of ``pool``, and ``samples`` indices taken from it, stratified to one sample per class.

    Takes every (pool / samples)-th index in the order of the classes, so the total is exact and no class is favoured.
    """
    by_class = pool[np.argsort(labels[pool], kind="stable")]
    positions = (2 * np.arange(samples) + 1) * len(pool) // max(1, 2 * samples)
    taken = np.zeros(len(pool), dtype=bool)
    taken[positions] = True
    return by_class[~taken], by_class[taken]
