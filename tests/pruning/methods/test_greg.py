"""Growing regularisation: which weights are chosen, how the penalty grows, and how little the removal changes."""

import copy
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from statistics import mean

import pytest
import torch
from torch import Tensor, nn

from safs.errors import SparsityError, SpecError
from safs.pruning.masks import Masks, prunable_parameters
from safs.pruning.methods.greg import greg1, greg2
from safs.pruning.protocol import Hooks, Pruned
from safs.pruning.pruners import PRUNERS
from safs.spec.job import JobSpec
from safs.spec.pruning import PruneSpec
from safs.spec.training import Recipe
from safs.training.evaluate import evaluate
from safs.training.pruning_trainer import PruningTrainer
from safs.training.settings import TrainingData, TrainingSettings
from safs.trials import EpochMetrics
from tests.pruning.trainers import CPU, copied, count, digits, drain, task_for, trainer_for

SGD = Recipe(optimizer="sgd", learning_rate=0.01, momentum=0.9)


def network(seed: int, *, norm: bool, width: int = 100) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in pairwise((64, width, width)):
            layers += [
                nn.Linear(inputs, outputs, bias=not norm),
                *([nn.BatchNorm1d(outputs)] if norm else []),
                nn.ReLU(),
            ]
        return nn.Sequential(*layers, nn.Linear(width, 10))


@cache
def _trained(seed: int, norm: bool) -> nn.Module:
    model = network(seed, norm=norm)
    for _ in trainer_for(model, 10, seed=seed, batch_size=32, recipe=SGD).train(10):
        pass
    return model


def trained(seed: int = 0, *, norm: bool = False) -> nn.Module:
    return copy.deepcopy(_trained(seed, norm))


def sgd_trainer(
    model: nn.Module, epochs: int, seed: int = 0, kind: type[PruningTrainer] = PruningTrainer, batch_size: int = 32
):
    data = TrainingData(digits().train, digits().validation, batch_size)
    return kind(model, data, TrainingSettings(SGD, epochs, seed))


class WatchingTrainer(PruningTrainer):
    """A real trainer that records, for each step, what the hook adds to each gradient, and the weights."""

    def train(self, epochs: int, *, masks: Masks | None = None, hooks: Hooks = Hooks(), through=None):  # noqa: B008  # frozen
        self.added: list[dict[str, Tensor]] = []
        self.weights: list[dict[str, Tensor]] = []
        parameters = dict(self.model.named_parameters())

        def watch(step: int) -> None:
            before = {name: one.grad.clone() for name, one in parameters.items()}
            hooks.after_backward(step)
            self.added.append({name: one.grad - before[name] for name, one in parameters.items()})
            self.weights.append({name: one.detach().clone() for name, one in parameters.items()})

        yield from super().train(epochs, masks=masks, hooks=Hooks(after_backward=watch), through=through)


def one_shot(model: nn.Module, sparsity: float, **axes) -> Pruned:
    return drain(PRUNERS["magnitude"].prune(sgd_trainer(model, 0), sparsity, PruneSpec(**axes)))[1]


def accuracy(model: nn.Module) -> float:
    return evaluate(model, digits().test, batch_size=512, device=CPU).accuracy


@pytest.mark.parametrize("score", ["magnitude", "gradient"])
@pytest.mark.parametrize(
    ("granularity", "sparsity"), [("weight", 0.95), ("filter", 0.85), ("row", 0.8), ("column", 0.8), ("2:4", 0.5)]
)
def test_greg1_removes_the_same_weights_as_one_shot_pruning(granularity, sparsity, score):
    axes = {"granularity": granularity, "score": score}

    expected = one_shot(trained(norm=True), sparsity, **axes)
    _, pruned = drain(
        greg1(sgd_trainer(trained(norm=True), 1, batch_size=256), sparsity, PruneSpec(method="greg1", epochs=1, **axes))
    )

    assert pruned.form == expected.form
    assert pruned.masks.keys() == expected.masks.keys()
    assert all(torch.equal(mask, expected.masks[name]) for name, mask in pruned.masks.items())


CASES = {
    f"{method}-{'batch_norm' if norm else 'plain'}-{granularity}-{options or 'defaults'}": (
        method,
        norm,
        granularity,
        options,
    )
    for method in ("greg1", "greg2")
    for norm in (False, True)
    for granularity in ("weight", "filter")
    for options in ({}, {"ceiling": 10.0})
    if not options or (method == "greg1" and granularity == "filter")
}


