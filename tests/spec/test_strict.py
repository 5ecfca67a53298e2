"""Numbers in a job are neither texts nor booleans."""

import re
from typing import Any

import pytest
from pydantic import ValidationError, model_validator

from safs.errors import SpecError
from safs.spec.job import JobSpec
from safs.spec.options import Options, parse_options

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
def test_texts_and_booleans_are_no_numbers(more: dict[str, Any], where: tuple[str, ...], why: str) -> None:
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
def test_values_of_the_right_type_are_accepted(more: dict[str, Any]) -> None:
    JobSpec.model_validate(MINIMAL | more)


@pytest.mark.parametrize("wrong", [{"cooling": "0.5"}, {"rounds": True}])
def test_options_refuse_texts_and_booleans_for_numbers(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(SpecError, match="Input should be a number") as refused:
        parse_options(Annealing, wrong, what="strategy 'annealing'", field="tune.options")

    assert refused.value.field == f"tune.options.{name}"


class Window(Options):
    low: float = 0
    high: float = 1

    @model_validator(mode="after")
    def _ordered(self) -> "Window":
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


@pytest.mark.parametrize(
    ("wrong", "why", "field"),
    [
        ({"low": 2}, "options of the window: low is above high.", "tune.options"),
        ({"\ud800": 1}, "unable to parse raw data as a unicode string", "tune.options"),
        ({"": 1}, "remove ''", "tune.options."),
    ],
)
def test_options_that_do_not_fit_each_other_are_refused(wrong: dict[str, Any], why: str, field: str) -> None:
    with pytest.raises(SpecError, match=re.escape(why)) as refused:
        parse_options(Window, wrong, what="the window", field="tune.options")

    assert refused.value.field == field


@pytest.mark.parametrize("name", ["naïve run №7 😀", "two\nlines", ""])
def test_a_label_can_be_any_text_that_can_be_stored(name: str) -> None:
    assert JobSpec.model_validate(MINIMAL | {"name": name}).name == name


@pytest.mark.parametrize("options", [{"x": {"y": [{"z": 2**53}]}}, {"x" * 200: -1.5, "é": "\t"}, {"x": [[[]]]}])
def test_options_may_be_nested_a_little(options: dict[str, Any]) -> None:
    assert JobSpec.model_validate(MINIMAL | {"tune": {"options": options}}).tune.options == options


def test_names_within_options_are_text() -> None:
    with pytest.raises(ValidationError, match="1 cannot be the name of an option"):
        JobSpec.model_validate(MINIMAL | {"tune": {"options": {"x": {1: 2}}}})
