"""Checks of a job before it runs, so that a mistake is a 4xx at POST and not a failure an hour later."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from pathlib import Path

import torch
from torch import Tensor, nn

from safs import data, models
from safs.activations.groups import original_operators, site_groups
from safs.activations.operators import OPERATORS
from safs.activations.surgery import Site, candidate_operators, find_sites
from safs.blueprints import LARGEST_DEFAULT_SIZE, blueprint_for, traceable
from safs.data import DataInfo
from safs.errors import SafsError, SpecError, UnknownNameError
from safs.networks import Blueprint
from safs.pruning.axes.distributions import DISTRIBUTIONS, live_total
from safs.pruning.axes.schedules import PRUNING_SCHEDULES
from safs.pruning.axes.scores import SCORES
from safs.pruning.masks import prunable_parameters
from safs.pruning.protocol import PruningTask
from safs.pruning.pruners import PRUNERS
from safs.search import STRATEGIES
from safs.spec.final import FinalCandidate
from safs.spec.halving import HalvingOptions
from safs.spec.job import JobSpec
from safs.spec.options import parse_options
from safs.spec.pruning import PruneSpec
from safs.spec.searches import SearchSpec
from safs.spec.starts import starts_of
from safs.spec.target import TargetSpec
from safs.starting_weights import CheckedStart, check_start
from safs.targets.reach import expected_sparsity
from safs.training.learning_rate_schedules import SCHEDULES
from safs.training.optimizers import OPTIMIZERS
from safs.training.session import steps_per_epoch

TRAINING_BYTES = 16
"""Memory of a parameter in training: weight, gradient and the two moments of Adam, float32 each."""
MOST_TRAINING_BYTES = 64 * 2**30
"""Memory of a training that is accepted on every machine; on a machine with more memory, that memory is the limit."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """The result of the checks: the network, its sites and the data that a job will work on."""

    blueprint: Blueprint
    starts: Mapping[str, PruneSpec]
    """Name -> pruned start that the job compares; those that cannot reach the sparsity are left out."""
    sites: tuple[Site, ...]
    operators: tuple[str, ...]
    """Candidates at every site."""
    groups: Mapping[str, tuple[str, ...]]
    """Name of a group -> paths of the sites that share an operator, by ``activations.scope``."""
    own: Mapping[str, str]
    """Group -> the network's own operator at its sites."""
    layers: Mapping[str, tuple[int, ...]]
    """Name of a prunable parameter -> its shape."""
    weights: int
    """Number of prunable weights."""
    parameters: int
    """Numbers in the state of the dense network: weights, biases, norms and buffers."""
    sparsity: float
    """The job's sparsity; with a target, the one at which it is expected to be reached, by shapes alone."""
    live: int
    """Prunable weights that are left at ``sparsity``."""
    data: DataInfo
    notes: tuple[str, ...] = ()
    """Sentences about what was mended in the weights, and about defaults that differ from what the data suggests."""


def check(spec: JobSpec, *, data_root: Path | None, weights: Path | None) -> Preflight:
    """Check the job.

    Args:
        data_root: folder of the data sets that bring files.
        weights: the file that ``spec.model.weights`` or ``spec.model.network`` names.

    Raises:
        SafsError: the first problem found; ``field`` names the wrong part of the spec.
    """
    _check_names(spec)
    _check_combinations(spec)
    info = data.inspect(spec.data, data_root)
    blueprint, model = traceable(blueprint_for(spec, info, weights))
    parameters = sum(tensor.numel() for tensor in model.state_dict().values())
    _check_memory(blueprint, parameters)
    with _blamed_on("model.weights"):
        start = check_start(spec, blueprint, model, weights)
    with _blamed_on("sparsity" if spec.target is None else "target"):
        setting = _setting(spec, blueprint, model, info.train, start)
        for sparsity in spec.sparsities if spec.target is None else [setting.sparsity]:
            PRUNERS[spec.prune.method].check(replace(setting, sparsity=sparsity))
    with _blamed_on("model.architecture"):
        sites = find_sites(model)
    _check_batches(spec, info, model, blueprint)
    operators = candidate_operators(sites, spec.activations.operators)
    _check_choice(spec, blueprint, sites, operators)
    groups = site_groups(sites, spec.activations.scope, model, _example(blueprint))
    layers = {name: tuple(parameter.shape) for name, parameter in prunable_parameters(model).items()}
    total = sum(map(prod, layers.values()))
    _check_front(spec, total)
    return Preflight(
        blueprint=blueprint,
        starts={
            name: start
            for name, start in starts_of(spec.prune).items()
            if _can_prune(replace(setting, spec=start), spec.target)
        },
        sites=sites,
        operators=operators,
        groups=groups,
        own=original_operators(groups, sites),
        layers=layers,
        weights=total,
        parameters=parameters,
        sparsity=setting.sparsity if spec.sparsity is None else spec.sparsity,
        live=live_total(total, setting.sparsity if spec.sparsity is None else spec.sparsity),
        data=info,
        notes=(*start.notes, *_notes(spec, info, blueprint)),
    )


