"""The ways in which a step can be computed, and the fastest of them on this machine."""

from functools import partial

from torch.fx import Node

from safs.deploy.sparse.planes import to_planes
from safs.deploy.sparse.step_by_step import StepByStep, Value, Way
from safs.deploy.sparse.steps import Convolution, Linear, Step, inputs_of
from safs.deploy.sparse.timing import seconds_of

_MARGIN = 0.9
"""Share of its dense time that a layer must stay below to run in another way: a change of layout takes time too."""


def ways_of(step: Step) -> tuple[Way, ...]:
    """The ways of a step; the first is dense."""
    match step:
        case Convolution(sparse=None):
            return ("dense", "channels_last")
        case Convolution():
            return ("dense", "channels_last", "sparse")
        case Linear():
            return ("dense", "csr", "lanes", "sparse")
    return ("dense",)


def fastest_way(step: Step, values: dict[Node, Value], runner: StepByStep, pad: int) -> Way:
    """The fastest way of a step by itself.

    Args:
        values: the value of each node, which gives the inputs.
        runner: computes the step.
        pad: padding that all sparse convolutions can read.
    """
    if len(ways_of(step)) == 1:
        return "dense"
    seconds = _seconds_by_way(step, values, runner, pad)
    best = min(seconds, key=lambda way: seconds[way])
    return best if seconds[best] < _MARGIN * seconds["dense"] else "dense"


def _seconds_by_way(step: Step, values: dict[Node, Value], runner: StepByStep, pad: int) -> dict[Way, float]:
    ways = ways_of(step)
    inputs = {node: values[node] for node in inputs_of(step)}
    if isinstance(step, Convolution) and "sparse" in ways:
        assert step.sparse is not None
        if not step.sparse.takes(*inputs[step.input].shape[2:]):
            ways = tuple(way for way in ways if way != "sparse")
    seconds = {}
    for way in (way for way in ways if not (isinstance(step, Linear) and way == "sparse")):
        given = inputs
        if way == "sparse":
            given = {node: to_planes(value, pad) for node, value in inputs.items()}
        seconds[way] = seconds_of(partial(runner.compute, step, given, way))
    return seconds
