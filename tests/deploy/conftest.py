"""Timings of the sparse runtime go to a folder of the tests, and dense engines are candidates if a test says so."""

from pathlib import Path

import pytest

from safs.deploy.sparse import runtime


@pytest.fixture(autouse=True)
def timings_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Exporting a network to try them takes ten seconds."""
    folder = tmp_path_factory.mktemp("timings")
    monkeypatch.setenv("SAFS_TIMINGS", str(folder))
    monkeypatch.setattr(runtime, "is_installed", lambda engine: False)
    return folder