def _check_front(spec: JobSpec, weights: int) -> None:
    """Refuse two sparsities of a front that leave the same number of weights."""
    for low, high in pairwise(spec.front or ()):
        if live_total(weights, low) == live_total(weights, high):
            raise SpecError(
                f"the sparsities {low:g} and {high:g} both leave {live_total(weights, low):,} of {weights:,} weights; "
                "leave out one of them.",
                field="sparsity",
            )


def _can_prune(task: PruningTask, target: TargetSpec | None) -> bool:
    try:
        PRUNERS[task.spec.method].check(task if target is None else _aimed_at(target, task))
    except SafsError:
        return False
    return True


def _setting(spec: JobSpec, blueprint: Blueprint, model: nn.Module, images: int, start: CheckedStart) -> PruningTask:
    steps = steps_per_epoch(images, spec.data.batch_size)
    task = PruningTask(model, _example(blueprint), max(spec.sparsities), spec.prune, steps, start.held)
    return task if spec.target is None else _aimed_at(spec.target, task)


def _aimed_at(target: TargetSpec, task: PruningTask) -> PruningTask:
    return replace(task, sparsity=expected_sparsity(task, target))


def _example(blueprint: Blueprint) -> Tensor:
    return torch.zeros(1, blueprint.channels, blueprint.image_size, blueprint.image_size, device="meta")


def _notes(spec: JobSpec, info: DataInfo, blueprint: Blueprint) -> tuple[str, ...]:
    if spec.data.image_size is not None or info.image_size <= LARGEST_DEFAULT_SIZE:
        return ()
    size = blueprint.image_size
    return (f"Images of {info.image_size} pixels a side are resized to {size}; set data.image_size for another size.",)


def _check_memory(blueprint: Blueprint, parameters: int) -> None:
    """Refuse a network whose training needs more memory than any machine is expected to have."""
    needed, most = parameters * TRAINING_BYTES, max(MOST_TRAINING_BYTES, _machine_bytes())
    if needed > most:
        raise SpecError(
            f"training {blueprint.architecture} with {parameters:,} parameters takes about {needed / 1e9:,.1f} GB of "
            f"memory, more than {most / 1e9:,.1f} GB. Lower data.image_size, or choose a smaller architecture.",
            field="model.architecture",
        )


def _machine_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _check_names(spec: JobSpec) -> None:
    if spec.model.architecture is not None:
        models.find(spec.model.architecture)
    _known("dataset", spec.data.dataset, data.DATASETS, "data.dataset")
    _known("optimizer", spec.train.optimizer, OPTIMIZERS, "train.optimizer")
    _known("schedule", spec.train.schedule, SCHEDULES, "train.schedule")
    _known("pruning method", spec.prune.method, PRUNERS, "prune.method")
    _known("score", spec.prune.score, SCORES, "prune.score")
    _known("distribution", spec.prune.distribution, DISTRIBUTIONS, "prune.distribution")
    if spec.prune.recipe is not None:
        _known("optimizer", spec.prune.recipe.optimizer, OPTIMIZERS, "prune.recipe.optimizer")
        _known("schedule", spec.prune.recipe.schedule, SCHEDULES, "prune.recipe.schedule")
    if spec.prune.search is not None:
        _check_prune_search(spec.prune)
    for stage, section in (("activations", spec.activations), ("tune", spec.tune), ("joint", spec.joint)):
        _check_strategy(section, stage)
    if spec.activations.operators != "all":
        for position, operator in enumerate(spec.activations.operators):
            _known("operator", operator, OPERATORS, f"activations.operators.{position}")


def _check_prune_search(prune: PruneSpec) -> None:
    search, field = prune.search, "prune.search"
    assert search is not None
    for position, name in enumerate(search.distributions or ()):
        _known("distribution", name, DISTRIBUTIONS, f"{field}.distributions.{position}")
    for position, name in enumerate(search.schedules or ()):
        _known("pruning schedule", name, PRUNING_SCHEDULES, f"{field}.schedules.{position}")
    for position, recipe in enumerate(search.recipes or ()):
        _known("optimizer", recipe.optimizer, OPTIMIZERS, f"{field}.recipes.{position}.optimizer")
        _known("schedule", recipe.schedule, SCHEDULES, f"{field}.recipes.{position}.schedule")
    longest = max(start.epochs for start in starts_of(prune).values())
    if search.epochs <= longest:
        raise SpecError(
            f"prune.search.epochs is {search.epochs}, of which pruning takes {longest}; the starts are compared after "
            f"a short tuning. Choose at least {longest + 1}, or lower prune.epochs.",
            field=f"{field}.epochs",
        )


