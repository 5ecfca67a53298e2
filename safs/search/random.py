"""Random search, the baseline for every other strategy."""

from copy import deepcopy
from typing import TYPE_CHECKING

from safs.search.strategy import NO_OPTIONS, REDRAWS, Point, Proposals, plain_config, point_of
from safs.spec.options import NoOptions
from safs.trials import Candidate, Config, Outcome

if TYPE_CHECKING:  # see strategy.py
    from ConfigSpace import ConfigurationSpace


class RandomSearch:
    """Independent draws from any space. No point is drawn twice, so the search ends early in a small space."""

    asks_ahead = False

    def __init__(
        self, space: "ConfigurationSpace", *, trials: int, epochs: int, seed: int, options: NoOptions = NO_OPTIONS
    ) -> None:
        self._space = deepcopy(space)  # Seeding and sampling change the space, which belongs to the caller.
        self._space.seed(seed)
        self._proposals = Proposals(epochs=epochs, seed=seed)
        self._seen: set[Point] = set()
        self.expected_trials = trials

    def ask(self) -> Candidate | None:
        if self._proposals.made >= self.expected_trials:
            return None
        config = self._draw_fresh()
        return None if config is None else self._proposals.propose(config)

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        """Exclude a foreign candidate from further draws. Outcomes do not matter, since draws are independent."""
        if not self._proposals.told(candidate):
            self._seen.add(point_of(candidate.config))

    def _draw_fresh(self) -> Config | None:
        for _ in range(REDRAWS):
            config = plain_config(self._space.sample_configuration())
            point = point_of(config)
            if point not in self._seen:
                self._seen.add(point)
                return config
        return None
