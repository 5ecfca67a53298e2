"""Finds units that must be removed together, with torch-pruning's dependency graph.

Fang et al., "DepGraph: Towards Any Structural Pruning" (2023), arXiv:2301.12900. The graph follows autograd's record of
one forward pass. torch-pruning's indices in layers are translated to positions in parameters.
"""

import copy
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from safs.pruning.removal.bounded_graph import BoundedGraph, Steps
from safs.pruning.removal.cutting import take_out
from safs.pruning.removal.units import Slot, UnitGroup

STEPS_OF_A_MODULE = 200
"""Steps charged for copying and running one module on the meta device, about 0.4 ms."""


def dependency_groups(model: nn.Module, example: Tensor, steps: Steps) -> tuple[UnitGroup, ...]:
    """Returns the groups whose units can be removed one by one without changing what the other units compute.

    These groups are left out:

    - the network's outputs, units read by a norm over channels or by attention, and units that grouped convolutions
      only allow to be removed all at once
    - groups of which different layers read different parts, as after a split
    - groups that claim positions that do not exist or belong to another group: torch-pruning treats operations that it
      does not know as elementwise, and loses track there
    - groups without which the network does not run

    Whether the smaller network computes the same cannot be seen from shapes; ``compact`` checks it.

    Args:
        model: left as it is; may be on the meta device.
        example: one input, [1, channels, height, width]; only its shape matters.
        steps: the steps that the search may take.

    Raises:
        LimitReached: the search needs more steps.
        Exception: whatever torch-pruning or the network raises.
    """
    twin = _without_memory(model)
    graph = BoundedGraph(steps)
    with torch.enable_grad():
        graph.build_dependency(
            twin,
            [torch.zeros(example.shape, dtype=example.dtype, device="meta")],
            forward_fn=lambda network, inputs: network(*inputs),
            output_transform=lambda output: output * 1,  # without it, torch-pruning does not see a last layer as output
            verbose=False,
        )
        found = [_group(graph, members, twin) for members in graph.get_all_groups()]
    sound = [group for group in found if group is not None and _fits(group, twin)]
    return _that_run(_without_rivals(_in_order(sound, twin)), twin, example, steps)


def _without_memory(model: nn.Module) -> nn.Module:
    """Returns a copy of ``model`` on the meta device."""
    tensors = (*model.parameters(), *model.buffers())
    copies: dict[int, Any] = {
        id(tensor): nn.Parameter(tensor.detach().to("meta"), requires_grad=tensor.is_floating_point())
        if isinstance(tensor, nn.Parameter)
        else tensor.detach().to("meta")
        for tensor in tensors
    }
    return copy.deepcopy(model, copies | _kept_results(model))


def _kept_results(model: nn.Module) -> dict[int, Any]:
    """Copies, by the original's id, of results that a forward left in attributes, such as LeViT's attention biases.

    They belong to autograd's record, and ``deepcopy`` refuses them.
    """
    return {
        id(tensor): tensor.detach().to("meta")
        for module in model.modules()
        for value in vars(module).values()
        for tensor in _tensors_in(value)
        if tensor.grad_fn is not None
    }


def _tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors in an attribute: itself, or in a list or dictionary."""
    match value:
        case Tensor():
            yield value
        case list() | tuple():
            yield from (item for item in value if isinstance(item, Tensor))
        case dict():
            yield from (item for item in value.values() if isinstance(item, Tensor))


class _Claims:
    """Assigns positions in tensors to the channels of a group's root layer.

    Channels that claim the same position, or that a grouped convolution removes only together, become one unit.
    """

    def __init__(self, channels: int) -> None:
        self._leader = list(range(channels))
        self._positions: dict[tuple[bool, str, int], dict[int, int]] = {}

    def add(self, name: str, dim: int, owners: Mapping[int, int], *, produces: bool) -> None:
        """Assigns position ``p`` along ``dim`` of tensor ``name`` to channel ``owners[p]``, for each ``p``."""
        positions = self._positions.setdefault((produces, name, dim), {})
        for position, channel in owners.items():
            if (first := positions.setdefault(position, channel)) != channel:
                self.join(first, channel)

    def join(self, one: int, other: int) -> None:
        """Makes the two channels one unit, named by the smaller number."""
        first, second = sorted((self._find(one), self._find(other)))
        self._leader[second] = first

    def group(self) -> UnitGroup | None:
        """Returns the group; None if it has fewer than two units or nothing reads them."""
        leaders = sorted({self._find(channel) for channel in range(len(self._leader))})
        number = {leader: unit for unit, leader in enumerate(leaders)}
        unit_of = [number[self._find(channel)] for channel in range(len(self._leader))]
        slots: dict[bool, list[Slot]] = {True: [], False: []}
        for (produces, tensor, dim), positions in self._positions.items():
            by_unit: list[list[int]] = [[] for _ in leaders]
            for position in sorted(positions):
                by_unit[unit_of[positions[position]]].append(position)
            slots[produces].append(Slot(tensor, dim, tuple(map(tuple, by_unit))))
        if not slots[False] or len(leaders) < 2:
            return None
        return UnitGroup("", len(leaders), tuple(slots[True]), tuple(slots[False]))

    def _find(self, channel: int) -> int:
        while self._leader[channel] != channel:
            channel = self._leader[channel]
        return channel


def _group(graph: Any, members: Any, model: nn.Module) -> UnitGroup | None:
    """Returns torch-pruning's group as units; None if they cannot be removed one by one."""
    paths = {module: path for path, module in model.named_modules()}
    claims = _Claims(len(members[0].idxs))
    for item in members:
        node, owners = item.dep.target, _owners(item)
        if node.type == graph.ops.OPTYPE.OUTPUT:
            return None
        if isinstance(node.module, nn.Parameter):
            claims.add(graph._param_to_name[node.module], node.pruning_dim, owners, produces=True)
        elif node.module in paths:  # otherwise the node is an operation without parameters
            produces = graph.is_out_channel_pruning_fn(item.dep.handler)
            if not _claim_layer(claims, paths[node.module], node.module, owners, produces=produces):
                return None
    return claims.group()


