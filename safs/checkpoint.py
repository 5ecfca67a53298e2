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

from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from safs.errors import CheckpointError, SafsError
from safs.inputs import WithSelectedInputs
from safs.json_form import to_json
from safs.metrics.sparsity import SparsityReport
from safs.networks import Assignment, Blueprint, Network, Scalars, assemble

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


def save(directory: Path, network: Network, details: Mapping[str, Any]) -> None:
    """Writes checkpoint.safetensors and config.json into ``directory``.

    Zeros of the masks are written as exact (positive) zeros, weights that layers share once.

    Args:
        details: what else config.json is to hold: spec, recipe, seeds, input statistics, evaluation ...
    """
    masks = network.masks or {}
    state = {name: _pruned(tensor, masks.get(name)) for name, tensor in network.state.items()}
    save_file(state, directory / WEIGHTS, metadata={"format": "pt"})
    config = {
        "format": FORMAT,
        "model": asdict(network.blueprint),
        "assignment": network.assignment,
        "scalars": network.scalars,
        **details,
        "live_weights": {name: int(mask.sum()) for name, mask in masks.items()},
        "versions": versions(),
        "sha256": {WEIGHTS: _sha256(directory / WEIGHTS)},
    }
    (directory / CONFIG).write_text(json.dumps(to_json(config), indent=2, allow_nan=False) + "\n")


def load(directory: str | Path) -> nn.Module:
    """The network in a result folder, ready for inference: operators, alphas and betas in place, in eval mode.

    It takes float32 images [batch, channels, size, size], divided by ``scale`` and normalised with ``mean`` and
    ``std`` as under ``input`` in config.json, and returns logits [batch, classes]. A network that reads a selection of
    pixels or channels takes whole images too, and selects.

    Raises:
        CheckpointError: the folder is incomplete, altered or of a format that this version does not read.
    """
    opened = _open(Path(directory))
    inputs = opened.config.model.form.inputs
    return opened.model if inputs is None else WithSelectedInputs(opened.model, inputs).eval()


def verify(directory: str | Path) -> Verification:
    """Checks a result folder from the bytes on disk: hash, names and shapes, live weights a layer, total sparsity.

    Raises:
        CheckpointError: it is not what config.json says, or its sparsity is off by a single weight.
    """
    opened = _open(Path(directory))
    config, sparsity = opened.config, opened.network.sparsity()
    _check_counts(sparsity, config.live_weights, config.spec.sparsity)
    return Verification(config.sha256[WEIGHTS], sparsity, config.spec.sparsity, config.model.architecture)


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


class _Target(BaseModel):
    sparsity: float


class _Config(BaseModel):
    """What reading needs of config.json; the rest is for people, and for repeating the job."""

    model: Blueprint
    spec: _Target
    assignment: Assignment
    scalars: Scalars
    live_weights: dict[str, int]
    sha256: dict[str, str]


@dataclass(frozen=True, slots=True)
class _Opened:
    """A result folder whose hash, names and shapes are right."""

    config: _Config
    network: Network
    model: nn.Module


def _open(directory: Path) -> _Opened:
    config = _read_config(directory)
    expected, actual = config.sha256.get(WEIGHTS), _sha256(directory / WEIGHTS)
    if actual != expected:
        raise CheckpointError(
            f"{directory / WEIGHTS} was altered or cut short: its sha256 is {actual}, config.json says {expected}. "
            "Download it again."
        )
    try:
        network = Network(config.model, load_file(directory / WEIGHTS), None, config.assignment, config.scalars)
        model = assemble(network)
    except SafetensorError as error:
        raise CheckpointError(f"{directory / WEIGHTS} cannot be read: {error}. Download it again.") from error
    except SafsError as error:
        raise CheckpointError(f"{directory} does not fit {config.model.architecture}: {error}") from error
    return _Opened(config, network, model)


def _read_config(directory: Path) -> _Config:
    path = directory / CONFIG
    try:
        config = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(f"{directory} is no result folder: it has no {CONFIG}.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is no JSON: {error}.") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not of format {FORMAT}; a newer version of safs may read it.")
    try:
        return _Config.model_validate(config)
    except ValidationError as error:
        wrong = error.errors()[0]
        place = ".".join(map(str, wrong["loc"]))
        raise CheckpointError(f"{path} was altered: {place}: {wrong['msg']}. Download it again.") from error


def _check_counts(sparsity: SparsityReport, expected: Mapping[str, int], target: float) -> None:
    wrong = [
        f"{layer.name} has {layer.live}, not {expected.get(layer.name, 0)}"
        for layer in sparsity.layers
        if layer.live != expected.get(layer.name, 0)
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
