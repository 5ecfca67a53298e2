"""The claims, each with its setting and the arms that it compares."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from safs.spec.training import Recipe

DENSE, PRUNING, TUNING, BATCH = 10, 10, 5, 64
ADAM = "Adam 1e-3"
RECIPES = {
    ADAM: Recipe(optimizer="adam", learning_rate=1e-3),
    "SGD 1e-2": Recipe(optimizer="sgd", learning_rate=1e-2, momentum=0.9),
}
PUBLISHED = {
    ADAM: RECIPES[ADAM],
    "SGD 1e-1, multistep": Recipe(
        optimizer="sgd", learning_rate=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4, schedule="multistep"
    ),
}
"""Recipes for networks with batch norm: the default one, and EAST's."""

TEST = {"test": "test accuracy"}
WITH_DEAD = {**TEST, "dead": "dead neurons"}
WITH_COST = {**TEST, "operations": "operations", "inputs": "inputs"}


@dataclass(frozen=True, slots=True)
class Arm:
    """One way to the sparse network."""

    prune: Mapping[str, Any] = field(default_factory=dict)
    """Section ``prune``, without epochs and recipe."""
    tuning: int | None = None
    """Epochs after pruning; None: those that make all arms cost the same."""
    operator: str | None = None
    """Operator at every site after pruning; None keeps the network's own."""
    random_inputs: bool = False
    """True if the network sees as many inputs as pruning would choose, drawn at random; the others are constant."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A paper's claim in one setting."""

    architecture: str
    sparsity: float
    arms: Mapping[str, Arm]
    columns: Mapping[str, str] = field(default_factory=lambda: WITH_DEAD)
    """Measurement -> head of the table's column."""
    recipes: Mapping[str, Recipe] = field(default_factory=lambda: RECIPES)
    """Recipes of dense training, pruning and tuning; each arm keeps the better one by validation."""
    dataset: str = "digits"
    images: int | None = None
    """Number of training and validation images; None: all."""
    image_size: int = 28


def _after(prune: Mapping[str, Any]) -> dict[str, Arm]:
    return {one: Arm(prune, operator=one) for one in ("relu", "swish", "elu", "identity")}


def _east(*parts: str) -> dict[str, Arm]:
    arms = {
        "east": Arm({"method": "east"}),
        "east without dynamic ReLU": Arm({"method": "east", "options": {"dyrelu": False}}),
        "east without shared weights": Arm({"method": "east", "options": {"share": False}}),
        "east without cyclic density": Arm({"method": "east", "options": {"peak": 1.0}}),
        "rigl": Arm({"method": "rigl"}),
        "set": Arm({"method": "set"}),
        "static random mask": Arm({"method": "set", "options": {"drop": 0.0}}),
        "cubic": Arm({**_CUBIC, "distribution": "erk"}),
    }
    return {name: arms[name] for name in parts or arms}


def _greg(granularity: str) -> dict[str, Arm]:
    axes = {"distribution": "global", "granularity": granularity}
    return {
        "one-shot, equal fine-tuning": Arm(axes, tuning=TUNING),
        "one-shot": Arm(axes),
        "greg1": Arm({"method": "greg1", **axes}),
        "greg2": Arm({"method": "greg2", **axes}),
        "cubic": Arm({**_CUBIC, **axes}),
    }


_CUBIC = {"schedule": "cubic"}
_AP = {"method": "ap", "distribution": "global"}
AP_ARMS = {
    "ap": Arm(_AP),
    "without activation": Arm({**_AP, "options": {"activate": 0.0}}),
    "positive weights": Arm({**_AP, "options": {"control": True}}),
}
_INPUTS = {
    "weights and inputs": Arm({"method": "joint_input"}),
    "random inputs": Arm({"method": "joint_input"}, random_inputs=True),
    "weights alone": Arm({"schedule": "one_cycle", "granularity": "filter", "distribution": "uniform"}),
}
_AGAINST = ("east", "rigl", "set", "static random mask", "cubic")
_PARTS = (
    "east",
    "east without dynamic ReLU",
    "east without shared weights",
    "east without cyclic density",
    "rigl",
)


def _inputs(sparsity: float) -> Claim:
    return Claim("mlp", sparsity, _INPUTS, WITH_COST, dataset="fashion_mnist", images=2_500)


CLAIMS = {
    "safs after one-shot": Claim("lenet5", 0.99, _after({"distribution": "global"})),
    "safs after gradual": Claim("lenet5", 0.99, _after({**_CUBIC, "distribution": "global"})),
    "ap": Claim("lenet5", 0.9, AP_ARMS),
    "greg, weights": Claim("lenet5", 0.99, _greg("weight")),
    "greg, filters": Claim("lenet5", 0.9, _greg("filter")),
    "east, mlp, 99.5%": Claim("mlp", 0.995, _east(*_AGAINST), recipes=PUBLISHED),
    "east, mlp, 99.9%": Claim("mlp", 0.999, _east(*_AGAINST), recipes=PUBLISHED),
    "east, mlp, 99.99%": Claim("mlp", 0.9999, _east(*_AGAINST), recipes=PUBLISHED),
    "joint input, 90%": _inputs(0.9),
    "joint input, 98%": _inputs(0.98),
    "east, parts": Claim("resnet20", 0.999, _east(*_PARTS), recipes=PUBLISHED, images=800, image_size=8),
}
