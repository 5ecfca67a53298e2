"""Cutting a data set in three parts that share no sample, by indices, from a seed alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from safs.errors import DataError

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Counts:
    """How many samples a pool of training samples gives to each part."""

    train: int
    validation: int
    test: int


def counts_of(samples: int, validation_fraction: float, test_fraction: float) -> Counts:
    """How ``samples`` are cut: test first, then validation as a share of what is left.

    Args:
        validation_fraction, test_fraction: in [0, 1); 0 where the data set brings that part itself. A part that
            is asked for has at least one sample.

    Raises:
        DataError: there is no sample left to train on.
    """
    test = max(1, round(test_fraction * samples)) if test_fraction else 0
    rest = samples - test
    validation = max(1, round(validation_fraction * rest)) if validation_fraction else 0
    if rest - validation < 1:
        raise DataError(
            f"{samples} samples leave none to train on after {test} for test and {validation} for validation; "
            "give more data, or smaller data.validation_fraction and data.test_fraction.",
            field="data",
        )
    return Counts(rest - validation, validation, test)


def cut(labels: Indices, counts: Counts, seed: int) -> tuple[Indices, Indices, Indices]:
    """Indices of train, validation and test: disjoint, complete, stratified by class, each in ascending order.

    Args:
        labels: int64 [N], N being the sum of ``counts``.
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    rest, test = _take(shuffled, labels, counts.test)
    train, validation = _take(rest, labels, counts.validation)
    return np.sort(train), np.sort(validation), np.sort(test)


def _take(pool: Indices, labels: Indices, samples: int) -> tuple[Indices, Indices]:
    """``pool`` without ``samples`` of its indices, and those; each class gives its share, to one sample more or less.

    Every (pool / samples)-th of the indices in the order of their classes: the total is exact, no class is favoured.
    """
    by_class = pool[np.argsort(labels[pool], kind="stable")]
    places = (2 * np.arange(samples) + 1) * len(pool) // max(1, 2 * samples)
    taken = np.zeros(len(pool), dtype=bool)
    taken[places] = True
    return by_class[~taken], by_class[taken]