@pytest.mark.parametrize(("method", "norm", "granularity", "options"), CASES.values(), ids=CASES)
def test_the_removal_costs_little_accuracy(method, norm, granularity, options):
    """Less than one point, and less than a tenth of one-shot pruning, for 95% of the weights or 80% of the filters."""
    sparsity = 0.95 if granularity == "weight" else 0.892
    epochs = 8 if norm and granularity == "weight" else 4
    axes = {"granularity": granularity, "distribution": "global" if granularity == "weight" else "uniform"}
    lost, lost_at_once = [], []
    for seed in range(3):
        model = trained(seed, norm=norm)
        at_once = one_shot(trained(seed, norm=norm), sparsity, **axes)
        pruning = PRUNERS[method].prune(
            sgd_trainer(model, epochs, seed), sparsity, PruneSpec(method=method, epochs=epochs, options=options, **axes)
        )
        for _ in range(epochs):
            next(pruning)
        before = accuracy(model)  # trained to the end, nothing removed yet
        _, pruned = drain(pruning)
        lost.append(before - accuracy(pruned.model))
        lost_at_once.append(accuracy(trained(seed, norm=norm)) - accuracy(at_once.model))
        assert count(pruned.masks) == count(at_once.masks)

    assert mean(lost) < 0.01
    assert mean(lost) < mean(lost_at_once) / 10
    assert mean(lost_at_once) > 0.2


def assert_added(trainer: WatchingTrainer, step: int, name: str, where: Tensor, strength: float) -> None:
    """Asserts that the step added ``strength`` times the weight to the gradient of every weight in ``where``."""
    added, weights = trainer.added[step][name][where], trainer.weights[step][name][where]
    assert torch.allclose(added, strength * weights, rtol=1e-4, atol=1e-6)
    assert weights.numel() == 0 or bool(weights.any())


def test_the_penalty_of_greg1_grows_on_the_prune_set_alone_and_stays_at_its_ceiling():
    trainer = sgd_trainer(
        trained(), 4, kind=WatchingTrainer, batch_size=256
    )  # 4 epochs of 6 steps, half of them to grow
    options = {"delta": 0.5, "every": 3, "ceiling": 2.0}

    _, pruned = drain(greg1(trainer, 0.95, PruneSpec(method="greg1", epochs=4, options=options)))

    trace = [0.5] * 3 + [1.0] * 3 + [1.5] * 3 + [2.0] * 15
    assert len(trainer.added) == len(trace)
    for step, strength in enumerate(trace):
        for name, mask in pruned.masks.items():
            assert_added(trainer, step, name, ~mask, strength)
            assert not trainer.added[step][name][mask].any()
            assert not trainer.added[step][name.replace("weight", "bias")].any()


def test_by_default_the_penalty_of_greg1_grows_by_the_same_factor_at_each_step():
    trainer = sgd_trainer(trained(), 4, kind=WatchingTrainer, batch_size=256)  # 24 steps, half of them to grow

    _, pruned = drain(greg1(trainer, 0.95, PruneSpec(method="greg1", epochs=4)))

    # From a ten-thousandth of the ceiling, 1 / learning rate = 100, by 10 ** (4 / 12) at a step.
    trace = [0.01 * 10 ** (4 * update / 12) for update in range(1, 13)] + [100.0] * 12
    assert trace[11] == pytest.approx(100.0)
    for step, strength in enumerate(trace):
        for name, mask in pruned.masks.items():
            assert_added(trainer, step, name, ~mask, strength)


def test_after_the_choice_the_penalty_of_greg2_grows_geometrically_from_where_it_is():
    trainer = sgd_trainer(trained(), 4, kind=WatchingTrainer, batch_size=256)

    _, pruned = drain(greg2(trainer, 0.95, PruneSpec(method="greg2", epochs=4)))

    picking = [0.01 * update / 6 for update in range(1, 7)]
    growing = [0.01 * 10 ** (4 * update / 6) for update in range(1, 7)]
    for step, strength in enumerate([*picking, *growing, *[100.0] * 12]):
        for name, mask in pruned.masks.items():
            assert_added(trainer, step, name, ~mask, strength)


