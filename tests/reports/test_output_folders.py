"""Output folders that cannot take a result are refused before anything is trained."""

from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from cli.demonstration import demonstrate
from safs.errors import OutputError
from safs.events.kinds import Event
from safs.execution.serial import SerialExecutor
from safs.pipeline.run import run_job
from safs.result_folder import RESULT_FILES, check_writable
from safs.reuse.cache import FolderCache
from safs.spec.job import JobSpec
from search_spaces import SPACES

JOB: dict[str, Any] = {"model": {"architecture": "mlp"}, "data": {"dataset": "digits"}, "sparsity": 0.5}


def _run(out_dir: Path) -> list[Event]:
    events: list[Event] = []
    with pytest.raises(OutputError):
        run_job(
            JobSpec.model_validate(JOB),
            spaces=SPACES,
            executor=SerialExecutor(),
            report=events.append,
            data_root=None,
            dense_weights=None,
            out_dir=out_dir,
        )
    return events


def test_a_job_whose_result_has_no_place_trains_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert _run(tmp_path / "file" / "result") == []
    assert _run(tmp_path / "file") == []
    assert _run(Path("/proc/result")) == []


def test_a_demo_whose_result_has_no_place_starts_no_service(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(OutputError, match="cannot be written"):
        demonstrate(tmp_path / "file" / "demo-output")


@pytest.mark.parametrize("name", [file.filename for file in RESULT_FILES.values()])
def test_a_folder_that_bears_the_name_of_a_result_file_is_in_the_way(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()

    with pytest.raises(OutputError, match=f"{name} is a folder"):
        check_writable(tmp_path, 0)


def test_a_disk_without_room_for_the_checkpoint_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", ["total", "used", "free"])(10**9, 10**9 - 5 * 10**6, 5 * 10**6)
    monkeypatch.setattr("safs.result_folder.shutil.disk_usage", lambda folder: usage)

    with pytest.raises(OutputError, match=r"5 MB are free .* takes about 200 MB"):
        check_writable(tmp_path, 200 * 10**6)


def test_the_probe_leaves_nothing_behind(tmp_path: Path) -> None:
    check_writable(tmp_path / "a" / "result", 0)
    check_writable(tmp_path, 0)

    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="File name too long"):
        check_writable(tmp_path / ("x" * 300), 0)


@pytest.mark.parametrize("place", ["file", "file/cache"])
def test_a_folder_for_reuse_that_cannot_be_written_is_refused_at_once(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(OutputError, match="cannot be written"):
        FolderCache(tmp_path / place)
