"""Exports in a process of their own: what fails there is the same error here, and leaves no file."""

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from safs.deploy.in_subprocess import export_in_subprocess
from safs.errors import ExportError, MissingExtraError, OutputError
from tests.deploy.results import write_result

pytestmark = pytest.mark.exhaustive  # each starts a process that imports torch; tests/api/test_exports.py has fakes


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = write_result(tmp_path_factory.mktemp("result"))
    return {path.name: path for path in folder.iterdir()}


def test_a_package_that_is_missing_names_its_extra(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "constriction.py").write_text("raise ModuleNotFoundError('no constriction', name='constriction')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")

    with pytest.raises(MissingExtraError, match=r"needs constriction.*safs-service\[sparse\]"):
        export_in_subprocess(files, "compact", tmp_path / "made", data_root=None)

    assert not (tmp_path / "made").exists()


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file of this process and its children may be larger than 10 kB, as on a disk that is nearly full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("format", ["compact", "onnx", "pt2"])
def test_a_full_disk_is_told_and_leaves_no_file(
    files: dict[str, Path], tmp_path: Path, format: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("small_files")

    with pytest.raises(OutputError, match="is full"):
        export_in_subprocess(files, format, tmp_path / "made", data_root=None)

    assert list(tmp_path.iterdir()) == []


def test_an_export_that_takes_too_long_is_stopped(files: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"took longer than 0\.01 s and was stopped"):
        export_in_subprocess(files, "compact", tmp_path / "made", data_root=None, limit_s=0.01)
