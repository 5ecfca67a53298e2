"""Jobs in which a final training breaks down."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from safs.events.kinds import Event, Note
from safs.execution.serial import SerialExecutor
from safs.models import build
from safs.pipeline.run import run_job
from safs.spec.job import JobSpec
from safs.spec.training import Recipe, TrainSpec
from safs.trials import Config
from search_spaces import SPACES
from tests.pipeline.jobs import TINY


def exploding_after(searches: int) -> Callable[[Config, TrainSpec], Recipe]:
    """Recipes that train well in the first ``searches`` trials and diverge afterwards."""
    asked: list[Config] = []

    def recipe_from(config: Config, train: TrainSpec) -> Recipe:
        asked.append(config)
        # Nothing that a spec allows diverges this surely.
        update: dict[str, Any] = {} if len(asked) <= searches else {"optimizer": "sgd", "learning_rate": 1e30}
        return Recipe().model_copy(update=update)

    return recipe_from


def test_a_finalist_that_broke_down_leaves_the_comparison_and_a_warning_says_why(tmp_path: Path) -> None:
    events: list[Event] = []
    changes: dict[str, Any] = {
        "sparsity": 0.5,
        "final": {"epochs": 1, "candidates": ["default", "hyperparameters"]},
    }

    result = run_job(
        JobSpec.model_validate(TINY | changes),
        spaces=replace(SPACES, recipe_from=exploding_after(searches=3)),
        executor=SerialExecutor(),
        report=events.append,
        data_root=None,
        dense_weights=None,
        out_dir=tmp_path,
    )

    assert [row["name"] for row in result.report["rows"]] == ["dense", "pruned", "default"]
    assert result.report["result"] == "default"
    warnings = [event.message for event in events if isinstance(event, Note) and event.level == "warning"]
    estimate, *notes = result.report["notes"]
    assert estimate.startswith("about ")
    assert warnings == notes
    assert len(warnings) == 1
    assert "hyperparameters broke down and cannot be the result: the loss was not finite in epoch 1" in warnings[0]


def test_a_default_protocol_that_broke_down_is_not_reported_as_chance(tmp_path: Path) -> None:
    dense = build("lenet5", channels=1, classes=10, image_size=28, seed=7)
    save_file(dense.state_dict(), tmp_path / "dense.safetensors")
    changes: dict[str, Any] = {
        "sparsity": 0.0,
        "final": {"epochs": 1, "candidates": ["default", "hyperparameters"]},
        "train": {"epochs": 1, "optimizer": "sgd", "learning_rate": 100.0},
    }

    result = run_job(
        JobSpec.model_validate(TINY | changes),
        spaces=replace(SPACES, recipe_from=lambda config, train: Recipe()),
        executor=SerialExecutor(),
        report=lambda event: None,
        data_root=None,
        dense_weights=tmp_path / "dense.safetensors",
        out_dir=tmp_path / "out",
    )

    assert result.report["result"] == "hyperparameters"
    assert result.report["gain"] == {"validation": None, "test": None}
    assert [note.partition(":")[0] for note in result.report["notes"][1:]] == [
        "default broke down and cannot be the result"
    ]
