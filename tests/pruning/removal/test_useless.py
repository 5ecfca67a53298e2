import torch
from torch import nn

from safs.pruning.removal.coupling import find_groups
from safs.pruning.removal.useless import useless_units


def perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))


def groups_of(model: nn.Module, *shape: int):
    return find_groups(model, torch.zeros(1, *shape))


def masks(**rows: list[list[int]]) -> dict[str, torch.Tensor]:
    return {f"{name.removeprefix('layer')}.weight": torch.tensor(mask).bool() for name, mask in rows.items()}


def test_units_without_input_and_units_without_readers_are_useless():
    model = perceptron()
    given = masks(
        layer0=[[1, 0], [0, 0], [0, 1]],  # unit 1 has no input
        layer2=[[1, 1, 0], [1, 0, 1], [0, 1, 1]],
        layer4=[[1, 1, 0], [1, 0, 0]],  # unit 2 has no reader
    )

    assert useless_units(model, groups_of(model, 2), given) == {"0": (1,), "2": (2,)}


def test_units_that_lose_their_inputs_or_readers_to_useless_units_are_useless_too():
    model = perceptron()
    given = masks(
        layer0=[[1, 1], [0, 0], [1, 1]],
        layer2=[[1, 0, 0], [0, 1, 0], [0, 0, 1]],  # unit 1 reads the constant 1 alone; 2 alone reads 2
        layer4=[[1, 1, 0], [1, 1, 0]],  # unit 2 has no reader
    )

    assert useless_units(model, groups_of(model, 2), given) == {"0": (1, 2), "2": (1, 2)}


def test_no_unit_is_useless_if_all_weights_are_kept():
    model = perceptron()
    given = {
        name: torch.ones_like(weight, dtype=torch.bool) for name, weight in model.named_parameters() if "w" in name
    }

    assert useless_units(model, groups_of(model, 2), given) == {"0": (), "2": ()}
    assert all(mask.all() for mask in given.values())


def test_one_unit_of_a_useless_group_remains():
    model = perceptron()
    given = masks(layer0=[[0, 0]] * 3, layer2=[[1, 1, 1]] * 3, layer4=[[1, 1, 1]] * 2)

    assert useless_units(model, groups_of(model, 2), given) == {"0": (1, 2), "2": (1, 2)}


def test_a_unit_of_a_residual_stream_is_useless_only_if_no_layer_makes_it():
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.branch, self.out = nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stem(x)
            return self.out(x + torch.relu(self.branch(x)))

    model = Residual()
    given = {
        "stem.weight": torch.tensor([[0, 0], [0, 0], [1, 1]]).bool(),
        "branch.weight": torch.tensor([[0, 0, 1], [0, 0, 0], [0, 0, 1]]).bool(),  # unit 0 is made here
        "out.weight": torch.ones(2, 3).bool(),
    }

    assert useless_units(model, groups_of(model, 2), given) == {"stem": (1,)}


def test_a_depthwise_weight_neither_makes_nor_reads_a_unit():
    model = nn.Sequential(nn.Conv2d(1, 3, 1), nn.Conv2d(3, 3, 3, groups=3), nn.Conv2d(3, 2, 1), nn.Flatten())
    given = {
        "0.weight": torch.tensor([0, 1, 1]).bool().view(3, 1, 1, 1),
        "1.weight": torch.ones(3, 1, 3, 3).bool(),
        "2.weight": torch.ones(2, 3, 1, 1).bool(),
    }

    assert useless_units(model, groups_of(model, 1, 5, 5), given) == {"0": (0,)}
