"""Markdown tables of the claims."""

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev

from benchmarks.claims.measuring import Line
from benchmarks.claims.papers import CLAIMS, Claim
from benchmarks.searches.equal_epochs import interval

COUNTS = {"inputs"}
"""Measurements that are numbers; all others are fractions, shown in percent."""


def tables(lines: Sequence[Line], claims: Mapping[str, Claim] = CLAIMS) -> str:
    """A table for each measured claim: mean and deviation over seeds of its measurements, by arm.

    The last columns have the differences in the test accuracy, and where it is shown in the dead neurons, from the
    first arm: paired by seed, with their 95% intervals.
    """
    measured = {line["claim"] for line in lines}
    return "\n\n".join(_table(name, claim, lines) for name, claim in claims.items() if name in measured)


def _table(name: str, claim: Claim, lines: Sequence[Line]) -> str:
    first = next(iter(claim.arms))
    compared = [key for key in ("test", "dead") if key in claim.columns]
    heads = [f"{claim.architecture}, {claim.dataset}, {100 * claim.sparsity:g}%", *claim.columns.values()]
    heads += [f"{claim.columns[key]} against {first}" for key in compared]
    rows = [f"| {' | '.join(heads)} | seeds |", "|---" * (len(heads) + 1) + "|"]
    found = {
        arm: best([line for line in lines if (line["claim"], line["arm"]) == (name, arm)], len(claim.recipes))
        for arm in claim.arms
    }
    for arm, own in found.items():
        cells = [mean([line[key] for line in own], count=key in COUNTS) for key in claim.columns]
        cells += [interval(_by_seed(own, key), _by_seed(found[first], key)) for key in compared]
        rows.append(f"| {arm} | {' | '.join(cells)} | {len(own)} |")
    return "\n".join(rows)


def _by_seed(lines: Sequence[Line], key: str) -> dict[int, float]:
    return {line["seed"]: line[key] for line in lines}


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
