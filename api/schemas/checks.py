"""Bodies of the check of a job that is not queued: sites, preview of the data, estimate."""

from typing import Any, Self

from pydantic import BaseModel, Field

from api.schemas.base import Response
from safs.events.kinds import Stage
from safs.spec.job import JobSpec


class Site(Response):
    """A call of an activation function in the network."""

    path: str = Field(description="Name of the site, such as `conv1` or `b1.act#2`.")
    own: str = Field(description="Activation function that the network has at this site.")


class Range(Response):
    """An expected count with the bounds between which most jobs stay."""

    expected: int = Field(description="Expected count.")
    low: int = Field(description="Lower bound.")
    high: int = Field(description="Upper bound.")


class StageEstimate(Response):
    """Estimated trainings of a stage."""

    stage: Stage = Field(description="Name of the stage.")
    trials: int = Field(description="Expected number of trials.")
    epochs: int = Field(description="Expected number of epochs, summed over the stage's trials.")
    seconds: float | None = Field(description="Expected seconds; null if nothing could be timed.")
    low_s: float | None = Field(description="Lower bound of `seconds`.")
    high_s: float | None = Field(description="Upper bound of `seconds`.")


class Estimate(Response):
    """Estimated duration of a job if no earlier result is reused, without the time in the queue.

    The job's trainings were started and timed briefly on the machine of the API.
    """

    summary: str = Field(
        description="One sentence for people.",
        examples=["about 12 min (9 to 16): 68 trainings, 486 epochs, 4 at once, timed on cpu, 1 thread"],
    )
    trials: Range = Field(description="Trials and trainings of all stages.")
    epochs: Range = Field(description="Epochs of all stages.")
    seconds: float | None = Field(
        description="Expected seconds from the claim of the job to its end; null if nothing could be timed."
    )
    low_s: float | None = Field(description="Lower bound of `seconds`.")
    high_s: float | None = Field(description="Upper bound of `seconds`.")
    before_s: float | None = Field(
        description="Part of `seconds` before the first stage: reading the data, starting workers, timing."
    )
    gpu_hours: float | None = Field(
        description="Expected GPU-hours: the hours of each training times its GPU fraction; null on CPUs."
    )
    device: str | None = Field(
        description="Device on which the trainings were timed; null if nothing could be timed.",
        examples=["cpu, 1 thread"],
    )
    in_flight: int = Field(description="Number of trainings that run at the same time.")
    step_seconds: float | None = Field(
        description="Seconds of an optimizer step, averaged over the job; null if nothing could be timed."
    )
    stages: list[StageEstimate] = Field(description="Estimates of the single stages.")
    untimed: str | None = Field(description="Reason why nothing could be timed; null if it could.")


class ClassCount(Response):
    """Numbers of images of a class."""

    name: str = Field(description="Label, or name of the class folder.")
    train: int = Field(description="Images to train and validate on.")
    test: int | None = Field(description="Test images; null if they are taken from the others.")


class DataSample(Response):
    """An image of a data set of your own."""

    class_name: str = Field(description="Label, or name of the class folder.")
    png: str = Field(description="The image as a PNG file in base64, at most 64 pixels wide and high.")


class DataPreview(Response):
    """A data set of your own as the service understood it."""

    images: int = Field(description="Images to train on, and to split validation (and test) from.")
    test_images: int | None = Field(description="Images of a test set; null without one.")
    channels: int = Field(description="Channels of the images; pictures in files count as colour here.")
    height: int = Field(description="Pixels before resizing.")
    width: int = Field(description="Pixels before resizing.")
    values: str = Field(description="Type of the values.", examples=["uint8"])
    low: float = Field(description="Smallest value.")
    high: float = Field(description="Largest value.")
    mean: float = Field(description="Mean of the values.")
    std: float = Field(description="Standard deviation of the values.")
    classes: list[ClassCount] = Field(description="Classes and their counts.")
    warnings: list[str] = Field(description="Sentences about what is probably a mistake; empty if nothing is.")
    samples: list[DataSample] = Field(description="At most 24 training images of all classes, sorted by class.")


class PrunedLayer(Response):
    """A layer whose weights are pruned."""

    name: str = Field(description="Name of the weights in the network's state dict.", examples=["conv1.weight"])
    shape: list[int] = Field(description="Shape of the weights.")


class JobCheck(BaseModel):
    """Result of checking a job without queueing it."""

    spec: JobSpec = Field(description="Complete job spec, including the values filled in by the preset.")
    channels: int = Field(description="Channels of the network's input.")
    image_size: int = Field(description="Width and height of the network's input, in pixels.")
    classes: int = Field(description="Number of classes.")
    train: int = Field(description="Number of images in the training split.")
    validation: int = Field(description="Number of images in the validation split.")
    test: int = Field(description="Number of images in the test split.")
    notes: list[str] = Field(
        description="Sentences about files of the data set that are not used, weights that were mended, and defaults "
        "that differ from what the data suggest."
    )
    weights: int = Field(description="Number of prunable weights.")
    sparsity: float = Field(
        description="The job's sparsity; with `target`, about the one at which it is reached, by the layers' shapes."
    )
    live: int = Field(description="Number of weights left at `sparsity`.")
    layers: list[PrunedLayer] = Field(description="Layers whose weights are pruned, in the order of the state dict.")
    sites: list[Site] = Field(description="Calls of activation functions in the network.")
    operators: list[str] = Field(description="Candidate operators at every site.")
    estimate: Estimate = Field(description="Estimated duration of the job.")
    data: DataPreview | None = Field(description="Preview of your own data; null for a data set of the catalog.")

    @classmethod
    def of(cls, spec: JobSpec, checked: "CheckedJob", estimate: dict[str, Any]) -> Self:
        """The check of ``spec`` that found ``checked``, with ``Estimate.as_json`` of ``safs.estimates``."""
        found = {name: getattr(checked, name) for name in CheckedJob.model_fields if name != "preflight"}
        return cls(spec=spec, estimate=Estimate.model_validate(estimate), **found)


class CheckedJob(BaseModel):
    """The findings of the checks of a job. ``JobCheck`` describes the fields that both have."""

    channels: int
    image_size: int
    classes: int
    train: int
    validation: int
    test: int
    notes: list[str]
    weights: int
    sparsity: float
    live: int
    layers: list[PrunedLayer]
    sites: list[Site]
    operators: list[str]
    data: DataPreview | None
    preflight: dict[str, Any]
    """The ``safs.preflight.Preflight`` as JSON, for the estimate."""