def _known(kind: str, name: str, known: Iterable[str], field: str) -> None:
    if name not in (names := list(known)):
        raise UnknownNameError(kind, name, names, field=field)


def _check_strategy(section: SearchSpec, stage: str) -> None:
    name = section.strategy
    suitable = [strategy for strategy, entry in STRATEGIES.items() if stage in entry.stages]
    if name in STRATEGIES and name not in suitable:
        raise SpecError(
            f"strategy {name!r} cannot search the {stage} space. Choose one of: {', '.join(suitable)}.",
            field=f"{stage}.strategy",
        )
    _known("strategy", name, suitable, f"{stage}.strategy")
    options = parse_options(
        STRATEGIES[name].options, section.options, what=f"strategy {name!r}", field=f"{stage}.options"
    )
    if isinstance(options, HalvingOptions) and (options.min_epochs or 0) > section.epochs:
        raise SpecError(
            f"{stage}.options.min_epochs is {options.min_epochs}, and no trial has more than {section.epochs} epochs. "
            f"Choose at most {max(section.epochs // options.eta, 1)}, so that trials are compared before they end, or "
            f"raise {stage}.epochs.",
            field=f"{stage}.options.min_epochs",
        )


def _check_combinations(spec: JobSpec) -> None:
    needs_path = data.DATASETS[spec.data.dataset].needs_path
    if needs_path and spec.data.path is None:
        raise SpecError(f"dataset {spec.data.dataset!r} needs data.path, relative to the data root.", field="data.path")
    if not needs_path and spec.data.path is not None:
        raise SpecError(
            f"dataset {spec.data.dataset!r} takes no data.path ({spec.data.path!r} was given); leave it out, or choose "
            "image_folder or npz.",
            field="data.path",
        )
    is_upload = spec.data.dataset == "upload"
    if is_upload and spec.data.upload is None:
        raise SpecError(
            "dataset 'upload' needs data.upload, the id of an upload; POST the file to /v1/uploads first.",
            field="data.upload",
        )
    if not is_upload and spec.data.upload is not None:
        raise SpecError(
            f"dataset {spec.data.dataset!r} takes no data.upload ({spec.data.upload!r} was given); leave it out, or "
            "choose the dataset 'upload'.",
            field="data.upload",
        )
    if set(spec.final.candidates) <= {FinalCandidate.DEFAULT, FinalCandidate.ONE_SHOT} and spec.prune.search is None:
        raise SpecError(
            "final.candidates holds 'default' alone, so no search would be used. Add 'safs', 'activations', "
            "'hyperparameters' or 'joint'.",
            field="final.candidates",
        )


def _check_batches(spec: JobSpec, info: DataInfo, model: nn.Module, blueprint: Blueprint) -> None:
    """Refuse batches of one image if batch norm would see a single value per channel, which it cannot train on."""
    if min(spec.data.batch_size, info.train) > 1:
        return
    try:
        model.train()(_example(blueprint))
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        if info.train == 1:
            raise SpecError(
                f"{blueprint.architecture} has batch norm, which cannot train on one training image. Lower "
                "data.validation_fraction, or add images.",
                field="data.validation_fraction",
            ) from error
        raise SpecError(
            f"{blueprint.architecture} has batch norm, which cannot train on batches of one image. Set "
            "data.batch_size to 2 or more.",
            field="data.batch_size",
        ) from error


def _check_choice(spec: JobSpec, blueprint: Blueprint, sites: Sequence[Site], operators: Sequence[str]) -> None:
    """Refuse a search without sites, or with one operator alone."""
    if not sites:
        raise SpecError(
            f"{blueprint.architecture} calls no activation function, so there is nothing to search.",
            field="model.architecture",
        )
    alone = {FinalCandidate.ACTIVATIONS, FinalCandidate.SAFS, FinalCandidate.JOINT} & set(spec.final.candidates)
    if len(operators) == 1 and alone:
        raise SpecError(
            f"activations.operators leaves {operators[0]!r} alone, the network's own, so there is nothing to search "
            f"for {', '.join(sorted(alone))}. Add another operator, say 'all', or have 'hyperparameters' alone in "
            f"final.candidates. Known: {', '.join(OPERATORS)}.",
            field="activations.operators",
        )


@contextmanager
def _blamed_on(field: str) -> Iterator[None]:
    """Set the field of errors that name none."""
    try:
        yield
    except SafsError as error:
        error.field = error.field or field
        raise
