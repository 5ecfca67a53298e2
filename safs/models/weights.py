"""Dense weights from the user, as safetensors files, which hold no code."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from safs.errors import WeightsError
from safs.models.state_names import BATCHES, FittedNames, fit_names, nearest_names

MAX_MISMATCHES = 5
"""Largest number of mismatches that an error message lists."""
_FLOATS = {"F16": "float16", "BF16": "bfloat16", "F64": "float64"}


@dataclass(frozen=True, slots=True)
class Head:
    """The classifier of a network that gets weights from a file."""

    classes: int
    """Classes of the network."""
    reset: bool = False
    """True if the classifier keeps the network's own, fresh weights."""


def check_dense_weights(path: Path, model: nn.Module, head: Head | None = None) -> tuple[str, ...]:
    """Check that the file's names, shapes and dtypes are the model's, and that float64 values fit into float32.

    Reads the header only, unless there are float64 values. ``model`` may be on the meta device.

    Args:
        head: None neither resets nor offers to reset the classifier.

    Returns:
        Sentences about what is mended: prefixes, counters, missing statistics, floats of another width, a fresh
        classifier.

    Raises:
        WeightsError: the file is not a safetensors file, is truncated, or does not fit; lists the first mismatches.
    """
    with _open(path) as file:
        fitted, dtypes = _check(file, model, head)
        for name in fitted.names.values():
            if dtypes[name] == "F64":
                _check_range(path, name, file.get_tensor(name))
    return (*fitted.notes, *_about_dtypes(dtypes[name] for name in fitted.names.values()))


def load_dense_weights(path: Path, model: nn.Module, head: Head | None = None) -> None:
    """Load the file into ``model``, with the names that ``check_dense_weights`` accepts; floats are converted.

    A classifier that is reset keeps the weights that ``model`` has.

    Raises:
        WeightsError: as for ``check_dense_weights``, or a weight is not finite.
    """
    with _open(path) as file:
        fitted, _ = _check(file, model, head)
        state: dict[str, Tensor] = {name: file.get_tensor(given) for name, given in fitted.names.items()}
    for name, value in state.items():
        if not torch.isfinite(value).all():
            raise _error(path, f"{name} has values that are not finite")
        _check_range(path, name, value)
    own = {name: value for name, value in model.state_dict().items() if name not in state}
    copy_state(own | state, model)


def count_zeros(path: Path, model: nn.Module, names: Iterable[str], head: Head | None = None) -> dict[str, int]:
    """Number of zeros of each tensor in ``names`` that ``load_dense_weights`` would give ``model``.

    A fresh classifier counts as free of zeros. ``model`` may be on the meta device.

    Raises:
        WeightsError: as for ``check_dense_weights``.
    """
    with _open(path) as file:
        fitted, _ = _check(file, model, head)
        return {
            name: int((file.get_tensor(fitted.names[name]).float() == 0).sum()) if name in fitted.names else 0
            for name in names
        }


def names_of_head(model: nn.Module, given: Mapping[str, Sequence[int]], classes: int) -> tuple[str, ...]:
    """Names of the classifier's tensors: those of another number of classes in a file, or else the last layer's.

    Args:
        given: shapes of the file's tensors, under the network's names.
        classes: classes of ``model``.
    """
    differing = tuple(
        name
        for name, value in model.state_dict().items()
        if value.dim() > 0
        and value.shape[0] == classes
        and name in given
        and list(given[name]) != list(value.shape)
        and list(given[name])[1:] == list(value.shape[1:])
    )
    if differing:
        return differing
    layers = [
        (path, module)
        for path, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear) and module.weight.shape[0] == classes
    ]
    if not layers:
        return ()
    path, last = layers[-1]
    return tuple(f"{path}.{name}" if path else name for name in last.state_dict())


def copy_state(state: Mapping[str, Tensor], model: nn.Module) -> None:
    """Copy ``state`` into ``model``, strictly.

    Unlike ``load_state_dict``, it needs no version numbers, which MNASNet reads and plain dicts do not have.

    Raises:
        WeightsError: the names or shapes are not the model's; lists the first mismatches.
    """
    expected = model.state_dict()
    mismatches = [f"{name} is missing" for name in expected if name not in state]
    mismatches += [f"{name} is unknown" for name in state if name not in expected]
    mismatches += [
        f"{name} is {tuple(state[name].shape)}, not {tuple(value.shape)}"
        for name, value in expected.items()
        if name in state and state[name].shape != value.shape
    ]
    if mismatches:
        raise WeightsError(f"the weights do not fit {type(model).__name__}: {'; '.join(mismatches[:MAX_MISMATCHES])}")
    with torch.no_grad():
        for name, value in expected.items():
            value.copy_(state[name])


@contextmanager
def _open(path: Path) -> Iterator[Any]:
    try:
        file = safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        if _is_pickle(path):
            raise _error(
                path,
                "a file of torch.save, which is a pickle. A pickle can run code, so only safetensors files are read. "
                f"Convert it: safetensors.torch.save_file(torch.load({path.name!r}, weights_only=True), "
                "'weights.safetensors')",
            ) from error
        raise _error(
            path,
            f"not a readable safetensors file ({error}). Write it by "
            "safetensors.torch.save_file(network.state_dict(), 'weights.safetensors')",
        ) from error
    with file:
        yield file


