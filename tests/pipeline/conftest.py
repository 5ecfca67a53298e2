import pytest

from safs.spec.job import JobSpec
from tests.pipeline.jobs import TINY, Finished


@pytest.fixture(scope="package")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return Finished(JobSpec.model_validate(TINY), tmp_path_factory.mktemp("job"))
