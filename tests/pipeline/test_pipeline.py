import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from safs import data, load
from safs.errors import Cancelled, TimeLimitReached, TrainingError, WeightsError
from safs.events.kinds import EpochDone, Event, Note, Stage, StageDone, StageStarted, TrialDone
from safs.execution.serial import SerialExecutor
from safs.models import build
from safs.pipeline.result_stage import Result
from safs.pipeline.run import run_job
from safs.spec.job import JobSpec
from search_spaces import SPACES
from tests.pipeline.jobs import TINY, Finished

MLP: dict[str, Any] = {"model": {"architecture": "mlp"}}
PRUNABLE = ("conv1.weight", "conv2.weight", "fc1.weight", "fc2.weight", "fc3.weight")


def _run(changes: dict[str, Any], folder: Path, report: Any = None, dense: Path | None = None) -> Result:
    return run_job(
        JobSpec.model_validate(TINY | changes),
        spaces=SPACES,
        executor=SerialExecutor(),
        report=report or (lambda event: None),
        data_root=None,
        dense_weights=dense,
        out_dir=folder,
    )


def test_the_stages_run_in_order_and_each_says_how_it_ended(finished: Finished) -> None:
    started = [event.stage for event in finished.events if isinstance(event, StageStarted)]
    done = [event.stage for event in finished.events if isinstance(event, StageDone)]

    assert started == done == [stage for stage in Stage if stage not in (Stage.PRUNE_SEARCH, Stage.JOINT, Stage.FRONT)]
    assert all(event.summary for event in finished.events if isinstance(event, StageDone))


def test_the_comparison_has_all_six_rows_with_both_accuracies_and_exact_sparsity(finished: Finished) -> None:
    rows = {row["name"]: row for row in finished.result.report["rows"]}

    assert list(rows) == ["dense", "pruned", "default", "activations", "hyperparameters", "safs"]
    # LeNet-5: 150 + 2,400 + 48,000 + 10,080 + 840 weights; 95% of 61,470 is 58,396.5, rounded half to even 58,396.
    assert (rows["dense"]["weights"], rows["dense"]["live_weights"]) == (61_470, 61_470)
    for name in list(rows)[1:]:
        assert rows[name]["live_weights"] == 61_470 - 58_396, name
    for row in rows.values():
        assert 0 <= row["validation_accuracy"] <= 1
        assert 0 <= row["test_accuracy"] <= 1


def test_the_report_has_the_size_of_the_compact_checkpoint_and_its_outputs_are_equal(finished: Finished) -> None:
    section = finished.result.report["deploy"]

    (compact,) = section["formats"]
    assert compact["format"] == "compact"
    assert section["bound_bytes"] < compact["size_bytes"] < section["checkpoint_bytes"] / 5
    assert compact["equality"]["source"] == "validation split"
    assert compact["equality"]["largest_difference"] == 0
    assert json.loads((finished.result.directory / "report.json").read_text())["deploy"]["formats"][0] == compact


def test_the_result_is_the_best_finalist_on_validation(finished: Finished) -> None:
    finalists = finished.result.report["rows"][2:]
    best = max(row["validation_accuracy"] for row in finalists)

    winner = next(row for row in finalists if row["name"] == finished.result.report["result"])

    assert winner["validation_accuracy"] == best


def test_the_checkpoint_is_read_by_safetensors_alone_under_the_models_own_names(finished: Finished) -> None:
    state = load_file(finished.result.directory / "checkpoint.safetensors")

    assert set(state) == set(build("lenet5", channels=1, classes=10, image_size=28).state_dict())
    assert sum(int(torch.count_nonzero(state[name])) for name in PRUNABLE) == 61_470 - 58_396


def test_the_loaded_network_scores_on_the_test_split_what_the_report_says(finished: Finished) -> None:
    model = load(finished.result.directory)
    splits = data.load(finished.spec.data, root=None, channels=1, image_size=28, seed=finished.spec.seed)
    images, labels = next(splits.test.batches(10_000, device=torch.device("cpu")))

    with torch.inference_mode():
        accuracy = float((model(images).argmax(1) == labels).double().mean())

    row = next(row for row in finished.result.report["rows"] if row["name"] == finished.result.report["result"])
    assert accuracy == pytest.approx(row["test_accuracy"], abs=1e-9)


def test_the_network_takes_images_normalised_as_config_json_says(finished: Finished) -> None:
    config = json.loads((finished.result.directory / "config.json").read_text())
    splits = data.load(finished.spec.data, root=None, channels=1, image_size=28, seed=finished.spec.seed)
    normalised, _ = next(splits.test.batches(4, device=torch.device("cpu")))
    raw = splits.test.images[:4].float()  # type: ignore[attr-defined]  # digits live in memory
    if raw.shape[-1] != 28:
        raw = torch.nn.functional.interpolate(raw, size=28, mode="bilinear", antialias=True)

    by_hand = (raw / config["input"]["scale"] - torch.tensor(config["input"]["mean"])[:, None, None]) / torch.tensor(
        config["input"]["std"]
    )[:, None, None]

    assert torch.allclose(by_hand, normalised, atol=2e-2)


