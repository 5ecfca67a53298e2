"""The contract of every strategy, on every space that it declares."""

import subprocess
import sys
from functools import cache
from math import inf
from zlib import crc32

import pytest
from ConfigSpace import Categorical, Configuration, ConfigurationSpace

from safs.search import STRATEGIES
from safs.search.conductor import Conductor
from safs.spec.training import TrainSpec
from safs.trials import Candidate, Outcome
from search_spaces.activations import activation_space
from search_spaces.fine_tuning import fine_tuning_space


def _joined() -> ConfigurationSpace:
    space = fine_tuning_space(TrainSpec(), seed=5)
    space.add(Categorical("operator:fc1", ["relu", "elu", "tanh"]), Categorical("operator:fc2", ["relu", "elu"]))
    return space


SPACES = {
    "activations": activation_space(
        ["features.0", "features.3", "fc1", "fc2"], ["relu", "tanh", "elu", "swish"], seed=5
    ),
    "tune": fine_tuning_space(TrainSpec(), seed=5),
    "joint": _joined(),
}
CASES = [
    pytest.param(name, stage, marks=pytest.mark.exhaustive if name == "gp" and stage != "tune" else ())
    for name, entry in STRATEGIES.items()
    for stage in entry.stages
]
each_case = pytest.mark.parametrize(("name", "stage"), CASES)


def judged(candidate: Candidate) -> Outcome:
    """A loss that depends on the config alone; every fourth trial breaks down, starting with the first."""
    if candidate.number % 4 == 0:
        return Outcome(inf, error="the loss is not finite in epoch 2")
    return Outcome(crc32(repr(sorted(candidate.config.items())).encode()) / 2**32)


def search(name: str, space: ConfigurationSpace, *, trials: int = 9, window: int = 3, seed: int = 7) -> list[Candidate]:
    conductor = Conductor(STRATEGIES[name].make(space, trials=trials, epochs=8, seed=seed), window)
    candidates: list[Candidate] = []
    while (candidate := conductor.next()) is not None:
        candidates.append(candidate)
        conductor.done(candidate.number, judged(candidate))
    assert conductor.finished
    return candidates


@cache
def usual(name: str, stage: str) -> list[Candidate]:
    """A finished search that most tests share."""
    return search(name, SPACES[stage])


@each_case
def test_candidates_are_numbered_and_share_epochs_and_seed(name: str, stage: str) -> None:
    candidates = usual(name, stage)
    assert [candidate.number for candidate in candidates] == list(range(len(candidates)))
    lengths = {2, 8} if STRATEGIES[name].multi_fidelity else {8}
    assert {(candidate.horizon or candidate.epochs, candidate.seed) for candidate in candidates} == {(8, 7)}
    assert {candidate.epochs for candidate in candidates} <= lengths


@each_case
def test_a_promoted_candidate_continues_a_shorter_one_with_the_same_config(name: str, stage: str) -> None:
    candidates = search(name, SPACES[stage], trials=12)
    promoted = [candidate for candidate in candidates if candidate.continues is not None]
    assert bool(promoted) == STRATEGIES[name].multi_fidelity
    for candidate in promoted:
        before = candidates[candidate.continues or 0]
        assert before.number < candidate.number
        assert before.epochs < candidate.epochs
        assert (before.config, before.horizon) == (candidate.config, candidate.horizon)
    assert len({candidate.continues for candidate in promoted}) == len(promoted)


@each_case
def test_candidates_are_points_of_the_space_in_plain_values(name: str, stage: str) -> None:
    for candidate in usual(name, stage):
        Configuration(SPACES[stage], values=candidate.config)  # Raises if a value or a condition is broken.
        assert {type(value) for value in candidate.config.values()} <= {str, int, float}


@each_case
def test_as_many_trials_as_promised_unless_late_ones_improve(name: str, stage: str) -> None:
    strategy = STRATEGIES[name].make(SPACES[stage], trials=9, epochs=8, seed=7)
    candidates = usual(name, stage)
    fresh = [candidate for candidate in candidates if candidate.continues is None]
    assert strategy.expected_trials == 9 if not STRATEGIES[name].multi_fidelity else strategy.expected_trials > 9
    assert len(fresh) == 9 if name != "lahc" else len(fresh) >= 9


@each_case
def test_same_seed_gives_same_candidates_and_leaves_the_space_alone(name: str, stage: str) -> None:
    before = repr(SPACES[stage])
    assert search(name, SPACES[stage]) == usual(name, stage)
    other = search(name, SPACES[stage], trials=4, seed=8)
    assert [found.config for found in other] != [found.config for found in usual(name, stage)[: len(other)]]
    assert repr(SPACES[stage]) == before


@each_case
def test_a_search_in_which_everything_breaks_down_ends(name: str, stage: str) -> None:
    conductor = Conductor(STRATEGIES[name].make(SPACES[stage], trials=6, epochs=8, seed=0), window=2)
    trials = 0
    while (candidate := conductor.next()) is not None:
        trials += 1
        conductor.done(candidate.number, Outcome(inf, error="out of memory"))
    assert trials == 6


@each_case
def test_a_single_trial_can_be_asked_for(name: str, stage: str) -> None:
    candidates = [found for found in search(name, SPACES[stage], trials=1, window=1) if found.continues is None]
    assert len(candidates) == 1 if name != "lahc" else len(candidates) >= 2  # LAHC cannot stop before an idle step.


@pytest.mark.parametrize("name", ["random", "smac"])
def test_small_space_is_searched_without_repeats_and_then_ends(name: str) -> None:
    space = activation_space(["conv1", "conv2"], ["relu", "tanh", "elu"], seed=0)
    candidates = search(name, space, trials=40)
    assert len({tuple(sorted(candidate.config.items())) for candidate in candidates}) == len(candidates) == 9


def test_listing_strategies_imports_none_of_the_slow_packages() -> None:
    code = "import sys, safs.search; print(sorted({'smac', 'optuna', 'ConfigSpace', 'torch'} & set(sys.modules)))"
    listed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert listed.stdout.strip() == "[]"
