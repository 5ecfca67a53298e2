"""The share of the differences between trials that each hyperparameter and each site explains."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

FEWEST = 8
"""Fewest comparable trials from which importances are computed."""


MOST = 1000
"""Most trials that are compared. Of more, as many are taken evenly: optuna takes milliseconds for each."""


@dataclass(frozen=True, slots=True)
class ScoredTrial:
    """A finished trial."""

    config: Mapping[str, Any]
    epochs: int
    accuracy: float


def importances(trials: Sequence[ScoredTrial]) -> dict[str, float]:
    """Name of a hyperparameter or site -> its share in [0, 1], the greatest first; empty if there are too few trials.

    Optuna's PED-ANOVA compares how the best trials are distributed with how all are. Accuracies are taken relative to
    the median of the trials with as many epochs, so that long trials do not count as good ones. Names that only some
    configurations have, such as the learning rate of one optimizer, are left out.

    Watanabe et al., "PED-ANOVA" (2023), arXiv:2304.10255.
    """
    trials = trials[:: max(1, -(-len(trials) // MOST))]
    names = set.intersection(*(set(trial.config) for trial in trials)) if trials else set()
    values = {name: [trial.config[name] for trial in trials] for name in sorted(names)}
    varied = {name: found for name, found in values.items() if len(set(found)) > 1}
    if len(trials) < FEWEST or not varied:
        return {}
    return _evaluate(varied, _relative(trials))


def _relative(trials: Sequence[ScoredTrial]) -> list[float]:
    by_epochs: dict[int, list[float]] = {}
    for trial in trials:
        by_epochs.setdefault(trial.epochs, []).append(trial.accuracy)
    medians = {epochs: median(found) for epochs, found in by_epochs.items()}
    return [trial.accuracy - medians[trial.epochs] for trial in trials]


def _evaluate(values: Mapping[str, Sequence[Any]], scores: Sequence[float]) -> dict[str, float]:
    # Optuna takes more than a second to import, which the API should not wait for when it starts.
    import optuna

    distributions = {name: _distribution(found) for name, found in values.items()}
    study = optuna.create_study(
        storage=optuna.storages.InMemoryStorage(), sampler=optuna.samplers.RandomSampler(0), direction="maximize"
    )
    made = [
        optuna.trial.create_trial(
            params={name: found[place] for name, found in values.items()}, distributions=distributions, value=score
        )
        for place, score in enumerate(scores)
    ]
    study.add_trials(made)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items()}


def _distribution(values: Sequence[Any]) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if any(isinstance(value, str | bool) for value in values):
        return CategoricalDistribution(sorted(set(values), key=str))
    low, high = float(min(values)), float(max(values))
    return FloatDistribution(low, high, log=low > 0 and high / low > 50)
