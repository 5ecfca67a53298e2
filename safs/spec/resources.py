"""The section ``resources`` of a job spec: parallel trials, GPUs, time limit and precision."""

from typing import Annotated, Literal

from pydantic import Field

from safs.spec.fields import Section

Dispatcher = Literal["actors", "tune"]

Precision = Literal["auto", "float32", "bfloat16"]

MOST_STACKED = 64
"""Largest number of trials that are trained as one."""
LONGEST_JOB_S = 10 * 365 * 24 * 3600


class ResourcesSpec(Section):
    """Limits on what the job may use."""

    trials_in_parallel: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = "auto"
    """Trials in flight. The proposed candidates depend on this number, and on no other property of the machine."""
    gpus_per_trial: Annotated[float, Field(ge=0, le=1)] | Literal["auto"] = "auto"
    """GPUs per trial. A fraction packs several trials on one GPU; a training uses at most one."""
    time_limit_s: int | None = Field(None, ge=1, le=LONGEST_JOB_S)
    """Seconds from the first training after which the job fails, at most ten years; None means no limit."""
    dispatcher: Dispatcher = "actors"
    """Dispatcher of the searches: a pool of Ray actors, or Ray Tune. Both find the same trials; actors are faster."""
    stack: Annotated[int, Field(ge=1, le=MOST_STACKED)] | Literal["auto", "off"] = "auto"
    """Trials that a worker trains as one, with stacked parameters. ``auto`` stacks them on a GPU where a measurement
    finds that faster, and never on a CPU. Networks that cannot be stacked are trained alone."""
    cuda_graph: bool = Field(False, strict=True)
    """True to record the steps of stacked trials on a GPU, and repeat them without Python."""
    precision: Precision = "float32"
    """Number format of the products in all trainings but the final ones, which always use float32. ``bfloat16`` halves
    the time of ordinary convolutional networks; it slows down networks with depthwise convolutions on a CPU. ``auto``
    is ``bfloat16`` on a GPU that computes in it, else ``float32``."""
