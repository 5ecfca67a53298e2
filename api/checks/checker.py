"""Checks, estimates, the catalog and importances, all of which need torch, by a process of its own."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, TypeAdapter

from api.checks.process import ForkServer, Process
from api.checks.requests import (
    Answer,
    CatalogRequest,
    CheckRequest,
    EstimateRequest,
    ImportancesRequest,
    Trial,
)
from api.errors import NotReadyError
from api.schemas.catalog import CatalogEntry
from api.schemas.checks import CheckedJob
from safs.errors import error_of
from safs.spec.job import JobSpec

PROGRAM = ("-P", "-m", "api.checks")  # -P: the working directory may hold a numpy.py.
CHECK_S, OTHER_S = 300.0, 120.0
"""Seconds that a check of a job, and any other request without a limit of its own, may take."""
_log = logging.getLogger(__name__)
CATALOG = TypeAdapter(dict[str, list[CatalogEntry]])


class UnexpectedCheckError(Exception):
    """A request failed for a reason that nothing foresaw; the message is the traceback of its process."""


class Checker:
    """Asks the process that has imported torch.

    Args:
        process: answers requests.
        estimate_limit_s: seconds that timing a job may take; 0 turns timing off.
    """

    def __init__(self, process: Process, *, estimate_limit_s: float) -> None:
        self._process, self._estimate_limit_s = process, estimate_limit_s
        self._catalog: Mapping[str, list[CatalogEntry]] | None = None

    @classmethod
    def in_child_process(cls, *, idle_s: float, estimate_limit_s: float) -> "Checker":
        """A checker whose process starts with the first request and ends ``idle_s`` after the last one."""
        return cls(ForkServer(PROGRAM, idle_s=idle_s), estimate_limit_s=estimate_limit_s)

    def check(
        self, spec: JobSpec, *, data_root: Path | None, weights: Path | None, upload: Path | None, preview: bool
    ) -> CheckedJob:
        """The result of checking the job.

        Args:
            data_root: folder of the data sets that are files.
            weights: the file that ``spec.model.weights`` or ``spec.model.network`` names.
            upload: the file that ``spec.data.upload`` names.
            preview: True if the user's own data are to be previewed.

        Raises:
            SafsError: the job is wrong.
        """
        request = CheckRequest(spec=spec, data_root=data_root, weights=weights, upload=upload, preview=preview)
        return CheckedJob.model_validate(self._ask(request, CHECK_S, _kind(spec)))

    def estimate(self, spec: JobSpec, checked: CheckedJob) -> dict[str, Any]:
        """The estimate of the job, timed on this machine with nothing else running on it; without seconds if timing
        fails, takes too long, or is turned off."""
        if not self._estimate_limit_s:
            return self.untimed(spec, checked, "timing is turned off here")
        request = EstimateRequest(spec=spec, preflight=checked.preflight)
        try:
            made: dict[str, Any] = self._ask(request, self._estimate_limit_s, _kind(spec))
        except NotReadyError as error:
            return self.untimed(spec, checked, f"timing failed: {error.message}")
        except UnexpectedCheckError as error:
            _log.error("an estimate failed unexpectedly: %s", error)
            return self.untimed(spec, checked, "timing failed unexpectedly; the service's log has the reason")
        return made

    def untimed(self, spec: JobSpec, checked: CheckedJob, reason: str) -> dict[str, Any]:
        """The estimate that only counts trainings."""
        made: dict[str, Any] = self._ask(
            EstimateRequest(spec=spec, preflight=checked.preflight, untimed=reason), OTHER_S
        )
        return made

    def catalog(self) -> Mapping[str, list[CatalogEntry]]:
        """Kind -> names that a job spec can use."""
        if self._catalog is None:
            self._catalog = CATALOG.validate_python(self._ask(CatalogRequest(), OTHER_S))
        return self._catalog

    def importances(self, trials: Sequence[Trial]) -> dict[str, float]:
        """Name of a hyperparameter or site -> its share, the greatest first."""
        shares: dict[str, float] = self._ask(ImportancesRequest(trials=list(trials)), OTHER_S, b"i")
        return shares

    def close(self) -> None:
        """End the process."""
        self._process.close()

    def _ask(self, request: BaseModel, limit_s: float, kind: bytes = b"-") -> Any:
        body = request.model_dump_json().encode()
        answer = Answer.model_validate_json(self._process.ask(body, limit_s=limit_s, kind=kind))
        if answer.refusal is not None:
            raise error_of(answer.refusal.code, answer.refusal.message, answer.refusal.field)
        if answer.defect is not None:
            raise UnexpectedCheckError(answer.defect)
        return answer.result


def _kind(spec: JobSpec) -> bytes:
    package = (spec.model.architecture or "").partition("/")[0]
    return {"torchvision": b"v", "timm": b"t"}.get(package, b"-")
