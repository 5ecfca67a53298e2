"""The weights that a job starts from: those of a file, with a fresh classifier if the job asks for one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from safs.errors import SpecError
from safs.models.declared.file import read_state
from safs.models.weights import Head, check_dense_weights, copy_state, count_zeros, load_dense_weights, names_of_head
from safs.networks import Blueprint
from safs.pruning.masks import prunable_parameters
from safs.spec.job import JobSpec


@dataclass(frozen=True, slots=True)
class CheckedStart:
    """The notes on the starting weights, and their zeros, before the job runs."""

    notes: tuple[str, ...] = ()
    """Sentences about what was mended, what starts fresh, and which zeros stay."""
    held: Mapping[str, int] = field(default_factory=dict)
    """Prunable weight -> number of zeros that stay zero; empty unless the job keeps zeros."""


def check_start(spec: JobSpec, blueprint: Blueprint, model: nn.Module, file: Path | None) -> CheckedStart:
    """Check that the file's weights fit, and count the zeros that stay.

    Args:
        model: the dense network on the meta device.
        file: the file that ``spec.model.weights`` or ``spec.model.network`` names.

    Raises:
        WeightsError: the weights do not fit.
        SpecError: the job keeps the zeros or resets the classifier of weights that it does not give.
    """
    notes: tuple[str, ...] = ()
    head = _head(spec, blueprint)
    if file is not None and spec.model.network is None:
        notes = tuple(f"model.weights: {note}" for note in check_dense_weights(file, model, head))
    given = file is not None and (spec.model.network is None or _holds_weights(blueprint))
    if spec.model.head is not None and spec.model.network is not None:
        notes = (_fresh_head_note(spec, blueprint, model, file),)
    if not spec.prune.keep_zeros:
        return CheckedStart(notes)
    if not given or file is None:
        raise SpecError(
            "prune.keep_zeros holds the zeros of given weights, and this job trains its dense network itself. Give "
            "model.weights, or a model.network with weights, or leave it out.",
            field="prune.keep_zeros",
        )
    names = list(prunable_parameters(model))
    if spec.model.network is None:
        held = count_zeros(file, model, names, head)
    else:
        state = _network_state(spec, blueprint, file, model)
        held = {name: int((state[name] == 0).sum()) if name in state else 0 for name in names}
    weights = sum(parameter.numel() for parameter in prunable_parameters(model).values())
    return CheckedStart((*notes, _zeros_note(sum(held.values()), weights)), held)


def starting_state(spec: JobSpec, blueprint: Blueprint, file: Path | None) -> dict[str, Tensor] | None:
    """The state dict that the job starts from; None if there is no file, or it holds no weights.

    A fresh classifier is drawn from the job's seed.

    Raises:
        WeightsError: the weights do not fit.
    """
    if file is None or (spec.model.network is not None and not _holds_weights(blueprint)):
        return None
    if spec.model.network is None:
        model = blueprint.build(spec.seed)
        load_dense_weights(file, model, _head(spec, blueprint))
    else:
        with torch.device("meta"):
            bare = blueprint.build()
        given = _network_state(spec, blueprint, file, bare)
        if spec.model.head is None:
            return given
        model = blueprint.build(spec.seed)
        copy_state(model.state_dict() | given, model)
    return {name: value.clone() for name, value in model.state_dict().items()}


def _head(spec: JobSpec, blueprint: Blueprint) -> Head:
    return Head(blueprint.classes, reset=spec.model.head is not None)


def _holds_weights(blueprint: Blueprint) -> bool:
    return blueprint.declared is not None and blueprint.declared.document.pretrained


def _network_state(spec: JobSpec, blueprint: Blueprint, file: Path, model: nn.Module) -> dict[str, Tensor]:
    """The state dict in the file of an own network, without a classifier that starts fresh."""
    assert blueprint.declared is not None
    state = read_state(file, blueprint.declared.document) or {}
    if spec.model.head is None:
        return state
    head = names_of_head(model, {name: value.shape for name, value in state.items()}, blueprint.classes)
    return {name: value for name, value in state.items() if name not in head}


def _fresh_head_note(spec: JobSpec, blueprint: Blueprint, model: nn.Module, file: Path | None) -> str:
    assert file is not None
    state = _network_state(spec, blueprint, file, model)
    fresh = [name for name in model.state_dict() if name not in state] if state else []
    layers = " and ".join(dict.fromkeys(name.rpartition(".")[0] or name for name in fresh)) or "its last layer"
    return f"model.network: the classifier ({layers}) starts fresh, with {blueprint.classes:,} classes."


def _zeros_note(zeros: int, weights: int) -> str:
    if zeros == 0:
        return "prune.keep_zeros: no prunable weight of the file is zero, so that there is none to keep."
    return (
        f"prune.keep_zeros: {zeros:,} of {weights:,} prunable weights ({zeros / weights:.2%}) are zero and stay zero."
    )
