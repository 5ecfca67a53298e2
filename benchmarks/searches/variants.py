"""Variants of the search, each as the sections of a job's spec that differ.

``paper`` is the published schedule of SAFS, with shorter trials. Every other variant may spend at most a quarter of the
paper's epochs on its search and its final training together. The final trainings of all variants are equally long.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from safs.spec.halving import Cost, HalvingOptions, halving_cost, hyperband_cost, levels

Section = dict[str, Any]

PAPER = "paper"
PAPER_TRIALS = (22, 20)
"""Number of trials of LAHC in stage 1 and of SMAC in stage 2."""
OURS = "joint-asha"
"""The variant that the service runs by default."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A variant of the search."""

    summary: str
    sections: Callable[[int, int], Section]
    """(epochs of each trial of the paper's schedule, epoch budget of the search) -> sections of the spec."""


def frugal_epochs(trial_epochs: int, final_epochs: int) -> int:
    """Epoch budget of a search. With the final training it is a quarter of the epochs of the paper's schedule.

    Raises:
        ValueError: the final training needs the whole budget.

    >>> frugal_epochs(3, 6)  # (42 trials x 3 + 6) / 4 - 6
    27
    """
    epochs = (sum(PAPER_TRIALS) * trial_epochs + final_epochs) // 4 - final_epochs
    if epochs < 1:
        raise ValueError(f"a final training of {final_epochs} epochs leaves no epochs for the search; shorten it")
    return epochs


def _paper(trial_epochs: int, budget: int) -> Section:
    first, second = PAPER_TRIALS
    return {
        "activations": {"strategy": "lahc", "trials": first, "epochs": trial_epochs},
        "tune": {"strategy": "smac", "trials": second, "epochs": trial_epochs},
        "final": {"candidates": ["default", "activations", "safs"]},
    }


def _stage_2_alone(trial_epochs: int, budget: int) -> Section:
    return {
        "tune": {"strategy": "smac", "trials": PAPER_TRIALS[1], "epochs": trial_epochs},
        "final": {"candidates": ["default", "hyperparameters"]},
    }


