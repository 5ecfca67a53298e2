"""The comparison of searches as tables, from the cells' reports alone."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from textwrap import fill

from benchmarks.searches.reading import ALONE, Run, Setting, by_setting, by_variant
from benchmarks.searches.variants import OURS, PAPER

BEGIN, END = "<!-- headline: begin -->", "<!-- headline: end -->"
PARTS = {
    "dense": "dense",
    "pruned": "pruned",
    "default": "default",
    "activations": "stage 1",
    "hyperparameters": "stage 2",
    "safs": "SAFS",
}
"""Row of a report of the paper's schedule -> column."""
PUBLISHED = {"dense": 98.49, "default": 46.69, "activations": 61.63, "hyperparameters": 60.2, "safs": 62.22}
"""Test accuracies in % of LeNet-5 on MNIST: Loni et al. (2023), arXiv:2305.10964, as in the results table of the
repository automl/SAFS at commit ac03fa1. What it calls magnitude pruned is fine-tuned: our default protocol."""
NAMES = {"lenet5": "LeNet-5", "mlp": "MLP", "resnet18": "ResNet-18", "vgg16": "VGG-16"}
Row = list[str]


def write_tables(runs: Sequence[Run], path: Path) -> None:
    """Writes the tables: between ``BEGIN`` and ``END`` where ``path`` is a document that has these, else all of it."""
    text = tables(runs)
    old = path.read_text() if path.exists() else ""
    if BEGIN in old and END in old:
        before, after = old.split(BEGIN)[0], old.split(END)[1]
        text = f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"
    path.write_text(text if text.endswith("\n") else text + "\n")


def tables(runs: Sequence[Run]) -> str:
    """Markdown: what each part gains, what the searches cost by setting, and where it helps."""
    parts = ["### What each part gains", _gains(runs)]
    for group in compared(runs):
        parts += [f"### By cost: {title(group[0].setting)}", _conditions(group), _costs(group)]
    return "\n\n".join([*parts, "### Where it helps", _places(runs)])


def compared(runs: Iterable[Run]) -> list[list[Run]]:
    """The settings in which the paper's schedule was run beside another, first that with most of its seeds."""
    groups = [group for group in by_setting(runs).values() if 0 < len(_published(group)) < len(group)]
    return sorted(groups, key=lambda group: (len(_published(group)), len(group)), reverse=True)


def title(setting: Setting) -> str:
    """Network, data, sparsity and its distribution."""
    name = NAMES.get(setting.architecture, setting.architecture)
    return f"{name}, {_data(setting.dataset)}, {100 * setting.sparsity:g}%, {setting.distribution}"


def _data(name: str) -> str:
    """A data set, or a part of one, for people.

    >>> _data("fashion_mnist-6000"), _data("digits at 16 px")
    ('Fashion-MNIST (6,000 images)', 'digits at 16 px')
    """
    whole, _, size = name.partition(" at ")
    base, _, images = whole.partition("-")
    named = {"fashion_mnist": "Fashion-MNIST", "mnist": "MNIST"}.get(base, base)
    named += f" ({int(images):,} images)" if images else ""
    return f"{named} at {size}" if size else named


def _gains(runs: Sequence[Run]) -> str:
    """Test and validation accuracy of each part, beside the published ones."""
    gain = PUBLISHED["safs"] - PUBLISHED["default"]
    head = ["", "epochs of a trial", *PARTS.values(), "gain", "ours", "gain"]
    table = [head, ["published: LeNet-5, MNIST, test", "80", *(_plain(PUBLISHED.get(part)) for part in PARTS)]]
    table[-1] += [f"{gain:+.2f}", "", ""]
    for setting, group in sorted(by_setting(runs).items(), key=lambda item: _place(item[0])):
        if not (paper := _published(group)):
            continue
        seeds = len({run.seed for run in group})
        for split in ("test", "validation"):
            scores = {part: _by_seed(group, part, split) for part in PARTS}
            ours = {run.seed: _scores(run, split)[run.final] for run in group if run.variant == OURS}
            cells = [spread(one.values(), seeds) for one in scores.values()]
            gains = [spread(_over(found, scores["default"]), seeds, sign="+") for found in (scores["safs"], ours)]
            table.append([f"{title(setting)}, {split}", f"{paper[0].trial_epochs}", *cells, gains[0]])
            table[-1] += [spread(ours.values(), seeds), gains[1]]
    return _markdown(table)


def _conditions(group: Sequence[Run]) -> str:
    setting, paper = group[0].setting, _published(group)[0]
    seeds = len({run.seed for run in group})
    return fill(
        f"{seeds} seed{'s' * (seeds > 1)}; epochs: {setting.dense_epochs} dense, {paper.trial_epochs} a trial of the "
        f"paper's schedule, {setting.final_epochs} of the default protocol and of every final training; batches of "
        f"{setting.batch_size}.",
        120,
    )


