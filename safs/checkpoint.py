"""The result folder: written once, verified from its bytes, loaded as a module.

checkpoint.safetensors   the model's own parameter names, pruned weights exactly zero
config.json              all that is needed to rebuild the network and to repeat the job
report.json report.png   what was gained, and how
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from safs.errors import CheckpointError, SafsError
from safs.metrics.sparsity import SparsityReport, measure_sparsity
from safs.pruning.masks import Masks, prunable_parameters
from safs.trainings import Blueprint, Network, assemble

WEIGHTS, CONFIG, REPORT, PICTURE = "checkpoint.safetensors", "config.json", "report.json", "report.png"
FORMAT = 1
_RECORDED_PACKAGES = ("safs-service", "torch", "torchvision", "timm", "smac", "ConfigSpace", "ray", "numpy")


@dataclass(frozen=True, slots=True)
class Verification:
    """What a result folder turned out to hold."""

    sha256: str
    """Of checkpoint.safetensors."""
    sparsity: SparsityReport
    target: float
    architecture: str


def save(directory: Path, network: Network, blueprint: Blueprint, masks: Masks, details: Mapping[str, Any]) -> None:
    """Writes checkpoint.safetensors and config.json into ``directory``.

    Args:
        masks: their zeros are written as exact (positive) zeros.
        details: what else config.json is to hold: spec, recipe, seeds, input statistics, evaluation ...
    """
    state = {name: _pruned(tensor, masks.get(name)) for name, tensor in network.state.items()}
    save_file(state, directory / WEIGHTS, metadata={"format": "pt"})
    config = {
        "format": FORMAT,
        "model": asdict(blueprint),
        "assignment": network.assignment,
        "scalars": network.scalars,
        **details,
        "live_weights": {name: int(mask.sum()) for name, mask in masks.items()},
        "versions": versions(),
        "sha256": {WEIGHTS: _sha256(directory / WEIGHTS)},
    }
    (directory / CONFIG).write_text(json.dumps(config, indent=2) + "\n")


def load(directory: str | Path) -> nn.Module:
    """The network in a result folder, ready for inference: operators, alphas and betas in place, in eval mode.

    It takes float32 images [batch, channels, size, size], divided by ``scale`` and normalised with ``mean`` and
    ``std`` as under ``input`` in config.json, and returns logits [batch, classes].

    Raises:
        CheckpointError: the folder is incomplete, altered or of a format that this version does not read.
    """
    directory = Path(directory)
    config = read_config(directory)
    return assemble(Blueprint(**config["model"]), _network(directory, config))


def verify(directory: str | Path) -> Verification:
    """Checks a result folder from the bytes on disk: hash, names and shapes, live weights a layer, total sparsity.

    Raises:
        CheckpointError: it is not what config.json says, or its sparsity is off by a single weight.
    """
    directory = Path(directory)
    config = read_config(directory)
    expected, actual = config["sha256"][WEIGHTS], _sha256(directory / WEIGHTS)
    if actual != expected:
        raise CheckpointError(
            f"{directory / WEIGHTS} was altered or cut short: its sha256 is {actual}, config.json says {expected}. "
            "Download it again."
        )
    network = _network(directory, config)
    blueprint = Blueprint(**config["model"])
    try:
        assemble(blueprint, network)
    except SafsError as error:
        raise CheckpointError(f"{directory} does not fit {blueprint.architecture}: {error}") from error
    prunable = prunable_parameters(blueprint.build())
    sparsity = measure_sparsity(network.state, prunable)
    target = float(config["spec"]["sparsity"])
    _check_counts(sparsity, config["live_weights"], target)
    return Verification(actual, sparsity, target, blueprint.architecture)


def read_config(directory: Path) -> dict[str, Any]:
    """The folder's config.json.

    Raises:
        CheckpointError: it is missing, no JSON, or of another format.
    """
    try:
        config = json.loads((directory / CONFIG).read_text())
    except FileNotFoundError:
        raise CheckpointError(f"{directory} is no result folder: it has no {CONFIG}.") from None
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{directory / CONFIG} is no JSON: {error}.") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise CheckpointError(f"{directory / CONFIG} is not of format {FORMAT}; a newer version of safs may read it.")
    return config


def versions() -> dict[str, str]:
    """Python's and the recorded packages' versions; packages that are not installed are left out."""
    found = {"python": python_version()}
    for package in _RECORDED_PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _pruned(tensor: Tensor, mask: Tensor | None) -> Tensor:
    # where, not multiplication: -0.1 * 0 is -0.0, and a reader may compare bytes.
    return (tensor if mask is None else tensor.where(mask, tensor.new_zeros(()))).contiguous()


def _network(directory: Path, config: Mapping[str, Any]) -> Network:
    try:
        state = load_file(directory / WEIGHTS)
    except FileNotFoundError:
        raise CheckpointError(f"{directory} is no result folder: it has no {WEIGHTS}.") from None
    except SafetensorError as error:
        raise CheckpointError(f"{directory / WEIGHTS} cannot be read: {error}. Download it again.") from error
    return Network(state, config["assignment"], config["scalars"])


def _check_counts(sparsity: SparsityReport, expected: Mapping[str, int], target: float) -> None:
    wrong = [
        f"{layer.name} has {layer.live}, not {expected.get(layer.name)}"
        for layer in sparsity.layers
        if layer.live != expected.get(layer.name)
    ]
    live = sparsity.weights - round(target * sparsity.weights)
    if wrong or sparsity.live != live:
        raise CheckpointError(
            f"the checkpoint has {sparsity.live} live weights of {sparsity.weights}; sparsity {target} means {live}. "
            + "; ".join(wrong[:3])
        )


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise CheckpointError(f"{path.parent} is no result folder: it has no {path.name}.") from None
