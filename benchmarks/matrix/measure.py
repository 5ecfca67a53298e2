"""Measures one network: ``python -m benchmarks.matrix.measure NAME CPU_S`` prints JSON after each measurement.

Each line holds the results so far, so that a network that takes too long still shows what was measured. The process
ends after ``CPU_S`` seconds of processor time: on a busy machine, seconds of the clock say nothing about a network.
"""

import json
import resource
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Any

import torch

import safs
from benchmarks.matrix.networks import Subject, subject
from safs.activations.surgery import find_sites
from safs.blueprints import traceable
from safs.errors import SafsError
from safs.estimates.on_this_machine import images
from safs.execution.pruning import Pruning
from safs.execution.runs import begin
from safs.execution.training import Training
from safs.execution.work import Context, Trained
from safs.models.declared import Declaration, declaration
from safs.models.declared.capture import Capture
from safs.networks import OWN_NETWORK, Blueprint
from safs.spec.pruning import PruneSpec
from safs.spec.training import Recipe
from safs.training.settings import TrainingData

IMAGES, BATCH = 8, 4
RECIPE = Recipe(optimizer="adam", learning_rate=1e-4)


def main() -> None:
    """Print what works for the network that the command names."""
    warnings.filterwarnings("ignore")
    cpu_s = int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s + 10))
    torch.set_num_threads(1)
    found = subject(sys.argv[1])
    result: dict[str, Any] = {"name": found.name, "image_size": found.image_size}
    captured = _tried(result, "capture", lambda: _capture(found))
    blueprint = _tried(result, "sites", lambda: _sites(found, captured, result))
    if blueprint is not None:
        _tried(result, "unstructured", lambda: _unstructured(blueprint))
        _tried(result, "search", lambda: _search_step(blueprint))
        _tried(result, "filter", lambda: _filters(blueprint))


def _tried(result: dict[str, Any], what: str, run: Callable[[], Any]) -> Any:
    started = time.process_time()
    try:
        value = run()
        result[what] = {"ok": True}
    except Exception as error:  # a foreign network can raise anything
        kind = error.code if isinstance(error, SafsError) else type(error).__name__
        result[what] = {"ok": False, "error": f"{kind}: {str(error)[:300]}"}
        value = None
    result[what]["seconds"] = round(time.process_time() - started, 1)
    print(json.dumps(result), flush=True)
    return value


def _capture(found: Subject) -> Capture:
    return safs.capture(found.build(), (found.channels, found.image_size))


def _sites(found: Subject, captured: Capture | None, result: dict[str, Any]) -> Blueprint:
    """The blueprint as a job has it; a network without a name is the captured one."""
    if found.blueprint is None:
        if captured is None:
            raise RuntimeError("it has no name and was not captured")
        declared: Declaration = declaration(captured.document, captured.tensors)
        blueprint = Blueprint(f"{OWN_NETWORK}x", found.channels, found.image_size, 10, declared=declared)
    else:
        blueprint = found.blueprint
    blueprint, model = traceable(blueprint)
    result["route"] = "torch.export" if blueprint.declared is not None else "torch.fx"
    result["number_of_sites"] = len(find_sites(model))
    result["parameters"] = sum(parameter.numel() for parameter in model.parameters())
    if not result["number_of_sites"]:
        raise RuntimeError("it calls no activation function")
    return blueprint


def _context(blueprint: Blueprint) -> Context:
    split = images(blueprint, IMAGES, crop_and_flip=False)
    return Context(blueprint, TrainingData(split, split, BATCH), start=blueprint.build(0).state_dict())


def _unstructured(blueprint: Blueprint) -> None:
    """Prune to 95% and train one epoch."""
    context = _context(blueprint)
    pruned = _run(context, Pruning(PruneSpec(), 0.95, RECIPE, 0))
    assert pruned.network is not None
    after = replace(context, start=pruned.network.state, masks=pruned.network.masks)
    _run(after, Training({}, RECIPE, 1, 0))


def _search_step(blueprint: Blueprint) -> None:
    """Train one epoch with another operator at every site, and learnable scalars."""
    with torch.device("meta"):
        sites = find_sites(blueprint.build())
    _run(_context(blueprint), Training({site.path: "tanh" for site in sites}, RECIPE, 1, 0, learnable=True))


def _filters(blueprint: Blueprint) -> None:
    """Remove 30% by whole filters or neurons, and train one epoch."""
    context = _context(blueprint)
    pruned = _run(context, Pruning(PruneSpec(granularity="filter"), 0.3, RECIPE, 0))
    assert pruned.network is not None
    network = pruned.network
    after = Context(network.blueprint, context.data, start=network.state, masks=network.masks)
    _run(after, Training({}, RECIPE, 1, 0))


def _run(context: Context, work: Pruning | Training) -> Trained:
    run = begin(context, work, "cpu")
    run.advance(inf)
    trained = run.trained()
    if trained.outcome.error is not None:
        raise RuntimeError(trained.outcome.error)
    return trained


if __name__ == "__main__":
    main()
