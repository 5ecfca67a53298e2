"""Files of the cache are read back to the last bit."""

from dataclasses import replace
from math import inf
from pathlib import Path

import torch

from safs.execution.work import Trained
from safs.inputs import InputSelection
from safs.models.form import Form
from safs.networks import Blueprint, Network
from safs.reuse.files import read_trained, read_trials, write_trained, write_trials
from safs.trials import Candidate, EpochMetrics, Outcome, Trial

CURVE = (EpochMetrics(1, 0.1 + 0.2, 1 / 3, 0.7, 1e-3, 0.25), EpochMetrics(2, 1e-17, 2 / 3, 0.9, 5e-4, 0.5))
OUTCOME = Outcome(0.1 + 1e-17, {"accuracy": 0.9, "cross_entropy": 2 / 3, "epoch": 2.0}, 0.75, CURVE)


def network() -> Network:
    form = Form({"0.weight": (3, 4)}, InputSelection("pixel", (0, 5)), {"2.weight": "0.weight"})
    weights = torch.randn(3, 4)
    return Network(
        Blueprint("mlp", 1, 8, 10, form),
        {"0.weight": weights, "2.weight": weights, "steps": torch.tensor(7), "half": torch.ones(2).bfloat16()},
        {"0.weight": torch.rand(3, 4) > 0.5},
        {"act1": "tanh"},
        {"act1": {"alpha": 1 / 3}},
    )


def test_a_trained_network_is_read_back_whole(tmp_path: Path) -> None:
    written = Trained(OUTCOME, network(), ("a note",))

    write_trained(written, tmp_path / "file")
    read = read_trained(tmp_path / "file")

    assert (read.outcome, read.notes) == (written.outcome, written.notes)
    assert read.network is not None
    assert written.network is not None
    for field in ("blueprint", "assignment", "scalars"):
        assert getattr(read.network, field) == getattr(written.network, field)
    for mine, theirs in ((read.network.state, written.network.state), (read.network.masks, written.network.masks)):
        assert mine is not None
        assert theirs is not None
        assert mine.keys() == theirs.keys()
        assert all(mine[name].dtype == theirs[name].dtype and torch.equal(mine[name], theirs[name]) for name in mine)


def test_a_dense_network_is_read_back_without_masks(tmp_path: Path) -> None:
    write_trained(Trained(OUTCOME, replace(network(), masks=None)), tmp_path / "file")

    read = read_trained(tmp_path / "file").network
    assert read is not None
    assert read.masks is None


def test_trials_are_read_back_with_their_curves_and_errors(tmp_path: Path) -> None:
    trials = [
        Trial(Candidate(0, {"optimizer": "sgd", "learning_rate": 1 / 3, "layers": 2}, 1, 5, horizon=9), OUTCOME),
        Trial(Candidate(1, {"optimizer": "adam"}, 3, 5, 9, 0), Outcome(inf, {}, 0.5, CURVE[:1], "diverged")),
        Trial(Candidate(2, {"optimizer": "adam"}, 3, 5), replace(OUTCOME, left="predicts one class")),
    ]

    write_trials(trials, tmp_path / "file")

    read = read_trials(tmp_path / "file")
    assert read == trials
    assert isinstance(read[0].candidate.config["layers"], int)
