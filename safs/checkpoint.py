"""The result folder: written once, verified from its bytes, loaded as a module.

``safs.result_folder`` names its files.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Any

from pydantic import BaseModel, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from safs.compact import file as compact_file
from safs.errors import CheckpointError, SafsError
from safs.inputs import WithSelectedInputs
from safs.json_form import to_json
from safs.metrics.sparsity import SparsityReport
from safs.models.declared import from_json
from safs.models.declared import to_json as to_json_text
from safs.networks import Assignment, Blueprint, Network, Scalars, assemble
from safs.pruning.axes.distributions import live_total
from safs.pruning.masks import prunable_parameters
from safs.result_folder import CHECKPOINT, COMPACT, CONFIG, NETWORK

FORMAT = 1
_WEIGHTS, _CONFIG_FILE = CHECKPOINT.filename, CONFIG.filename
_RECORDED_PACKAGES = ("safs-service", "torch", "torchvision", "timm", "smac", "ConfigSpace", "ray", "numpy")


@dataclass(frozen=True, slots=True)
class Verification:
    """The content of a verified result folder."""

    sha256: str
    """Hash of checkpoint.safetensors, hexadecimal; for a compact checkpoint, of the one that it was made from."""
    sparsity: SparsityReport
    target: float
    """Sparsity that the job asked for, or that reaches its target."""
    architecture: str


def save(directory: Path, network: Network, details: Mapping[str, Any]) -> None:
    """Write checkpoint.safetensors, config.json and, for a declared network, network.json to ``directory``.

    Pruned weights are written as exact (positive) zeros, and a weight that layers share is written once.

    Args:
        details: further content of config.json: spec, recipe, seeds, input statistics, evaluation ...
    """
    masks = network.masks or {}
    state = {name: _pruned(tensor, masks.get(name)) for name, tensor in network.state.items()}
    save_file(state, directory / _WEIGHTS, metadata={"format": "pt"})
    written = [_WEIGHTS]
    if network.blueprint.declared is not None:
        (directory / NETWORK.filename).write_text(to_json_text(network.blueprint.declared.without_state()))
        written.append(NETWORK.filename)
    config = {
        "format": FORMAT,
        "model": asdict(replace(network.blueprint, declared=None)),
        "assignment": network.assignment,
        "scalars": network.scalars,
        **details,
        "live_weights": {name: int(mask.sum()) for name, mask in masks.items()},
        "versions": versions(),
        "sha256": {name: _sha256(directory / name) for name in written},
    }
    (directory / _CONFIG_FILE).write_text(json.dumps(to_json(config), indent=2, allow_nan=False) + "\n")


def load(directory: str | Path) -> nn.Module:
    """Load the network of a result folder for inference: operators, alphas and betas in place, in eval mode.

    It takes float32 images [batch, channels, size, size], divided by ``scale`` and normalised with ``mean`` and ``std``
    as under ``input`` in config.json, and returns logits [batch, classes]. A network that reads a selection of pixels
    or channels also takes whole images; it selects by itself.

    The network is an ordinary module: it can be copied, pickled, exported (``torch.export``, with a dynamic batch) and
    traced by torch.fx. Before training it, call ``hold_zeros``.

    Raises:
        CheckpointError: the folder is incomplete, altered, or of a format that this version does not read.
    """
    opened = open_result(directory)
    inputs = opened.config.model.form.inputs
    return opened.model if inputs is None else WithSelectedInputs(opened.model, inputs).eval()


def verify(directory: str | Path) -> Verification:
    """Check a result folder from its bytes on disk: hash, names and shapes, live weights per layer, total sparsity.

    Raises:
        CheckpointError: the folder differs from its config.json, or its sparsity is off by a single weight.
    """
    opened = open_result(directory)
    config, sparsity = opened.config, opened.network.sparsity()
    _check_counts(sparsity, config.live_weights, config.asked)
    return Verification(config.sha256[_WEIGHTS], sparsity, config.asked, config.model.architecture)


def hold_zeros(network: nn.Module) -> list[RemovableHandle]:
    """Keep the pruned weights of ``network`` at zero while it is trained.

    The gradient of every prunable weight that is zero now becomes zero. An optimizer that moves each weight by its own
    gradient alone, as SGD and Adam do, then leaves these weights at zero; weight decay and momentum do as well. Create
    the optimizer afterwards. Copies of the network do not keep the zeros; call this function on the copy.

    Returns:
        Handles; ``remove()`` on all of them lets the weights move again.

    >>> import torch
    >>> layer = torch.nn.Linear(2, 1, bias=False)
    >>> _ = layer.weight.data.copy_(torch.tensor([[1.0, 0.0]]))
    >>> handles = hold_zeros(layer)
    >>> layer(torch.ones(1, 2)).sum().backward()
    >>> layer.weight.grad
    tensor([[1., 0.]])
    """
    return [
        weight.register_hook(partial(_masked_gradient, weight.detach() != 0))
        for weight in prunable_parameters(network).values()
    ]


def _masked_gradient(mask: Tensor, gradient: Tensor) -> Tensor:
    return gradient.where(mask.to(gradient.device), gradient.new_zeros(()))


def versions() -> dict[str, str]:
    """Versions of Python and of the recorded packages, without those that are not installed."""
    recorded = {"python": python_version()}
    for package in _RECORDED_PACKAGES:
        try:
            recorded[package] = version(package)
        except PackageNotFoundError:
            continue
    return recorded


def _pruned(tensor: Tensor, mask: Tensor | None) -> Tensor:
    # where, not multiplication: -0.1 * 0 is -0.0, and readers may compare bytes.
    return (tensor if mask is None else tensor.where(mask, tensor.new_zeros(()))).contiguous()


class _Target(BaseModel):
    sparsity: float | None


class ResultConfig(BaseModel):
    """The part of config.json that is needed to read the folder. The rest is for people, and to repeat the job."""

    model: Blueprint
    spec: _Target
    assignment: Assignment
    scalars: Scalars
    live_weights: dict[str, int]
    sha256: dict[str, str]
    sparsity: float | None = None
    """The sparsity of the result; None in folders of versions that wrote it into ``spec`` alone."""

    @model_validator(mode="after")
    def _has_a_sparsity(self) -> "ResultConfig":
        if self.sparsity is None and self.spec.sparsity is None:
            raise ValueError("it has no sparsity")
        return self

    @property
    def asked(self) -> float:
        """Sparsity that the job asked for, or that reaches its target."""
        asked = self.spec.sparsity if self.sparsity is None else self.sparsity
        assert asked is not None
        return asked


@dataclass(frozen=True, slots=True)
class OpenedResult:
    """A result folder whose hash, names and shapes are right."""

    config: ResultConfig
    network: Network
    model: nn.Module


def open_result(directory: str | Path) -> OpenedResult:
    """Read a result folder: its config, its network as a value and as a module in eval mode.

    Raises:
        CheckpointError: the folder is incomplete, altered, or of a format that this version does not read.
    """
    directory = Path(directory)
    config = _read_config(directory)
    weights = directory / _WEIGHTS
    if not weights.exists() and (directory / COMPACT.filename).exists():
        weights = directory / COMPACT.filename
    state = _read_state(weights, config.sha256.get(_WEIGHTS))
    if NETWORK.filename in config.sha256:
        _check_hash(directory / NETWORK.filename, config.sha256[NETWORK.filename])
    try:
        blueprint = config.model
        if NETWORK.filename in config.sha256:
            blueprint = replace(blueprint, declared=from_json((directory / NETWORK.filename).read_text()))
        network = Network(blueprint, state, None, config.assignment, config.scalars)
        return OpenedResult(config, network, assemble(network))
    except SafsError as error:
        raise CheckpointError(f"{directory} does not fit {config.model.architecture}: {error}") from error


def _read_state(weights: Path, expected: str | None) -> dict[str, Tensor]:
    """The state dict of a checkpoint, plain or compact, whose plain form has the hash ``expected``."""
    if weights.name == COMPACT.filename:
        compact = compact_file.read(weights)
        _check_hash(weights, expected, actual=compact.checkpoint_sha256)
        return compact.state
    _check_hash(weights, expected)
    try:
        return load_file(weights)
    except SafetensorError as error:
        raise CheckpointError(f"{weights} cannot be read: {error}. Download it again.") from error


def _check_hash(path: Path, expected: str | None, *, actual: str | None = None) -> None:
    actual = actual or _sha256(path)
    if actual != expected:
        raise CheckpointError(
            f"{path} was altered or cut short: its sha256 is {actual}, config.json says {expected}. Download it again."
        )


def _read_config(directory: Path) -> ResultConfig:
    path = directory / _CONFIG_FILE
    try:
        config = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(f"{directory} is no result folder: it has no {_CONFIG_FILE}.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is no JSON: {error}.") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise CheckpointError(f"{path} is not of format {FORMAT}; a newer version of safs may read it.")
    try:
        return ResultConfig.model_validate(config)
    except ValidationError as error:
        first = error.errors()[0]
        path_in_config = ".".join(map(str, first["loc"]))
        raise CheckpointError(f"{path} was altered: {path_in_config}: {first['msg']}. Download it again.") from error


def _check_counts(sparsity: SparsityReport, expected: Mapping[str, int], target: float) -> None:
    wrong = [
        f"{layer.name} has {layer.live}, not {expected.get(layer.name, 0)}"
        for layer in sparsity.layers
        if layer.live != expected.get(layer.name, 0)
    ]
    live = live_total(sparsity.weights, target)
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
