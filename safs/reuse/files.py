"""Cached outputs as files: a trained or pruned network as safetensors, the trials of a search as JSON.

Reading a file gives back every bit that was written. Neither format can hold code.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from safs.execution.work import Trained
from safs.json_form import from_json, to_json
from safs.networks import Assignment, Blueprint, Network, Scalars
from safs.trials import Outcome, Trial

_STATE, _MASK = "state/", "mask/"


def write_trained(trained: Trained, file: Path) -> None:
    """Write a training that ended well: outcome, notes and network."""
    network = trained.network
    assert network is not None
    tensors = {f"{_STATE}{name}": tensor for name, tensor in network.state.items()}
    tensors |= {f"{_MASK}{name}": mask for name, mask in (network.masks or {}).items()}
    # safetensors refuses tensors that share memory, as tied weights do.
    tensors = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    rest = {
        "outcome": to_json(trained.outcome),
        "notes": trained.notes,
        "blueprint": to_json(network.blueprint),
        "assignment": network.assignment,
        "scalars": network.scalars,
        "masked": network.masks is not None,
    }
    save_file(tensors, file, metadata={name: json.dumps(value) for name, value in rest.items()})


def read_trained(file: Path) -> Trained:
    """Read a file of ``write_trained``."""
    with safe_open(file, framework="pt") as opened:
        rest = {name: json.loads(value) for name, value in opened.metadata().items()}
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  # not a mapping
    network = Network(
        from_json(Blueprint, rest["blueprint"]),
        {name.removeprefix(_STATE): value for name, value in tensors.items() if name.startswith(_STATE)},
        {name.removeprefix(_MASK): value for name, value in tensors.items() if name.startswith(_MASK)}
        if rest["masked"]
        else None,
        from_json(Assignment, rest["assignment"]),
        from_json(Scalars, rest["scalars"]),
    )
    return Trained(from_json(Outcome, rest["outcome"]), network, tuple(rest["notes"]))


def write_trials(trials: Sequence[Trial], file: Path) -> None:
    """Write the trials of a search, with their curves."""
    file.write_text(json.dumps(to_json(list(trials)), allow_nan=False))


def read_trials(file: Path) -> list[Trial]:
    """Read a file of ``write_trials``."""
    return from_json(list[Trial], json.loads(file.read_text()))
