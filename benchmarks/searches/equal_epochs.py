"""The headline table: every way to a sparse network at equal epochs after the dense training, in paired differences."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, stdev

from scipy import stats

from benchmarks.searches.reading import Run
from benchmarks.searches.tables import spread
from benchmarks.searches.variants import OURS, PAPER
from benchmarks.searches.versions import check_one_version

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the table: the result of a variant, or one row of its reports."""

    label: str
    variant: str
    row: str | None
    """Row of the report; None is the result: the finalist with the best validation accuracy."""

    def accuracy(self, run: Run) -> float:
        """Test accuracy of the line in a run of its variant."""
        return run.test[self.row or run.result]


LINES = (
    Line("one-shot, default protocol", PAPER, "default"),
    Line("one-shot, the better of two recipes", "two-recipes", None),
    Line("one-shot, the paper's schedule", PAPER, None),
    Line("one-shot, the paper's schedule with portfolio", "paper-portfolio", None),
    Line("one-shot, joint search without portfolio", "joint-asha-plain", None),
    Line("one-shot, joint search", OURS, None),
    Line("gradual, default protocol, no search", "gradual", "default"),
    Line("gradual, the better of two recipes", "gradual", None),
    Line("chosen pruning, joint search without portfolio", "gradual-search", None),
    Line("chosen pruning, joint search", "gradual-search-portfolio", None),
)


def equal_epochs_table(runs: Sequence[Run]) -> str:
    """A Markdown table with a column pair for each distribution: test accuracy, and the difference from the paper's.

    Differences are paired by seed, with the 95% interval of Student's t. Only seeds that both have are used.

    Raises:
        MixedVersions: the runs were measured by different versions.
    """
    commit = check_one_version([run.version for run in runs])
    distributions = list(dict.fromkeys(run.setting.distribution for run in runs))
    heads = [text for name in distributions for text in (name, "against the paper's")]
    lines = [["after one dense training", "epochs", *heads]]
    for line in LINES:
        own = [run for run in runs if run.variant == line.variant]
        if not own:
            continue
        cells = [f"{fmean(_epochs(line, run) for run in own):.0f}"]
        for name in distributions:
            here = _by_seed(own, name, line.accuracy)
            paper = _by_seed([run for run in runs if run.variant == PAPER], name, lambda run: run.test[run.result])
            cells += [spread(here.values(), len(paper)), interval(here, paper)]
        lines.append([line.label, *cells])
    head, *rest = ["| " + " | ".join(cells) + " |" for cells in lines]
    rule = "|" + "---|" * len(lines[0])
    return "\n".join([f"Measured by commit {commit}.", "", head, rule, *rest])


def interval(own: Mapping[int, float], others: Mapping[int, float]) -> str:
    """The mean of the paired differences in points, with its 95% interval.

    >>> interval({0: 0.8, 1: 0.82, 2: 0.84}, {0: 0.7, 1: 0.7, 2: 0.7})
    '+12.0 (+7.0 to +17.0)'
    """
    differences = [100 * (accuracy - others[seed]) for seed, accuracy in own.items() if seed in others]
    if len(differences) < 2 or own == others:
        return ""
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(differences) - 1)) * stdev(differences) / sqrt(len(differences))
    mean = fmean(differences)
    return f"{mean:+.1f} ({mean - half:+.1f} to {mean + half:+.1f})"


def _epochs(line: Line, run: Run) -> int:
    """Epochs after the dense training: of the search, the pruning and the line's own final training."""
    searched = 0 if line.row == "default" else sum(step.trained for step in run.steps)
    return searched + run.pruning_epochs + run.setting.final_epochs


def _by_seed(runs: Sequence[Run], distribution: str, accuracy: Callable[[Run], float]) -> dict[int, float]:
    return {run.seed: accuracy(run) for run in runs if run.setting.distribution == distribution}
