"""Why a runner lets go of a job without ending it."""

from safs.errors import Interrupted


class ShuttingDown(Interrupted):
    """This runner was asked to stop (SIGTERM): it hands its job back."""

    code = "shutting_down"
