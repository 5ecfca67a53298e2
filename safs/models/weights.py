"""Dense weights from the user, as safetensors files, which hold no code."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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


def check_dense_weights(path: Path, model: nn.Module) -> tuple[str, ...]:
    """Check that the file's names, shapes and dtypes are the model's, and that float64 values fit into float32.

    Reads the header only, unless there are float64 values. ``model`` may be on the meta device.

    Returns:
        Sentences about what is mended: prefixes, counters, missing statistics, floats of another width.

    Raises:
        WeightsError: the file is not a safetensors file, is truncated, or does not fit; lists the first mismatches.
    """
    with _open(path) as file:
        fitted, dtypes = _check(file, model)
        for name in fitted.names.values():
            if dtypes[name] == "F64":
                _check_range(path, name, file.get_tensor(name))
    return (*fitted.notes, *_about_dtypes(dtypes[name] for name in fitted.names.values()))


def load_dense_weights(path: Path, model: nn.Module) -> None:
    """Load the file into ``model``, with the names that ``check_dense_weights`` accepts; floats are converted.

    Raises:
        WeightsError: as for ``check_dense_weights``, or a weight is not finite.
    """
    with _open(path) as file:
        fitted, _ = _check(file, model)
        state: dict[str, Tensor] = {name: file.get_tensor(given) for name, given in fitted.names.items()}
    for name, value in state.items():
        if not torch.isfinite(value).all():
            raise _error(path, f"{name} has values that are not finite")
        _check_range(path, name, value)
    own = {name: value for name, value in model.state_dict().items() if name not in state}
    copy_state(own | state, model)


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


def _check(file: Any, model: nn.Module) -> tuple[FittedNames, dict[str, str]]:
    """The names of the file, fitted to the model, and the dtypes by the file's names."""
    expected = model.state_dict()
    given = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    fitted = fit_names(list(given), list(expected))
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
        raise WeightsError(
            f"the weights do not fit {type(model).__name__}: {listed}{file_names}", field="model.weights"
        )
    return fitted, {name: str(one.get_dtype()) for name, one in given.items()}


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
