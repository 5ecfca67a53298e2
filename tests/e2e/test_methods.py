"""Every pruning method as a job over HTTP, from POST to the loaded network, with a real API, runner and Ray."""

import json
from math import isfinite
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from api.schemas.jobs import Job
from safs import data, load, models, verify
from safs.client import Client, RemoteJob
from safs.pruning.pruners import PRUNERS
from safs.spec.job import JobSpec
from safs.spec.presets import METHODS

PATIENCE_S = 400.0
"""Seconds that the service and its first job may take on a very busy machine; a quiet one takes a few."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(PATIENCE_S + 200)]

MLP, LENET = {"architecture": "mlp"}, {"architecture": "lenet5"}
# 64 * 256 + 256 * 128 + 128 * 64 + 64 * 10 for 8x8 pixels; 150 + 2,400 + 48,000 + 10,080 + 840.
WEIGHTS = {"mlp": 57_984, "lenet5": 61_470}
LEAST: dict[str, dict[str, Any]] = {"ap": {"epochs": 2, "options": {"rounds": 1}}}
"""Settings that a method needs for a tiny job: AP trains once more than it prunes."""


def _pruned_by(method: str) -> dict[str, Any]:
    trains = METHODS[method].get("schedule", "one_shot") != "one_shot"
    return {"model": MLP, "prune": {"method": method} | LEAST.get(method, {"epochs": 1} if trains else {})}


JOBS: dict[str, dict[str, Any]] = {name: _pruned_by(name) for name in PRUNERS} | {
    "filter": {"model": LENET, "prune": {"granularity": "filter"}}
}
"""The methods by name, and one job whose result is physically smaller."""

USUAL = {"magnitude", "rigl", "filter"}
"""Jobs of ``make test``: a one-shot method, one from scratch, and one with a smaller network."""

BUDGET: dict[str, Any] = {
    "data": {"dataset": "digits", "batch_size": 64},
    "sparsity": 0.9,
    "train": {"epochs": 2, "learning_rate": 1e-2},
    "activations": {"strategy": "random", "trials": 2, "epochs": 1},
    "tune": {"strategy": "random", "trials": 2, "epochs": 1},
    "final": {"epochs": 1, "candidates": ["default", "safs"]},
}


@pytest.fixture(scope="module")
def jobs(client: Client, request: pytest.FixtureRequest) -> dict[str, RemoteJob]:
    """All selected jobs, queued at once: while a test examines one, the next one runs."""
    asked = {item.callspec.params["name"] for item in request.session.items if item.path == request.path}
    return {name: client.submit(BUDGET | job, name=name) for name, job in JOBS.items() if name in asked}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in USUAL else pytest.mark.exhaustive) for name in JOBS]
)
def test_the_network_of_a_job_verifies_loads_and_has_the_accuracy_in_its_report(
    jobs: dict[str, RemoteJob], name: str, tmp_path: Path
) -> None:
    folder = jobs[name].wait(timeout_s=PATIENCE_S).download(tmp_path)

    found = verify(folder)

    spec = JobSpec.model_validate(jobs[name].view["spec"])
    described = Job.model_validate(jobs[name].view).model_dump(mode="json")
    assert {part: described[part] for part in ("spec", "result", "stage")} == {
        part: jobs[name].view[part] for part in ("spec", "result", "stage")
    }
    report = json.loads((folder / "report.json").read_text())
    weights = WEIGHTS[spec.model.architecture]
    assert (found.sparsity.live, found.sparsity.weights) == (weights - round(0.9 * weights), weights)
    result = next(row for row in report["rows"] if row["name"] == report["result"])
    assert _test_accuracy(load(folder), spec) == pytest.approx(result["test_accuracy"], abs=1e-9)
    assert len(list(jobs[name].trials("prune"))) == 1
    assert len(jobs[name].curve("prune", 0)) == spec.prune.epochs
    _check_layers(report, weights)


@pytest.mark.parametrize("name", ["filter"])
def test_a_job_that_prunes_filters_returns_a_smaller_network(
    jobs: dict[str, RemoteJob], name: str, tmp_path: Path
) -> None:
    folder = jobs[name].wait(timeout_s=PATIENCE_S).download(tmp_path)

    smaller = load(folder)

    dense = models.build("lenet5", channels=1, classes=10, image_size=28)
    stored = sum(tensor.numel() for tensor in load_file(folder / "checkpoint.safetensors").values())
    assert stored < 0.2 * sum(parameter.numel() for parameter in dense.parameters())
    assert _flops(smaller) < 0.5 * _flops(dense)


def _check_layers(report: dict[str, Any], weights: int) -> None:
    """Check the report's figures by layer for every network, and that the pruned weights stay zero."""
    measured = report["layers"]
    assert list(measured) == list(dict.fromkeys(["dense", "pruned", "default", report["result"]]))
    live = {name: [layer["live"] for layer in of["layers"]] for name, of in measured.items()}
    assert sum(live["dense"]) == weights
    assert live["pruned"] == live["default"] == live[report["result"]]
    assert sum(live["pruned"]) == weights - round(0.9 * weights)
    for name, of in measured.items():
        gradients = [layer["gradient_norm"] for layer in of["layers"]]
        assert all(norm is not None and isfinite(norm) and norm >= 0 for norm in gradients), name
        assert of["totals"]["gradient_norm"] == pytest.approx(sum(norm**2 for norm in gradients) ** 0.5), name
        assert of["sites"], name
        assert all(0 <= site["dead_static"] + site["dead_dynamic"] <= 1 for site in of["sites"]), name
    assert all(site["dead_static"] == 0 for site in measured["dense"]["sites"])


def _test_accuracy(network: nn.Module, spec: JobSpec) -> float:
    """Accuracy on the test split, computed from whole images as a user would."""
    size = {"mlp": 8, "lenet5": 28}[spec.model.architecture]
    splits = data.load(spec.data, root=None, channels=1, image_size=size, seed=spec.seed)
    images, labels = next(splits.test.batches(10_000, device=torch.device("cpu")))
    with torch.inference_mode():
        return float((network(images).argmax(1) == labels).double().mean())


def _flops(network: nn.Module) -> int:
    with FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 1, 28, 28))
    return counter.get_total_flops()
