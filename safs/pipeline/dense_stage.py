"""The dense network of a job: given, given with a fresh classifier and trained, or trained from fresh weights."""

from dataclasses import replace
from pathlib import Path

import torch

from safs.errors import TrainingError
from safs.events.kinds import Stage
from safs.execution.executor import Task
from safs.execution.training import Training
from safs.execution.work import Context
from safs.networks import Network
from safs.pipeline.state import JobContext, KeyedNetwork, recipe_of, with_advice
from safs.pruning.masks import Masks, prunable_parameters
from safs.reuse.cached_executor import KeyedWork
from safs.reuse.keys import file_hash, key_of
from safs.starting_weights import starting_state
from safs.trials import Candidate


def dense_network(job: JobContext, file: Path | None, context: Context) -> KeyedNetwork:
    """The dense network: with the given weights, or trained with the default protocol's recipe.

    Args:
        file: the file that ``model.weights`` or ``model.network`` of the job names.
        context: trainings from fresh weights.

    Raises:
        TrainingError: the training broke down.
        WeightsError: the weights do not fit.
    """
    spec, blueprint = job.spec, job.preflight.blueprint
    state = starting_state(spec, blueprint, file)
    if state is None or file is None:
        return _trained(job, context, None)
    key = key_of(data=job.data_key, model=blueprint, weights=file_hash(file))
    if spec.model.head is not None:
        start = replace(context, start=state, masks=_held(context, state) if spec.prune.keep_zeros else None)
        return _trained(job, start, key_of(start=key, head=spec.model.head, kept=spec.prune.keep_zeros))
    with job.stage_log.stage(Stage.DENSE) as record:
        given = "dense weights are" if spec.model.network is None else "network is"
        record.summary = f"the given {given} used"
        return KeyedNetwork(Network(blueprint, state), key)


def _trained(job: JobContext, context: Context, start: str | None) -> KeyedNetwork:
    """The network after a training from ``context``.

    Args:
        start: key of the given weights; None if the weights are fresh.
    """
    spec, blueprint = job.spec, job.preflight.blueprint
    train = spec.train
    with job.stage_log.stage(Stage.DENSE, trials=1, epochs=train.epochs) as record:
        training = Training({}, recipe_of(train), train.epochs, spec.seed)
        given = {} if start is None else {"start": start}
        key = key_of(data=job.data_key, model=blueprint, batches=job.precise_batches, work=training, **given)
        work = Task(Candidate(0, {}, train.epochs, spec.seed), training)
        trained = job.executor.train(record, [KeyedWork(key, work)], context)[0]
        if trained.network is None:
            raise TrainingError(f"dense training broke down: {with_advice(trained.outcome)}")
        record.summary = f"dense validation accuracy {trained.outcome.metrics['accuracy']:.1%}"
        return KeyedNetwork(replace(trained.network, masks=None), key)


def _held(context: Context, state: dict[str, torch.Tensor]) -> Masks:
    """Masks of the prunable weights that are not zero, so that the zeros stay while the new classifier is trained."""
    with torch.device("meta"):
        model = context.blueprint.build()
    return {name: state[name] != 0 for name in prunable_parameters(model)}
