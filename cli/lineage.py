"""The jobs whose stages other jobs reuse."""

from collections.abc import Iterator, Sequence

from safs.client import RemoteJob
from safs.events.kinds import Stage

ORDER = [stage.value for stage in Stage]


def lineage(jobs: Sequence[RemoteJob]) -> list[tuple[int, RemoteJob]]:
    """Pairs of depth and job: each job beneath the one among ``jobs`` that made the last stage that it reuses.

    Jobs at depth 0 reuse nothing of the others. Siblings keep their order.
    """
    known = {job.id for job in jobs}
    children: dict[str | None, list[RemoteJob]] = {}
    for job in jobs:
        children.setdefault(_parent(job, known), []).append(job)

    def below(parent: str | None, depth: int) -> Iterator[tuple[int, RemoteJob]]:
        for job in children.get(parent, []):
            yield depth, job
            yield from below(job.id, depth + 1)

    return list(below(None, 0))


def reuse(job: RemoteJob) -> str:
    """The stages that the job reuses and the jobs that made them, in order: ``dense, prune ← job_1``."""
    stages: dict[str, list[str]] = {}
    for stage, makers in _reused(job):
        for maker in makers:
            stages.setdefault(maker, []).append(stage)
    return "; ".join(f"{', '.join(names)} ← {maker}" for maker, names in stages.items())


def _parent(job: RemoteJob, known: set[str]) -> str | None:
    """The job among ``known`` that made the last reused stage; None if there is none."""
    makers = [maker for _, ids in _reused(job) for maker in ids if maker in known]
    return makers[-1] if makers else None


def _reused(job: RemoteJob) -> list[tuple[str, list[str]]]:
    return sorted((job.view.get("reused") or {}).items(), key=lambda item: ORDER.index(item[0]))
