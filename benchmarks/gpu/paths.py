"""The path check: every kind of work runs on the device, and finds what it finds elsewhere."""

from collections.abc import Callable
from dataclasses import replace

from benchmarks.gpu.problems import NETWORKS, Size, problem, trials
from safs.activations.operators import OPERATORS
from safs.execution.pruning import Pruning, PruningRun
from safs.execution.stacked import StackedRun
from safs.execution.training import Training, TrainingRun
from safs.execution.work import Context, Run
from safs.networks import Network
from safs.pruning.pruners import PRUNERS
from safs.spec.pruning import PruneSpec
from safs.spec.training import Recipe
from safs.training.learning_rate_schedules import SCHEDULES
from safs.training.optimizers import OPTIMIZERS
from safs.training.stacked.captured import CudaRecorder

SAME = 2e-2
"""Largest relative difference of a training loss between two ways to compute it."""


def checks(size: Size, device: str) -> dict[str, Callable[[], str]]:
    """Name -> check; each returns ``ok``, or raises."""
    context = problem("lenet5", size, device)
    found = {f"pruning by {name}": _pruning(context, name, device) for name in PRUNERS}
    found |= {f"operator {name}": _training(context, _with(name), device) for name in OPERATORS}
    for name in SCHEDULES:
        found[f"schedule {name}"] = _training(context, Training({}, Recipe(schedule=name), 2, 0), device)
    for name in OPTIMIZERS:
        found[f"optimizer {name} resumes bit for bit"] = _resuming(context, name, device)
    found["stack equals trials alone"] = _stack(context, device, recorded=False)
    if device == "cuda":
        found["recorded stack equals trials alone"] = _stack(context, device, recorded=True)
    return found


def finished(run: Run) -> Run:
    """The run after all of its epochs; raises if it failed."""
    while not run.finished:
        run.advance(60.0)
    if (error := run.outcome().error) is not None and "diverged" not in error:
        raise RuntimeError(error)
    return run


def _with(operator: str) -> Training:
    training = trials(NETWORKS["lenet5"], 1, 1)[0]
    return replace(training, assignment=dict.fromkeys(training.assignment, operator))


def _training(context: Context, training: Training, device: str) -> Callable[[], str]:
    def check() -> str:
        finished(TrainingRun(context, training, device)).trained()
        return "ok"

    return check


def _pruning(context: Context, method: str, device: str) -> Callable[[], str]:
    def check() -> str:
        given = PruneSpec(method=method, options={"rounds": 2} if method in ("ap", "synflow") else {})
        spec = given.model_copy(update={"epochs": 0 if given.schedule == "one_shot" else 3})
        network = finished(PruningRun(replace(context, masks=None), Pruning(spec, 0.9, Recipe(), 3), device)).trained()
        assert isinstance(network.network, Network)
        return "ok"

    return check


def _resuming(context: Context, optimizer: str, device: str) -> Callable[[], str]:
    def check() -> str:
        whole = Training({}, Recipe(optimizer=optimizer), 2, 0)
        expected = finished(TrainingRun(context, whole, device)).outcome().curve[-1].train_loss
        first = TrainingRun(context, replace(whole, until=1), device)
        finished(first)
        again = finished(TrainingRun(context, whole, device, first.snapshot())).outcome().curve[-1].train_loss
        return "ok" if again == expected else f"differs by {abs(again / expected - 1):.1e}"

    return check


def _stack(context: Context, device: str, *, recorded: bool) -> Callable[[], str]:
    def check() -> str:
        given = trials(context.blueprint, 4, 2)
        run = StackedRun(context, given, device, recorder=CudaRecorder() if recorded else None)
        while not run.finished:
            run.advance(60.0)
        if run.reason is not None:
            raise RuntimeError(run.reason)
        apart = 0.0
        for position, training in enumerate(given):
            alone = finished(TrainingRun(context, training, device)).outcome().curve
            ours = run.outcome(position).curve
            apart = max([apart, *(abs(a.train_loss / b.train_loss - 1) for a, b in zip(ours, alone, strict=False))])
        return "ok" if apart < SAME else f"differs by {apart:.1e}"

    return check