def _owners(item: Any) -> dict[int, int]:
    return dict(zip(item.idxs, item.root_idxs, strict=True))


def _claim_layer(claims: _Claims, path: str, layer: nn.Module, owners: dict[int, int], *, produces: bool) -> bool:
    """Adds the positions in ``layer`` to ``claims``; returns False if its units cannot be removed one by one."""
    match layer:
        case nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
            return _claim_convolution(claims, path, layer, owners, produces=produces)
        case nn.Linear():
            return _claim_side(claims, path, layer, owners, produces=produces)
        case nn.modules.batchnorm._BatchNorm() | nn.PReLU():
            tensors = {**layer._parameters, **layer._buffers}
            for name in (name for name, value in tensors.items() if value is not None and value.numel() > 1):
                claims.add(f"{path}.{name}", 0, owners, produces=True)  # a PReLU's single slope belongs to all units
            return True
        case _:
            return False


def _claim_convolution(
    claims: _Claims,
    path: str,
    layer: nn.Conv1d | nn.Conv2d | nn.Conv3d,
    owners: dict[int, int],
    *,
    produces: bool,
) -> bool:
    if layer.groups == layer.in_channels == layer.out_channels:  # depthwise: what reads a unit also produces it
        produces = produces or layer.groups > 1
    elif layer.groups == layer.out_channels > 1:
        return False  # several inputs per output, which torch-pruning does not handle
    elif layer.groups > 1:
        channels = layer.out_channels if produces else layer.in_channels
        if len(owners) < channels:
            return False
        width = channels // layer.groups
        for position, channel in owners.items():
            claims.join(owners[position % width], channel)  # each group of the convolution loses the same positions
        if not produces:
            owners = {position: owners[position] for position in range(width)}
    return _claim_side(claims, path, layer, owners, produces=produces)


def _claim_side(claims: _Claims, path: str, layer: nn.Module, owners: dict[int, int], *, produces: bool) -> bool:
    names = [name for name, _ in layer.named_parameters()]
    if not set(names) <= {"weight", "bias"}:
        return False  # a subclass with more parameters, such as one that scales its weight
    if not produces:
        claims.add(f"{path}.weight", 1, owners, produces=False)
    for name in names if produces else ():
        claims.add(f"{path}.{name}", 0, owners, produces=True)
    return True


def _fits(group: UnitGroup, model: nn.Module) -> bool:
    """True if every tensor of the group has all its positions, and each unit has equally many of them."""
    tensors: dict[str, Tensor] = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return all(
        len({len(positions) for positions in slot.positions}) == 1
        and max(chain(*slot.positions), default=-1) < tensors[slot.name].shape[slot.dim]
        for slot in (*group.producers, *group.consumers)
    )


def _in_order(groups: list[UnitGroup], model: nn.Module) -> list[UnitGroup]:
    """Returns the groups and their slots in the order of the state dict, each group named after its first module."""
    places = {name: place for place, name in enumerate(model.state_dict())}
    ordered = []
    for group in groups:
        sides = (tuple(sorted(side, key=lambda slot: places[slot.name])) for side in (group.producers, group.consumers))
        producers, consumers = sides
        ordered.append(UnitGroup(producers[0].name.rpartition(".")[0], group.units, producers, consumers))
    return sorted(ordered, key=lambda group: places[group.producers[0].name])


def _without_rivals(groups: list[UnitGroup]) -> tuple[UnitGroup, ...]:
    """Returns the groups that share no position with another group."""
    owned: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
    disputed: defaultdict[tuple[str, int], set[int]] = defaultdict(set)
    claims = [
        [((slot.name, slot.dim), set(chain(*slot.positions))) for slot in (*group.producers, *group.consumers)]
        for group in groups
    ]
    for tensor, positions in chain(*claims):
        disputed[tensor] |= owned[tensor] & positions
        owned[tensor] |= positions
    return tuple(
        group
        for group, own in zip(groups, claims, strict=True)
        if all(disputed[tensor].isdisjoint(positions) for tensor, positions in own)
    )


def _that_run(groups: tuple[UnitGroup, ...], model: nn.Module, example: Tensor, steps: Steps) -> tuple[UnitGroup, ...]:
    """Returns the groups without whose first units the network still runs, found by halving."""
    steps.take(STEPS_OF_A_MODULE * sum(1 for _ in model.modules()))
    if _runs(model, groups, example):
        return groups
    middle = len(groups) // 2
    halves = (groups[:middle], groups[middle:]) if middle else ()
    return tuple(chain(*(_that_run(half, model, example, steps) for half in halves)))


def _runs(model: nn.Module, groups: tuple[UnitGroup, ...], example: Tensor) -> bool:
    smaller = copy.deepcopy(model, _kept_results(model))
    take_out(smaller, groups, {group.name: (0,) for group in groups})
    try:
        smaller(torch.zeros(example.shape, dtype=example.dtype, device="meta"))
    except Exception:  # forward is foreign code and meets sizes it does not know: it can raise anything
        return False
    return True
