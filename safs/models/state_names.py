"""Fits the names of a state dict as people save it to those of a network: prefixes, counters, missing statistics.

Nothing is guessed: a state dict is mended only where its names then fit exactly, and every change is a note.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

COUNTERS = ("total_ops", "total_params")
"""Buffers that profilers such as thop leave in a network."""
BATCHES = "num_batches_tracked"
"""Counter of batch norm, which old state dicts do not have. It has an effect only without a momentum."""
MOST_TAILS = 10
"""Number of the network's names, the longest ones, at whose beginnings a prefix is looked for."""


@dataclass(frozen=True, slots=True)
class FittedNames:
    """The names of a state dict, fitted to a network."""

    names: Mapping[str, str]
    """Name in the network -> name in the file. Names that are left out keep the network's own values."""
    notes: tuple[str, ...]
    """Sentences about what was mended."""


def fit_names(given: Sequence[str], expected: Sequence[str]) -> FittedNames:
    """Fit the names of a file to those of a network; what does not fit is left as it is.

    >>> fit_names(["module.fc.weight", "module.fc.total_ops"], ["fc.weight"]).names
    {'fc.weight': 'module.fc.weight'}
    """
    plain = {name: name for name in given}
    if set(given) == set(expected):
        return FittedNames(plain, ())
    notes = []
    counters = [name for name in given if name.rpartition(".")[2] in COUNTERS and name not in expected]
    for name in counters:
        del plain[name]
    if counters:
        notes.append(f"{len(counters)} counters of a profiler are left out ({counters[0]}, ...).")
    if prefix := _prefix(plain, expected):
        plain = {name.removeprefix(prefix): file for name, file in plain.items()}
        notes.append(f"the prefix {prefix!r} of the names in the file is removed.")
    absent = [name for name in expected if name not in plain and name.rpartition(".")[2] == BATCHES]
    if absent:
        notes.append(f"{len(absent)} counters {BATCHES} are missing and begin at 0.")
    return FittedNames(plain, tuple(notes))


def nearest_names(name: str, given: Sequence[str]) -> list[str]:
    """Names in the file that resemble the missing ``name``, the nearest first.

    >>> nearest_names("layer1.0.conv1.weight", ["layer1.0.conv_1.weight", "fc.bias"])
    ['layer1.0.conv_1.weight']
    """
    return get_close_matches(name, given, n=2, cutoff=0.7)


def _prefix(given: Mapping[str, str], expected: Sequence[str]) -> str:
    """The one prefix of all names that makes most of them fit the network; empty if no prefix makes more of them fit.

    Such prefixes are ``module.`` of ``torch.nn.DataParallel``, ``_orig_mod.`` of ``torch.compile``, ``model.`` of a
    Lightning module, and several of them in a row.
    """
    wanted = [name for name in expected if name.rpartition(".")[2] != BATCHES]
    if not wanted or not given:
        return ""
    tails = sorted(wanted, key=len)[-MOST_TAILS:]
    candidates = {name.removesuffix(tail) for tail in tails for name in given if name.endswith(f".{tail}")}
    fitting = {
        prefix: sum(name.startswith(prefix) and name.removeprefix(prefix) in wanted for name in given)
        for prefix in candidates
        if all(name.startswith(prefix) for name in given)
    }
    if not fitting:
        return ""
    best = max(sorted(fitting), key=lambda prefix: (fitting[prefix], -len(prefix)))
    return best if fitting[best] > sum(name in wanted for name in given) else ""
