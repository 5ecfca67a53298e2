import pickle

import pytest

from safs.errors import Cancelled, Interrupted, SafsError, SparsityError, UnknownNameError


def test_an_unknown_name_lists_the_known_ones_and_suggests_the_closest() -> None:
    error = UnknownNameError("operator", "rellu", ["relu", "swish"], field="activations.operators")

    assert str(error) == "unknown operator 'rellu'. Did you mean 'relu'? Known: relu, swish."
    assert error.field == "activations.operators"


def test_a_name_unlike_all_known_ones_gets_no_suggestion() -> None:
    assert "Did you mean" not in str(UnknownNameError("dataset", "zzz", ["digits", "mnist"]))


@pytest.mark.parametrize(
    "error",
    [
        SparsityError("layer conv1 would be empty", field="sparsity"),
        UnknownNameError("dataset", "digit", ["digits"], field="data.dataset"),
        Cancelled("cancelled by the user"),
    ],
)
def test_errors_are_pickled_with_all_attributes(error: SafsError) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert type(copy) is type(error)
    assert (str(copy), copy.__dict__) == (str(error), error.__dict__)


def test_interruptions_are_distinct_from_failures() -> None:
    assert issubclass(Cancelled, Interrupted)
    assert not issubclass(SparsityError, Interrupted)
