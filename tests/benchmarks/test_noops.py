"""Counting of the no-op searches."""

import pytest

from benchmarks.noops import _spans, ask


def test_times_of_asks_are_printed_by_the_hundred(capsys: pytest.CaptureFixture[str]) -> None:
    ask(250, ["random"], 100)

    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [row.split("|")[1].strip() for row in rows] == ["trials", "1 to 100", "101 to 200"]
    assert all(float(cell) >= 0 for row in rows[1:] for cell in row.split("|")[2:-1])


@pytest.mark.parametrize(
    ("trials", "spans"), [(1000, ((9, 999), (9, 109), (899, 999))), (50, ((9, 49), (9, 49), (0, 49)))]
)
def test_the_trials_that_start_the_workers_are_excluded(trials: int, spans: tuple[tuple[int, int], ...]) -> None:
    assert _spans(trials) == spans
