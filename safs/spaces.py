"""What the pipeline asks of search spaces, which are built on top of this package (``search_spaces``)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from safs.spec import Recipe, TrainSpec
from safs.trials import Config

if TYPE_CHECKING:  # ConfigSpace imports scipy; whoever makes a space has imported it.
    from ConfigSpace import ConfigurationSpace


@dataclass(frozen=True, slots=True)
class Spaces:
    """The search spaces of a job."""

    activations: Callable[[Sequence[str], Sequence[str], int], "ConfigurationSpace"]
    """(site paths, operators, seed) -> one categorical a site."""
    fine_tuning: Callable[[TrainSpec, int, int], "ConfigurationSpace"]
    """(default protocol, epochs, seed) -> optimizer, its numbers, schedule."""
    recipe_from: Callable[[Config, TrainSpec], Recipe]
    """A point of the fine-tuning space as a recipe."""
