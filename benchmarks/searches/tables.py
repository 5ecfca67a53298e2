"""Markdown tables of the comparison of searches, from the cells' reports."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from textwrap import fill

from benchmarks.searches.reading import STAGE_2_ALONE, Run, Setting, by_setting, by_variant
from benchmarks.searches.variants import OURS, PAPER
from benchmarks.searches.versions import check_one_version

BEGIN, END = "<!-- headline: begin -->", "<!-- headline: end -->"
PARTS = {
    "dense": "dense",
    "pruned": "pruned",
    "default": "default",
    "activations": "stage 1",
    "hyperparameters": "stage 2",
    "safs": "SAFS",
}
"""Row of a report of the paper's schedule -> column heading."""
PUBLISHED = {"dense": 98.49, "default": 46.69, "activations": 61.63, "hyperparameters": 60.2, "safs": 62.22}
"""Test accuracies in % of LeNet-5 on MNIST by Loni et al. (2023), arXiv:2305.10964, from the results table of the
repository automl/SAFS at commit ac03fa1. Its row "magnitude pruned" is fine-tuned, and is the default protocol here."""
NAMES = {"lenet5": "LeNet-5", "mlp": "MLP", "resnet18": "ResNet-18", "vgg16": "VGG-16"}
Row = list[str]


def write_tables(runs: Sequence[Run], path: Path) -> None:
    """Write the tables between ``BEGIN`` and ``END`` if the file at ``path`` has these marks, else replace the file."""
    check_one_version([run.version for run in runs])
    text = tables(runs)
    old = path.read_text() if path.exists() else ""
    if BEGIN in old and END in old:
        before, after = old.split(BEGIN)[0], old.split(END)[1]
        text = f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"
    path.write_text(text if text.endswith("\n") else text + "\n")


def tables(runs: Sequence[Run]) -> str:
    """Markdown tables: the gain of each part, the cost of the searches in each setting, the gain in each setting."""
    parts = ["### What each part gains", _gains(runs)]
    for group in compared(runs):
        parts += [f"### By cost: {title(group[0].setting)}", _conditions(group), _costs(group)]
    return "\n\n".join([*parts, "### Where it helps", _gains_by_setting(runs)])


def compared(runs: Iterable[Run]) -> list[list[Run]]:
    """Runs of each setting that has the paper's schedule and another search, most seeds of the paper's first."""
    groups = [group for group in by_setting(runs).values() if 0 < len(_papers(group)) < len(group)]
    return sorted(groups, key=lambda group: (len(_papers(group)), len(group)), reverse=True)


def title(setting: Setting) -> str:
    """Title of a setting: network, data, sparsity and its distribution."""
    name = NAMES.get(setting.architecture, setting.architecture)
    return f"{name}, {_data(setting.dataset)}, {100 * setting.sparsity:g}%, {setting.distribution}"


def _data(name: str) -> str:
    """Display name of a data set or a subset of one.

    >>> _data("fashion_mnist-6000"), _data("digits at 16 px")
    ('Fashion-MNIST (6,000 images)', 'digits at 16 px')
    """
    whole, _, size = name.partition(" at ")
    base, _, images = whole.partition("-")
    named = {"fashion_mnist": "Fashion-MNIST", "mnist": "MNIST"}.get(base, base)
    named += f" ({int(images):,} images)" if images else ""
    return f"{named} at {size}" if size else named


def _gains(runs: Sequence[Run]) -> str:
    """Table of the test and validation accuracy of each part, with the published ones."""
    gain = PUBLISHED["safs"] - PUBLISHED["default"]
    head = ["", "epochs of a trial", *PARTS.values(), "gain", "ours", "gain"]
    table = [head, ["published: LeNet-5, MNIST, test", "80", *(_plain(PUBLISHED.get(part)) for part in PARTS)]]
    table[-1] += [f"{gain:+.2f}", "", ""]
    for setting, group in sorted(by_setting(runs).items(), key=lambda item: _sort_key(item[0])):
        if not (paper := _papers(group)):
            continue
        seeds = len({run.seed for run in group})
        for split in ("test", "validation"):
            scores = {part: _by_seed(group, part, split) for part in PARTS}
            ours = {run.seed: _scores(run, split)[run.final] for run in group if run.variant == OURS}
            cells = [spread(one.values(), seeds) for one in scores.values()]
            gains = [spread(_differences(one, scores["default"]), seeds, sign="+") for one in (scores["safs"], ours)]
            table.append([f"{title(setting)}, {split}", f"{paper[0].trial_epochs}", *cells, gains[0]])
            table[-1] += [spread(ours.values(), seeds), gains[1]]
    return _markdown(table)


