"""Presets: budgets of a job. A preset fills in the fields that the user left out of the spec, section by section."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from safs.registry import Registry

Section = dict[str, Any]

_QUICK: Section = {
    "train": {"epochs": 20},
    "activations": {"trials": 16, "epochs": 5},
    "tune": {"trials": 16, "epochs": 5},
    "joint": {"trials": 18, "epochs": 5},
    "final": {"epochs": 20, "candidates": ["default", "joint"]},
}
_BALANCED: Section = {
    "train": {"epochs": 30},
    "activations": {"trials": 22, "epochs": 8},
    "tune": {"trials": 20, "epochs": 8},
    "joint": {"trials": 20, "epochs": 8},
    "final": {"epochs": 30, "candidates": ["default", "joint"]},
}
_PAPER: Section = {
    "train": {"epochs": 200, "weight_decay": 5e-4},
    "prune": {"distribution": "uniform"},
    "activations": {"trials": 22, "epochs": 80, "portfolio": False, "acon_start": "identity"},
    "tune": {"trials": 20, "epochs": 80, "portfolio": False},
    "joint": {"trials": 42, "epochs": 80},
    "final": {"epochs": 200},
}

# The paper's recipes by architecture, from its repository automl/SAFS, commit ac03fa1.
_PAPER_RECIPES: dict[str, Section] = {
    "lenet5": {"optimizer": "adam", "learning_rate": 1e-3, "schedule": "constant"},
    "vgg16": {"optimizer": "sgd", "learning_rate": 1e-3, "momentum": 0.9, "schedule": "halving"},
    "resnet18": {"optimizer": "sgd", "learning_rate": 1e-3, "momentum": 0.9, "schedule": "plateau"},
    "efficientnet_b0": {"optimizer": "sgd", "learning_rate": 1e-3, "momentum": 0.9, "schedule": "cosine_restarts"},
}

# Options of pruning methods as published, where this program's default is another one.
_PAPER_OPTIONS: dict[str, Section] = {"greg1": {"growth": "linear"}, "greg2": {"growth": "linear"}}

# The values that each pruning method sets if the user does not. Every schedule except ``one_shot`` trains.
_SGD: Section = {"optimizer": "sgd", "learning_rate": 1e-2, "momentum": 0.9}
# As published for CIFAR-10 by Li et al. (2025), arXiv:2411.13545, with the milestones of the authors' code.
_EAST: Section = {
    "optimizer": "sgd",
    "learning_rate": 0.1,
    "weight_decay": 1e-4,
    "momentum": 0.9,
    "nesterov": True,
    "schedule": "multistep",
}
METHODS: Registry[Section] = Registry(
    "pruning method",
    {
        "magnitude": {},
        "gradient": {"score": "gradient"},
        "synflow": {"score": "synflow"},
        "lookahead": {"score": "lookahead"},
        "lamp": {"distribution": "lamp"},
        "random": {"score": "random"},
        "greg1": {"schedule": "growing", "recipe": _SGD},
        "greg2": {"schedule": "growing", "recipe": _SGD},
        "ap": {"schedule": "iterative"},
        "set": {"distribution": "erk", "schedule": "dynamic"},
        "rigl": {"distribution": "erk", "schedule": "dynamic"},
        "east": {"distribution": "erk", "schedule": "cyclic", "recipe": _EAST},
        "joint_input": {"distribution": "uniform", "schedule": "one_cycle", "granularity": "filter"},
    },
)
# How a job prunes if the user leaves that open: gradually, from the best of a few starts. The sections below replace
# those of the preset, so that the whole job costs no more epochs than without this search.
_GRADUAL: Section = {"schedule": "cubic", "recipe": {**_SGD, "learning_rate": 3e-2}}
_STARTS: Section = {
    "distributions": ["global", "lamp", "erk"],
    "schedules": ["cubic", "one_shot"],
    "recipes": [{**_SGD, "learning_rate": rate} for rate in (3e-2, 1e-2, 1e-1)],
}
_SEARCHED: dict[str, Section] = {
    "quick": {
        "prune": {"epochs": 4, "search": {"starts": 4, "epochs": 6}},
        "joint": {"trials": 7, "epochs": 5},
        "final": {"epochs": 15, "candidates": ["one_shot", "default", "joint"]},
    },
    "balanced": {
        "prune": {"epochs": 5, "search": {"starts": 5, "epochs": 8}},
        "joint": {"trials": 9, "epochs": 8},
        "final": {"epochs": 20, "candidates": ["one_shot", "default", "joint"]},
    },
}
_BOUNDS = ("method", "score", "granularity", "options")
"""Fields of ``prune`` that leave no start to search if they are given, unless ``search`` is given too."""

PRESETS: Registry[Section] = Registry("preset", {"quick": _QUICK, "balanced": _BALANCED, "paper": _PAPER})

PRESET_SUMMARIES = {
    "quick": "minutes on a laptop: the best of 4 prunings, then a short search for operators and recipe",
    "balanced": "the default: the best of 5 prunings, then a search for operators and recipe by trials of 8 epochs",
    "paper": "SAFS as published (arXiv 2305.10964): uniform pruning, stages of 80-epoch trials, 200-epoch trainings",
}


def sections_of(preset: str) -> Section:
    """The sections that a preset fills in for a job that says nothing about pruning."""
    sections = deepcopy(PRESETS[preset])
    for name, values in deepcopy(_SEARCHED.get(preset, {})).items():
        sections[name] = sections.get(name, {}) | (_GRADUAL if name == "prune" else {}) | values
    return sections


def fill(given: Mapping[str, Any], preset: str) -> Section:
    """Return ``given`` with the preset's values for all fields that are missing.

    Raises:
        UnknownNameError: no preset has this name.
    """
    defaults = deepcopy(PRESETS[preset])
    if preset == "paper":
        model = given.get("model")
        architecture = model.get("architecture") if isinstance(model, Mapping) else None
        defaults["train"] |= _PAPER_RECIPES.get(str(architecture), {})
    searched = _SEARCHED.get(preset if preset != "paper" else "balanced", {})
    prune = {} if given.get("prune") is None else given["prune"]
    if searches_pruning(prune, preset):
        if preset != "paper":
            defaults |= {name: defaults[name] | values for name, values in searched.items() if name != "prune"}
        given = {**given, "prune": _with_search(prune, searched["prune"])}
    filled = dict(given)
    for section, values in defaults.items():
        given_section = given.get(section)
        if given_section is None:
            filled[section] = values
        elif isinstance(given_section, Mapping):
            filled[section] = values | dict(given_section)
    train, prune = filled["train"], {} if given.get("prune") is None else given["prune"]
    if isinstance(train, Mapping) and isinstance(prune, Mapping):
        filled["prune"] = fill_prune(defaults.get("prune", {}) | _method_values(prune) | dict(prune), train=train)
        options = filled["prune"].get("options", {})
        published = _PAPER_OPTIONS.get(str(prune.get("method"))) if preset == "paper" else None
        if published and isinstance(options, Mapping):
            filled["prune"]["options"] = published | dict(options)
    return filled


def searches_pruning(prune: Any, preset: str) -> bool:
    """True if the job compares pruned starts: if it says so, or if the preset does and ``prune`` leaves something open.

    >>> [searches_pruning(prune, "quick") for prune in ({}, {"distribution": "uniform"}, {"method": "rigl"})]
    [True, True, False]
    """
    if not isinstance(prune, Mapping):
        return False
    if "search" in prune:
        return isinstance(prune["search"], Mapping)
    if preset == "paper" or any(name in prune for name in _BOUNDS):
        return False
    open_axes = {"distribution", "schedule"} - prune.keys()
    if prune.get("schedule", "cubic") != "one_shot":
        open_axes |= {"recipe"} - prune.keys()
    return bool(open_axes)


def _with_search(prune: Mapping[str, Any], defaults: Section) -> Section:
    """``prune`` with the values that a search for a pruned start fills in; what is given bounds the search."""
    filled = {"schedule": _GRADUAL["schedule"], **prune}
    search: Section = {"starts": defaults["search"]["starts"], "distributions": None, "schedules": None}
    if filled["schedule"] != "one_shot":
        filled.setdefault("epochs", defaults["epochs"])
        filled.setdefault("recipe", _GRADUAL["recipe"])
    if isinstance(prune.get("recipe"), Mapping):
        filled["recipe"] = _GRADUAL["recipe"] | dict(prune["recipe"])
    if isinstance(filled.get("epochs", 0), int):
        search["epochs"] = filled.get("epochs", 0) + defaults["search"]["epochs"] - defaults["epochs"]
    open_axes = {name: values for name, values in _STARTS.items() if name.removesuffix("s") not in prune}
    given = prune.get("search")
    filled["search"] = search | open_axes | (dict(given) if isinstance(given, Mapping) else {})
    return filled


def fill_prune(given: Mapping[str, Any], *, train: Mapping[str, Any] | None = None) -> Section:
    """Return a ``prune`` section with its method's values for all fields that are missing.

    Fields that a given recipe leaves out come from the method's recipe, or from ``train`` if the method has none.

    Args:
        train: the section that sets the epochs of the training while pruning, if the schedule trains; None means 30.
    """
    own, train = _method_values(given), train or {}
    filled = own | dict(given)
    trains = filled.get("schedule", "one_shot") != "one_shot"
    if isinstance(filled.get("recipe"), Mapping):
        rest = {name: value for name, value in train.items() if name != "epochs"}
        filled["recipe"] = own.get("recipe", rest) | dict(filled["recipe"])
    return {"epochs": train.get("epochs", 30) if trains else 0} | filled


def _method_values(prune: Mapping[str, Any]) -> Section:
    method = prune.get("method", "magnitude")
    return deepcopy(METHODS[method]) if isinstance(method, str) and method in METHODS else {}
