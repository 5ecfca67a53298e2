"""Counting, tables and plot of the comparison of searches."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from benchmarks.headline import run
from benchmarks.searches.cells import Cell, Scale, done, in_order, prepare
from benchmarks.searches.equal_epochs import equal_epochs_table
from benchmarks.searches.picture import draw, mean_curve
from benchmarks.searches.reading import Run, read, run_of
from benchmarks.searches.tables import BEGIN, END, tables, write_tables
from benchmarks.searches.variants import OURS, PAPER, PAPER_TRIALS, VARIANTS, frugal_epochs
from benchmarks.searches.versions import MixedVersions, Version, read_version, write_version
from safs.events.plan import plan_stages
from safs.reuse.keys import code_version
from safs.spec.data import DataSpec
from safs.spec.job import JobSpec

SCALE = Scale("fashion_mnist", 0, 256, 0.1, 6, 3, 6)
DATA = DataSpec(dataset="fashion_mnist")
SEARCHES = ("activations", "tune", "joint")


def trial(number: int, epochs: int, accuracy: float | None, **more: object) -> dict[str, Any]:
    error = None if accuracy is not None else "the loss was not finite"
    return {"number": number, "epochs": epochs, "accuracy": accuracy, "error": error, "seconds": 1.0} | more


def report(
    variant: str | None, seed: int, rows: dict[str, float], searches: dict[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    spec = Cell(variant or PAPER, "lenet5", 0.99, "uniform", seed).spec(SCALE, DATA)
    return {
        "job": {"name": variant, "preset": "paper", "seed": seed},
        "spec": spec.model_dump(mode="json"),
        "rows": [
            {"name": name, "validation_accuracy": accuracy, "test_accuracy": accuracy - 0.01}
            for name, accuracy in rows.items()
        ],
        "result": max(rows, key=lambda name: rows[name] if name not in ("dense", "pruned") else 0),
        "searches": {name: {"strategy": "smac", "trials": trials} for name, trials in searches.items()},
        "seconds": 60.0,
    }


def paper(seed: int, safs: float) -> Run:
    rows = {"dense": 0.9, "pruned": 0.1, "default": 0.2, "activations": 0.3, "safs": safs}
    first, second = [trial(0, 3, 0.25), trial(1, 3, 0.3)], [trial(0, 3, 0.28), trial(1, 3, 0.4)]
    return run_of(report(None, seed, rows, {"activations": first, "tune": second}))


def ours(seed: int, joint: float) -> Run:
    rows = {"dense": 0.9, "pruned": 0.1, "default": 0.2, "joint": joint}
    return run_of(report(OURS, seed, rows, {"joint": [trial(0, 1, 0.25), trial(1, 1, 0.35)]}))


def test_every_variant_stays_within_a_quarter_of_the_papers_epochs() -> None:
    for name in VARIANTS.keys() - {PAPER, "paper-portfolio", "stage-2"}:
        spec = Cell(name, "lenet5", 0.99, "uniform", 0).spec(SCALE, DATA)
        planned = {plan.stage.value: plan.all_epochs for plan in plan_stages(spec)}
        assert sum(planned.get(stage, 0) for stage in SEARCHES) <= frugal_epochs(
            SCALE.trial_epochs, SCALE.final_epochs
        ), name


def test_the_variant_paper_has_the_published_schedule() -> None:
    spec = Cell(PAPER, "lenet5", 0.99, "uniform", 0).spec(SCALE, DATA)

    assert (spec.activations.strategy, spec.tune.strategy) == ("lahc", "smac")
    assert (spec.activations.trials, spec.tune.trials) == PAPER_TRIALS
    assert spec.train.learning_rate == 1e-3
    assert spec.train.optimizer == "adam"
    assert spec.data.batch_size == 256


def test_every_cell_has_a_different_folder() -> None:
    cells = in_order(list(VARIANTS), ["lenet5", "vgg16"], [0.9, 0.99], ["uniform", "global"], [0, 1])

    assert len({cell.folder(SCALE) for cell in cells}) == len(cells) == len(VARIANTS) * 16


def test_a_promoted_trial_counts_the_epochs_that_it_adds() -> None:
    trials = [trial(0, 1, 0.2), trial(1, 1, 0.3), trial(2, 3, 0.5, continues=1), trial(3, 9, 0.45, continues=2)]
    found = run_of(report(OURS, 0, {"default": 0.2, "joint": 0.6}, {"joint": trials}))

    assert [step.trained for step in found.steps] == [1, 1, 2, 6]
    assert found.incumbents() == [(1, 0.2), (2, 0.3), (4, 0.5), (10, 0.5)]
    assert (found.reaches(0.3), found.reaches(0.31), found.reaches(0.9)) == (2, 4, None)


def test_a_trial_that_stopped_early_counts_the_epochs_that_it_trained() -> None:
    trials = [trial(0, 9, 0.1, trained=2, left="predicts one class"), trial(1, 9, None, trained=1)]
    found = run_of(report(OURS, 0, {"default": 0.2, "joint": 0.6}, {"joint": trials}))

    assert found.incumbents() == [(2, 0.1), (3, 0.1)]


def test_stage_2_alone_does_not_count_for_the_papers_schedule() -> None:
    rows = {"default": 0.2, "hyperparameters": 0.7, "safs": 0.6}
    found = run_of(report(PAPER, 0, rows, {"tune_alone": [trial(0, 3, 0.9)], "tune": [trial(0, 3, 0.5)]}))

    assert (found.searched, found.final, found.result) == (3, "safs", "hyperparameters")
    assert found.incumbents() == [(3, 0.5)]


def test_the_mean_curve_starts_when_all_seeds_have_a_trial() -> None:
    slow = run_of(report(OURS, 0, {"joint": 0.6}, {"joint": [trial(0, 3, 0.4)]}))
    quick = run_of(report(OURS, 1, {"joint": 0.6}, {"joint": [trial(0, 1, 0.2), trial(1, 1, 0.1), trial(2, 3, 0.6)]}))

    epochs, means = mean_curve([slow, quick])

    assert epochs == [3, 5]
    assert means == pytest.approx([0.3, 0.5])


def test_the_tables_have_gains_and_costs() -> None:
    runs = [paper(0, 0.40), paper(1, 0.44), ours(0, 0.50), ours(1, 0.52)]

    text = tables(runs)

    assert "| published: LeNet-5, MNIST, test | 80 | 98.49 |  | 46.69 | 61.63 | 60.20 | 62.22 | +15.53 |" in text
    assert "| 10.0 ± 0.0 | 20.0 ± 0.0 | 30.0 ± 0.0 |  | 42.0 ± 2.8 | +22.0 ± 2.8 | 51.0 ± 1.4 | +31.0 ± 1.4 |" in text
    assert "| `paper` | 2 | 4 | 12 | 100% | 40.0 ± 0.0 | 42.0 ± 2.8 |  |  | 41.0 ± 2.8 |" in text
    assert f"| `{OURS}` | 2 | 2 | 2 | 17% | 35.0 ± 0.0 | 51.0 ± 1.4 | +9.0 ± 1.4 | not in search | 50.0 ± 1.4 |" in text
    assert "LeNet-5, Fashion-MNIST, 99%, uniform (2 seeds)" in text


def test_tables_are_written_between_the_marks_of_a_document(tmp_path: Path) -> None:
    path = tmp_path / "benchmarks.md"
    path.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nThe rest.\n")

    write_tables([paper(0, 0.4)], path)

    text = path.read_text()
    assert text.startswith(f"# Title\n\n{BEGIN}\n")
    assert text.endswith(f"{END}\n\nThe rest.\n")
    assert "old" not in text


@pytest.mark.parametrize("runs", [[], [paper(0, 0.40), ours(0, 0.50)]])
def test_the_plot_is_drawn(runs: list[Run], tmp_path: Path) -> None:
    draw(runs, tmp_path / "headline.png")

    assert (tmp_path / "headline.png").stat().st_size > 10_000


def test_a_cell_runs_as_a_job_and_its_report_is_read(tmp_path: Path) -> None:
    scale = Scale("digits", 0, 256, 0.1, 1, 1, 1)
    data, root = prepare(scale, tmp_path, None)
    cell = Cell(OURS, "lenet5", 0.9, "global", 0)
    given = copy.deepcopy(cell.spec(scale, data).model_dump(mode="json"))
    spec = JobSpec.model_validate(given | {"joint": given["joint"] | {"trials": 2}})

    run(spec, tmp_path / cell.folder(scale), root, "cpu", Console(quiet=True))

    found = read(tmp_path)
    assert [(one.variant, one.seed, one.searched) for one in found] == [(OURS, 0, 2)]
    assert found[0].setting.dataset == "digits"
    assert set(found[0].test) == {"dense", "pruned", "default", "joint"}


def test_an_npz_file_can_be_the_data_set_and_a_part_of_it(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    np.savez(tmp_path / "mine.npz", x=draw.integers(0, 256, (60, 28, 28), dtype=np.uint8), y=np.arange(60) % 3)
    whole = Scale("mine.npz", 0, 256, 0.1, 1, 1, 1)
    part = replace(whole, images=20)
    cell = Cell(OURS, "lenet5", 0.9, "global", 0)

    data, root = prepare(whole, tmp_path / "results", tmp_path)
    smaller, folder = prepare(part, tmp_path / "results", tmp_path)

    assert (data.dataset, data.path, root) == ("npz", "mine.npz", tmp_path)
    assert smaller.path == "mine-20.npz"
    assert folder is not None
    assert np.load(folder / "mine-20.npz")["x"].shape[0] == 20
    assert cell.folder(whole) == f"{OURS}_lenet5_mine_0.9_global_0"
    assert cell.folder(part) == f"{OURS}_lenet5_mine-20_0.9_global_0"


def test_a_table_of_two_versions_is_refused_with_their_commits(tmp_path: Path) -> None:
    runs = [
        replace(paper(0, 0.6), version=Version("aaa", "1" * 64)),
        replace(ours(0, 0.7), version=Version("bbb", "2" * 64)),
    ]

    with pytest.raises(MixedVersions, match=r"aaa \(11111111\), bbb \(22222222\)"):
        write_tables(runs, tmp_path / "tables.md")
    with pytest.raises(MixedVersions):
        equal_epochs_table(runs)
    assert not (tmp_path / "tables.md").exists()


def test_only_cells_of_this_version_count_as_done(tmp_path: Path) -> None:
    cell = Cell(PAPER, "lenet5", 0.99, "uniform", 0)
    folder = tmp_path / cell.folder(SCALE)
    folder.mkdir()
    (folder / "report.json").write_text("{}")

    assert done(tmp_path, [cell], SCALE) == set()
    write_version(folder)
    assert done(tmp_path, [cell], SCALE) == {cell}
    assert read_version(folder).code == code_version()


def test_every_way_costs_the_same_epochs_after_the_search() -> None:
    for name in ("two-recipes", "gradual", "gradual-search", "gradual-search-portfolio"):
        spec = Cell(name, "lenet5", 0.99, "global", 0).spec(SCALE, DATA)

        assert spec.prune.epochs + spec.final.epochs == SCALE.final_epochs
        assert spec.prune.distribution == "global"
        assert (spec.prune.search is not None) == name.startswith("gradual-search")


def test_the_headline_pairs_differences_by_seed_and_says_the_commit() -> None:
    runs = [one for seed in range(3) for one in (paper(seed, 0.5 + 0.01 * seed), ours(seed, 0.6 + 0.02 * seed))]
    runs = [replace(run, version=Version("abc", "1")) for run in runs]

    lines = equal_epochs_table(runs).splitlines()

    assert lines[0] == "Measured by commit abc."
    cells = {row.split(" | ")[0].removeprefix("| "): row.split(" | ") for row in lines[4:]}
    # 10, 11 and 12 points: 11 +- t(0.975, 2) 4.303 x 1 / sqrt(3)
    assert cells["one-shot, joint search"][3].removesuffix(" |") == "+11.0 (+8.5 to +13.5)"
    assert cells["one-shot, the paper's schedule"][2] == "50.0 ± 1.0"
    assert cells["one-shot, default protocol"][1] == "6"


def test_the_better_of_two_recipes_counts_with_the_epochs_that_compared_them() -> None:
    rows = {"dense": 0.9, "pruned": 0.1, "default": 0.4, "hyperparameters": 0.5}
    compared = {"tune_alone": [trial(0, 2, 0.3), trial(1, 2, 0.4)]}
    runs = [run_of(report(name, 0, rows, compared)) for name in ("two-recipes", "gradual")]

    lines = equal_epochs_table([replace(run, version=Version("abc", "1")) for run in runs]).splitlines()

    cells = {row.split(" | ")[0].removeprefix("| "): row.split(" | ") for row in lines[4:]}
    assert cells["one-shot, the better of two recipes"][1:3] == ["10", "49.0"]  # 2 trials of 2, and the final training
    assert cells["gradual, the better of two recipes"][2] == "49.0"
    assert cells["gradual, default protocol, no search"][2] == "39.0"
