"""The reason of a failed job is one sentence, whatever was raised."""

import errno
import tempfile

import pytest
from safetensors import SafetensorError

from safs.errors import DataError
from store.errors import UploadNotFound
from store.records import JobError
from workers.failure_reason import job_error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DataError("there is no 'x'."), JobError("data_unavailable", "there is no 'x'.", "dense")),
        (UploadNotFound("there is no upload 'u'"), JobError("upload_not_found", "there is no upload 'u'", "dense")),
        (
            RuntimeError("\nshapes differ.\nat line 3"),
            JobError("internal_error", "RuntimeError: shapes differ. The runner's log has the details.", "dense"),
        ),
        (
            OSError(errno.ENOSPC, "No space left on device", "/data/jobs/report.json"),
            JobError("out_of_space", "no space is left in /data/jobs, or its quota is used up. Free some.", "dense"),
        ),
        (AssertionError(), JobError("internal_error", "AssertionError. The runner's log has the details.", "dense")),
    ],
)
def test_a_job_says_in_one_sentence_why_it_failed(error: Exception, expected: JobError) -> None:
    assert job_error(error, "dense") == expected


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_without_a_file_name_is_reported_for_the_temporary_folder(error: Exception) -> None:
    reported = job_error(error, "report")

    assert reported.code == "out_of_space"
    assert f"no space is left in {tempfile.gettempdir()}," in reported.message
