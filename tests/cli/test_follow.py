"""Events of a job, from the runner to the client."""

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.follow import seconds_since_epoch
from safs.client import Client
from safs.events.kinds import EVENT_KINDS, Event, event_from
from tests.events.events import any_event, as_sent

if TYPE_CHECKING:
    from tests.cli.conftest import Api, RunnerPen


@pytest.mark.parametrize("kind", EVENT_KINDS)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_field_of_an_event_survives_the_trip_from_the_runner_to_the_client(
    kind: str, data: st.DataObject, api: "Api", runner: "RunnerPen"
) -> None:
    reported: list[Event] = data.draw(st.lists(any_event(kind), min_size=1, max_size=4))
    with Client(api.url) as client:
        job = client.submit(model={"architecture": "mlp"}, data={"dataset": "digits"}, sparsity=0.5)
        claim = runner.claim(job.id)
        runner.tell(claim, *reported)
        runner.fail(claim, "the events are all that is wanted")

        received = [event_from(event["kind"], event["data"]) for event in job.events()]

    assert received == [as_sent(event) for event in reported]


def test_times_are_seconds_since_the_epoch() -> None:
    assert seconds_since_epoch({"at": "1970-01-02T00:00:01.500000Z"}) == 86_401.5
