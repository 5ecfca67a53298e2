"""SMAC: prints nothing, leaves no files, is repeatable, and searches spaces with conditions."""

import json
import os
import subprocess
import sys
from math import inf, log10
from pathlib import Path
from statistics import fmean
from zlib import crc32

import pytest
from smac.model.random_forest import RandomForest
from smac.runhistory import StatusType

from safs.search.conductor import Conductor
from safs.search.replay import Replayed
from safs.search.smac import Smac, trial_value
from safs.spec.training import TrainSpec
from safs.trials import Candidate, Outcome, Trial
from search_spaces.fine_tuning import fine_tuning_space

SPACE = fine_tuning_space(TrainSpec(), seed=0)

SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1])  # The sources; the working directory is to stay empty.
from itertools import product
from zlib import crc32
from safs.search import STRATEGIES
from safs.search.conductor import Conductor
from safs.search.hyperband import Hyperband
from safs.trials import Outcome
from ConfigSpace import Categorical, ConfigurationSpace, EqualsCondition, Float

conditional = ConfigurationSpace()
optimizer, momentum = Categorical("optimizer", ["sgd", "adam", "adamw"]), Float("momentum", (0.1, 0.9))
conditional.add(optimizer, momentum, EqualsCondition(momentum, optimizer, "sgd"), Float("rate", (1e-4, 1e-1), log=True))
sites = ConfigurationSpace({f"layers.{site}.relu": ["relu", "elu", "tanh", "swish"] for site in range(5)})

configs = []
for space, make in product((conditional, sites), (STRATEGIES["smac"].make, Hyperband)):
    conductor = Conductor(make(space, trials=8, epochs=8, seed=0), window=4)
    while (candidate := conductor.next()) is not None:
        configs.append(candidate.config)
        loss = crc32(repr(sorted(candidate.config.items())).encode()) / 2**32
        conductor.done(candidate.number, Outcome(loss))
print(json.dumps(configs))
"""


def rate_of(candidate: Candidate) -> float:
    return next(float(value) for name, value in candidate.config.items() if name.startswith("learning_rate"))


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> list[subprocess.CompletedProcess[str]]:
    """The same searches in two processes with different hash seeds and separate folders."""
    root = Path(__file__).parents[2]
    finished = []
    for hash_seed in ("0", "1"):
        folder = tmp_path_factory.mktemp(f"hash_seed_{hash_seed}")
        environment = os.environ | {"PYTHONHASHSEED": hash_seed, "TMPDIR": str(folder)}
        finished.append(
            subprocess.run(
                [sys.executable, "-W", "error", "-c", SCRIPT, str(root)],
                cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True,
            )
        )  # fmt: skip
        assert list(folder.iterdir()) == []
    return finished


def test_candidates_are_the_same_in_every_process(two_processes: list[subprocess.CompletedProcess[str]]) -> None:
    first, second = (json.loads(process.stdout) for process in two_processes)
    assert len(first) == 2 * (8 + 10)  # Hyperband promotes two.
    assert first == second


def test_nothing_is_written_to_the_terminal(two_processes: list[subprocess.CompletedProcess[str]]) -> None:
    assert [process.stderr for process in two_processes] == ["", ""]
    assert all(len(process.stdout.splitlines()) == 1 for process in two_processes)


def test_twelve_trials_four_in_flight_one_in_ten_crashing() -> None:
    conductor = Conductor(Smac(SPACE, trials=12, epochs=8, seed=3), window=4)
    running: list[Candidate] = []
    seen: list[Candidate] = []
    while not conductor.finished:
        while (candidate := conductor.next()) is not None:
            running.append(candidate)
            seen.append(candidate)
        if running:
            newest = running.pop()
            failed = newest.number % 10 == 0
            conductor.done(newest.number, Outcome(inf, error="diverged") if failed else Outcome(rate_of(newest)))
    assert [candidate.number for candidate in seen] == list(range(12))
    assert len({tuple(sorted(candidate.config.items())) for candidate in seen}) == 12


def test_the_default_configuration_comes_first() -> None:
    candidate = Smac(SPACE, trials=4, epochs=8, seed=3).ask()
    assert candidate is not None
    assert candidate.config == dict(SPACE.get_default_configuration())


def test_the_forest_learns_in_a_space_with_conditions() -> None:
    # The loss falls towards a learning rate of 1e-1, for every optimizer. Random draws have a mean log10 of -2.5.
    strategy = Smac(SPACE, trials=20, epochs=8, seed=0)
    rates = []
    while (candidate := strategy.ask()) is not None:
        rates.append(log10(rate_of(candidate)))
        strategy.tell(candidate, Outcome((-1 - rates[-1]) / 3))
    assert fmean(rates[10:]) > -1.8


def test_a_broken_trial_is_a_crash_of_finite_cost() -> None:
    crash = trial_value(Outcome(inf, seconds=2.0, error="diverged"))
    assert (crash.cost, crash.time, crash.status) == (1.0, 2.0, StatusType.CRASHED)
    success = trial_value(Outcome(0.25, seconds=3.0))
    assert (success.cost, success.time, success.status) == (0.25, 3.0, StatusType.SUCCESS)


def test_a_replay_fits_no_forest_and_goes_on_as_the_first_attempt(monkeypatch) -> None:
    def make() -> Smac:
        return Smac(SPACE, trials=24, epochs=2, seed=0)

    def search(strategy, stop: int = 24) -> list[Candidate]:
        conductor, found = Conductor(strategy, 3), []
        while len(found) < stop and (candidate := conductor.next()) is not None:
            found.append(candidate)
            conductor.done(candidate.number, Outcome(crc32(repr(sorted(candidate.config.items())).encode()) / 2**32))
        return found

    first = search(make())
    fits: list[int] = []
    train = RandomForest.train
    monkeypatch.setattr(RandomForest, "train", lambda self, x, y: (fits.append(len(y)), train(self, x, y))[1])
    known = {
        candidate.number: Trial(candidate, Outcome(crc32(repr(sorted(candidate.config.items())).encode()) / 2**32))
        for candidate in first[:20]
    }
    replayed = Replayed(make, known)

    again = search(replayed)

    assert again == first
    assert replayed.diverged is None
    assert min(fits) >= 17  # Candidate 20 is asked once outcomes 0 to 17 are told.
    assert len(fits) == 4
