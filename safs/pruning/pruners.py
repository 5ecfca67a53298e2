"""Registry of pruning methods, and the public names of this package."""

from safs.pruning.axes.distributions import DISTRIBUTIONS, Distribution, Shapes, live_counts, live_total
from safs.pruning.axes.schedules import GradualOptions
from safs.pruning.masks import Masks, apply_masks, prunable_parameters
from safs.pruning.methods import ap, composed, dynamic, east, greg, joint_input
from safs.pruning.protocol import Hooks, Pruned, Pruner, PruningTask, Trainer
from safs.registry import Registry
from safs.spec.options import described

__all__ = [
    "DISTRIBUTIONS",
    "PRUNERS",
    "Distribution",
    "Hooks",
    "Masks",
    "Pruned",
    "Pruner",
    "PruningTask",
    "Shapes",
    "Trainer",
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
        "gradient": _composed(
            "removes the weights of the smallest |w dL/dw|", "Molchanov et al. (2017), arXiv:1611.06440"
        ),
        "synflow": _composed(
            "removes the weights with the least flow; needs no data", "Tanaka et al. (2020), arXiv:2006.05467"
        ),
        "lookahead": _composed(
            "scores a weight together with those before and after it", "Park et al. (2020), arXiv:2002.04809"
        ),
        "lamp": _composed(
            "magnitude, rescaled in each layer so that layers compare", "Lee et al. (2021), arXiv:2010.07611"
        ),
        "random": _composed("removes weights at random: the control", "Gale et al. (2019), arXiv:1902.09574"),
        "greg1": Pruner(
            "chooses the weights at once, then shrinks them by a growing penalty before it removes them",
            greg.greg1,
            greg.check,
            "Wang et al. (2021), arXiv:2012.09243",
            options=described(greg.Greg1Options),
        ),
        "greg2": Pruner(
            "as greg1, but chooses the weights that a small penalty on all shrinks most: those of low curvature",
            greg.greg2,
            greg.check,
            "Wang et al. (2021), arXiv:2012.09243",
            options=described(greg.Greg2Options),
        ),
        "ap": Pruner(
            "prunes in rounds; a part are negative weights that moved least, so that fewer ReLU neurons are dead",
            ap.prune,
            ap.check,
            "Liu et al. (2022), arXiv:2212.06145",
            options=described(ap.ApOptions),
        ),
        "set": Pruner(
            "trains sparse from the start; connections move to random places",
            dynamic.set_,
            dynamic.check,
            "Mocanu et al. (2018), arXiv:1707.04780",
            from_scratch=True,
            options=described(dynamic.DynamicOptions),
        ),
        "rigl": Pruner(
            "trains sparse from the start; connections move to where the gradient is largest",
            dynamic.rigl,
            dynamic.check,
            "Evci et al. (2020), arXiv:1911.11134",
            from_scratch=True,
            options=described(dynamic.DynamicOptions),
        ),
        "east": Pruner(
            "for extreme sparsity: RigL with dynamic ReLUs that phase out, shared weights and a cyclic density",
            east.east,
            east.check,
            "Li et al. (2025), arXiv:2411.13545",
            from_scratch=True,
            options=described(east.EastOptions),
        ),
        "joint_input": Pruner(
            "removes neurons, filters and unneeded inputs; the network is then trained on the reduced images",
            joint_input.prune,
            joint_input.check,
            "Hubens et al. (2023), arXiv:2303.10999",
            options=described(GradualOptions),
        ),
    },
)
