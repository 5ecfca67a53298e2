"""The pruned starts that a job compares before its searches: which prunings, under which names, in which order."""

from itertools import product

from safs.spec.pruning import PruneSpec
from safs.spec.searches import SearchSpec
from safs.spec.training import Recipe

ONE_SHOT = "one_shot"


def starts_of(prune: PruneSpec) -> dict[str, PruneSpec]:
    """Name -> pruning, for the first ``prune.search.starts`` combinations; empty if there is no such search.

    The combinations are those of the schedules, recipes and distributions that ``prune.search`` lists. Each list is in
    the order of preference, and a combination comes the earlier, the nearer its parts are to the heads of their lists.
    One-shot pruning has no recipe, and follows directly after the first combination.

    >>> spec = PruneSpec.model_validate(
    ...     {"schedule": "cubic", "epochs": 4, "search": {"starts": 2, "epochs": 6, "distributions": ["global", "erk"]}}
    ... )
    >>> list(starts_of(spec))
    ["global, cubic, train's recipe", "erk, cubic, train's recipe"]
    """
    search = prune.search
    if search is None:
        return {}
    ranked: list[tuple[float, str, PruneSpec]] = []
    distributions = search.distributions or [prune.distribution]
    for (at, distribution), schedule in product(enumerate(distributions), search.schedules or [prune.schedule]):
        if schedule == ONE_SHOT:
            ranked.append((2 * at + 0.5, f"{distribution}, {ONE_SHOT}", one_shot(prune, distribution)))
            continue
        for number, recipe in enumerate(search.recipes or [prune.recipe]):
            name = f"{distribution}, {schedule}, {_name_of(recipe)}"
            changes = {"distribution": distribution, "schedule": schedule, "recipe": recipe, "search": None}
            ranked.append((at + number, name, prune.model_copy(update=changes)))
    ranked.sort(key=lambda entry: entry[0])
    starts: dict[str, PruneSpec] = {}
    for _, name, spec in ranked:
        starts.setdefault(name, spec)
    return dict(list(starts.items())[: search.starts])


def one_shot(prune: PruneSpec, distribution: str | None = None) -> PruneSpec:
    """The same pruning in one shot, without training."""
    changes = {"schedule": ONE_SHOT, "epochs": 0, "recipe": None, "search": None}
    kept = {} if prune.schedule != ONE_SHOT else prune.options
    return prune.model_copy(
        update=changes | {"distribution": distribution or prune.distribution, "options": dict(kept)}
    )


def comparison_of(prune: PruneSpec) -> SearchSpec:
    """The search over ``starts_of(prune)``, which must not be empty: successive halving by epochs, pruning included.

    All starts are compared one epoch after the longest pruning, and the better half once more at the end.
    """
    assert prune.search is not None
    starts = starts_of(prune)
    first = 1 + max(spec.epochs for spec in starts.values())
    options = {"eta": 2, "min_epochs": first}
    return SearchSpec(strategy="asha", trials=len(starts), epochs=prune.search.epochs, options=options)


def _name_of(recipe: Recipe | None) -> str:
    if recipe is None:
        return "train's recipe"
    schedule = "" if recipe.schedule == "constant" else f" {recipe.schedule}"
    return f"{recipe.optimizer} {recipe.learning_rate:g}{schedule}"
