"""Presets: how much a job may spend. A preset fills what the user left out of the spec, section by section."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from safs.registry import Registry

Section = dict[str, Any]

_QUICK: Section = {
    "train": {"epochs": 20},
    "activations": {"trials": 16, "epochs": 5},
    "tune": {"trials": 16, "epochs": 5},
    "final": {"epochs": 20},
}
_BALANCED: Section = {
    "train": {"epochs": 30},
    "activations": {"trials": 22, "epochs": 8},
    "tune": {"trials": 20, "epochs": 8},
    "final": {"epochs": 30},
}
_PAPER: Section = {
    "train": {"epochs": 200, "weight_decay": 5e-4},
    "prune": {"distribution": "uniform"},
    "activations": {"trials": 22, "epochs": 80},
    "tune": {"trials": 20, "epochs": 80},
    "final": {"epochs": 200},
}

# The paper's recipes by architecture: papers' repository automl/SAFS, commit ac03fa1. Others train as `train` says.
_PAPER_RECIPES: dict[str, Section] = {
    "lenet5": {"optimizer": "adam", "learning_rate": 1e-3, "schedule": "constant"},
    "vgg16": {"optimizer": "sgd", "learning_rate": 1e-3, "momentum": 0.9, "schedule": "halving"},
    "resnet18": {"optimizer": "sgd", "learning_rate": 1e-3, "momentum": 0.9, "schedule": "plateau"},
    "efficientnet_b0": {"optimizer": "sgd", "learning_rate": 1e-3, "momentum": 0.9, "schedule": "cosine_restarts"},
}

PRESETS: Registry[Section] = Registry("preset", {"quick": _QUICK, "balanced": _BALANCED, "paper": _PAPER})

PRESET_SUMMARIES = {
    "quick": "minutes on a laptop: short trials, global magnitude pruning",
    "balanced": "the default: 22 activation trials and 20 tuning trials of 8 epochs",
    "paper": "SAFS as published (arXiv 2305.10964): uniform pruning, 80-epoch trials, 200-epoch trainings",
}


def fill(given: Mapping[str, Any], preset: str) -> Section:
    """``given`` with the preset's values wherever the user gave none.

    Raises:
        UnknownNameError: there is no such preset.
    """
    defaults = deepcopy(PRESETS[preset])
    if preset == "paper":
        model = given.get("model")
        architecture = model.get("architecture") if isinstance(model, Mapping) else None
        defaults["train"] |= _PAPER_RECIPES.get(str(architecture), {})
    filled = dict(given)
    for section, values in defaults.items():
        mine = given.get(section)
        if mine is None:
            filled[section] = values
        elif isinstance(mine, Mapping):
            filled[section] = values | dict(mine)
    return filled