def _costs(group: Sequence[Run]) -> str:
    """Epochs of the searches, what they found, and what the final training makes of it."""
    seeds = len({run.seed for run in group})
    paper = {run.seed: run.validation[run.final] for run in _published(group)}
    spent = fmean(run.searched for run in _published(group))
    head = ["search", "seeds", "trials", "epochs", "share", "best trial", "final, validation", "against the paper's"]
    table: list[Row] = [[*head, "as good after", "final, test"]]
    for variant, own in by_variant(group).items():
        if not all(run.searched for run in own):
            continue
        epochs = fmean(run.searched for run in own)
        final = {run.seed: run.validation[run.final] for run in own}
        table.append(
            [
                f"`{variant}`",
                f"{len(own)}",
                f"{fmean(sum(step.stage != ALONE for step in run.steps) for run in own):.0f}",
                f"{epochs:.0f}",
                f"{epochs / spent:.0%}",
                spread([run.incumbents()[-1][1] for run in own], seeds),
                spread(final.values(), seeds),
                "" if variant == PAPER else spread(_over(final, paper), seeds, sign="+"),
                "" if variant == PAPER else _reached(own, paper),
                spread([run.test[run.final] for run in own], seeds),
            ]
        )
    return _markdown(table)


def _reached(own: Sequence[Run], paper: Mapping[int, float]) -> str:
    """Epochs of search after which a trial was as good as the paper's result was after its final training."""
    beside = [run.reaches(paper[run.seed]) for run in own if run.seed in paper]
    found = [epochs for epochs in beside if epochs is not None]
    often = "" if len(found) == len(beside) else f" ({len(found)} of {len(beside)} seeds)"
    return (f"{fmean(found):.0f}" if found else "not in search") + (often if found else "")


def _places(runs: Sequence[Run]) -> str:
    """One line a setting: what our search gains over the default protocol on the test images."""
    table: list[Row] = [["network", "dense", "pruned", "default protocol", "ours", "gain", "what won"]]
    found = by_setting(run for run in runs if run.variant == OURS)
    for setting in sorted(found, key=_place):
        own = found[setting]
        gains = [run.test[run.final] - run.test["default"] for run in own]
        cells = [spread([run.test[name] for run in own], len(own)) for name in ("dense", "pruned", "default")]
        result = spread([run.test[run.final] for run in own], len(own))
        winners = ", ".join(sorted({run.final for run in own}))
        label = f"{title(setting)} ({len(own)} seed{'s' * (len(own) > 1)})"
        table.append([label, *cells, result, spread(gains, len(own), sign="+"), winners])
    return _markdown(table)


def _place(setting: Setting) -> tuple[str, str, float, str]:
    """Where a setting stands in a table."""
    return setting.architecture, setting.dataset, setting.sparsity, setting.distribution


def _published(group: Iterable[Run]) -> list[Run]:
    """The runs by the paper's schedule."""
    return [run for run in group if run.variant == PAPER]


def _by_seed(group: Iterable[Run], part: str, split: str) -> dict[int, float]:
    """Seed -> accuracy of ``part``, whichever run measured it; the paper's schedule wins."""
    found: dict[int, float] = {}
    for run in sorted(group, key=lambda run: run.variant != PAPER):
        if part in _scores(run, split):
            found.setdefault(run.seed, _scores(run, split)[part])
    return found


def _scores(run: Run, split: str) -> Mapping[str, float]:
    return run.test if split == "test" else run.validation


def _over(found: Mapping[int, float], other: Mapping[int, float]) -> list[float]:
    """Differences, seed by seed."""
    return [accuracy - other[seed] for seed, accuracy in found.items() if seed in other]


def spread(values: Iterable[float], most: int, *, sign: str = "") -> str:
    """Fractions in %: mean ± standard deviation, and how many where there are fewer than ``most``.

    >>> spread([0.5, 0.6], 3), spread([0.015], 1, sign="+"), spread([], 3)
    ('55.0 ± 7.1 (2)', '+1.5', '')
    """
    found = [100 * value for value in values]
    if not found:
        return ""
    deviation = f" ± {stdev(found):.1f}" if len(found) > 1 else ""
    return f"{fmean(found):{sign}.1f}{deviation}" + (f" ({len(found)})" if len(found) < most else "")


def _plain(number: float | None) -> str:
    return "" if number is None else f"{number:.2f}"


def _markdown(table: Sequence[Row]) -> str:
    head, *lines = table
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *lines])