def _check(file: Any, model: nn.Module, head: Head | None) -> tuple[FittedNames, dict[str, str]]:
    """The names of the file, fitted to the model, and the dtypes by the file's names; without those of a fresh head."""
    expected = model.state_dict()
    given = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    fitted = fit_names(list(given), list(expected))
    shapes = {name: given[theirs].get_shape() for name, theirs in fitted.names.items()}
    own = set(names_of_head(model, shapes, head.classes)) if head is not None else set()
    if head is not None and head.reset:
        fitted = _without_head(fitted, own, shapes, head.classes)
        expected = {name: value for name, value in expected.items() if name not in own}
    missing = [name for name in expected if name not in fitted.names and not name.endswith(f".{BATCHES}")]
    unknown = [name for name in fitted.names if name not in expected]
    mismatches = [f"{name} is missing{_near(name, unknown)}" for name in missing]
    mismatches += [f"{name} is not a name of this network" for name in unknown]
    for name in expected:
        if name in fitted.names:
            mismatches += _differences(name, expected[name], given[fitted.names[name]])
    if mismatches:
        more = len(mismatches) - MAX_MISMATCHES
        listed = "; ".join(mismatches[:MAX_MISMATCHES]) + (f"; and {more} more" if more > 0 else "")
        names = ", ".join(
            [*sorted(unknown)[:MAX_MISMATCHES], f"and {len(unknown) - MAX_MISMATCHES} more"][: len(unknown)]
        )
        file_names = f". Names in the file that the network does not have: {names}" if unknown and more > 0 else ""
        reset = ""
        if (
            head is not None
            and not missing
            and not unknown
            and all(text.partition(" ")[0] in own for text in mismatches)
        ):
            reset = f". {_offer(own, shapes, head.classes)}"
        raise WeightsError(
            f"the weights do not fit {type(model).__name__}: {listed}{file_names}{reset}", field="model.weights"
        )
    return fitted, {name: str(one.get_dtype()) for name, one in given.items()}


def _without_head(fitted: FittedNames, own: set[str], shapes: Mapping[str, Sequence[int]], classes: int) -> FittedNames:
    """The names without those of the classifier, which has to exist, and a note about it."""
    if not own:
        raise WeightsError(
            f"model.head is 'reset', but no layer of the network has {classes} outputs. Leave it out.",
            field="model.head",
        )
    names = {name: theirs for name, theirs in fitted.names.items() if name not in own}
    layers = " and ".join(dict.fromkeys(name.rpartition(".")[0] or name for name in sorted(own)))
    others = {shapes[name][0] for name in own if name in shapes and shapes[name][0] != classes}
    was = f", not the {min(others):,} of the file" if others else ""
    return FittedNames(
        names, (*fitted.notes, f"the classifier ({layers}) starts fresh, with {classes:,} classes{was}.")
    )


def _offer(own: Iterable[str], shapes: Mapping[str, Sequence[int]], classes: int) -> str:
    layers = " and ".join(dict.fromkeys(name.rpartition(".")[0] or name for name in sorted(own)))
    theirs = " and ".join(f"{count:,}" for count in sorted({shapes[name][0] for name in own}))
    return (
        f"The classifier ({layers}) has {theirs} classes in the file, and the data {classes:,}. Set model.head: reset "
        "to start with a fresh classifier and keep the other weights"
    )


def _near(name: str, unknown: Sequence[str]) -> str:
    nearest = nearest_names(name, unknown)
    return f" (the file has {' and '.join(nearest)})" if nearest else ""


def _about_dtypes(dtypes: Iterable[str]) -> tuple[str, ...]:
    others = sorted(set(dtypes) & set(_FLOATS))
    return (f"weights of {' and '.join(_FLOATS[one] for one in others)} are converted to float32.",) if others else ()


def _differences(name: str, expected: Tensor, given: Any) -> Iterator[str]:
    shape, dtype = list(given.get_shape()), str(given.get_dtype())
    if shape != list(expected.shape):
        yield f"{name} has shape {shape}, the network {list(expected.shape)}"
    if expected.is_floating_point() != dtype.startswith(("F", "BF")):
        yield f"{name} has dtype {dtype}, the network {expected.dtype}"


def _check_range(path: Path, name: str, value: Tensor) -> None:
    if value.dtype == torch.float64 and not torch.isfinite(value[torch.isfinite(value)].float()).all():
        raise _error(path, f"{name} has values beyond the range of float32")


def _is_pickle(path: Path) -> bool:
    """True for a zip archive of torch.save, or a pickle of its older format."""
    try:
        with path.open("rb") as file:
            return file.read(4).startswith((b"PK\x03\x04", b"\x80\x02"))
    except OSError:
        return False


def _error(path: Path, what: str) -> WeightsError:
    return WeightsError(f"{path.name}: {what}", field="model.weights")
