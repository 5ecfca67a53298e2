"""Every strategy resumes exactly where an earlier attempt was cut, and accepts outcomes of foreign trials."""

from collections.abc import Callable, Mapping
from math import inf, nan
from zlib import crc32

import pytest
from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float

from safs.search import STRATEGIES, Replayed, Strategy
from safs.search.conductor import Conductor
from safs.search.strategy import plain_config
from safs.trials import Candidate, Config, Outcome, Trial


def sites(prefix: str = "") -> ConfigurationSpace:
    return ConfigurationSpace({f"{prefix}layers.{site}": ["relu", "elu", "tanh", "swish"] for site in range(4)})


def with_conditions(space: ConfigurationSpace) -> ConfigurationSpace:
    optimizer, momentum = Categorical("optimizer", ["sgd", "adam"]), Float("momentum", (0.1, 0.9))
    space.add(optimizer, momentum, EqualsCondition(momentum, optimizer, "sgd"), Float("rate", (1e-4, 1e-1), log=True))
    return space


SPACES = {
    "activations": sites(),
    "tune": with_conditions(ConfigurationSpace()),
    "joint": with_conditions(sites("operator:")),
}
SLOW = {"smac", "gp", "hyperband"}
"""Strategies that take a tenth of a second or more to propose a candidate."""
CASES = [
    pytest.param(name, stage, marks=pytest.mark.exhaustive if name == "gp" and stage != "tune" else ())
    for name, entry in STRATEGIES.items()
    for stage in entry.stages
]
each_case = pytest.mark.parametrize(("name", "stage"), CASES)


def judged(candidate: Candidate) -> Outcome:
    """A loss that depends on the candidate alone; one trial in five breaks down, in one of two ways."""
    number = crc32(repr((sorted(candidate.config.items()), candidate.epochs)).encode())
    if number % 5 == 0:
        return Outcome(inf if number % 2 else nan, error="the loss is not finite in epoch 2")
    return Outcome(number / 2**32)


def trials_of(name: str) -> int:
    if name == "gp":  # Three random ones, then the process.
        return 6
    return 7 if name in SLOW else 9


def maker(name: str, stage: str) -> Callable[[], Strategy]:
    return lambda: STRATEGIES[name].make(SPACES[stage], trials=trials_of(name), epochs=8, seed=3)


def run(strategy: Strategy, window: int, known: Mapping[int, Trial] | None = None) -> list[Candidate]:
    """All candidates; ``judged`` is called for those that are not known."""
    conductor = Conductor(strategy, window)
    candidates: list[Candidate] = []
    while (candidate := conductor.next()) is not None:
        candidates.append(candidate)
        found = (known or {}).get(candidate.number)
        conductor.done(candidate.number, judged(candidate) if found is None else found.outcome)
    assert conductor.finished
    return candidates


@each_case
@pytest.mark.parametrize("window", [1, 3])
def test_a_search_goes_on_exactly_where_it_was_cut(name: str, stage: str, window: int) -> None:
    make = maker(name, stage)
    whole = run(make(), window)
    assert [candidate.number for candidate in whole] == list(range(len(whole)))
    for cut in (5,) if name in SLOW else (1, 4, 8):
        # With several in flight, the one before the last finished may be one that was still running.
        finished = [candidate for candidate in whole[:cut] if window == 1 or candidate.number != cut - 2]
        known = {candidate.number: Trial(candidate, judged(candidate)) for candidate in finished}
        replayed = Replayed(make, known)
        assert run(replayed, window, known) == whole
        assert (replayed.diverged, replayed.adopted) == (None, [])


@each_case
def test_a_search_that_cannot_be_replayed_goes_on_with_what_is_known(name: str, stage: str) -> None:
    make = maker(name, stage)
    whole = run(make(), 2)[:5]
    known = {candidate.number: Trial(candidate, judged(candidate)) for candidate in whole}
    other = Candidate(3, whole[3].config, whole[3].epochs, seed=99)
    known[3] = Trial(other, judged(other))

    replayed = Replayed(make, known)
    candidates = run(replayed, 2, known)

    assert replayed.diverged is not None
    assert "candidate 3 " in replayed.diverged
    assert [trial.candidate.number for trial in replayed.adopted] == [3, 4]
    assert [candidate.number for candidate in candidates[:3]] == [0, 1, 2]
    assert min((candidate.number for candidate in candidates[3:]), default=5) >= 5
    if name != "lahc" and not STRATEGIES[name].multi_fidelity:  # These strategies can run more trials than the budget.
        assert len(candidates) + len(replayed.adopted) == trials_of(name)


@each_case
def test_foreign_trials_are_learned_from_and_counted(name: str, stage: str) -> None:
    def told() -> list[Candidate]:
        strategy = maker(name, stage)()
        default = plain_config(SPACES[stage].get_default_configuration())
        strategy.tell(Candidate(0, changed(default), 8, 3), Outcome(inf, error="out of memory"))
        strategy.tell(Candidate(4, default, 8, 3), Outcome(0.01))
        return run(strategy, 2)

    candidates = told()
    assert [candidate.number for candidate in candidates] == list(range(5, 5 + len(candidates)))
    if name != "lahc" and not STRATEGIES[name].multi_fidelity:
        assert len(candidates) == trials_of(name) - 2
    assert told() == candidates


def changed(default: Config) -> Config:
    """Adam, which has no momentum, in place of SGD; or another operator at the first site."""
    if "optimizer" in default:
        return {key: value for key, value in default.items() if key != "momentum"} | {"optimizer": "adam"}
    return default | {next(iter(default)): "swish"}
