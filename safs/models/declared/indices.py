"""Checks the positions that a declared network reads by indices which do not depend on the values of the images.

A run on the meta device computes shapes alone, so that it accepts every index. On a GPU, an index beyond the end stops
the process with all that it holds.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Interpreter, Node
from torch.fx.node import map_arg

from safs.errors import NetworkError
from safs.graphs import GraphNetwork, graph_of
from safs.models.declared.declaration import Declaration
from safs.models.declared.limits import BATCHES

LARGEST_VALUE = 2**20
"""Elements of the largest value that is computed; larger ones count as unknown."""
MOST_ELEMENTS = 2**25
"""Elements that are computed in one graph, all together."""

_aten = torch.ops.aten
_READS = (_aten.index.Tensor, _aten.index_select.default, _aten.gather.default, _aten.embedding.default)


def check_indices(declared: Declaration) -> None:
    """Check the indices in both modes, for 2 and 3 images.

    Constants of the file, ranges, and what is computed from these and from sizes are known. An index that depends on
    the values of images, on weights of modules or on random numbers is not.

    Raises:
        NetworkError: an index is beyond the end of what it reads.
    """
    with torch.device("meta"):
        network = declared.build()
    modes = (False, True)
    if not any(_reads_by_index(network, node) for mode in modes for node in graph_of(network, training=mode).nodes):
        return
    document, values = declared.document, declared.values()
    for training in modes:
        for batch in BATCHES:
            images = torch.empty(batch, document.channels, document.image_size, document.image_size, device="meta")
            with torch.no_grad():
                _Indices(network.train(training), training, values).run(images)


def _reads_by_index(network: GraphNetwork, node: Node) -> bool:
    if node.op == "call_module":
        return isinstance(network.get_submodule(str(node.target)), nn.Embedding)
    return node.target in _READS


class _Indices(Interpreter):
    """Runs a graph on the meta device, and computes beside it what does not depend on the images."""

    def __init__(self, network: GraphNetwork, training: bool, values: Mapping[str, Tensor]) -> None:
        super().__init__(network, graph=graph_of(network, training=training))
        self._network, self._values, self._left = network, values, MOST_ELEMENTS
        self._known: dict[Node, Any] = {}

    def run_node(self, n: Node) -> Any:
        """The value of ``n`` on the meta device, once its indices are checked."""
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        if _reads_by_index(self._network, n):
            for index, size, lowest in self._reads(n, args, kwargs):
                _check(n, index, size, lowest)
        value = super().run_node(n)
        self._learn(n, value)
        return value

    def _learn(self, node: Node, value: Any) -> None:
        """Keep the value of ``node`` if it can be computed without the images."""
        if node.op == "get_attr":
            if str(node.target) in self._values:
                self._known[node] = self._values[str(node.target)].clone()
        elif isinstance(value, int | float):
            self._known[node] = value
        elif isinstance(value, torch.device):
            self._known[node] = torch.device("cpu")
        elif node.op == "call_function" and all(source in self._known for source in node.all_input_nodes):
            size = sum(each.numel() for each in (value if isinstance(value, list | tuple) else [value]))
            if size <= min(LARGEST_VALUE, self._left) and not _is_random(node):
                self._left -= size
                args, kwargs = map_arg((node.args, node.kwargs), self._known.__getitem__)
                self._known[node] = node.target(*args, **kwargs)  # type: ignore[operator]  # from the table

    def _reads(self, node: Node, args: Any, kwargs: Any) -> Iterator[tuple[Tensor, int, int]]:
        """Each known index, the size of the dimension that it reads, and the lowest index that is allowed."""
        if node.op == "call_module":
            table = self._network.get_submodule(str(node.target))
            assert isinstance(table, nn.Embedding)
            yield from self._known_index(node.args[0], table.num_embeddings, 0)
            return
        operation: Any = node.target
        names = [argument.name for argument in operation._schema.arguments]
        given: dict[str, Any] = {**dict(zip(names, args, strict=False)), **kwargs}
        nodes: dict[str, Any] = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
        if node.target is _aten.index.Tensor:
            for dim, index in enumerate(nodes["indices"]):
                if dim < given["self"].dim():
                    size = given["self"].shape[dim]
                    yield from self._known_index(index, size, -size)
        elif node.target is _aten.embedding.default:
            yield from self._known_index(nodes["indices"], given["weight"].shape[0], 0)
        else:
            yield from self._known_index(nodes["index"], _size(given["self"], given["dim"]), 0)

    def _known_index(self, index: Any, size: int, lowest: int) -> Iterator[tuple[Tensor, int, int]]:
        found = self._known.get(index) if isinstance(index, Node) else None
        if isinstance(found, Tensor) and found.dtype not in (torch.bool, torch.uint8) and found.numel() > 0:
            yield found, size, lowest


def _size(value: Tensor, dim: int) -> int:
    return value.shape[dim] if value.dim() > 0 and -value.dim() <= dim < value.dim() else 1


def _check(node: Node, index: Tensor, size: int, lowest: int) -> None:
    low, high = int(index.min()), int(index.max())
    if lowest <= low and high < size:
        return
    where = node.meta.get("owner") or "the network itself"
    raise NetworkError(
        f"the call of {node.target} in {where} is invalid: it reads position {low if low < lowest else high} of "
        f"{size}, which does not exist"
    )


def _is_random(node: Node) -> bool:
    return any(word in str(node.target) for word in ("rand", "bernoulli", "dropout"))
