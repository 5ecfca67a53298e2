"""Markdown tables of the claims."""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from benchmarks.claims.measuring import Line
from benchmarks.claims.papers import CLAIMS, Claim

COUNTS = {"inputs"}
"""Measurements that are numbers; all others are fractions, shown in percent."""


def tables(lines: Sequence[Line], claims: Mapping[str, Claim] = CLAIMS) -> str:
    """A table for each measured claim: mean and deviation over seeds of its measurements, by arm."""
    measured = {line["claim"] for line in lines}
    return "\n\n".join(_table(name, claim, lines) for name, claim in claims.items() if name in measured)


def _table(name: str, claim: Claim, lines: Sequence[Line]) -> str:
    head = f"{claim.architecture}, {claim.dataset}, {100 * claim.sparsity:g}%"
    rows = [f"| {head} | {' | '.join(claim.columns.values())} | seeds |", "|---" * (len(claim.columns) + 2) + "|"]
    for arm in claim.arms:
        own = best([line for line in lines if (line["claim"], line["arm"]) == (name, arm)], len(claim.recipes))
        cells = [mean([line[key] for line in own], count=key in COUNTS) for key in claim.columns]
        rows.append(f"| {arm} | {' | '.join(cells)} | {len(own)} |")
    return "\n".join(rows)


def best(lines: Sequence[Line], recipes: int) -> list[Line]:
    """For each seed that was measured with all recipes, the line with the best validation accuracy."""
    seeds = sorted({line["seed"] for line in lines})
    own = {seed: [line for line in lines if line["seed"] == seed] for seed in seeds}
    return [max(some, key=lambda line: line["validation"]) for some in own.values() if len(some) == recipes]


def mean(values: Sequence[float], *, count: bool = False) -> str:
    """Mean and deviation, in percent unless they are counts; empty without values.

    >>> mean([0.5, 0.75]), mean([3], count=True), mean([])
    ('62.5 ± 17.7', '3.0', '')
    """
    if not values:
        return ""
    factor = 1 if count else 100
    return f"{factor * fmean(values):.1f}" + (f" ± {factor * stdev(values):.1f}" if len(values) > 1 else "")