def _joint(strategy: str, *, share: float = 1.0, **options: Any) -> Callable[[int, int], Section]:
    """Both stages in one space: trials of ``share`` of the paper's epochs, as many as the budget allows."""

    def sections(trial_epochs: int, budget: int) -> Section:
        epochs = max(1, round(share * trial_epochs))
        trials = max(1, budget // epochs)
        return _joint_only({"strategy": strategy, "trials": trials, "epochs": epochs, "options": options})

    return sections


def _halving(strategy: str, cost_of: Callable[[int, tuple[int, ...], int], Cost]) -> Callable[[int, int], Section]:
    """Both stages in one space by a multi-fidelity strategy, whose longest trials are as long as the paper's."""

    def sections(trial_epochs: int, budget: int) -> Section:
        options = HalvingOptions()
        at, trials = levels(trial_epochs, options), 1
        while cost_of(trials + 1, at, options.eta).epochs <= budget:
            trials += 1
        section = {"strategy": strategy, "trials": trials, "epochs": trial_epochs, "options": options.model_dump()}
        return _joint_only(section)

    return sections


def _two_stages(first: str, second: str, *, share: float) -> Callable[[int, int], Section]:
    """Both stages one after the other, each with half of the budget."""

    def sections(trial_epochs: int, budget: int) -> Section:
        epochs = max(1, round(share * trial_epochs))
        trials = max(1, budget // (2 * epochs))
        return {
            "activations": {"strategy": first, "trials": trials, "epochs": epochs, "portfolio": True},
            "tune": {"strategy": second, "trials": trials, "epochs": epochs, "portfolio": True},
            "final": {"candidates": ["default", "activations", "safs"]},
        }

    return sections


def _joint_only(joint: Section) -> Section:
    return {"joint": joint, "final": {"candidates": ["default", "joint"]}}


def _with_portfolio(trial_epochs: int, budget: int) -> Section:
    sections = _paper(trial_epochs, budget)
    return sections | {name: sections[name] | {"portfolio": True} for name in ("activations", "tune")}


def _without_portfolio(trial_epochs: int, budget: int) -> Section:
    sections = _halving("asha", halving_cost)(trial_epochs, budget)
    return sections | {"joint": sections["joint"] | {"portfolio": False}}


def _two_recipes(trial_epochs: int, budget: int) -> Section:
    """The default protocol's recipe and one cycle of Adam: the two points that the portfolio of stage 2 holds."""
    return {
        "tune": {"strategy": "random", "trials": 2, "epochs": max(2, trial_epochs // 3), "portfolio": True},
        "final": {"candidates": ["default", "hyperparameters"]},
    }


def _gradual(trial_epochs: int, budget: int) -> Section:
    return _two_recipes(trial_epochs, budget) | {"prune": GRADUAL | {"epochs": max(1, trial_epochs // 2)}}


def _gradual_search(*, portfolio: bool) -> Callable[[int, int], Section]:
    """The service's own way: a few starts, then the joint search with the rest of the budget."""

    def sections(trial_epochs: int, budget: int) -> Section:
        epochs = max(1, trial_epochs // 2)
        starts, longest = 4, epochs + 2
        prune = {"epochs": epochs, "search": {"starts": starts, "epochs": longest}}
        spent = starts * (epochs + 1) + starts // 2
        searched = _halving("asha", halving_cost)(trial_epochs, max(1, budget - spent))
        return {
            "joint": searched["joint"] | {"portfolio": portfolio},
            "prune": prune,
            "final": {"candidates": ["one_shot", "default", "joint"]},
        }

    return sections


GRADUAL: Section = {"schedule": "cubic", "recipe": {"optimizer": "sgd", "learning_rate": 3e-2, "momentum": 0.9}}

VARIANTS: Mapping[str, Variant] = {
    PAPER: Variant("SAFS as published: LAHC over operators, then SMAC over the recipe", _paper),
    "stage-2": Variant("the second stage of SAFS alone, with the original activations", _stage_2_alone),
    "paper-portfolio": Variant("SAFS as published, but beginning with a portfolio of good points", _with_portfolio),
    "two-recipes": Variant("no search: the default recipe and one cycle, compared on validation", _two_recipes),
    "gradual": Variant("gradual pruning by SGD, then the same two recipes", _gradual),
    "gradual-search": Variant(
        "the best of a few prunings, then both stages in one space, no portfolio", _gradual_search(portfolio=False)
    ),
    "gradual-search-portfolio": Variant(
        "the same beginning with a portfolio of good points, as quick and balanced do", _gradual_search(portfolio=True)
    ),
    "two-stage": Variant("LAHC, then SMAC, with trials of 0.4 of the length", _two_stages("lahc", "smac", share=0.4)),
    "joint-random": Variant(
        "both stages in one space: a portfolio of good points, then random ones", _joint("random", share=0.4)
    ),
    "joint-smac": Variant("both stages in one space, SMAC's forest, trials as long as the paper's", _joint("smac")),
    "joint-smac-short": Variant("both stages in one space, SMAC's forest, shorter trials", _joint("smac", share=0.4)),
    "joint-tpe": Variant("both stages in one space, TPE", _joint("tpe", share=0.4)),
    "joint-gp": Variant("both stages in one space, Gaussian process", _joint("gp", share=0.4)),
    "joint-asha": Variant("both stages in one space, successive halving", _halving("asha", halving_cost)),
    "joint-asha-plain": Variant("both stages in one space, successive halving, no portfolio", _without_portfolio),
    "joint-hyperband": Variant(
        "both stages in one space, Hyperband with SMAC's forest", _halving("hyperband", hyperband_cost)
    ),
}
