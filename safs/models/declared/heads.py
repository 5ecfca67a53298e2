"""Another number of classes for a declared network: its last layers get that many outputs."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from safs.errors import NetworkError, NetworkMismatchError
from safs.models.declared import document as documents
from safs.models.declared.declaration import Declaration
from safs.models.declared.document import Call, Document, Graph
from safs.models.declared.limits import check_limits
from safs.models.declared.writes import MODULE

_OUTPUTS = {"Linear": "out_features", "Conv1d": "out_channels", "Conv2d": "out_channels"}
"""Kind of a layer -> the argument that is the number of its outputs."""


def with_classes(declared: Declaration, classes: int) -> Declaration:
    """The network with ``classes`` classes, for fresh weights in its last layers.

    Raises:
        NetworkMismatchError: the logits are not the outputs of linear layers or convolutions with one output a class,
            or the graph holds the number of classes elsewhere.
    """
    document = declared.document
    heads = {path for graph in (document.eval_graph, document.train_graph) for path in _last_layers(document, graph)}
    kinds = {module.path: module for module in document.modules}
    other = [path for path in heads if kinds[path].arguments[_OUTPUTS[kinds[path].kind]] != document.classes]
    if not heads or other:
        where = f"{min(other)} has another number of outputs" if other else "no layer of torch.nn makes them"
        raise _refusal(document, classes, f"its logits are not the outputs of its last layers ({where})")
    if document.classes == classes:
        return declared
    resized = documents.from_content(_resized(document, heads, classes))
    changed = Declaration(documents.canonical(resized), declared.tensors)
    with torch.device("meta"):
        network = changed.build()
    try:
        check_limits(resized, network, max_gflops=float("inf"))
    except NetworkError as error:
        raise _refusal(
            document, classes, f"the network does not run with {classes} classes ({error.message})"
        ) from error
    return changed


def _resized(document: Document, heads: set[str], classes: int) -> Mapping[str, Any]:
    content = document.model_dump(mode="json")
    for module in content["modules"]:
        if module["path"] in heads:
            module["arguments"][_OUTPUTS[module["kind"]]] = classes
    return {**content, "classes": classes}


def _last_layers(document: Document, graph: Graph) -> Iterator[str]:
    """Paths of the layers that no other layer separates from the logits."""
    kinds = {module.path: module.kind for module in document.modules}
    waiting, seen = [graph.output], {0}
    while waiting:
        if (number := waiting.pop()) in seen:
            continue
        seen.add(number)
        call = graph.calls[number - 1]
        if call.target == MODULE and call.module is not None and kinds.get(call.module) in _OUTPUTS:
            yield call.module
        else:
            waiting += _values_read(call)


def _values_read(call: Call) -> Iterator[int]:
    waiting: list[Any] = [*call.args, *call.kwargs.values()]
    while waiting:
        match waiting.pop():
            case {"node": int(number)}:
                yield number
            case list(items):
                waiting += items


def _refusal(document: Document, classes: int, why: str) -> NetworkMismatchError:
    return NetworkMismatchError(
        f"model.head is 'reset', but the classifier of {document.name} cannot be replaced: {why}. Capture the network "
        f"with an output of {classes} classes.",
        field="model.head",
    )
