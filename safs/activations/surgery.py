"""Finds the activation calls of a model and replaces them, by torch.fx.

A site is one call, not one module: an ``nn.ReLU`` that a residual block calls twice is two sites. ``F.relu``,
``x.relu()`` and in-place calls are sites, too. Models are plain torch modules and need no changes.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

import torch
from torch import Tensor, nn
from torch.fx import Graph, Node

from safs.activations.aliasing import isolate, replace_call
from safs.activations.calls import ActivationCall, activation_call
from safs.activations.module import Activation
from safs.activations.operators import OPERATORS, Operator
from safs.activations.rewired import ACTIVATIONS, RewiredModel, SingleInputModel
from safs.activations.symbolic_trace import trace
from safs.errors import UnknownNameError

__all__ = ["RewiredModel", "SingleInputModel", "Site", "candidate_operators", "find_sites", "rewire"]


@dataclass(frozen=True, slots=True)
class Site:
    """One call of an activation."""

    path: str
    """Path of the calling module and the called name; ``#2`` marks its second call, as in ``layer1.0.relu#2``."""
    original: str
    """Name of the operator that the model calls: one of ``OPERATORS``, or another such as ``leaky_relu(0.2)``."""


def find_sites(model: nn.Module) -> tuple[Site, ...]:
    """Sites of ``model`` in eval mode, in the order of their calls.

    Raises:
        SurgeryError: torch.fx cannot trace the model; the message names the line.
    """
    calls = _calls(trace(model, training=False).graph, dict(model.named_modules()))
    return tuple(Site(path, found.call.operator.name) for path, found in _with_paths(calls).items())


def candidate_operators(sites: Sequence[Site], names: Literal["all"] | Sequence[str] = "all") -> tuple[str, ...]:
    """Operators that a search may choose at every site: those of the model first, then ``names``, each once.

    Raises:
        UnknownNameError: a name is neither in ``OPERATORS`` nor an operator of the model.
    """
    original = dict.fromkeys(site.original for site in sites)
    wanted = tuple(OPERATORS) if names == "all" else names
    for name in wanted:
        if name not in OPERATORS and name not in original:
            raise UnknownNameError("operator", name, (*original, *OPERATORS), field="activations.operators")
    return tuple(dict.fromkeys((*original, *wanted)))


def rewire(
    model: nn.Module,
    assignment: Mapping[str, str] | None = None,
    *,
    learnable: bool = False,
    scalars: Mapping[str, Mapping[str, float]] | None = None,
    modules: Mapping[str, nn.Module] | None = None,
    kind: type[RewiredModel] = RewiredModel,
) -> RewiredModel:
    """A copy of ``model``'s forward with other activations. Parameters and buffers are shared, under the same names.

    Calls that only train mode makes, such as those of auxiliary heads, are unchanged.

    Args:
        assignment: site path -> operator name. Other sites keep the model's operator.
        learnable: True learns alpha and beta at every site.
        scalars: site path -> scalar name -> initial value; by default the operator's own, mostly 1.
        modules: site path -> module that is called there instead of an operator. Its parameters and buffers become
            part of the result, beside the model's.
        kind: class of the result. ``SingleInputModel`` has a forward of one argument.

    Raises:
        SurgeryError: torch.fx cannot trace the model; the message names the line.
        UnknownNameError: the model does not have a named site, operator or scalar.
    """
    assignment, scalars, modules = assignment or {}, scalars or {}, modules or {}
    members = dict(model.named_modules())
    traces = {training: trace(model, training=training) for training in (False, True)}
    calls = {training: _calls(traces[training].graph, members) for training in traces}
    sites = _with_paths(calls[False])
    operators = {**OPERATORS, **{found.call.operator.name: found.call.operator for found in sites.values()}}
    _check_sites((*assignment, *scalars, *modules), sites)
    _check_operators(assignment.values(), operators)

    reference = next(iter(model.parameters()), torch.empty(0))
    activations = {
        path: modules[path]
        if path in modules
        else Activation(
            operators[assignment.get(path, found.call.operator.name)], learnable=learnable, values=scalars.get(path)
        ).to(reference.device)
        for path, found in sites.items()
    }
    nodes = {False: {path: found.node for path, found in sites.items()}, True: _counterparts(sites, calls[True])}
    for training, by_path in nodes.items():
        _replace(traces[training].graph, by_path, {found.node: found.call for found in calls[training]}, sites, members)
    constants: dict[str, Tensor] = {**traces[False].constants, **traces[True].constants}
    return kind(model, traces[False].graph, traces[True].graph, activations, constants)


