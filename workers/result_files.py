"""The end of a successful job: its files are stored first, then one transaction ends the job and names them."""

from typing import TypeAlias

from safs.execution.training import Training
from safs.pipeline.result_stage import Result
from safs.result_folder import POINT_PARTS, RESULT_FILES, point_folder, point_part
from store import queue
from store.artifacts import stored_files
from store.crash_points import reach
from store.records import JobState, Json, StoredArtifact
from store.session import Transaction
from workers.attempt import Attempt
from workers.store_cache import stored_winner

Stored: TypeAlias = dict[str, tuple[StoredArtifact, str]]
"""Artifact name -> (stored content, media type)."""


def file_result(attempt: Attempt, result: Result) -> None:
    """Store the result's files and end the job as succeeded; wait while the database or the object storage is away."""
    stored = attempt.retry(lambda: _put(attempt, result), "its files")
    result_row = summary(result.report, result.winner)

    def end(tx: Transaction) -> None:
        for name, (artifact, media_type) in stored.items():
            stored_files.attach(tx, attempt.claim.lease, name, artifact, media_type)
        queue.finish(tx, attempt.claim.lease, JobState.SUCCEEDED, result=result_row)
        reach("finish.before_commit")

    attempt.write(end, "its result")
    reach("finish.after_commit")


def summary(report: Json, winner: Training) -> Json:
    """Return the job's ``result`` column: figures for lists of jobs, and the winner for later jobs to start from.

    Args:
        report: the content of report.json.
        winner: the final training whose network is the result.
    """
    row = next(row for row in report["rows"] if row["name"] == report["result"])
    return {
        "result": report["result"],
        "validation_accuracy": row["validation_accuracy"],
        "test_accuracy": row["test_accuracy"],
        "sparsity": report["sparsity"]["achieved"],
        "live_weights": report["sparsity"]["live"],
        "gain": report["gain"],
        "winner": stored_winner(winner),
        "identity": report["job"]["identity"],
    }


def _put(attempt: Attempt, result: Result) -> Stored:
    folder = result.directory
    stored = {
        name: (attempt.artifacts.put(folder / file.filename), file.media_type)
        for name, file in RESULT_FILES.items()
        if not file.optional or (folder / file.filename).exists()
    }
    for point in result.report.get("front", ()):
        for part in POINT_PARTS:
            file, own = RESULT_FILES[part], folder / point_folder(point["sparsity"])
            stored[point_part(part, point["sparsity"])] = attempt.artifacts.put(own / file.filename), file.media_type
    return stored
