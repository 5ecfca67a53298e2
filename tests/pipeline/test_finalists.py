"""The choice among the finalists, with means worked by hand."""

from math import inf

import pytest

from safs.data import load
from safs.errors import TrainingError
from safs.events.kinds import Event, Stage, TrialDone
from safs.execution.serial import SerialExecutor
from safs.execution.training import Training
from safs.execution.work import Context, Trained
from safs.networks import Blueprint, Network
from safs.pipeline.finalists import Finalist, best_finalist, finalists_from, numbered_work
from safs.spec.data import DataSpec
from safs.spec.final import FinalCandidate
from safs.spec.training import Recipe
from safs.training.settings import TrainingData
from safs.trials import Outcome

MLP = Blueprint("mlp", 1, 8, 10)
DEFAULT, SAFS, TUNED = FinalCandidate.DEFAULT, FinalCandidate.SAFS, FinalCandidate.HYPERPARAMETERS
DIVERGED = Trained(Outcome(inf, error="the loss is not finite in epoch 1"), None)


def scored(accuracy: float, cross_entropy: float = 1.0) -> Trained:
    return Trained(Outcome(1 - accuracy, {"accuracy": accuracy, "cross_entropy": cross_entropy}), Network(MLP, {}))


def finalist(name: FinalCandidate, *trained: Trained) -> Finalist:
    trainings = tuple(Training({}, Recipe(), 1, seed=10 + repeat) for repeat in range(len(trained)))
    return Finalist(name, trainings, trained)


def test_accuracy_and_cross_entropy_are_means_over_the_seeds() -> None:
    found = finalist(SAFS, scored(0.5, 2.0), scored(0.75, 1.0), scored(1.0, 0.0))

    assert (found.accuracy, found.cross_entropy) == (0.75, 1.0)


def test_the_best_mean_wins_not_the_best_seed() -> None:
    lucky = finalist(DEFAULT, scored(1.0), scored(0.25))
    steady = finalist(SAFS, scored(0.75), scored(0.75))

    assert best_finalist([lucky, steady]) is steady


def test_equal_accuracies_are_decided_by_the_lower_cross_entropy() -> None:
    worse = finalist(DEFAULT, scored(0.5, 1.5), scored(0.75, 0.5))
    better = finalist(SAFS, scored(0.75, 0.75), scored(0.5, 0.75))

    assert best_finalist([worse, better]) is better
    assert best_finalist([better, worse]) is better


def test_the_first_of_equal_finalists_wins() -> None:
    first, second = finalist(DEFAULT, scored(0.5)), finalist(SAFS, scored(0.5))

    assert best_finalist([first, second]) is first


def test_a_finalist_with_one_broken_seed_cannot_win() -> None:
    broken = finalist(SAFS, scored(1.0), DIVERGED)
    sound = finalist(DEFAULT, scored(0.25), scored(0.25))

    assert broken.error == "the loss is not finite in epoch 1"
    assert broken.accuracy == 0
    assert best_finalist([broken, sound]) is sound


def test_the_error_names_every_finalist_and_its_reason_if_all_broke_down() -> None:
    exhausted = Trained(Outcome(inf, error="out of memory"), None)

    with pytest.raises(TrainingError, match="default: the loss is not finite in epoch 1; safs: out of memory"):
        best_finalist([finalist(DEFAULT, DIVERGED), finalist(SAFS, scored(1.0), exhausted)])


def test_training_and_network_are_those_of_the_best_seed() -> None:
    found = finalist(SAFS, scored(0.5), scored(0.75, 2.0), scored(0.75, 1.0))

    assert found.best_seed == 12
    assert found.training is found.trainings[2]
    assert found.network is found.trained[2].network


def test_a_broken_seed_is_never_the_best_one() -> None:
    found = finalist(SAFS, DIVERGED, scored(0.25))

    assert found.best_seed == 11
    assert found.network is found.trained[1].network


def test_finalists_are_trained_from_each_of_their_seeds_and_reported_one_after_the_other() -> None:
    splits = load(DataSpec(dataset="digits"), root=None, channels=1, image_size=8, seed=0)
    context = Context(MLP, TrainingData(splits.train, splits.validation, 256))
    trainings = {name: [Training({}, Recipe(), 1, seed) for seed in (0, 1)] for name in (DEFAULT, TUNED)}
    events: list[Event] = []

    works = numbered_work(trainings)
    trained = SerialExecutor().train(Stage.FINAL, works, context, events.append, lambda work, result: None)
    found = finalists_from(trainings, trained)

    done = [event for event in events if isinstance(event, TrialDone)]
    assert [(event.stage, event.candidate.number, event.candidate.config) for event in done] == [
        (Stage.FINAL, 0, {"candidate": "default", "repeat": 0}),
        (Stage.FINAL, 1, {"candidate": "default", "repeat": 1}),
        (Stage.FINAL, 2, {"candidate": "hyperparameters", "repeat": 0}),
        (Stage.FINAL, 3, {"candidate": "hyperparameters", "repeat": 1}),
    ]
    assert [finalist.name for finalist in found] == [DEFAULT, TUNED]
    outcomes = [trained.outcome.metrics for finalist in found for trained in finalist.trained]
    assert outcomes == [event.outcome.metrics for event in done]
    assert outcomes[0] == outcomes[2] != outcomes[1]  # The same training from the same seed, and from another.
