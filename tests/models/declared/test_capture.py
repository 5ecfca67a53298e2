"""Capture: the rebuilt network is the user's, in both modes, and what cannot be captured says why."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.func import functional_call

import safs
from safs.activations.surgery import find_sites
from safs.errors import NetworkError, SurgeryError
from safs.models.declared.capture import Capture
from safs.models.declared.document import canonical, digest, read
from safs.models.declared.rebuild import rebuild
from safs.models.weights import copy_state
from safs.pruning.masks import prunable_parameters
from tests.models.declared.networks import Block, Odd, Own

IMAGES = torch.randn(5, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def rebuilt(captured: Capture) -> nn.Module:
    network = rebuild(read(canonical(captured.document)), captured.tensors)
    copy_state({name: captured.tensors[name] for name in network.state_dict()}, network)
    return network


def outputs(module: nn.Module, training: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """Output for the images, and the buffers afterwards; the module stays as it is."""
    state = {name: value.detach().clone() for name, value in module.state_dict().items()}
    torch.manual_seed(3)
    output = functional_call(module.train(training), state, (IMAGES,))
    return output["logits"] if isinstance(output, dict) else output, state


@pytest.mark.parametrize("make", [Own, Odd])
@pytest.mark.parametrize("training", [False, True])
def test_the_rebuilt_network_gives_the_same_outputs_and_statistics(
    make: Callable[[], nn.Module], training: bool
) -> None:
    module = make()
    network = rebuilt(safs.capture(module, (1, 8)))

    expected, expected_state = outputs(module, training)
    found, found_state = outputs(network, training)

    assert torch.equal(found, expected)
    assert list(found_state) == list(expected_state)
    assert all(torch.equal(found_state[name], value) for name, value in expected_state.items())


def test_sites_and_prunable_weights_are_those_of_the_module() -> None:
    module = Own()
    network = rebuilt(safs.capture(module, (1, 8)))

    assert find_sites(network) == find_sites(module)
    assert [site.path for site in find_sites(network)] == ["relu", "act"]
    assert list(prunable_parameters(network)) == list(prunable_parameters(module))


def test_a_module_called_twice_is_two_sites_and_in_place_calls_keep_their_meaning() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), Block(16), nn.Linear(16, 2))
    network = rebuilt(safs.capture(module, (1, 8)))

    assert [site.path for site in find_sites(network)] == ["2.relu", "2.relu#2"]
    assert torch.equal(outputs(network, False)[0], outputs(module, False)[0])


def test_the_module_stays_as_it_is() -> None:
    module = Own().eval()
    module.conv.train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    draws = torch.get_rng_state()

    safs.capture(module, (1, 8))

    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert not module.training
    assert module.conv.training
    assert torch.equal(torch.get_rng_state(), draws)


def test_the_file_holds_no_source_text_and_no_path(tmp_path: Path) -> None:
    file = safs.capture(Odd(), (1, 8)).save(tmp_path / "network.safetensors")

    content = file.read_bytes()
    assert str(Path(__file__).parent).encode() not in content
    assert b".py" not in content
    assert b"forward" not in content


def test_without_weights_the_file_holds_what_belongs_to_no_module(tmp_path: Path) -> None:
    file = safs.capture(Own(), (1, 8), pretrained=False).save(tmp_path / "network.safetensors")

    with safe_open(file, framework="pt") as opened:
        assert set(opened.keys()) == {"scale", "shift"}


def test_the_same_architecture_has_the_same_digest_whatever_its_weights() -> None:
    first, second, other = (safs.capture(module, (1, 8)).document for module in (Own(), Own(), Own(classes=7)))

    assert digest(first) == digest(second) != digest(other)


def test_half_precision_is_converted() -> None:
    captured = safs.capture(Own().to(torch.bfloat16), (1, 8))

    assert {value.dtype for value in captured.tensors.values()} == {torch.float32, torch.int64}


class Branches(nn.Module):
    """Branches on the values of its input, inside a child."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), BranchesInside())

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.body(x)
        return logits


class BranchesInside(nn.Module):
    """Branches on the values of its input."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_a_module_that_torch_cannot_export_is_named_with_torchs_reason() -> None:
    with pytest.raises(SurgeryError, match=r"stopped in the module body\.1: .*plugin") as refused:
        safs.capture(Branches(), (1, 8))

    assert refused.value.code == "untraceable_model"


class Sorts(nn.Module):
    """Uses an operation that is not in the table."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).sort().values


def test_an_operation_outside_of_the_table_is_named() -> None:
    with pytest.raises(SurgeryError, match=r"calls aten\.sort\.default, which is no supported operation"):
        safs.capture(Sorts(), (1, 8))


def test_an_output_that_is_not_logits_is_refused() -> None:
    with pytest.raises(SurgeryError, match=r"must return float32 logits \[batch, classes\]"):
        safs.capture(nn.Conv2d(1, 2, 3), (1, 8))


def test_a_weight_that_is_not_finite_is_named() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    module[1].bias.data[0] = torch.inf

    with pytest.raises(SurgeryError, match=r"1\.bias holds a number that is not finite"):
        safs.capture(module, (1, 8))


def test_a_name_that_is_a_keyword_is_refused() -> None:
    module = nn.Sequential(nn.Flatten(), nn.ModuleDict({"lambda": nn.Linear(64, 2)})["lambda"])
    named = nn.ModuleDict({"lambda": module[1]})
    named.forward = lambda x: module[1](x.flatten(1))  # type: ignore[method-assign]

    with pytest.raises(NetworkError, match="'lambda' is a keyword of Python"):
        safs.capture(named, (1, 8))
