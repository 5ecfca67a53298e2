"""The comparison of first rungs: successive halving that is replayed over stored curves."""

from benchmarks.first_rung import _replay, tau
from safs.spec.halving import HalvingOptions
from safs.trials import EpochMetrics


def curve(*accuracies: float) -> list[EpochMetrics]:
    return [EpochMetrics(number, 1.0, 1.0, accuracy, 1e-3, 1.0) for number, accuracy in enumerate(accuracies, 1)]


LATE, EARLY, DEAD = curve(0.1, 0.6, 0.9), curve(0.5, 0.5, 0.55), list[EpochMetrics]()


def test_a_first_rung_of_one_epoch_drops_what_begins_to_learn_late() -> None:
    found = {
        first: _replay([LATE, EARLY, DEAD], HalvingOptions(min_epochs=first, eta=3), trials=3, epochs=3, seed=0)
        for first in (1, 2)
    }

    assert found == {1: 0.55, 2: 0.9}


def test_the_order_of_the_end_is_found_late() -> None:
    # Pairs: (late, early) discordant after one epoch, concordant after two; both are above the dead one throughout.
    assert tau([LATE, EARLY, DEAD], 1) == (1 + 1 - 1) / 3
    assert tau([LATE, EARLY, DEAD], 2) == 1.0
