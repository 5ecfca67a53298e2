"""Hyperband with a random forest: brackets counted by hand, and that it learns."""

from statistics import fmean

from ConfigSpace import ConfigurationSpace

from safs.search.conductor import Conductor
from safs.search.hyperband import Hyperband
from safs.spec.halving import HalvingOptions
from safs.trials import Candidate, Outcome, Trial

SPACE = ConfigurationSpace({f"x{number}": (0.0, 1.0) for number in range(2)})
FROM_ONE = HalvingOptions(min_epochs=1)
"""Trials are compared after 1, 3 and 9 epochs."""


def run(strategy: Hyperband, window: int = 1, broken: frozenset[int] = frozenset()) -> list[Trial]:
    """A loss that falls with the epochs and is best where all coordinates are 0."""
    conductor = Conductor(strategy, window)
    trials = []
    while (candidate := conductor.next()) is not None:
        loss = fmean(float(value) for value in candidate.config.values()) / candidate.epochs**0.1
        outcome = Outcome(1.0, left="predicts one class only") if candidate.number in broken else Outcome(loss)
        conductor.done(candidate.number, outcome)
        trials.append(Trial(candidate, outcome))
    assert conductor.finished
    return trials


def test_the_first_bracket_is_nine_then_the_best_three_then_the_best() -> None:
    trials = run(Hyperband(SPACE, trials=9, epochs=9, seed=0, options=FROM_ONE))

    assert [trial.candidate.epochs for trial in trials] == [1] * 9 + [3] * 3 + [9]
    short, middle = sorted(trials[:9], key=lambda t: t.outcome.loss), trials[9:12]
    assert [trial.candidate.continues for trial in middle] == [trial.candidate.number for trial in short[:3]]
    assert trials[12].candidate.config == short[0].candidate.config
    assert trials[12].candidate.horizon == 9


def test_while_a_bracket_waits_the_next_one_is_filled() -> None:
    strategy = Hyperband(SPACE, trials=20, epochs=9, seed=0, options=FROM_ONE)
    asked = [strategy.ask() for _ in range(15)]

    assert [candidate.epochs for candidate in asked if candidate] == [1] * 9 + [3] * 5 + [9]


def test_trials_that_were_left_are_not_promoted_and_hold_nothing_up() -> None:
    trials = run(Hyperband(SPACE, trials=9, epochs=9, seed=0, options=FROM_ONE), broken=frozenset(range(8)))

    assert [trial.candidate.continues for trial in trials[9:]] == [8, 9]


def test_it_learns_where_the_good_ones_are() -> None:
    options = HalvingOptions(min_epochs=9)
    trials = run(Hyperband(SPACE, trials=16, epochs=9, seed=0, options=options))

    means = [fmean(float(value) for value in trial.candidate.config.values()) for trial in trials]
    assert {trial.candidate.epochs for trial in trials} == {9}
    assert fmean(means[8:]) < 0.7 * fmean(means[:6])


def test_first_candidates_begin_short_and_a_known_trial_takes_its_place() -> None:
    strategy = Hyperband(SPACE, trials=9, epochs=9, seed=0, firsts=[{"x0": 0.1, "x1": 0.2}], options=FROM_ONE)
    strategy.tell(Candidate(0, {"x0": 0.0, "x1": 0.0}, 1, seed=0, horizon=9), Outcome(0.01))

    trials = run(strategy)

    assert trials[1].candidate.config == {"x0": 0.1, "x1": 0.2}
    assert [trial.candidate.epochs for trial in trials] == [1] * 8 + [3] * 3 + [9]
    assert 0 in {trial.candidate.continues for trial in trials}
