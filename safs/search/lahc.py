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
    """LAHC as in SAFS: a state is accepted if it beats the current one, or the one of ``HISTORY_LENGTH`` steps ago.

    The first state is random, with an independent operator at each site. A move puts a random operator at a random site
    and swaps two random sites. It may change nothing; a repeated state is a trial like any other. Let E be the energy
    of the current state and E' that of the moved state, and count steps from 0::

        idle = idle + 1 if E' >= E else 0
        accept if E' < history[step % 3] or E' <= E, otherwise undo the move
        history[step % 3] = min(history[step % 3], E')
        stop after the first step > trials - 2 with idle > 0.02 * step

    So ``trials`` = 22 gives the paper's 20 steps, and the search continues while the last move improved the energy. The
    rule needs one idle step, so there are at least two trials. The result is the best of all trials, not the last
    state. The energy is the trial's loss, 1 - accuracy. The paper uses 1 / accuracy; LAHC only compares energies, and
    both have the same order. A failed trial has an infinite energy, so it is accepted only in place of another failed
    trial, and every working state is accepted after it.

    With several candidates in flight, a move starts from the state that is current when it is asked. Each outcome is a
    step when it is told. The stopping rule counts candidates in flight as idle steps until they are told.
    A foreign trial is a step as well, accepted by the same rule. Foreign trials that come before the strategy's own
    first proposal are a choice of starts: the best of them becomes the state and fills the history.

    Burke & Bykov, "The late acceptance hill-climbing heuristic", EJOR 258 (2017); rules and constants are those of the
    package lahc 1.0.5, which Loni et al. (2023), arXiv:2305.10964, use.

    Raises:
        SpecError: the hyperparameters of the space are not categoricals that all have the same choices.
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
        # The first state is not a step, so its candidate does not count as one while it is in flight.
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
        SpecError: the space is empty, a hyperparameter is not categorical, or two have different choices.
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
