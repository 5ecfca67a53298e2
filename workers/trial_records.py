"""Trials as the store's records and back, the same to the last bit."""

from dataclasses import asdict

from safs.json_form import from_json
from safs.trials import Candidate, Outcome, Trial
from store.records import CurvePoint, FinishedTrial, Json, TrialOutcome


def stored_candidate(candidate: Candidate) -> Json:
    """Keyword arguments of ``store.trials`` for the candidate, without its number."""
    values = asdict(candidate)
    del values["number"]
    return values


def stored_outcome(outcome: Outcome) -> TrialOutcome:
    """The outcome without its curve."""
    best_epoch = outcome.metrics.get("epoch")
    return TrialOutcome(
        loss=outcome.loss,
        accuracy=outcome.metrics.get("accuracy"),
        cross_entropy=outcome.metrics.get("cross_entropy"),
        best_epoch=None if best_epoch is None else int(best_epoch),
        seconds=outcome.seconds,
        error=outcome.error,
        left=outcome.left,
    )


def stored_curve(outcome: Outcome) -> list[CurvePoint]:
    """The outcome's curve."""
    return [CurvePoint(**asdict(metrics)) for metrics in outcome.curve]


def restored_trial(finished: FinishedTrial) -> Trial:
    """The trial that was stored. Null, which the store writes for NaN and infinities, is read as in ``from_json``."""
    row, stored = finished.trial, finished.trial.outcome
    assert stored is not None, "a finished trial has an outcome"
    metrics = {"accuracy": stored.accuracy, "cross_entropy": stored.cross_entropy, "epoch": stored.best_epoch}
    outcome = {
        "loss": stored.loss,
        "metrics": metrics,
        "seconds": stored.seconds,
        "curve": [asdict(point) for point in finished.curve],
        "error": stored.error,
        "left": stored.left,
    }
    candidate = Candidate(row.number, row.config, row.epochs, row.seed, row.horizon, row.continues)
    return Trial(candidate, from_json(Outcome, outcome))
