"""Reasons for which a runner gives up a job that has not ended."""

from safs.errors import Interrupted


class ShuttingDown(Interrupted):
    """The runner received SIGTERM or SIGINT and returns its job to the queue."""

    code = "shutting_down"
