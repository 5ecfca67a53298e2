"""The actor that runs one trial after the other under Ray Tune."""

from typing import Any

import torch
from ray import tune

from safs.trainings import Training, TrainingRun
from workers.ray_shared import SharedContext

SLICE_S = 2.0
"""A step trains whole epochs for at least this long: often enough for progress bars, seldom enough to cost nothing."""


class RayTrial(tune.Trainable):
    """Trains what its config's ``training`` says; a step is a slice of epochs, the last one carries the outcome."""

    def setup(self, config: dict[str, Any], **bound: Any) -> None:
        """Takes what ``bind`` has bound."""
        torch.set_num_threads(bound["threads"])
        self._context = bound["shared"].open()
        self._device = str(bound["device"])
        self._begin(config["training"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config["training"])
        return True

    def step(self) -> dict[str, Any]:
        epochs = self._run.advance(SLICE_S)
        outcome = self._run.outcome() if self._run.finished else None
        return {"epochs": epochs, "outcome": outcome, "done": self._run.finished}

    @classmethod
    def bind(cls, shared: SharedContext, device: str, threads: int) -> Any:
        """The class with what all its trials share."""
        return tune.with_parameters(cls, shared=shared, device=device, threads=threads)

    def _begin(self, training: Training) -> None:
        self._run = TrainingRun(self._context, training, self._device)
