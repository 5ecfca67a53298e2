"""Layers that stay dense or have a sparsity of their own, and zeros that a job starts with and keeps.

The fields of a job are ``prune.exclude``, ``prune.sparsity_of`` and ``prune.keep_zeros``.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from math import prod

from safs.errors import SparsityError, SpecError
from safs.pruning.axes.distributions import Shapes, live_total, sparsity_that_leaves
from safs.spec.pruning import PruneSpec


@dataclass(frozen=True, slots=True)
class LayerLimits:
    """Layers whose numbers of zeros are fixed. All other layers share what is left of the total."""

    zeros: Mapping[str, int]
    """Prunable weight -> number of its zeros at the job's sparsity; those of ``held`` for a layer that stays dense."""
    held: Mapping[str, int] = field(default_factory=dict)
    """Prunable weight -> number of zeros that the network starts with and keeps; a missing weight has none."""

    def live_at(self, shapes: Shapes, live: int) -> dict[str, int]:
        """Live weights of the limited layers while the network has ``live`` weights.

        While a schedule is above the job's density, a layer has no larger share of the zeros than the network allows.
        """
        sizes = self.sizes(shapes)
        removed = sum(sizes.values()) - live
        more = {name: zeros - self.held.get(name, 0) for name, zeros in self.zeros.items()}
        wanted = sum(more.values())
        return {
            name: sizes[name] - (zeros if wanted <= removed else zeros * removed // wanted)
            for name, zeros in more.items()
        }

    def sizes(self, shapes: Shapes) -> dict[str, int]:
        """Number of weights of each layer that are not held at zero."""
        return {name: prod(shape) - self.held.get(name, 0) for name, shape in shapes.items()}


NO_LIMITS = LayerLimits({})
"""No layer is excluded or has a sparsity of its own, and no zero is held."""


def layer_limits(spec: PruneSpec, shapes: Shapes, held: Mapping[str, int] | None = None) -> LayerLimits:
    """The limits of the layers that the patterns of ``spec`` match; the first pattern of ``sparsity_of`` counts.

    Args:
        held: zeros of each layer that the network starts with and keeps; None: no zero is kept.

    Raises:
        SpecError: a pattern matches no layer, or a layer is both excluded and given a sparsity.
        SparsityError: a layer keeps more zeros than its own sparsity says.
    """
    kept = {} if held is None else dict(held)
    excluded = {name for pattern in spec.exclude for name in _matching(pattern, shapes, "prune.exclude")}
    own: dict[str, int] = {}
    for pattern, sparsity in spec.sparsity_of.items():
        for name in _matching(pattern, shapes, "prune.sparsity_of"):
            if name in excluded:
                raise SpecError(
                    f"prune.exclude and prune.sparsity_of ({pattern!r}) both match {path_of(name)!r}; name it once.",
                    field="prune.sparsity_of",
                )
            size = prod(shapes[name])
            own.setdefault(name, size - max(1, live_total(size, sparsity)))
            if own[name] < kept.get(name, 0):
                raise SparsityError(
                    f"prune.sparsity_of gives {path_of(name)!r} {own[name]:,} zeros, and {kept[name]:,} of its "
                    f"{size:,} weights are zero at the start, which prune.keep_zeros holds. Choose at least "
                    f"{sparsity_that_leaves(size - kept[name], size)} for it.",
                    field="prune.sparsity_of",
                )
    return LayerLimits({name: kept.get(name, 0) for name in sorted(excluded)} | own, kept)


def check_limits(shapes: Shapes, sparsity: float, limits: LayerLimits) -> None:
    """Check that the free layers can make the total exact.

    Raises:
        SparsityError: they would have to lose more weights than they have, or gain some; the message has the numbers.
    """
    weights = sum(map(prod, shapes.values()))
    live = live_total(weights, sparsity)
    free = [prod(shape) for name, shape in shapes.items() if name not in limits.zeros]
    held = sum(zeros for name, zeros in limits.held.items() if name not in limits.zeros)
    fixed_zeros = sum(limits.zeros.values()) + held
    most = fixed_zeros - held + sum(free) - len(free)
    if fixed_zeros <= weights - live <= most:
        return
    if weights - live > most:
        problem = f"but at most {most:,} may go: prune.exclude and prune.sparsity_of keep the others"
        advice = f"a sparsity of at most {sparsity_that_leaves(weights - most, weights)}, or fewer excluded layers"
    else:
        kept = ", with the zeros that prune.keep_zeros holds," if limits.held else ""
        problem = f"but prune.sparsity_of alone{kept} removes {fixed_zeros:,}"
        least = sparsity_that_leaves(weights - fixed_zeros, weights)
        advice = f"a sparsity of at least {least}, or lower sparsities there"
    raise SparsityError(
        f"sparsity {sparsity} removes {weights - live:,} of {weights:,} weights, {problem}. Choose {advice}.",
        field="sparsity",
    )


def path_of(name: str) -> str:
    """Module path of a prunable weight.

    >>> path_of("layer1.0.conv1.weight")
    'layer1.0.conv1'
    """
    return name.rpartition(".")[0]


def _matching(pattern: str, names: Iterable[str], field: str) -> list[str]:
    paths = {path_of(name): name for name in names}
    found = [name for path, name in paths.items() if fnmatchcase(path, pattern)]
    if not found:
        near = get_close_matches(pattern, paths, n=3, cutoff=0.4)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise SpecError(f"{field}: {pattern!r} matches no prunable layer.{hint} Layers: {_few(paths)}.", field=field)
    return found


def _few(paths: Iterable[str]) -> str:
    listed = list(paths)
    return ", ".join(listed[:8]) + (f", and {len(listed) - 8} more" if len(listed) > 8 else "")