@pytest.mark.parametrize("method", ["greg1", "greg2"])
def test_the_paper_preset_keeps_the_published_linear_growth(method):
    job = {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": 0.9, "preset": "paper"}

    def options(**prune) -> dict:
        return JobSpec.model_validate({**job, "prune": {"method": method, **prune}}).prune.options

    assert options() == {"growth": "linear"}
    assert options(options={"every": 5}) == {"growth": "linear", "every": 5}
    assert options(options={"growth": "geometric"}) == {"growth": "geometric"}
    assert JobSpec.model_validate({**job, "preset": "quick", "prune": {"method": method}}).prune.options == {}


def test_linear_growth_without_delta_reaches_the_ceiling_in_equal_steps():
    trainer = sgd_trainer(trained(), 4, kind=WatchingTrainer, batch_size=256)

    _, pruned = drain(greg1(trainer, 0.95, PruneSpec(method="greg1", epochs=4, options={"growth": "linear"})))

    for step, strength in enumerate([100 * update / 12 for update in range(1, 13)] + [100.0] * 12):
        for name, mask in pruned.masks.items():
            assert_added(trainer, step, name, ~mask, strength)


def test_the_penalty_of_greg2_falls_on_all_weights_then_on_the_chosen_and_lets_the_others_recover():
    trainer = sgd_trainer(trained(), 4, kind=WatchingTrainer, batch_size=256)
    options = {"pick_delta": 0.25, "pick_ceiling": 0.5, "every": 2, "delta": 0.5, "ceiling": 2.0, "recover": 0.1}

    _, pruned = drain(greg2(trainer, 0.95, PruneSpec(method="greg2", epochs=4, options=options)))

    before = [0.25] * 2 + [0.5] * 2
    after = [1.0] * 2 + [1.5] * 2 + [2.0] * 16
    for step, strength in enumerate(before + after):
        for name, mask in pruned.masks.items():
            assert_added(trainer, step, name, ~mask, strength)
            assert_added(trainer, step, name, mask, strength if step < len(before) else -0.1)


def test_kept_weights_recover_at_the_published_rate_by_default():
    assert "default 0.0001" in PRUNERS["greg2"].options["recover"]


class QuadraticTrainer:
    """Gradient descent on 1/2 sum h_i (w_i - w_i*)^2, a loss for which GReg-2's choice is known in closed form."""

    def __init__(self, curvature: Tensor, optimum: Tensor, steps: int) -> None:
        self.model = nn.Linear(len(curvature), 1, bias=False)
        self.device, self.seed, self.epochs, self.steps_per_epoch = CPU, 0, 1, steps
        self.example = torch.zeros(1, len(curvature))
        self.weights: list[Tensor] = []
        self._curvature, self._optimum = curvature, optimum
        with torch.no_grad():
            self.model.weight.copy_(optimum)

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(())

    def train(self, epochs: int, *, masks=None, hooks: Hooks = Hooks(), through=None) -> Iterator[EpochMetrics]:  # noqa: B008  # frozen
        weight = self.model.weight
        for step in range(self.steps_per_epoch):
            weight.grad = self._curvature * (weight.detach() - self._optimum)
            hooks.after_backward(step)
            with torch.no_grad():
                weight -= 0.05 * weight.grad
            self.weights.append(weight.detach().flatten().clone())
        yield EpochMetrics(1, 0.0, 0.0, 0.0, 0.05, 0.0)


def test_greg2_chooses_by_curvature_as_the_hessian_would():
    order = torch.randperm(20, generator=torch.Generator().manual_seed(3))
    curvature = torch.linspace(0.2, 4.0, 20)[order]
    trainer = QuadraticTrainer(curvature, torch.ones(20), steps=12_000)
    options = {"pick_ceiling": 1.0, "ceiling": 5.0}

    _, pruned = drain(greg2(trainer, 0.5, PruneSpec(method="greg2", epochs=1, options=options)))

    assert torch.equal(pruned.masks["weight"][0], curvature > 2.1)
    at_the_choice = trainer.weights[2_999]  # a quarter of the steps, by default
    assert torch.allclose(at_the_choice, curvature / (curvature + 1.0), atol=2e-3)


def test_greg2_weighs_curvature_against_size():
    generator = torch.Generator().manual_seed(0)
    curvature, optimum = torch.rand(40, generator=generator) * 3 + 0.2, torch.randn(40, generator=generator)
    trainer = QuadraticTrainer(curvature, optimum, steps=12_000)

    _, pruned = drain(greg2(trainer, 0.5, PruneSpec(method="greg2", epochs=1, options={"pick_ceiling": 1.0})))

    shrunk = (optimum * curvature / (curvature + 1.0)).abs()
    assert torch.equal(pruned.masks["weight"][0], shrunk > shrunk.median())
    assert not torch.equal(pruned.masks["weight"][0], optimum.abs() > optimum.abs().median())


def test_a_penalised_weight_settles_where_the_loss_pulls_as_hard():
    curvature, optimum = torch.tensor([0.5, 1.0, 2.0, 3.0]), torch.tensor([0.1, -0.2, 3.0, 2.0])
    trainer = QuadraticTrainer(curvature, optimum, steps=400)

    _, pruned = drain(greg1(trainer, 0.5, PruneSpec(method="greg1", epochs=1, options={"ceiling": 10.0})))

    assert pruned.masks["weight"].tolist() == [[False, False, True, True]]
    assert trainer.weights[-1].tolist() == pytest.approx([0.1 * 0.5 / 10.5, -0.2 * 1.0 / 11.0, 3.0, 2.0])
    assert pruned.model.weight.tolist() == [[0.0, 0.0, pytest.approx(3.0), pytest.approx(2.0)]]


def test_notes_tell_the_size_and_the_deviation_behind_batch_norm_of_removed_filters():
    _, pruned = drain(
        greg1(sgd_trainer(trained(norm=True), 4), 0.89, PruneSpec(method="greg1", epochs=4, granularity="filter"))
    )

    size, spread, _units = pruned.notes
    assert float(size.split(" was ")[1].split()[0]) < 0.01
    removed, kept = (float(number) for number in re.findall(r"\d[\d.e-]*\d", spread))
    assert removed < 0.01 < kept


@pytest.mark.parametrize(
    ("method", "options", "steps"),
    [
        ("greg1", {"delta": 0.005, "every": 10, "ceiling": 1.0}, 2000),
        ("greg1", {"every": 100}, 100),
        ("greg2", {"delta": 0.1, "ceiling": 1.0, "pick_delta": 0.001, "pick_ceiling": 0.1, "every": 2}, 218),
        ("greg2", {"every": 50}, 100),
    ],
)
@pytest.mark.parametrize("stabilise", [0.5, 0.2])
def test_options_that_need_more_steps_are_refused_with_enough_epochs(method, options, steps, stabilise):
    def ask(epochs: int) -> None:
        spec = PruneSpec(method=method, epochs=epochs, options={**options, "stabilise": stabilise})
        PRUNERS[method].check(task_for(network(0, norm=False), 0.9, spec))

    least = -(-steps // round(6 * (1 - stabilise), 1))  # 6 steps an epoch

    with pytest.raises(SpecError, match=rf"epochs of at least {least:.0f}, ") as caught:
        ask(int(least) - 1)
    assert caught.value.field == "prune.epochs"
    ask(int(least))


@pytest.mark.parametrize("method", ["greg1", "greg2"])
def test_zero_epochs_are_refused(method):
    spec = PruneSpec(method=method, epochs=0)

    with pytest.raises(SpecError, match="at least 1, "):
        PRUNERS[method].check(task_for(network(0, norm=False), 0.9, spec))
    with pytest.raises(SpecError, match="at least 1, "):
        drain(PRUNERS[method].prune(sgd_trainer(network(0, norm=False), 0), 0.9, spec))


@pytest.mark.parametrize(
    ("given", "field", "message"),
    [
        ({"options": {"ceiling": 400}}, "prune.options.ceiling", "diverges under a penalty of 380 and more"),
        ({"options": {"pick_ceiling": 10, "ceiling": 10}}, "prune.options.pick_ceiling", "must be larger"),
        ({"options": {"growth": "geometric", "delta": 0.1}}, "prune.options", "delta .* linear"),
        ({"options": {"growth": "cubic"}}, "prune.options.growth", "cannot be 'cubic'"),
        ({"options": {"ceiling": 0}}, "prune.options.ceiling", "cannot be 0"),
        ({"options": {"tau": 1}}, "prune.options.tau", "remove 'tau'"),
        ({"schedule": "cubic"}, "prune.schedule", "'growing'"),
    ],
)
def test_unsuitable_options_and_axes_are_refused(given, field, message):
    spec = PruneSpec.model_validate({"method": "greg2", "epochs": 5, **given})

    with pytest.raises(SpecError, match=message) as caught:
        PRUNERS["greg2"].check(task_for(network(0, norm=False), 0.9, spec))

    assert caught.value.field == field


@pytest.mark.parametrize("granularity", ["weight", "filter"])
def test_a_sparsity_that_empties_a_layer_is_refused(granularity):
    spec = PruneSpec(method="greg1", epochs=5, granularity=granularity)

    with pytest.raises(SparsityError):
        PRUNERS["greg1"].check(task_for(network(0, norm=False), 0.9999, spec))


@pytest.mark.parametrize("method", ["greg1", "greg2"])
def test_all_epochs_are_trained_without_masks_and_the_last_weights_are_pruned(method):
    trainer = trainer_for(model := trained(), 3, recipe=SGD)

    epochs, pruned = drain(PRUNERS[method].prune(trainer, 0.9, PruneSpec(method=method, epochs=3)))

    assert [metrics.epoch for metrics in epochs] == [1, 2, 3]
    assert [(training.epochs, training.masks) for training in trainer.trainings] == [(3, {})]
    total = sum(one.numel() for one in prunable_parameters(model).values())
    assert count(pruned.masks) == total - round(0.9 * total)
    after = trainer.trainings[0].after
    assert all(
        torch.equal(value[mask], after[name][mask])
        for name, mask in pruned.masks.items()
        for value in [copied(model)[name]]
    )