@dataclass(frozen=True, slots=True)
class _Found:
    """An activation call in a graph, and its name, which other calls may share."""

    node: Node
    call: ActivationCall
    name: str


def _calls(graph: Graph, modules: Mapping[str, nn.Module]) -> list[_Found]:
    found = ((node, activation_call(node, modules)) for node in graph.nodes)
    return [_Found(node, call, _call_name(node, call)) for node, call in found if call is not None]


def _call_name(node: Node, call: ActivationCall) -> str:
    """Name of a call, ``owner.name``: the called attribute, or the operator's name for a function or method."""
    owner = str(node.meta["owner"])
    if node.op == "call_module":
        attribute = str(node.target)
        if attribute.startswith(f"{owner}." if owner else ""):
            return attribute
        name = attribute.rpartition(".")[2]
    else:
        name = call.operator.name.partition("(")[0]
    return f"{owner}.{name}" if owner else name


def _with_paths(calls: Iterable[_Found]) -> dict[str, _Found]:
    seen: Counter[str] = Counter()
    paths = {}
    for found in calls:
        seen[found.name] += 1
        paths[found.name if seen[found.name] == 1 else f"{found.name}#{seen[found.name]}"] = found
    return paths


def _counterparts(sites: Mapping[str, _Found], training_calls: Iterable[_Found]) -> dict[str, Node]:
    """The train graph's node for each site that train mode calls, too.

    Calls of the same name are paired in order. If train mode makes more or fewer of them, calls from the same lines
    of code are paired.
    """
    evaluated, trained = defaultdict(list), defaultdict(list)
    for path, found in sites.items():
        evaluated[found.name].append((path, str(found.node.meta["line"])))
    for found in training_calls:
        trained[found.name].append((found.node, str(found.node.meta["line"])))
    pairs: dict[str, Node] = {}
    for name, in_eval in evaluated.items():
        in_train = trained[name]
        if len(in_eval) == len(in_train):
            blocks = [(0, 0, len(in_eval))]
        else:
            lines = [line for _, line in in_eval], [line for _, line in in_train]
            blocks = list(SequenceMatcher(None, *lines, autojunk=False).get_matching_blocks())
        for start, other, size in blocks:
            pairs |= {in_eval[start + k][0]: in_train[other + k][0] for k in range(size)}
    return pairs


def _replace(
    graph: Graph,
    nodes: Mapping[str, Node],
    calls: Mapping[Node, ActivationCall],
    sites: Iterable[str],
    modules: Mapping[str, nn.Module],
) -> None:
    number = {path: position for position, path in enumerate(sites)}
    replaced = [
        replace_call(graph, node, f"{ACTIVATIONS}.{number[path]}", modules, in_place=calls[node].in_place)
        for path, node in nodes.items()
    ]
    isolate(graph, replaced, modules)
    graph.lint()


def _check_sites(paths: Iterable[str], sites: Mapping[str, _Found]) -> None:
    for path in paths:
        if path not in sites:
            raise UnknownNameError("activation site", path, sites)


def _check_operators(names: Iterable[str], operators: Mapping[str, Operator]) -> None:
    for name in names:
        if name not in operators:
            raise UnknownNameError("operator", name, operators)
