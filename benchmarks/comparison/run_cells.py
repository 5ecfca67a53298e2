"""Runs the cells of the comparison of pruning methods with the functions that a job uses."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import numpy as np
from safetensors.torch import load_file, save_file

from benchmarks.comparison.cells import DENSE, Cell, Record, Settings, key_of, prune_section
from safs import data
from safs.errors import SafsError, TrainingError
from safs.events.kinds import Event, Report, Stage
from safs.execution.executor import Task
from safs.execution.pruning import Pruning
from safs.execution.runs import Work
from safs.execution.serial import SerialExecutor
from safs.execution.training import Training, score
from safs.execution.work import Context, Trained
from safs.networks import Network
from safs.pipeline.run import run_job
from safs.preflight import check
from safs.spec.data import DataSpec
from safs.spec.job import JobSpec
from safs.spec.training import Recipe
from safs.training.settings import TrainingData
from safs.trials import Candidate
from search_spaces import SPACES

Result = TypeVar("Result")


class CellRunner:
    """Runs cells on this machine. Data and the dense network are made once for each seed.

    Args:
        folder: stores the dense networks, also for later runs.
    """

    def __init__(self, settings: Settings, data_root: Path | None, folder: Path) -> None:
        self._settings, self._folder = settings, folder
        self._data, self._data_root = _images(settings.images, data_root, folder)
        self._executor = SerialExecutor(settings.device)
        self._clock = time.process_time if settings.device == "cpu" else time.perf_counter

    def run(self, cell: Cell, report: Report | None = None) -> Record:
        """Measure a cell: its test accuracies, or the error that stopped it.

        Args:
            report: called with every event of a search; None ignores them.
        """
        started = time.perf_counter()
        measured: Record
        try:
            measured = {"error": None} | self._measure(cell, report or _ignore)
        except SafsError as error:
            measured = {"error": f"{error.code}: {error.message}"}
        return key_of(self._settings, cell) | measured | {"wall_s": round(time.perf_counter() - started, 1)}

    def spec(self, cell: Cell) -> JobSpec:
        """Spec of the cell as a job. A cell without a search ignores the sections of the searches."""
        settings = self._settings
        section, final_epochs = prune_section("magnitude" if cell.row == DENSE else cell.row, settings)
        trials, epochs = cell.search or (1, 1)
        search = {"trials": trials, "epochs": epochs}
        return JobSpec.model_validate(
            {
                "model": {"architecture": settings.architecture, "weights": "dense"},
                "data": self._data.model_dump() | {"batch_size": settings.batch_size},
                "sparsity": cell.sparsity,
                "preset": "quick",
                "train": {"epochs": settings.dense_epochs},
                "prune": section,
                "activations": search,
                "tune": search,
                "final": {"epochs": final_epochs, "candidates": ["default", "safs"]},
                "seed": cell.seed,
            }
        )

    def _measure(self, cell: Cell, report: Report) -> Record:
        spec = self.spec(cell)
        if cell.search is not None:
            return self._searched(spec, report)
        context, test = self._context(spec)
        dense = replace(context, start=load_file(self._dense_weights(spec)))
        final = Training({}, _recipe(spec), spec.final.epochs, spec.seed)
        if cell.row == DENSE:
            trained, seconds = self._timed(lambda: self._do(Stage.FINAL, final, dense))
            return self._record(spec, {}, trained, seconds, test) | {"plain_epoch_s": seconds / spec.final.epochs}
        pruning = Pruning(spec.prune, spec.sparsity, spec.prune.recipe or _recipe(spec), spec.seed)
        pruned, prune_s = self._timed(lambda: self._do(Stage.PRUNE, pruning, dense))
        trained, final_s = self._timed(lambda: self._do(Stage.FINAL, final, _fine_tuning_context(pruned, context)))
        data = dense.data
        eighth = replace(data, train=_eighth(data.train), validation=_eighth(data.validation))
        part = replace(dense, data=eighth)
        _, part_s = self._timed(lambda: self._do(Stage.DENSE, replace(final, epochs=1), part))
        record = self._record(spec, {"pruned": pruned}, trained, prune_s + final_s, test)
        return record | {"plain_epoch_s": part_s * len(data.train) / len(eighth.train)}

    def _record(
        self, spec: JobSpec, before: Mapping[str, Trained], final: Trained, seconds: float, test: Any
    ) -> Record:
        networks = {name: one.network for name, one in {**before, "default": final}.items()}
        sparsity = _network(final).sparsity()
        return {
            "test": {
                name: score(network, test, spec.data.batch_size, self._settings.device).accuracy
                for name, network in networks.items()
                if network is not None
            },
            "validation": {"default": final.outcome.metrics["accuracy"]},
            "weights": sparsity.weights,
            "live": sparsity.live,
            "stored": sum(layer.stored for layer in sparsity.layers),
            "epochs": (spec.prune.epochs if before else 0) + spec.final.epochs,
            "seconds": seconds,
        }

    def _searched(self, spec: JobSpec, report: Report) -> Record:
        with TemporaryDirectory(prefix="safs-bench-") as folder:
            result = run_job(
                spec,
                spaces=SPACES,
                executor=self._executor,
                report=report,
                data_root=self._data_root,
                dense_weights=self._dense_weights(spec),
                out_dir=Path(folder),
            )
        table = {row["name"]: row for row in result.report["rows"] if row["name"] != DENSE}
        return {
            "test": {name: row["test_accuracy"] for name, row in table.items()},
            "validation": {name: row["validation_accuracy"] for name, row in table.items()},
            "weights": result.report["sparsity"]["weights"],
            "live": result.report["sparsity"]["live"],
        }

    def _dense_weights(self, spec: JobSpec) -> Path:
        """Path of the seed's dense network, trained unless an earlier run stored it."""
        settings = self._settings
        name = f"{settings.architecture}-{settings.images}-{settings.batch_size}-{spec.train.epochs}-{spec.seed}"
        path = self._folder / f"{name}.safetensors"
        if not path.exists():
            context, _ = self._context(spec)
            trained = self._do(Stage.DENSE, Training({}, _recipe(spec), spec.train.epochs, spec.seed), context)
            save_file(dict(_network(trained).state), part := path.with_suffix(".part"))
            part.replace(path)
        return path

    def _context(self, spec: JobSpec) -> tuple[Context, data.Split]:
        """Context of the dense training, and the test split."""
        blueprint = check(spec, data_root=self._data_root, weights=None).blueprint
        splits = _splits(spec.data, self._data_root, blueprint.channels, blueprint.image_size, spec.seed)
        images = TrainingData(splits.train, splits.validation, spec.data.batch_size, augment=True)
        return Context(blueprint, images), splits.test

    def _do(self, stage: Stage, work: Work, context: Context) -> Trained:
        """Train or prune.

        Raises:
            TrainingError: the training failed.
        """
        epochs = work.epochs if isinstance(work, Training) else work.spec.epochs
        named = Task(Candidate(0, {}, epochs, work.seed), work)
        trained = self._executor.train(stage, [named], context, _ignore, lambda named, trained: None)[0]
        _network(trained)
        return trained

    def _timed(self, work: Callable[[], Result]) -> tuple[Result, float]:
        """Result and seconds of ``work``: CPU time, which other programs do not affect, or wall time on a GPU."""
        started = self._clock()
        return work(), self._clock() - started


