"""A pruning that cannot be is a problem at POST: it names the part of ``prune`` that is wrong, and a way out."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

MINIMAL: dict[str, Any] = {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": 0.9}
NAMES = {
    "score": ({"score": "magnitud"}, "prune.score", "Did you mean 'magnitude'?"),
    "schedule": ({"schedule": "cubik"}, "prune.schedule", "Did you mean 'cubic'?"),
    "granularity": ({"granularity": "flter"}, "prune.granularity", "Did you mean 'filter'?"),
    "optimizer while pruning": ({"recipe": {"optimizer": "adamm"}}, "prune.recipe.optimizer", "Did you mean 'adam'"),
}
PARTS = {
    "misspelt option": (
        {"schedule": "cyclic", "options": {"cycels": 3}},
        "prune.options.cycels",
        "has the options begin, end, cycles, peak; remove 'cycels'. Did you mean 'cycles'?",
    ),
    "option of another method": (
        {"method": "rigl", "options": {"rounds": 3}},
        "prune.options.rounds",
        "pruning method 'rigl' has the options every, drop, until; remove 'rounds'.",
    ),
    "option out of its range": (
        {"method": "rigl", "options": {"drop": 2}},
        "prune.options.drop",
        "option 'drop' of pruning method 'rigl' cannot be 2: Input should be less than 1.",
    ),
    "options that do not fit each other": (
        {"schedule": "cubic", "options": {"begin": 0.9}},
        "prune.options",
        "options of pruning method 'magnitude': begin (0.9) must be below end (0.75).",
    ),
    "epochs where nothing is trained": (
        {"schedule": "one_shot", "epochs": 5},
        "prune.epochs",
        "trains nothing, so prune.epochs cannot be 5; leave it out",
    ),
    "too few epochs": ({"method": "ap", "epochs": 1}, "prune.epochs", "needs at least 2 epochs, but prune.epochs is 1"),
    "axis that the method does not leave open": (
        {"method": "rigl", "schedule": "cubic"},
        "prune.schedule",
        "prune.schedule cannot be 'cubic'. Leave it out.",
    ),
    "more of fewer": ({"granularity": "4:2"}, "prune.granularity", "n must be at least 1 and below m"),
}


@pytest.mark.parametrize(("prune", "field", "words"), NAMES.values(), ids=NAMES)
def test_an_unknown_name_of_an_axis_is_answered_with_the_known_ones(
    http: TestClient, prune: dict[str, Any], field: str, words: str
) -> None:
    assert words in _refusal(http, {"prune": prune}, "unknown_name", field)


@pytest.mark.parametrize(("prune", "field", "words"), PARTS.values(), ids=PARTS)
def test_what_does_not_fit_the_method_is_told_with_what_would(
    http: TestClient, prune: dict[str, Any], field: str, words: str
) -> None:
    assert words in _refusal(http, {"prune": prune}, "invalid_spec", field)


def test_a_sparsity_that_n_of_m_cannot_have_is_answered_with_the_one_that_it_has(http: TestClient) -> None:
    message = _refusal(http, {"prune": {"granularity": "2:4"}}, "impossible_sparsity", "sparsity")

    assert message.endswith("Choose the sparsity 0.5, or the granularity 'weight'.")
    assert http.post("/v1/jobs", json=MINIMAL | {"sparsity": 0.5, "prune": {"granularity": "2:4"}}).status_code == 202


def test_a_network_whose_filters_cannot_be_removed_is_refused_with_what_can_be_chosen(http: TestClient) -> None:
    # Its channels are shuffled between groups, which torch-pruning cannot follow.
    changes = {"model": {"architecture": "torchvision/shufflenet_v2_x0_5"}, "prune": {"granularity": "filter"}}

    message = _refusal(http, changes, "incompressible_model", "prune.granularity")

    assert "ShuffleNetV2" in message
    assert "Choose prune.granularity: weight" in message


def test_a_misspelt_key_of_the_training_while_pruning_is_named(http: TestClient) -> None:
    changes = {"prune": {"recipe": {"learning_rat": 0.1}}}

    message = _refusal(http, changes, "invalid_request", "prune.recipe.learning_rat")

    assert message.startswith("unknown key. Did you mean 'learning_rate'? Known: optimizer,")


def _refusal(http: TestClient, changes: dict[str, Any], code: str, field: str) -> str:
    """The message of the only invalid field."""
    response = http.post("/v1/jobs", json=MINIMAL | changes)

    problem = response.json()
    assert (response.status_code, problem["code"]) == (422, code), problem["detail"]
    assert [error["field"] for error in problem["errors"]] == [field]
    assert http.get("/v1/jobs").json()["items"] == []
    message: str = problem["errors"][0]["message"]
    return message
