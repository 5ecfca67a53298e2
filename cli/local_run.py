"""A job in this process, for ``safs run``."""

import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Literal

from cli.progress_bars import job_progress
from cli.tables import comparison_table, front_table
from cli.terminal import print_json, stderr, stdout
from safs import data
from safs.data import uploaded
from safs.data.preview import preview
from safs.events.kinds import Event
from safs.events.plan import plan_stages
from safs.execution.executor import Executor
from safs.execution.serial import SerialExecutor
from safs.pipeline.run import run_job
from safs.report import comparison_rows, deployed, front_rows, spent
from safs.result_folder import REPORT
from safs.reuse.cache import FolderCache, NoCache
from safs.spec.job import JobSpec
from safs.spec.resources import Dispatcher
from safs.training.allocator import keep_freed_memory
from search_spaces import SPACES


def run_locally(
    spec: JobSpec,
    output: Path,
    *,
    in_flight: int | None,
    device: str,
    data_root: Path | None,
    reuse: Path | None,
    dispatcher: Dispatcher | Literal["serial"] = "serial",
    as_json: bool = False,
) -> None:
    """Runs the job with progress bars, and prints the accuracies of the result, or its report as JSON.

    Args:
        output: folder of the result; created when the job has succeeded.
        in_flight: number of trials that the searches count as running at once. None takes it from the spec, or 1.
        data_root: folder of the data sets that are files.
        reuse: folder that caches the outputs of stages. None caches nothing.
    """
    began_s = time.monotonic()
    console, parallel = stderr() if as_json else stdout(), spec.resources.trials_in_parallel
    slots = in_flight or (1 if parallel == "auto" else parallel)
    opened = _executor(spec, dispatcher, device, slots, in_flight, data_root)
    with job_progress(plan_stages(spec), console) as progress, opened as executor:

        def report(event: Event) -> None:
            progress.update(event, time.monotonic())

        result = run_job(
            spec,
            spaces=SPACES,
            executor=executor,
            report=report,
            data_root=data_root,
            dense_weights=None if spec.model.file is None else Path(spec.model.file),
            out_dir=output,
            cache=NoCache() if reuse is None else FolderCache(reuse),
            began_s=began_s,
        )
    if as_json:
        print_json(json.loads((result.directory / REPORT.filename).read_text()))
        return
    console.print_uncut(comparison_table(comparison_rows(result.report)))
    if points := front_rows(result.report):
        console.print()
        console.print_uncut(front_table(points))
    for line in deployed(result.report):
        console.print(line, soft_wrap=True)
    if took := spent(result.report):
        console.print(took, soft_wrap=True)
    done = f"the result is in {result.directory}; load it with safs.load({str(result.directory)!r})"
    console.print(done, soft_wrap=True)


@contextmanager
def opened_data(spec: JobSpec, data_root: Path | None) -> Iterator[Path | None]:
    """Yield the root of the job's data: the file or folder of ``data.upload``, or ``data_root``."""
    if spec.data.upload is None:
        yield data_root
        return
    with uploaded.opened(Path(spec.data.upload)) as root:
        data.inspect(spec.data, root)
        if (found := preview(spec.data, root)) is not None:
            for warning in found.warnings:
                stderr().print(f"warning: {warning}", soft_wrap=True)
        yield root


def _executor(
    spec: JobSpec,
    dispatcher: Dispatcher | Literal["serial"],
    device: str,
    slots: int,
    in_flight: int | None,
    root: Path | None,
) -> AbstractContextManager[Executor]:
    if dispatcher == "serial":
        if device == "cpu":
            keep_freed_memory()
        stack = spec.resources.stack
        return nullcontext(SerialExecutor(device, slots, stack if isinstance(stack, int) else 1))
    from workers.local import local_executor  # Ray takes a second to import

    return local_executor(spec, dispatcher, in_flight=in_flight, data_root=root)
