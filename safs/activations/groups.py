"""Which sites share an operator: none, those of a block, or all. Large networks have too many to search one by one."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from safs.activations.surgery import Site, rewire

Scope: TypeAlias = Literal["site", "block", "network"]
Groups: TypeAlias = dict[str, tuple[str, ...]]
"""Name -> paths of its sites; every site is in one group, and both are in the order of their calls."""

NETWORK = "network"
FEWEST_BLOCKS = 4
"""What makes a network of stages: ResNet, DenseNet, RegNet, Swin and ConvNeXt all have four, some a stem beside."""


def site_groups(sites: Sequence[Site], scope: Scope, model: nn.Module, example: Tensor) -> Groups:
    """The groups of ``sites`` that share an operator.

    - ``site``: each on its own, named by its path.
    - ``network``: all, as ``network``.
    - ``block``: those of a block. A site's block is the module that holds it at the shallowest depth of the module
      tree with at least four such modules; in ResNet the stages ``layer1`` .. ``layer4`` beside the stem, in DenseNet
      ``features.denseblock1`` and so on, in a vision transformer each encoder layer. Sites that lie at that depth
      themselves, as in a flat ``nn.Sequential``, form a block with their neighbours of the same container and the same
      resolution: VGG's convolutions between two poolings (``features.2-5``), its classifier.

    Sites share an operator only if they have the same one to begin with, so that the network itself stays a point of
    the search space, and no gate of a squeeze-and-excitation becomes what the features beside it become: where a
    group's sites have several, it is split and the operators are appended (``features.3:silu``).

    Args:
        sites: all of ``model``'s.
        model: in any state, on any device; it is run once on ``example`` in eval mode for ``block``.
        example: one image, [1, channels, height, width], on the model's device; meta tensors do.
    """
    match scope:
        case "site":
            return {site.path: (site.path,) for site in sites}
        case "network":
            return _split_by_own({NETWORK: tuple(site.path for site in sites)}, sites)
        case "block":
            return _split_by_own(_blocks([site.path for site in sites], _resolutions(model, example)), sites)


def own_operators(groups: Mapping[str, Sequence[str]], sites: Iterable[Site]) -> dict[str, str]:
    """Group -> the network's own operator at all its sites."""
    own = {site.path: site.own for site in sites}
    return {name: own[paths[0]] for name, paths in groups.items()}


def _blocks(paths: Sequence[str], resolutions: Mapping[str, tuple[int, ...]]) -> Groups:
    """Blocks by module path; those that are one site each join their neighbours of the same resolution."""
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
    """The shallowest depth at which the paths, cut there, are at least four; the deepest if there is none."""
    deepest = max(path.count(".") + 1 for path in paths)
    cut = ({".".join(path.split(".")[:depth]) for path in paths} for depth in range(1, deepest))
    return next((depth for depth, blocks in enumerate(cut, start=1) if len(blocks) >= FEWEST_BLOCKS), deepest)


def _run_name(blocks: Sequence[str]) -> str:
    """``features.2-5`` for features.2 .. features.5."""
    first, last = blocks[0], blocks[-1]
    return first if first == last else f"{first}-{last.rpartition('.')[2]}"


def _split_by_own(groups: Groups, sites: Sequence[Site]) -> Groups:
    own = {site.path: site.own for site in sites}
    split: Groups = {}
    for name, paths in groups.items():
        kinds = dict.fromkeys(own[path] for path in paths)
        for kind in kinds:
            members = tuple(path for path in paths if own[path] == kind)
            split[name if len(kinds) == 1 else f"{name}:{kind}"] = members
    return split


def _resolutions(model: nn.Module, example: Tensor) -> dict[str, tuple[int, ...]]:
    """Site -> height and width of what comes out there; nothing for vectors and tokens."""
    found: dict[str, tuple[int, ...]] = {}
    rewired = rewire(model).eval()
    for path, activation in rewired.activations.items():

        def note(module: nn.Module, given: object, output: Tensor, path: str = path) -> None:
            found[path] = tuple(output.shape[2:]) if output.dim() == 4 else ()

        activation.register_forward_hook(note)
    with torch.no_grad():
        rewired(example)
    return found
