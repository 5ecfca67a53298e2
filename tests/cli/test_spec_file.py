"""Job specs from files and flags."""

import io
from pathlib import Path

import pytest

from cli.errors import CommandError
from cli.spec_file import override, read_spec


def test_a_yaml_file_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("model: {architecture: lenet5}\ndata: {dataset: digits}\nsparsity: 0.99\n")

    assert read_spec(str(tmp_path / "job.yaml")) == {
        "model": {"architecture": "lenet5"},
        "data": {"dataset": "digits"},
        "sparsity": 0.99,
    }


@pytest.mark.parametrize(
    ("written", "number"),
    [("1e-3", 1e-3), ("1E3", 1e3), ("1.e2", 100.0), ("1.5e3", 1500.0), ("-.5e+1", -5.0), ("0.9", 0.9), ("7", 7)],
)
def test_a_number_is_one_however_it_is_written(written: str, number: float, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(f"train: {{learning_rate: {written}}}")

    found = read_spec(str(tmp_path / "job.yaml"))["train"]["learning_rate"]

    assert (found, type(found)) == (number, type(number))


@pytest.mark.parametrize("text", ['"1e-3"', "1e-3x", "e3", ".e3", "1e", "1e3.5", "job_1e5"])
def test_a_text_stays_one(text: str, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(f"name: {text}")

    assert read_spec(str(tmp_path / "job.yaml")) == {"name": text.strip('"')}


def test_a_dash_reads_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"sparsity": 0.5}'))

    assert read_spec("-") == {"sparsity": 0.5}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("model: [lenet5", "is no YAML"),
        ("- lenet5", "must hold a mapping"),
        ("", "must hold a mapping"),
        ("!!python/object:os.system {}", "is no YAML"),
    ],
)
def test_a_file_that_is_no_spec_is_refused_by_name(content: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(content)

    with pytest.raises(CommandError, match=complaint) as caught:
        read_spec(str(tmp_path / "job.yaml"))

    assert str(tmp_path / "job.yaml") in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"absent\.yaml: No such file"):
        read_spec(str(tmp_path / "absent.yaml"))


def test_flags_win_and_leave_their_neighbours_alone() -> None:
    spec = {"model": {"architecture": "mlp", "weights": "upload-1"}, "sparsity": 0.5}

    merged = override(spec, {"model.architecture": "lenet5", "data.dataset": "digits", "sparsity": 0.0, "seed": None})

    assert merged == {
        "model": {"architecture": "lenet5", "weights": "upload-1"},
        "data": {"dataset": "digits"},
        "sparsity": 0.0,
    }
    assert spec["model"] == {"architecture": "mlp", "weights": "upload-1"}
