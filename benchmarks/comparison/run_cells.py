"""Runs the cells of the comparison of pruning methods, by the parts that a job is made of."""

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
from safs.data.features import select
from safs.errors import SafsError, TrainingError
from safs.events.kinds import Event, Report, Stage
from safs.execution.executor import NamedWork
from safs.execution.pruning import Pruning, Work
from safs.execution.serial import SerialExecutor
from safs.execution.training import Training, score
from safs.execution.work import Context, Trained
from safs.networks import Network
from safs.pipeline.run import run_job
from safs.preflight import check
from safs.spec.job import DataSpec, JobSpec, Recipe
from safs.trials import Candidate
from search_spaces import SPACES

Answer = TypeVar("Answer")


class CellRunner:
    """Runs cells on one machine; data and dense networks are made once a seed.

    Args:
        folder: where dense networks are kept, for a later run as well.
    """

    def __init__(self, settings: Settings, data_root: Path | None, folder: Path) -> None:
        self._settings, self._folder = settings, folder
        self._data, self._data_root = _images(settings.images, data_root, folder)
        self._executor = SerialExecutor(settings.device)
        self._clock = time.process_time if settings.device == "cpu" else time.perf_counter

    def run(self, cell: Cell, report: Report | None = None) -> Record:
        """What there is to say of the cell: accuracies on the test images, or why there are none.

        Args:
            report: told of every event of a search.
        """
        started = time.perf_counter()
        found: Record
        try:
            found = {"error": None} | self._measure(cell, report or _silent)
        except SafsError as error:
            found = {"error": f"{error.code}: {error.message}"}
        return key_of(self._settings, cell) | found | {"wall_s": round(time.perf_counter() - started, 1)}

    def spec(self, cell: Cell) -> JobSpec:
        """The cell as a job; a cell without a search leaves out what a job would search."""
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
            return self._found(spec, {}, trained, seconds, test) | {"plain_epoch_s": seconds / spec.final.epochs}
        pruning = Pruning(spec.prune, spec.sparsity, spec.prune.recipe or _recipe(spec), spec.seed)
        pruned, prune_s = self._timed(lambda: self._do(Stage.PRUNE, pruning, dense))
        trained, final_s = self._timed(lambda: self._do(Stage.FINAL, final, _after(pruned, context)))
        part = replace(dense, train=_part(dense.train), validation=_part(dense.validation))
        _, part_s = self._timed(lambda: self._do(Stage.DENSE, replace(final, epochs=1), part))
        found = self._found(spec, {"pruned": pruned}, trained, prune_s + final_s, test)
        return found | {"plain_epoch_s": part_s * len(dense.train) / len(part.train)}

    def _found(self, spec: JobSpec, before: Mapping[str, Trained], final: Trained, seconds: float, test: Any) -> Record:
        networks = {name: one.network for name, one in {**before, "default": final}.items()}
        sparsity = _there(final).sparsity()
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
        """The seed's dense network, trained if no earlier run has left it."""
        settings = self._settings
        name = f"{settings.architecture}-{settings.images}-{settings.batch_size}-{spec.train.epochs}-{spec.seed}"
        path = self._folder / f"{name}.safetensors"
        if not path.exists():
            context, _ = self._context(spec)
            trained = self._do(Stage.DENSE, Training({}, _recipe(spec), spec.train.epochs, spec.seed), context)
            save_file(dict(_there(trained).state), part := path.with_suffix(".part"))
            part.replace(path)
        return path

    def _context(self, spec: JobSpec) -> tuple[Context, data.Split]:
        """Dense training's context and the test split."""
        blueprint = check(spec, data_root=self._data_root, weights=None).blueprint
        splits = _splits(spec.data, self._data_root, blueprint.channels, blueprint.image_size, spec.seed)
        return Context(blueprint, splits.train, splits.validation, spec.data.batch_size, augment=True), splits.test

    def _do(self, stage: Stage, work: Work, context: Context) -> Trained:
        """Trains or prunes.

        Raises:
            TrainingError: it broke down.
        """
        epochs = work.epochs if isinstance(work, Training) else work.spec.epochs
        named = NamedWork(Candidate(0, {}, epochs, work.seed), work)
        trained = self._executor.train(stage, [named], context, _silent)[0]
        _there(trained)
        return trained

    def _timed(self, work: Callable[[], Answer]) -> tuple[Answer, float]:
        """Seconds of the processor, which other programs do not lengthen; on a GPU those of the wall clock."""
        started = self._clock()
        return work(), self._clock() - started


def _silent(event: Event) -> None:
    """Tells nobody."""


def _recipe(spec: JobSpec) -> Recipe:
    return Recipe(**spec.train.model_dump(exclude={"epochs"}))


def _there(trained: Trained) -> Network:
    if trained.network is None:
        raise TrainingError(trained.outcome.error or "no network")
    return trained.network


def _after(pruned: Trained, context: Context) -> Context:
    """What fine-tuning starts from: the pruned network, and the images as it reads them."""
    network = _there(pruned)
    after = replace(context, blueprint=network.blueprint, start=network.state, masks=network.masks)
    if (inputs := network.blueprint.form.inputs) is None:
        return after
    return replace(after, train=select(context.train, inputs), validation=select(context.validation, inputs))


def _part(split: data.Split) -> data.Split:
    """An eighth of the images: enough to time an epoch by."""
    assert isinstance(split, data.TensorSplit)
    end = max(1, len(split) // 8)
    return replace(split, images=split.images[:end], labels=split.labels[:end])


@cache
def _splits(spec: DataSpec, root: Path | None, channels: int, image_size: int, seed: int) -> data.Splits:
    return data.load(spec, root=root, channels=channels, image_size=image_size, seed=seed)


def _images(images: int, root: Path | None, folder: Path) -> tuple[DataSpec, Path | None]:
    """Fashion-MNIST, whole or its first ``images`` (and a sixth as many for the test), as a data set and its root."""
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
