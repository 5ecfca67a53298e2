"""Outputs of stages as files: a trained or pruned network as safetensors, a search's trials as JSON.

Both are read back to the last bit; neither file can hold code.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from math import inf, isfinite
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors import safe_open
from safetensors.torch import save_file

from safs.execution.work import Trained
from safs.networks import Assignment, Blueprint, Network, Scalars
from safs.trials import Candidate, Outcome, Trial

_STATE, _MASK = "state/", "mask/"


def write_trained(trained: Trained, file: Path) -> None:
    """Writes a training that ended well: outcome, notes and network."""
    network = trained.network
    assert network is not None
    tensors = {f"{_STATE}{name}": tensor for name, tensor in network.state.items()}
    tensors |= {f"{_MASK}{name}": mask for name, mask in (network.masks or {}).items()}
    # safetensors refuses tensors that share memory, as tied weights do.
    tensors = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    rest = {
        "outcome": _plain(trained.outcome),
        "notes": trained.notes,
        "blueprint": asdict(network.blueprint),
        "assignment": network.assignment,
        "scalars": network.scalars,
        "masked": network.masks is not None,
    }
    save_file(tensors, file, metadata={name: json.dumps(value) for name, value in rest.items()})


def read_trained(file: Path) -> Trained:
    """What ``write_trained`` wrote."""
    with safe_open(file, framework="pt") as opened:
        rest = {name: json.loads(value) for name, value in opened.metadata().items()}
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  # not a mapping
    network = Network(
        TypeAdapter(Blueprint).validate_python(rest["blueprint"]),
        {name.removeprefix(_STATE): value for name, value in tensors.items() if name.startswith(_STATE)},
        {name.removeprefix(_MASK): value for name, value in tensors.items() if name.startswith(_MASK)}
        if rest["masked"]
        else None,
        TypeAdapter(Assignment).validate_python(rest["assignment"]),
        TypeAdapter(Scalars).validate_python(rest["scalars"]),
    )
    return Trained(_outcome(rest["outcome"]), network, tuple(rest["notes"]))


def write_trials(trials: Sequence[Trial], file: Path) -> None:
    """Writes a search's trials, with their curves."""
    plain = [{"candidate": asdict(trial.candidate), "outcome": _plain(trial.outcome)} for trial in trials]
    file.write_text(json.dumps(plain, allow_nan=False))


def read_trials(file: Path) -> list[Trial]:
    """What ``write_trials`` wrote."""
    return [
        Trial(TypeAdapter(Candidate).validate_python(trial["candidate"]), _outcome(trial["outcome"]))
        for trial in json.loads(file.read_text())
    ]


def _plain(outcome: Outcome) -> dict[str, Any]:
    """The outcome as JSON, which has no word for the loss of a trial that broke down."""
    return asdict(outcome) | {"loss": outcome.loss if isfinite(outcome.loss) else None}


def _outcome(plain: dict[str, Any]) -> Outcome:
    return TypeAdapter(Outcome).validate_python(plain | {"loss": inf if plain["loss"] is None else plain["loss"]})