def _conditions(group: Sequence[Run]) -> str:
    setting, paper = group[0].setting, _papers(group)[0]
    seeds = len({run.seed for run in group})
    return fill(
        f"{seeds} seed{'s' * (seeds > 1)}; epochs: {setting.dense_epochs} dense, {paper.trial_epochs} a trial of the "
        f"paper's schedule, {setting.final_epochs} of the default protocol and of every final training; batches of "
        f"{setting.batch_size}.",
        120,
    )


def _costs(group: Sequence[Run]) -> str:
    """Table of the epochs of each search, its best trial, and the accuracy after the final training."""
    seeds = len({run.seed for run in group})
    paper = {run.seed: run.validation[run.final] for run in _papers(group)}
    spent = fmean(run.searched for run in _papers(group))
    head = ["search", "seeds", "trials", "epochs", "share", "best trial", "final, validation", "against the paper's"]
    table: list[Row] = [[*head, "as good after", "final, test"]]
    for variant, runs in by_variant(group).items():
        if not all(run.searched for run in runs):
            continue
        epochs = fmean(run.searched for run in runs)
        final = {run.seed: run.validation[run.final] for run in runs}
        table.append(
            [
                f"`{variant}`",
                f"{len(runs)}",
                f"{fmean(sum(step.stage != STAGE_2_ALONE for step in run.steps) for run in runs):.0f}",
                f"{epochs:.0f}",
                f"{epochs / spent:.0%}",
                spread([run.incumbents()[-1][1] for run in runs], seeds),
                spread(final.values(), seeds),
                "" if variant == PAPER else spread(_differences(final, paper), seeds, sign="+"),
                "" if variant == PAPER else _reached(runs, paper),
                spread([run.test[run.final] for run in runs], seeds),
            ]
        )
    return _markdown(table)


def _reached(runs: Sequence[Run], paper: Mapping[int, float]) -> str:
    """Epochs of search after which a trial reached the accuracy of the paper's schedule after its final training."""
    reached = [run.reaches(paper[run.seed]) for run in runs if run.seed in paper]
    epochs = [one for one in reached if one is not None]
    if not epochs:
        return "not in search"
    return f"{fmean(epochs):.0f}" + ("" if len(epochs) == len(reached) else f" ({len(epochs)} of {len(reached)} seeds)")


def _gains_by_setting(runs: Sequence[Run]) -> str:
    """Table with the gain in test accuracy of our search over the default protocol, one row for each setting."""
    table: list[Row] = [["network", "dense", "pruned", "default protocol", "ours", "gain", "what won"]]
    groups = by_setting(run for run in runs if run.variant == OURS)
    for setting in sorted(groups, key=_sort_key):
        group = groups[setting]
        gains = [run.test[run.final] - run.test["default"] for run in group]
        cells = [spread([run.test[name] for run in group], len(group)) for name in ("dense", "pruned", "default")]
        result = spread([run.test[run.final] for run in group], len(group))
        winners = ", ".join(sorted({run.final for run in group}))
        label = f"{title(setting)} ({len(group)} seed{'s' * (len(group) > 1)})"
        table.append([label, *cells, result, spread(gains, len(group), sign="+"), winners])
    return _markdown(table)


def _sort_key(setting: Setting) -> tuple[str, str, float, str]:
    """Order of the settings in a table."""
    return setting.architecture, setting.dataset, setting.sparsity, setting.distribution


def _papers(group: Iterable[Run]) -> list[Run]:
    """Runs of the paper's schedule."""
    return [run for run in group if run.variant == PAPER]


def _by_seed(group: Iterable[Run], part: str, split: str) -> dict[int, float]:
    """Seed -> accuracy of ``part`` by any run that measured it, preferably the paper's schedule."""
    accuracies: dict[int, float] = {}
    for run in sorted(group, key=lambda run: run.variant != PAPER):
        if part in _scores(run, split):
            accuracies.setdefault(run.seed, _scores(run, split)[part])
    return accuracies


def _scores(run: Run, split: str) -> Mapping[str, float]:
    return run.test if split == "test" else run.validation


def _differences(accuracies: Mapping[int, float], others: Mapping[int, float]) -> list[float]:
    """Differences of accuracies, for each seed in both."""
    return [accuracy - others[seed] for seed, accuracy in accuracies.items() if seed in others]


def spread(values: Iterable[float], most: int, *, sign: str = "") -> str:
    """Fractions in %: mean ± standard deviation, and their number if it is less than ``most``.

    >>> spread([0.5, 0.6], 3), spread([0.015], 1, sign="+"), spread([], 3)
    ('55.0 ± 7.1 (2)', '+1.5', '')
    """
    percents = [100 * value for value in values]
    if not percents:
        return ""
    deviation = f" ± {stdev(percents):.1f}" if len(percents) > 1 else ""
    return f"{fmean(percents):{sign}.1f}{deviation}" + (f" ({len(percents)})" if len(percents) < most else "")


def _plain(number: float | None) -> str:
    return "" if number is None else f"{number:.2f}"


def _markdown(table: Sequence[Row]) -> str:
    head, *lines = table
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *lines])
