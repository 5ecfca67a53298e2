"""Which hyperparameters decide a search."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from tests.api.conftest import ScriptedRunner


def run_trials(runner: ScriptedRunner) -> None:
    """Run 12 trials with two optimizers and as many values of the momentum."""
    for number in range(12):
        config = {"optimizer": ("adam", "sgd")[number % 2], "momentum": 0.5 + number / 100}
        runner.trial("tune", number, [0.5 + 0.2 * (number % 2) + number / 1000], config=config)


def test_shares_are_told_of_the_hyperparameters_that_vary(
    http: TestClient, submit: Callable[..., str], runner: ScriptedRunner
) -> None:
    job_id = submit()
    runner.start()
    run_trials(runner)
    found = http.get(f"/v1/jobs/{job_id}/importances/tune").json()

    assert (found["trials"], set(found["shares"])) == (12, {"optimizer", "momentum"})
    assert sum(found["shares"].values()) == pytest.approx(1)
