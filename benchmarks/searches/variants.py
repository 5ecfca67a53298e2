"""Ways to search, each as the part of a job's spec that sets it apart from the others.

``paper`` is the schedule of SAFS as published, with trials of ``trial_epochs`` epochs. Every other variant may spend
at most a quarter of the epochs of the paper's two stages; dense training and final trainings are the same for all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Section = dict[str, Any]

PAPER = "paper"
PAPER_TRIALS = (22, 20)
"""Of LAHC in stage 1, of SMAC in stage 2."""
OURS = "joint-smac-short"
"""What the program does by default."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to search."""

    summary: str
    sections: Callable[[int], Section]
    """Epochs of each of the paper's trials -> the spec's searches and final candidates."""


def quarter(trial_epochs: int) -> int:
    """Epochs that a variant's searches may train: a quarter of the paper's.

    >>> quarter(5)
    52
    """
    return sum(PAPER_TRIALS) * trial_epochs // 4


def _paper(trial_epochs: int) -> Section:
    first, second = PAPER_TRIALS
    return {
        "activations": {"strategy": "lahc", "trials": first, "epochs": trial_epochs},
        "tune": {"strategy": "smac", "trials": second, "epochs": trial_epochs},
        "final": {"candidates": ["default", "activations", "safs"]},
    }


def _alone(trial_epochs: int) -> Section:
    return {
        "tune": {"strategy": "smac", "trials": PAPER_TRIALS[1], "epochs": trial_epochs},
        "final": {"candidates": ["default", "hyperparameters"]},
    }


def _joint(strategy: str, *, share: float = 1.0, **options: Any) -> Callable[[int], Section]:
    """Both stages in one space; ``share`` of the paper's epochs a trial, and as many trials as the budget allows."""

    def sections(trial_epochs: int) -> Section:
        epochs = max(1, round(share * trial_epochs))
        trials = max(1, quarter(trial_epochs) // epochs)
        return _joint_only({"strategy": strategy, "trials": trials, "epochs": epochs, "options": options})

    return sections


def _two_stages(first: str, second: str, *, share: float) -> Callable[[int], Section]:
    """One stage after the other, each with half of the budget."""

    def sections(trial_epochs: int) -> Section:
        epochs = max(1, round(share * trial_epochs))
        trials = max(1, quarter(trial_epochs) // (2 * epochs))
        return {
            "activations": {"strategy": first, "trials": trials, "epochs": epochs, "portfolio": True},
            "tune": {"strategy": second, "trials": trials, "epochs": epochs, "portfolio": True},
            "final": {"candidates": ["default", "activations", "safs"]},
        }

    return sections


def _joint_only(joint: Section) -> Section:
    return {"joint": joint, "final": {"candidates": ["default", "joint"]}}


VARIANTS: Mapping[str, Variant] = {
    PAPER: Variant("SAFS as published: LAHC over operators, then SMAC over the recipe", _paper),
    "stage-2": Variant("its second stage alone, with the network's own activations", _alone),
    "two-stage": Variant("LAHC, then SMAC, with trials of half the length", _two_stages("lahc", "smac", share=0.4)),
    "joint-random": Variant(
        "both stages in one space: known good points, then random ones", _joint("random", share=0.4)
    ),
    "joint-smac": Variant("the same with SMAC's forest, trials as long as the paper's", _joint("smac")),
    "joint-smac-short": Variant("the same with shorter trials", _joint("smac", share=0.4)),
    "joint-tpe": Variant("both stages in one space, TPE", _joint("tpe", share=0.4)),
    "joint-gp": Variant("both stages in one space, Gaussian process", _joint("gp", share=0.4)),
}
