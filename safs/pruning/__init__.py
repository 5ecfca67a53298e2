"""Pruning methods by name, and what they share."""

from safs.pruning import ap, composed
from safs.pruning.bench import Bench, Hooks, Pruned, Pruner, Setting
from safs.pruning.distributions import DISTRIBUTIONS, Distribution, Shapes, live_counts, live_total
from safs.pruning.masks import Masks, apply_masks, prunable_parameters
from safs.pruning.options import described
from safs.registry import Registry

__all__ = [
    "DISTRIBUTIONS",
    "PRUNERS",
    "Bench",
    "Distribution",
    "Hooks",
    "Masks",
    "Pruned",
    "Pruner",
    "Setting",
    "Shapes",
    "apply_masks",
    "live_counts",
    "live_total",
    "prunable_parameters",
]


def _composed(summary: str, source: str) -> Pruner:
    return Pruner(summary, composed.prune, composed.check, source, options=described(composed.OneShotOptions))


PRUNERS: Registry[Pruner] = Registry(
    "pruning method",
    {
        "magnitude": _composed("removes the weights nearest to zero", "Han et al. (2015), arXiv:1506.02626"),
        "gradient": _composed("removes the weights of least |w dL/dw|", "Molchanov et al. (2017), arXiv:1611.06440"),
        "synflow": _composed("removes what carries least flow; sees no data", "Tanaka et al. (2020), arXiv:2006.05467"),
        "lookahead": _composed(
            "weighs a weight with those before and after it", "Park et al. (2020), arXiv:2002.04809"
        ),
        "lamp": _composed(
            "magnitude, scaled in each layer so that layers compare", "Lee et al. (2021), arXiv:2010.07611"
        ),
        "random": _composed("removes weights at random: the control", "Gale et al. (2019), arXiv:1902.09574"),
        "ap": Pruner(
            "in rounds, part of them negative weights that hardly moved, so that fewer ReLU neurons are dead",
            ap.prune,
            ap.check,
            "Liu et al. (2022), arXiv:2212.06145",
            options=described(ap.ApOptions),
        ),
    },
)
