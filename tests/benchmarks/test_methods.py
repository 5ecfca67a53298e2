"""Epochs, records, tables and plot of the comparison of pruning methods."""

import json
from pathlib import Path

import pytest

from benchmarks.comparison.cells import DENSE, Cell, Record, Settings, in_order, key_of, prune_section, rows
from benchmarks.comparison.picture import draw
from benchmarks.comparison.tables import BEGIN, END, tables, write_tables
from benchmarks.methods import expected_s, read
from safs.pruning.pruners import PRUNERS
from safs.spec.pruning import PruneSpec

SETTINGS = Settings("lenet5", 0, 128, 2, 4, 3, "cpu", "0.1.0", "2.15.0")


def record(row: str, sparsity: float, seed: int, accuracy: float | None, **more: object) -> Record:
    found: Record = {"error": "impossible_sparsity: too few", "wall_s": 0.1}
    if accuracy is not None:
        found = {"error": None, "test": {"default": accuracy}, "live": round(1000 * (1 - sparsity)), "wall_s": 10.0}
    return key_of(SETTINGS, Cell(row, sparsity, seed)) | found | more


def test_every_method_trains_the_same_number_of_epochs() -> None:
    for row, given in rows().items():
        section, final_epochs = prune_section(row, SETTINGS)
        dense = 0 if PRUNERS[given["method"]].from_scratch else 2
        assert dense + PruneSpec(**section).epochs + final_epochs == 9, row


def test_a_one_shot_method_fine_tunes_in_the_epochs_of_pruning() -> None:
    assert prune_section("magnitude", SETTINGS) == ({"method": "magnitude", "epochs": 0}, 7)


def test_an_unknown_row_has_no_prune_section() -> None:
    assert set(PRUNERS) <= set(rows())
    with pytest.raises(KeyError):
        prune_section("no such row", SETTINGS)


def test_all_cells_of_a_sparsity_come_before_the_next() -> None:
    cells = in_order([DENSE, "magnitude", "random"], [0.99, 0.9], [3, 4], None)

    assert [(cell.row, cell.sparsity, cell.seed) for cell in cells] == [
        (DENSE, 0.0, 3),
        (DENSE, 0.0, 4),
        ("magnitude", 0.99, 3),
        ("random", 0.99, 3),
        ("magnitude", 0.99, 4),
        ("random", 0.99, 4),
        ("magnitude", 0.9, 3),
        ("random", 0.9, 3),
        ("magnitude", 0.9, 4),
        ("random", 0.9, 4),
    ]


def test_a_key_is_equal_after_a_round_trip_through_json() -> None:
    key = key_of(SETTINGS, Cell("rigl", 0.99, 0, (16, 5)))

    assert json.loads(json.dumps(key)) == key
    assert key != key_of(SETTINGS, Cell("rigl", 0.99, 0))


def test_a_truncated_line_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text('{"row": "magnitude"}\n{"row": "ran')

    assert read(path) == [{"row": "magnitude"}]
    assert read(tmp_path / "none.jsonl") == []


def test_the_expected_time_is_the_median_of_the_same_row() -> None:
    done = [record("ap", 0.9, seed, 0.5, wall_s=seconds) for seed, seconds in enumerate((30.0, 50.0, 40.0))]
    done += [record("rigl", 0.9, 0, 0.5, wall_s=20.0), record("rigl", 0.999, 0, None)]

    assert expected_s(Cell("ap", 0.99, 0), done) == 40.0
    assert expected_s(Cell("rigl", 0.99, 0), done) == 20.0
    assert expected_s(Cell("set", 0.99, 0), done) == 35.0
    assert expected_s(Cell("ap", 0.99, 0, (16, 5)), done) == 0.0


def test_a_table_has_means_deviations_gaps_and_errors() -> None:
    records = [record(DENSE, 0.0, 0, 0.9), record(DENSE, 0.0, 1, 0.9), record(DENSE, 0.0, 2, 0.9)]
    records += [record("magnitude", 0.99, seed, accuracy) for seed, accuracy in enumerate((0.70, 0.72, 0.74))]
    records += [record("magnitude", 0.999, 0, 0.4), record("joint_input", 0.999, 0, None)]
    records[3] |= {"seconds": 12.0, "epochs": 4, "plain_epoch_s": 2.0}

    lines = tables(records).splitlines()

    assert "| method | 99% | 99.9% | time |" in lines
    assert "| *live weights* | *10* | *1* |  |" in lines
    assert "The dense network, with as many epochs in all: 90.0 ± 0.0." in " ".join(lines[:4])
    assert "| magnitude | 72.0 ± 2.0 | 40.0 (1) | 1.50 |" in lines
    assert "| joint_input |  | refused |  |" in lines
    assert "- joint_input at 99.9%: impossible_sparsity: too few" in lines


def test_tables_are_written_between_the_marks_of_a_document(tmp_path: Path) -> None:
    path = tmp_path / "methods.md"
    path.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nThe rest.\n")

    write_tables([record("magnitude", 0.99, 0, 0.7)], path)

    text = path.read_text()
    assert text.startswith(f"# Title\n\n{BEGIN}\n")
    assert text.endswith(f"{END}\n\nThe rest.\n")
    assert "old" not in text
    assert "| magnitude | 70.0 |  |" in text


@pytest.mark.parametrize("sparsities", [(0.9, 0.99), (0.99,)])
def test_the_plot_is_drawn(sparsities: tuple[float, ...], tmp_path: Path) -> None:
    records = [record(row, one, 0, one) for row in ("magnitude", "rigl") for one in sparsities]

    draw([record(DENSE, 0.0, 0, 0.9), *records], tmp_path / "methods.png")

    assert (tmp_path / "methods.png").stat().st_size > 10_000
