"""Late acceptance hill climbing over operators, the first stage of SAFS."""

from collections.abc import Sequence
from math import inf, isnan
from random import Random
from typing import TYPE_CHECKING

from safs.errors import SpecError
from safs.search.strategy import NO_OPTIONS, Proposals
from safs.spec.options import NoOptions
from safs.trials import Candidate, Outcome

if TYPE_CHECKING:  # see strategy.py
    from ConfigSpace import ConfigurationSpace

HISTORY_LENGTH = 3
IDLE_FRACTION = 0.02


class LateAcceptance:
    """LAHC as SAFS runs it: accept what beats the current state, or the one accepted ``HISTORY_LENGTH`` steps ago.

    The first state is random, operators drawn independently a site. A move puts a random operator at a random site and
    swaps two random sites (it may well change nothing; a repeated state is a trial like any other).
    With E the energy of the current state and E' that of the moved one, step counts from 0::

        idle = idle + 1 if E' >= E else 0
        accept if E' < history[step % 3] or E' <= E, otherwise the move is undone
        history[step % 3] = E' if that is lower
        stop after the first step > trials - 2 with idle > 0.02 * step

    So ``trials`` = 22 are the paper's 20 steps, and the search goes on beyond them as long as the last move improved.
    One trial alone is not possible: the rule needs an idle step, so there are at least two. The result is the best of
    all trials, not the last state. The energy is the trial's loss, 1 - accuracy, where the paper has 1 / accuracy:
    LAHC only compares energies, and the two have the same order. A trial that broke down has an infinite energy: it is
    accepted only in place of one that broke down too, and whatever works is accepted after it, so a bad start does not
    freeze the search.

    With several candidates in flight a move starts from the state that is current when it is asked, each outcome is a
    step of its own when it is told, and the stopping rule takes those in flight to be idle until they say otherwise.
    A foreign trial is a step as well, accepted by the same rule. Foreign trials that come before the strategy's own
    first proposal are a choice of starts: the best of them becomes the state and fills the history.

    Burke & Bykov, "The late acceptance hill-climbing heuristic", EJOR 258 (2017); rules and constants are those of the
    package lahc 1.0.5, which Loni et al. (2023), arXiv:2305.10964, use.

    Raises:
        SpecError: the space is not made of categoricals that all have the same choices.
    """

    asks_ahead = False

    def __init__(
        self, space: "ConfigurationSpace", *, trials: int, epochs: int, seed: int, options: NoOptions = NO_OPTIONS
    ) -> None:
        self._sites, self._operators = list(space), common_choices(space)
        self._proposals = Proposals(epochs=epochs, seed=seed)
        self._random = Random(seed)
        self._steps_minimum = trials - 2
        self.expected_trials = max(trials, 2)
        self._state = self._draw()
        self._energy = inf
        self._history: list[float] = []
        self._has_proposed = False
        self._step = 0
        self._idle = 0

    def ask(self) -> Candidate | None:
        if self._stops():
            return None
        state = self._neighbour() if self._proposals.made else self._state
        self._has_proposed = True
        return self._proposals.propose(dict(zip(self._sites, state, strict=True)))

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        is_first_candidate = not self._proposals.told(candidate) and not self._has_proposed
        energy = inf if isnan(outcome.loss) else outcome.loss
        if not self._history:
            self._start_from(candidate, energy)
            return
        if is_first_candidate:
            self._step += 1
            self._idle = self._idle + 1 if energy >= self._energy else 0
            if energy < self._energy:
                self._start_from(candidate, energy)
            return
        self._idle = self._idle + 1 if energy >= self._energy else 0
        late = self._step % HISTORY_LENGTH
        if energy < self._history[late] or energy <= self._energy:
            self._state = self._state_of(candidate)
            self._energy = energy
        self._history[late] = min(self._history[late], energy)
        self._step += 1

    def _start_from(self, candidate: Candidate, energy: float) -> None:
        self._state, self._energy, self._history = self._state_of(candidate), energy, [energy] * HISTORY_LENGTH

    def _stops(self) -> bool:
        # The candidate of the first state is no step, so while it is in flight it must not be counted as one.
        in_flight = self._proposals.in_flight
        pending = in_flight if self._history else max(in_flight - 1, 0)
        step, idle = self._step + pending, self._idle + pending
        return step > self._steps_minimum and idle > IDLE_FRACTION * step

    def _state_of(self, candidate: Candidate) -> list[str]:
        return [str(candidate.config[site]) for site in self._sites]

    def _draw(self) -> list[str]:
        return [self._random.choice(self._operators) for _ in self._sites]

    def _neighbour(self) -> list[str]:
        state = list(self._state)
        site = self._random.randrange(len(state))
        state[site] = self._random.choice(self._operators)
        first, second = self._random.randrange(len(state)), self._random.randrange(len(state))
        state[first], state[second] = state[second], state[first]
        return state


def common_choices(space: "ConfigurationSpace") -> Sequence[str]:
    """The choices that all hyperparameters of ``space`` share.

    Raises:
        SpecError: there is none, or one is no categorical, or two have different choices.
    """
    from ConfigSpace import CategoricalHyperparameter

    choices: set[tuple[str, ...]] = set()
    for name, parameter in space.items():
        if not isinstance(parameter, CategoricalHyperparameter):
            raise SpecError(
                f"lahc searches categorical choices, {name!r} is a {type(parameter).__name__}; use smac or random"
            )
        choices.add(tuple(parameter.choices))
    if len(choices) != 1:
        raise SpecError(
            f"lahc needs the same choices at every site, this space has {len(choices)} different sets of them"
        )
    return choices.pop()
