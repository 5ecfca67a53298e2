"""The command as a whole: fast help, and errors in one red line."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import make_app

COMMANDS = (
    *("demo", "up"),
    *("catalog", "submit", "jobs", "show", "watch", "cancel", "download"),
    *("run", "verify", "convert", "export"),
    *("api", "worker", "migrate"),
    *("scrub", "collect", "backup", "restore"),
)
SERVING = ("demo", "up", "api", "worker")
"""Commands that print the log of a service."""
KEYS = ("create", "list", "revoke")


def safs(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs ``safs`` in a process of its own."""
    command = [sys.executable, "-m", "cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | environment, timeout=120)


def test_help_lists_every_command() -> None:
    done = safs("--help")

    listed = [line.split()[0] for line in done.stdout.partition("Commands:")[2].splitlines() if line.startswith("  ")]
    assert listed[: len(COMMANDS)] == list(COMMANDS)
    assert done.returncode == 0


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str) -> None:
    shown = CliRunner().invoke(make_app(), [command, "--help"])

    assert shown.exit_code == 0
    assert "  Examples:\n    " in shown.stdout
    assert f"safs {command}" in shown.stdout.partition("Examples:")[2]


@pytest.mark.parametrize(
    "command",
    [*(command.split() for command in COMMANDS if command not in SERVING), *(["keys", name] for name in KEYS)],
    ids=" ".join,
)
def test_every_command_that_prints_data_has_json(command: list[str]) -> None:
    shown = CliRunner().invoke(make_app(), [*command, "--help"])

    assert "--json" in shown.stdout


def test_help_imports_nothing_heavy() -> None:
    probe = (
        "import sys, cli.main\n"
        "try:\n    cli.main.make_app()(['--help'])\n"
        "except SystemExit:\n    pass\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules} & set(sys.argv[1:])))"
    )
    heavy = ["torch", "ray", "fastapi", "sqlalchemy", "matplotlib", "httpx", "pydantic", "numpy", "smac", "alembic"]

    done = subprocess.run([sys.executable, "-c", probe, *heavy], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "[]"


def test_an_expected_error_is_one_line_on_standard_error() -> None:
    done = safs("submit", "--spec", "/nowhere/job.yaml")

    assert done.returncode == 1
    assert done.stderr == "error: cannot read the job spec /nowhere/job.yaml: No such file or directory\n"
    assert done.stdout == ""


def test_a_spec_that_breaks_the_rules_names_its_fields(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("model: {architecture: lenet5}\ndata: {dataset: digits}\nsparsity: 1.5\n")

    done = safs("run", str(tmp_path / "job.yaml"))

    assert done.returncode == 1
    assert "sparsity: Input should be less than 1" in done.stderr
    assert "Traceback" not in done.stderr


def test_debugging_shows_the_traceback() -> None:
    done = safs("submit", "--spec", "/nowhere/job.yaml", SAFS_DEBUG="1")

    assert "Traceback" in done.stderr
    assert "CommandError" in done.stderr


def test_a_wrong_flag_is_a_usage_error() -> None:
    done = safs("show", "--urk", "job_1")

    assert done.returncode == 2
    assert "No such option: --urk" in done.stderr


def test_a_service_that_does_not_answer_is_an_error_with_advice() -> None:
    done = safs("jobs", "--url", "http://127.0.0.1:9")

    assert done.returncode == 1
    assert "no answer from http://127.0.0.1:9" in done.stderr
    assert "safs up" in done.stderr


def test_the_version_is_that_of_the_distribution() -> None:
    assert safs("--version").stdout == f"safs {version('safs-service')}\n"


def test_completion_can_be_installed() -> None:
    assert "--install-completion" in safs("--help").stdout
    completed = safs(_SAFS_COMPLETE="complete_bash", COMP_WORDS="safs sub", COMP_CWORD="1")
    assert "submit" in completed.stdout
