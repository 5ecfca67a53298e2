"""``--json`` of the commands that need no service: standard output is one JSON document."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from migrations import head_revision

Safs = Callable[..., Result]


@pytest.fixture
def json_of(safs: Safs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a command with ``--json`` on a home of its own; returns what it printed."""
    monkeypatch.setenv("SAFS_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SAFS_DATABASE_URL", raising=False)

    def run(*arguments: str) -> Any:
        done = safs(*arguments, "--json")
        assert done.exit_code == 0, done.exception
        return json.loads(done.stdout)

    return run


def test_commands_on_the_database_print_json(
    json_of: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrated, again = json_of("migrate"), json_of("migrate")
    created = json_of("keys", "create", "--owner", "vision", "--scopes", "read")
    revoked = json_of("keys", "revoke", created["prefix"])
    saved = json_of("backup", str(tmp_path / "saved"))
    monkeypatch.setenv("SAFS_HOME", str(tmp_path / "other"))
    restored = json_of("restore", str(tmp_path / "saved"))

    assert migrated == {"before": None, "revision": head_revision()}
    assert again == {"before": head_revision(), "revision": head_revision()}
    assert created["token"].startswith(f"safs_{created['prefix']}_")
    assert (created["state"], revoked["state"]) == ("active", "revoked")
    assert "token" not in revoked
    assert (saved["rows"]["api_keys"], saved["files"], saved["absent"]) == (1, 0, [])
    assert restored == {"requeued": 0} | {name: saved[name] for name in ("made_at", "rows", "files", "absent")}
    assert [key["prefix"] for key in json_of("keys", "list")] == [created["prefix"]]


def test_a_local_run_prints_its_report_and_its_progress_goes_to_standard_error(safs: Safs, tmp_path: Path) -> None:
    job = tmp_path / "job.json"
    spec = {
        "model": {"architecture": "mlp"},
        "data": {"dataset": "digits"},
        "sparsity": 0.9,
        "train": {"epochs": 1},
        "tune": {"trials": 1, "epochs": 1},
        "final": {"epochs": 1, "candidates": ["default", "hyperparameters"]},
    }
    job.write_text(json.dumps(spec))

    done = safs("run", str(job), "-o", str(tmp_path / "result"), "--json")

    assert json.loads(done.stdout) == json.loads((tmp_path / "result" / "report.json").read_text())
    assert "train dense" in done.stderr
