"""Numbers of a job, wherever it is read: neither texts nor truth values."""

from typing import Any

import pytest
from pydantic import ValidationError

from safs.errors import SpecError
from safs.options import Options, parse_options
from safs.spec import JobSpec

MINIMAL: dict[str, Any] = {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": 0.99}


class Annealing(Options):
    cooling: float = 0.9
    rounds: int | None = None


@pytest.mark.parametrize(
    ("more", "where", "why"),
    [
        ({"sparsity": "0.9"}, ("sparsity",), "Input should be a number, written without quotes"),
        ({"sparsity": "1e-3"}, ("sparsity",), "Input should be a number, written without quotes"),
        ({"sparsity": " .5 "}, ("sparsity",), "Input should be a number, written without quotes"),
        ({"sparsity": "half"}, ("sparsity",), "Input should be a valid number, unable to parse string as a number"),
        ({"sparsity": True}, ("sparsity",), "Input should be a number"),
        ({"seed": False}, ("seed",), "Input should be a number"),
        ({"seed": "1"}, ("seed",), "Input should be a number, written without quotes"),
        ({"train": {"epochs": True}}, ("train", "epochs"), "Input should be a number"),
        ({"train": {"epochs": "5"}}, ("train", "epochs"), "Input should be a number, written without quotes"),
        (
            {"resources": {"trials_in_parallel": "4"}},
            ("resources", "trials_in_parallel"),
            "Input should be a number, written without quotes",
        ),
        ({"resources": {"time_limit_s": "60"}}, ("resources", "time_limit_s"), "Input should be a number, written"),
        ({"resources": {"gpus_per_trial": True}}, ("resources", "gpus_per_trial"), "Input should be a number"),
        (
            {"prune": {"recipe": {"momentum": "0"}}},
            ("prune", "recipe", "momentum"),
            "Input should be a number, written",
        ),
    ],
)
def test_what_is_no_number_is_refused_where_one_belongs(more: dict[str, Any], where: tuple[str, ...], why: str) -> None:
    with pytest.raises(ValidationError) as refused:
        JobSpec.model_validate(MINIMAL | more)

    (error,) = refused.value.errors()
    assert error["loc"] == where
    assert error["msg"].startswith(why)


@pytest.mark.parametrize(
    "more",
    [
        {"name": "0.9"},
        {"resources": {"trials_in_parallel": "auto", "gpus_per_trial": "auto", "time_limit_s": None}},
        {"train": {"epochs": 5.0, "learning_rate": 1}},
        {"tune": {"portfolio": False}},
        {"activations": {"options": {"anything": "1"}}},
    ],
)
def test_what_belongs_there_is_taken(more: dict[str, Any]) -> None:
    JobSpec.model_validate(MINIMAL | more)


@pytest.mark.parametrize("wrong", [{"cooling": "0.5"}, {"rounds": True}])
def test_options_are_as_strict(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(SpecError, match="Input should be a number") as refused:
        parse_options(Annealing, wrong, what="strategy 'annealing'", field="tune.options")

    assert refused.value.field == f"tune.options.{name}"
