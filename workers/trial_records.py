"""Outcomes of trials on their way into the store and out again, the same to the last bit."""

from dataclasses import asdict
from math import inf

from safs.trials import Candidate, EpochMetrics, Outcome, Trial
from store.records import CurvePoint, FinishedTrial, Json, TrialOutcome


def stored_candidate(candidate: Candidate) -> Json:
    """What the store notes of a candidate, besides its number: keyword arguments of ``store.trials``."""
    return {
        "config": dict(candidate.config),
        "epochs": candidate.epochs,
        "seed": candidate.seed,
        "horizon": candidate.horizon,
        "continues": candidate.continues,
    }


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
        left_early=outcome.left,
    )


def stored_curve(outcome: Outcome) -> list[CurvePoint]:
    """The outcome's curve."""
    return [CurvePoint(**asdict(metrics)) for metrics in outcome.curve]


def restored_trial(finished: FinishedTrial) -> Trial:
    """The trial as it was told; a loss that is missing was infinite, and so was any other number of its curve."""
    row, found = finished.trial, finished.trial.outcome
    assert found is not None, "a trial that is finished has an outcome"
    candidate = Candidate(row.number, row.config, row.epochs, row.seed, row.horizon, row.continues)
    metrics = {"accuracy": found.accuracy, "cross_entropy": found.cross_entropy, "epoch": found.best_epoch}
    outcome = Outcome(
        loss=_or_infinite(found.loss),
        metrics={name: float(value) for name, value in metrics.items() if value is not None},
        seconds=found.seconds,
        curve=tuple(_restored_epoch(point) for point in finished.curve),
        error=found.error,
        left=found.left_early,
    )
    return Trial(candidate, outcome)


def _restored_epoch(point: CurvePoint) -> EpochMetrics:
    return EpochMetrics(
        epoch=point.epoch,
        train_loss=_or_infinite(point.train_loss),
        validation_loss=_or_infinite(point.validation_loss),
        validation_accuracy=_or_infinite(point.validation_accuracy),
        learning_rate=_or_infinite(point.learning_rate),
        seconds=point.seconds,
    )


def _or_infinite(value: float | None) -> float:
    return inf if value is None else value
