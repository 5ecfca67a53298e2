"""A training step that a GPU records once and then repeats without Python."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

Step: TypeAlias = Callable[[Tensor, Tensor], None]
"""(images, labels): one step of a training, whose state and result live in tensors that stay in place."""
WARM_UP_STEPS = 3
"""Steps before the recording, in which libraries choose their kernels and allocate their memory."""


class Recorder(Protocol):
    """Records a step, to repeat it. Tests have a recorder without a GPU."""

    def warm_up(self) -> AbstractContextManager[None]:
        """A context for a step before the recording."""

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record ``work`` without running it; returns a function that runs it."""


class CudaRecorder:
    """Records a step as a CUDA graph."""

    @contextmanager
    def warm_up(self) -> Iterator[None]:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            yield
        torch.cuda.current_stream().wait_stream(stream)

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            work()
        return graph.replay


class CapturedStep:
    """A step whose batches are copied to fixed memory, on which the recorded step runs.

    The first ``WARM_UP_STEPS`` batches of the usual size are ordinary steps. Batches of another size, such as the last
    one of an epoch, always are, and so are all if the step cannot be recorded.
    """

    def __init__(self, step: Step, recorder: Recorder) -> None:
        self.refusal: str | None = None
        """Why the step cannot be recorded; None if it can, or has not been yet."""
        self._step, self._recorder = step, recorder
        self._warm = 0
        self._batch: tuple[Tensor, Tensor] | None = None
        self._replay: Callable[[], None] | None = None

    def __call__(self, images: Tensor, labels: Tensor) -> None:
        """Train on one batch."""
        if self._batch is None:
            self._batch = torch.empty_like(images), torch.empty_like(labels)
        if images.shape != self._batch[0].shape:
            self._step(images, labels)
        elif self._warm < WARM_UP_STEPS:
            self._warm += 1
            with self._recorder.warm_up():
                self._step(images, labels)
        else:
            self._repeat(images, labels)

    def _repeat(self, images: Tensor, labels: Tensor) -> None:
        assert self._batch is not None
        fixed_images, fixed_labels = self._batch
        fixed_images.copy_(images)
        fixed_labels.copy_(labels)
        if self._replay is None:
            self._replay = self._record(lambda: self._step(fixed_images, fixed_labels))
        self._replay()

    def _record(self, work: Callable[[], None]) -> Callable[[], None]:
        try:
            return self._recorder.record(work)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # A network that makes the host wait, for example.
            self.refusal = str(error).partition("\n")[0]
            return work
