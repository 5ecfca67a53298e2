"""Recorded steps: batches are copied to fixed memory, and batches of another size run as they are."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from safs.training.stacked.captured import WARM_UP_STEPS, CapturedStep


@dataclass
class FakeRecorder:
    """Records by remembering the work, and reads what a GPU would read: the memory of the recording."""

    events: list[str] = field(default_factory=list)

    @contextmanager
    def warm_up(self) -> Iterator[None]:
        self.events.append("warm up")
        yield

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        self.events.append("record")

        def replay() -> None:
            self.events.append("replay")
            work()

        return replay


def test_a_step_is_recorded_once_after_the_warm_up_and_repeated_on_the_batches() -> None:
    recorder, seen, memory = FakeRecorder(), [], set()

    def step(images: Tensor, labels: Tensor) -> None:
        seen.append((images.sum().item(), labels.sum().item()))
        memory.add(images.data_ptr())

    captured = CapturedStep(step, recorder)
    batches = [(torch.full((4, 1), float(number)), torch.full((4,), number)) for number in range(WARM_UP_STEPS + 3)]
    for images, labels in batches:
        captured(images, labels)

    assert seen == [(images.sum().item(), labels.sum().item()) for images, labels in batches]
    assert recorder.events == ["warm up"] * WARM_UP_STEPS + ["record"] + ["replay"] * 3
    assert len(memory) == WARM_UP_STEPS + 1


def test_a_batch_of_another_size_is_an_ordinary_step() -> None:
    recorder, sizes = FakeRecorder(), []
    captured = CapturedStep(lambda images, labels: sizes.append(len(images)), recorder)
    whole, short = (torch.zeros(4, 1), torch.zeros(4)), (torch.zeros(3, 1), torch.zeros(3))

    for _ in range(WARM_UP_STEPS):
        captured(*whole)
    captured(*short)
    captured(*whole)

    assert sizes == [4] * WARM_UP_STEPS + [3, 4]
    assert recorder.events == ["warm up"] * WARM_UP_STEPS + ["record", "replay"]


class RefusingRecorder(FakeRecorder):
    """A GPU on which a step cannot be recorded."""

    error: RuntimeError = RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")

    def record(self, work: Callable[[], None]) -> Callable[[], None]:
        self.events.append("record")
        raise self.error


def test_a_step_that_cannot_be_recorded_is_run_as_it_is_from_then_on() -> None:
    recorder, seen = RefusingRecorder(), []
    captured = CapturedStep(lambda images, labels: seen.append(images.sum().item()), recorder)

    for number in range(WARM_UP_STEPS + 2):
        captured(torch.full((4, 1), float(number)), torch.zeros(4))

    assert seen == [4.0 * number for number in range(WARM_UP_STEPS + 2)]
    assert recorder.events.count("record") == 1
    assert captured.refusal == "CUDA error: operation not permitted when stream is capturing"


def test_a_recording_for_which_there_is_no_memory_is_no_refusal() -> None:
    recorder = RefusingRecorder()
    recorder.error = torch.OutOfMemoryError("no more memory")
    captured = CapturedStep(lambda images, labels: None, recorder)
    for _ in range(WARM_UP_STEPS):
        captured(torch.zeros(4, 1), torch.zeros(4))

    with pytest.raises(torch.OutOfMemoryError):
        captured(torch.zeros(4, 1), torch.zeros(4))

    assert captured.refusal is None