def _ignore(event: Event) -> None:
    """Ignore an event."""


def _recipe(spec: JobSpec) -> Recipe:
    return Recipe(**spec.train.model_dump(exclude={"epochs"}))


def _network(trained: Trained) -> Network:
    """The trained network; raises TrainingError if the training failed."""
    if trained.network is None:
        raise TrainingError(trained.outcome.error or "no network")
    return trained.network


def _fine_tuning_context(pruned: Trained, context: Context) -> Context:
    """Context of the fine-tuning: the pruned network, and images reduced to the inputs that it reads."""
    network = _network(pruned)
    images = context.data.select(network.blueprint.form.inputs)
    return Context(network.blueprint, images, start=network.state, masks=network.masks)


def _eighth(split: data.Split) -> data.Split:
    """An eighth of the images, enough to time an epoch."""
    assert isinstance(split, data.TensorSplit)
    end = max(1, len(split) // 8)
    return replace(split, images=split.images[:end], labels=split.labels[:end])


@cache
def _splits(spec: DataSpec, root: Path | None, channels: int, image_size: int, seed: int) -> data.Splits:
    return data.load(spec, root=root, channels=channels, image_size=image_size, seed=seed)


def _images(images: int, root: Path | None, folder: Path) -> tuple[DataSpec, Path | None]:
    """Data spec and data root of Fashion-MNIST, or of its first ``images`` with a sixth as many test images."""
    spec = DataSpec(dataset="fashion_mnist")
    if not images:
        return spec, root
    name = f"fashion-mnist-{images}.npz"
    if not (folder / name).exists():
        whole = data.load(spec, root=root, channels=1, image_size=28, seed=0)
        arrays: dict[str, Any] = {}
        for suffix, split, count in (("", whole.train, images), ("_test", whole.test, max(10, images // 6))):
            assert isinstance(split, data.TensorSplit)
            arrays |= {f"x{suffix}": split.images[:count].numpy(), f"y{suffix}": split.labels[:count].numpy()}
        np.savez(folder / name, **arrays)
    return DataSpec(dataset="npz", path=name), folder
