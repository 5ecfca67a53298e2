"""Job specs from files and options."""

import io
from pathlib import Path

import pytest

from cli.errors import CommandError
from cli.spec_file import override, read_spec, with_local_files

BILLION_LAUGHS = b"a0: &a0 [x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (n, n, b",".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 9)
)
"""Eight levels of nine aliases each: 43 million values."""


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
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"sparsity": 0.5}')))

    assert read_spec("-") == {"sparsity": 0.5}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("model: [lenet5", "is not valid YAML"),
        ("- lenet5", "must hold a mapping"),
        ("", "must hold a mapping"),
        ("!!python/object:os.system {}", "is not valid YAML"),
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


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_file_may_have_any_unicode_encoding(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_bytes("name: größer".encode(encoding))

    assert read_spec(str(tmp_path / "job.yaml")) == {"name": "größer"}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"sparsity: .nan", "sparsity is nan, which is not a finite number"),
        (b"train: {learning_rate: [1, -.inf]}", r"train\.learning_rate\[1\] is -inf, which is not a finite number"),
        (b"model: !!set {a, b}", "model is a set, which JSON does not have"),
        (b"name: !!binary aGk=", "name is a bytes, which JSON does not have"),
        (b"name: !!timestamp 2026-01-32", "has a value that cannot be read: day is out of range"),
        (b"model: {1: a}", "the key 1 in model is not a text; quote it"),
        (b"? [a]\n: b", "found unhashable key"),
        (b"seed: 1\nsparsity: 0.5\nseed: 2", r"the key 'seed' occurs twice.*line 3"),
        ("name: größer".encode("latin-1"), r"is not UTF-8 \(at byte 8\); save it as UTF-8"),
        (b"name: a\x00b", "is not valid YAML: unacceptable character"),
        (b"a: " + b"[" * 200 + b"]" * 200, "nested too deeply"),
        (b"a: " + b"[" * 50_000, "nested too deeply"),
        (b"a: &a [*a]", "nested too deeply"),
        (BILLION_LAUGHS, "more than 100,000 values"),
    ],
)
def test_what_json_does_not_have_is_refused_in_a_sentence(content: bytes, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_bytes(content)

    with pytest.raises(CommandError, match=complaint) as caught:
        read_spec(str(tmp_path / "job.yaml"))

    assert str(caught.value).startswith(str(tmp_path / "job.yaml"))


def test_a_date_is_a_text_as_in_json(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("name: 2026-01-31")

    assert read_spec(str(tmp_path / "job.yaml")) == {"name": "2026-01-31"}


def test_merged_mappings_override_nothing_twice(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("base: &base {seed: 1, name: a}\nother: {<<: *base, seed: 2}")

    assert read_spec(str(tmp_path / "job.yaml"))["other"] == {"seed": 2, "name": "a"}


def test_local_weights_are_relative_to_the_file_and_home_is_expanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")

    def weights(given: str, path: str) -> str:
        found: str = with_local_files({"model": {"weights": given}}, path)["model"]["weights"]
        return found

    assert weights("dense.safetensors", "jobs/job.yaml") == "jobs/dense.safetensors"
    assert weights("~/dense.safetensors", "jobs/job.yaml") == "/home/me/dense.safetensors"
    assert weights("/srv/dense.safetensors", "jobs/job.yaml") == "/srv/dense.safetensors"
    assert weights("dense.safetensors", "-") == "dense.safetensors"
    assert with_local_files({"model": "mlp"}, "job.yaml") == {"model": "mlp"}
