"""The section ``final`` of a job spec: the final trainings and the rows of the comparison."""

from enum import StrEnum

from pydantic import Field, model_validator

from safs.spec.fields import Epochs, Section, filled


class FinalCandidate(StrEnum):
    """The rows of the final comparison."""

    ONE_SHOT = "one_shot"
    """Default protocol from one-shot pruning, with the epochs of gradual pruning added, if the job prunes otherwise."""
    DEFAULT = "default"
    """Default protocol: the network's own activations, the dense recipe."""
    ACTIVATIONS = "activations"
    """Stage 1 alone: its operators, the dense recipe, alpha = beta = 1."""
    HYPERPARAMETERS = "hyperparameters"
    """Stage 2 alone: own activations, tuned recipe, learnable alpha and beta. Costs a second tuning search."""
    SAFS = "safs"
    """Both stages, one after the other."""
    JOINT = "joint"
    """The winner of the joint search."""


PUBLISHED = (
    FinalCandidate.DEFAULT,
    FinalCandidate.ACTIVATIONS,
    FinalCandidate.HYPERPARAMETERS,
    FinalCandidate.SAFS,
)
"""The comparison of the SAFS paper."""


class FinalSpec(Section):
    """The final trainings, which compete on the validation split; the best one is the result."""

    epochs: Epochs = filled(30)
    """Epochs of each final training. If left out, the preset decides."""
    repeats: int = Field(1, ge=1, le=20)
    """Seeds per candidate. The candidate with the best mean wins, and its best seed is the result."""
    candidates: list[FinalCandidate] = Field(default_factory=lambda: list(PUBLISHED), min_length=1)
    """Final candidates; the job runs the searches that they need. If left out, the preset decides."""

    @model_validator(mode="after")
    def _baseline_is_always_there(self) -> "FinalSpec":
        if FinalCandidate.DEFAULT not in self.candidates:
            raise ValueError("final.candidates must hold 'default': every report carries its own baseline")
        if len(set(self.candidates)) != len(self.candidates):
            raise ValueError("final.candidates names a candidate twice")
        return self