def test_every_trial_and_curve_is_in_the_report(finished: Finished) -> None:
    report = json.loads((finished.result.directory / "report.json").read_text())

    trials = {stage: len(search["trials"]) for stage, search in report["searches"].items()}
    # Late acceptance continues while it improves, so it may have added trials.
    assert trials.pop("activations") >= 3
    assert trials == {"tune": 3, "tune_alone": 3}
    assert len(report["curves"]["dense"]) == 3
    assert {name: len(curve) for name, curve in report["curves"].items()}["safs"] == 2
    assert len(report["sites"]) == 4
    assert (finished.result.directory / "report.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_spec_gives_the_same_candidates_outcomes_and_bytes(finished: Finished, tmp_path: Path) -> None:
    again = Finished(finished.spec, tmp_path)

    def outcomes(events: list[Event]) -> list[Any]:
        found = [event for event in events if isinstance(event, TrialDone)]
        return [(event.stage, event.candidate, event.outcome.loss, event.outcome.metrics) for event in found]

    assert outcomes(again.events) == outcomes(finished.events)
    assert again.result.report["result"] == finished.result.report["result"]
    name = "checkpoint.safetensors"
    assert (again.result.directory / name).read_bytes() == (finished.result.directory / name).read_bytes()


def test_a_job_without_tuning_runs_no_tuning(tmp_path: Path) -> None:
    events: list[Event] = []

    result = _run(MLP | {"final": {"epochs": 1, "candidates": ["default", "activations"]}}, tmp_path, events.append)

    stages = [event.stage for event in events if isinstance(event, StageStarted)]
    assert Stage.TUNE not in stages
    assert Stage.TUNE_ALONE not in stages
    assert [row["name"] for row in result.report["rows"]] == ["dense", "pruned", "default", "activations"]


def test_repeats_train_each_finalist_from_several_seeds_and_report_the_mean(tmp_path: Path) -> None:
    final = {"epochs": 1, "repeats": 2, "candidates": ["default", "activations"]}

    result = _run(MLP | {"final": final}, tmp_path)

    for row in result.report["rows"][2:]:
        assert row["repeats"] == 2
        assert row["validation_accuracy"] == pytest.approx(sum(row["validation_accuracies"]) / 2)


def test_given_dense_weights_are_used_instead_of_training(tmp_path: Path) -> None:
    dense = build("lenet5", channels=1, classes=10, image_size=28, seed=7)
    save_file(dense.state_dict(), tmp_path / "dense.safetensors")
    events: list[Event] = []

    _run(
        {"sparsity": 0.0, "final": {"epochs": 1, "candidates": ["default", "activations"]}},
        tmp_path / "out",
        events.append,
        tmp_path / "dense.safetensors",
    )

    assert not [event for event in events if isinstance(event, TrialDone) and event.stage is Stage.DENSE]


def test_dense_weights_that_do_not_fit_are_refused_before_anything_runs(tmp_path: Path) -> None:
    save_file({"conv1.weight": torch.zeros(6, 1, 3, 3)}, tmp_path / "dense.safetensors")
    events: list[Event] = []

    with pytest.raises(WeightsError, match=r"conv2\.weight is missing"):
        _run({}, tmp_path / "out", events.append, tmp_path / "dense.safetensors")

    assert events == []


def test_a_trial_that_diverges_is_an_outcome_with_a_reason(tmp_path: Path) -> None:
    events: list[Event] = []
    train = {"epochs": 1, "optimizer": "sgd", "learning_rate": 1e-2}

    def explode(event: Event) -> None:
        events.append(event)

    spaces = replace(SPACES, recipe_from=lambda config, train: train.model_copy(update={"learning_rate": 100.0}))
    spec = JobSpec.model_validate(TINY | {"train": train, "sparsity": 0.5})
    with pytest.raises(TrainingError, match=r"all 3 trials of stage tune failed; the first: .*not finite in epoch 1"):
        run_job(
            spec,
            spaces=spaces,
            executor=SerialExecutor(),
            report=explode,
            data_root=None,
            dense_weights=None,
            out_dir=tmp_path,
        )

    failed = [event for event in events if isinstance(event, TrialDone) and event.stage is Stage.TUNE]
    assert len(failed) == 3
    assert all(event.outcome.error for event in failed)


def test_an_exception_of_report_ends_the_run(tmp_path: Path) -> None:
    def cancel(event: Event) -> None:
        if isinstance(event, TrialDone):
            raise Cancelled("cancelled by the user")

    with pytest.raises(Cancelled):
        _run({}, tmp_path, cancel)

    assert list(tmp_path.iterdir()) == []


def test_the_time_limit_ends_the_run_and_says_what_to_raise(tmp_path: Path) -> None:
    with pytest.raises(TimeLimitReached, match=r"resources\.time_limit_s"):
        _run({"resources": {"time_limit_s": 1}, "train": {"epochs": 1000}}, tmp_path)


def test_a_default_protocol_at_chance_is_blamed_on_the_uniform_distribution(tmp_path: Path) -> None:
    events: list[Event] = []

    _run(
        {
            "sparsity": 0.99,
            "prune": {"distribution": "uniform", "schedule": "one_shot"},
            "train": {"epochs": 1},
            "final": {"epochs": 1, "candidates": ["default", "activations"]},
        },
        tmp_path,
        events.append,
    )

    notes = [event for event in events if isinstance(event, Note) and event.level == "warning"]
    assert ["uniform" in note.message and note.level == "warning" for note in notes] == [True]


def test_the_report_has_the_estimate_beside_what_the_job_took(finished: Finished) -> None:
    estimate, actual = (finished.result.report[name] for name in ("estimate", "actual"))
    trials = [event for event in finished.events if isinstance(event, TrialDone)]
    epochs = [event for event in finished.events if isinstance(event, EpochDone)]

    assert (actual["trials"], actual["epochs"]) == (len(trials), len(epochs))
    assert estimate["trials"]["low"] <= actual["trials"] <= estimate["trials"]["high"]
    assert estimate["epochs"]["low"] <= actual["epochs"] <= estimate["epochs"]["high"]
    assert actual["seconds"] > 0
    assert estimate["seconds"] > 0
    assert actual["ratio"] == pytest.approx(actual["seconds"] / estimate["seconds"])
    assert Note(estimate["summary"]) in finished.events
    assert estimate["summary"] in finished.result.report["notes"]
