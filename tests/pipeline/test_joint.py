"""A job that searches operators and hyperparameters together, with sites tied by blocks."""

from typing import Any

import pytest

from safs import checkpoint
from safs.events.kinds import Stage, TrialDone
from safs.reuse.cache import NoCache
from tests.pipeline.jobs import TINY
from tests.pipeline.test_reuse import Ran

JOB: dict[str, Any] = TINY | {
    "activations": {"scope": "block"},
    "joint": {"trials": 6, "epochs": 3},
    "final": {"epochs": 3, "candidates": ["default", "joint"]},
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return Ran(JOB, tmp_path_factory.mktemp("joint"), NoCache(), slots=2)


def test_it_runs_one_search_and_competes_with_the_default_protocol(ran: Ran) -> None:
    report = ran.result.report

    assert list(report["searches"]) == ["joint"]
    assert [row["name"] for row in report["rows"]] == ["dense", "pruned", "default", "joint"]
    best = max(report["rows"][2:], key=lambda row: row["validation_accuracy"])
    assert report["result"] == best["name"]


def test_promoted_trials_continue_from_their_last_epoch(ran: Ran) -> None:
    trials = {trial["number"]: trial for trial in ran.result.report["searches"]["joint"]["trials"]}
    promoted = [trial for trial in trials.values() if trial["continues"] is not None]

    assert promoted
    for trial in promoted:
        before = trials[trial["continues"]]
        assert (before["config"], before["epochs"] + trial["trained"]) == (trial["config"], trial["epochs"])
    done = [event for event in ran.events if isinstance(event, TrialDone) and event.stage is Stage.JOINT]
    curves = {event.candidate.number: event.outcome.curve for event in done}
    for trial in promoted:
        earlier = curves[trial["continues"]]
        assert curves[trial["number"]][: len(earlier)] == earlier


def test_the_search_begins_with_the_default_and_the_portfolio(ran: Ran) -> None:
    first, second = (trial["config"] for trial in ran.result.report["searches"]["joint"]["trials"][:2])

    assert {value for name, value in first.items() if name.startswith("operator:")} == {"relu"}
    assert (first["optimizer"], first["schedule"]) == ("adam", "constant")
    assert {value for name, value in second.items() if name.startswith("operator:")} == {"identity"}
    assert (second["optimizer"], second["schedule"]) == ("adam", "one_cycle")


def test_sites_of_a_block_have_one_operator_and_the_result_verifies(ran: Ran) -> None:
    sites = {site["path"]: site["chosen"] for site in ran.result.report["sites"]}

    assert len(sites) == 4
    config = ran.result.report["searches"]["joint"]["trials"][0]["config"]
    groups = [name for name in config if name.startswith("operator:")]
    assert len(groups) == 3  # conv1 | conv2 | fc1, fc2
    assert checkpoint.verify(ran.result.directory).sparsity.live == 61_470 - 58_396
