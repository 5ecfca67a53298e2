"""``safs demo``, which uses the service as a user does: ``safs up``, HTTP, and the files on disk."""

import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from cli.child_process import Child
from cli.errors import CommandError
from cli.follow import follow
from cli.supervisor import GRACE_S, READY, free_port
from cli.tables import comparison_table, verification_table
from cli.terminal import SafeConsole, stdout, visible
from safs.client import Client
from safs.report import comparison_rows
from safs.result_folder import CHECKPOINT, CONFIG, PICTURE, REPORT, check_writable

JOB: dict[str, Any] = {
    "name": "demo",
    "model": {"architecture": "lenet5"},
    "data": {"dataset": "digits", "batch_size": 32},
    "sparsity": 0.99,
    "preset": "quick",
    "train": {"epochs": 12},
    "joint": {"trials": 9, "epochs": 6},
    "final": {"epochs": 16},
}
"""Job of the demo."""


def demonstrate(output: Path) -> None:
    """Runs the demo; leaves the result in ``output`` and nothing else.

    Raises:
        CommandError: the service did not start.
        JobFailed: the job failed.
        OutputError: ``output`` cannot be written.
    """
    check_writable(output, 0)
    console = stdout()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    with (
        tempfile.TemporaryDirectory(prefix="safs-demo-") as home,
        _service(Path(home), console) as url,
        Client(url) as client,
    ):
        job = client.submit(JOB)
        console.print(f"submitted {job.id}: LeNet-5 on handwritten digits, 99% of its weights are removed")
        console.print(f"its page, while this command runs: {url}/jobs/{job.id}", soft_wrap=True)
        follow(job, console)
        folder = job.download(output)
        report = job.report()
    from safs.checkpoint import verify

    console.print()
    console.print(verification_table(verify(folder)))
    console.print()
    console.print_uncut(comparison_table(comparison_rows(report)))
    console.print()
    for line in (
        f"picture of the search:  {folder / PICTURE.filename}",
        f"sparse checkpoint:      {folder / CHECKPOINT.filename}",
        f"everything as JSON:     {folder / REPORT.filename}, {folder / CONFIG.filename}",
        f'use it in Python:       import safs; network = safs.load("{folder}")',
    ):
        console.print(line, soft_wrap=True)


@contextmanager
def _service(home: Path, console: SafeConsole) -> Iterator[str]:
    """Runs a service while the block runs, and yields its address. If the block fails, prints the end of its log."""
    port = free_port()
    console.print(f"starting a service on port {port} (safs up)")
    service = Child(
        "service",
        ["up", "--port", str(port), "--home", str(home)],
        log=home / "logs" / "up.log",
        # The demo uses none of the user's database, cluster and address.
        environment={"SAFS_HOME": str(home), "SAFS_DATABASE_URL": "", "SAFS_HOST": "127.0.0.1"},
        ready=READY,
    )
    try:
        _wait_until_ready(service)
        yield f"http://127.0.0.1:{port}"
    except Exception:
        _show_log(service)
        raise
    finally:
        console.print("stopping the service")
        service.stop(grace_s=2 * GRACE_S + 5)


def _wait_until_ready(service: Child) -> None:
    while not service.is_ready:
        if service.exit_code is not None:  # It gives up by itself if its start makes no progress.
            raise CommandError("the service did not start; the end of its log is above")
        time.sleep(0.1)


def _show_log(service: Child) -> None:
    for line in service.tail():
        print(visible(line), file=sys.stderr)


def _end(number: int, frame: FrameType | None) -> None:
    """Ends the demo as Ctrl-C does, for SIGTERM and a closed terminal: every ``finally`` block runs."""
    raise KeyboardInterrupt
