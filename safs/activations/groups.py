"""Groups of sites that share an operator. Large networks have too many sites to search an operator for each."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from safs.activations.surgery import Site, rewire

Scope: TypeAlias = Literal["site", "block", "network"]
Groups: TypeAlias = dict[str, tuple[str, ...]]
"""Group name -> paths of its sites. Every site is in one group; groups and sites are in the order of the calls."""

NETWORK = "network"
MIN_BLOCKS = 4
"""Smallest number of blocks. ResNet, DenseNet, RegNet, Swin and ConvNeXt have four stages, some with a stem."""


def site_groups(sites: Sequence[Site], scope: Scope, model: nn.Module, example: Tensor) -> Groups:
    """Groups of ``sites`` that share an operator.

    - ``site``: every site is its own group, named by its path.
    - ``network``: all sites are one group, ``network``.
    - ``block``: the sites of a block are a group. Blocks are the modules that hold sites at the shallowest depth of the
      module tree with at least four such modules: ResNet's stem and its stages ``layer1`` to ``layer4``, DenseNet's
      ``features.denseblock1`` and so on, each encoder layer of a vision transformer. Sites at that depth themselves, as
      in a flat ``nn.Sequential``, form a block with neighbours of the same container and resolution: VGG's
      convolutions between two poolings (``features.2-5``), its classifier.

    Sites share an operator only if the model has the same operator there. So the unchanged network is a point of the
    search space, and the gate of a squeeze-and-excitation never follows the features beside it. A group with several
    operators is split, and its parts are named by the operators (``features.3:silu``).

    Args:
        sites: all sites of ``model``.
        model: in any mode, on any device. For ``block`` it is run once on ``example`` in eval mode.
        example: one image, [1, channels, height, width], on the model's device; a meta tensor is accepted.
    """
    match scope:
        case "site":
            return {site.path: (site.path,) for site in sites}
        case "network":
            return _split_by_original({NETWORK: tuple(site.path for site in sites)}, sites)
        case "block":
            return _split_by_original(_blocks([site.path for site in sites], _resolutions(model, example)), sites)


def original_operators(groups: Mapping[str, Sequence[str]], sites: Iterable[Site]) -> dict[str, str]:
    """Group -> the operator that the network has at all its sites."""
    operators = {site.path: site.original for site in sites}
    return {name: operators[paths[0]] for name, paths in groups.items()}


def _blocks(paths: Sequence[str], resolutions: Mapping[str, tuple[int, ...]]) -> Groups:
    """Blocks by module path. Blocks that are a single site join neighbours of the same resolution."""
    depth = _depth(paths)
    members: Groups = {}
    for path in paths:
        block = ".".join(path.split(".")[:depth])
        members[block] = (*members.get(block, ()), path)

    def kind(block: str) -> object:
        is_site = members[block] == (block,)
        return (block.rpartition(".")[0], resolutions[block]) if is_site else block

    runs = [list(run) for _, run in groupby(members, key=kind)]
    return {_run_name(run): tuple(path for block in run for path in members[block]) for run in runs}


def _depth(paths: Sequence[str]) -> int:
    """The shallowest depth at which the truncated paths are at least ``MIN_BLOCKS``; else the deepest."""
    deepest = max(path.count(".") + 1 for path in paths)
    cut = ({".".join(path.split(".")[:depth]) for path in paths} for depth in range(1, deepest))
    return next((depth for depth, blocks in enumerate(cut, start=1) if len(blocks) >= MIN_BLOCKS), deepest)


def _run_name(blocks: Sequence[str]) -> str:
    """Name of a run of blocks: ``features.2-5`` for features.2 to features.5."""
    first, last = blocks[0], blocks[-1]
    return first if first == last else f"{first}-{last.rpartition('.')[2]}"


def _split_by_original(groups: Groups, sites: Sequence[Site]) -> Groups:
    original = {site.path: site.original for site in sites}
    split: Groups = {}
    for name, paths in groups.items():
        operators = dict.fromkeys(original[path] for path in paths)
        for operator in operators:
            members = tuple(path for path in paths if original[path] == operator)
            split[name if len(operators) == 1 else f"{name}:{operator}"] = members
    return split


def _resolutions(model: nn.Module, example: Tensor) -> dict[str, tuple[int, ...]]:
    """Site path -> height and width of its output; empty for vectors and tokens."""
    found: dict[str, tuple[int, ...]] = {}
    rewired = rewire(model).eval()
    for path, activation in rewired.activations.items():

        def record(module: nn.Module, inputs: object, output: Tensor, path: str = path) -> None:
            found[path] = tuple(output.shape[2:]) if output.dim() == 4 else ()

        activation.register_forward_hook(record)
    with torch.no_grad():
        rewired(example)
    return found
