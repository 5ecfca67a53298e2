"""The GPU benchmark on the CPU: all modes run; the figures are not meaningful."""

import pytest
import torch

from benchmarks import gpu
from benchmarks.gpu import MODES, NOT_MEASURED, Setting, best_epoch, make_step, trained_epoch
from safs.networks import Blueprint


@pytest.mark.exhaustive  # It starts processes that compile. The tests below run one mode at a time.
def test_modes_are_measured_with_one_and_two_concurrent_trials(capsys: pytest.CaptureFixture[str]) -> None:
    modes = ["session", "all three"]

    assert gpu.main(["--device", "cpu", "--quick", "--networks", "lenet5", "--modes", *modes]) == 0

    printed = capsys.readouterr().out
    assert "without a GPU" in printed
    assert "lenet5: trials of 480,000 images per hour, by concurrent trials" in printed
    rows = [line.split("|")[1:-1] for line in printed.splitlines() if line.startswith(("| session ", "| all three "))]
    assert [row[0].strip() for row in rows] == 2 * modes
    assert [len(row) for row in rows] == [3, 3, 4, 4]
    assert all(float(cell.replace(",", "")) > 0 for row in rows for cell in row[1:])


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_nothing_is_measured_and_the_exit_code_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main([]) == NOT_MEASURED

    assert "Not measured" in capsys.readouterr().out


def test_a_step_keeps_pruned_weights_at_zero_and_updates_the_others() -> None:
    setting = Setting(Blueprint("lenet5", 1, 28, 10), 100, 2, 2, "cpu", "eager")
    model = setting.blueprint.build(seed=0)
    weight = dict(model.named_parameters())["fc1.weight"]
    mask = torch.zeros_like(weight, dtype=torch.bool)
    mask[:, ::2] = True
    before = weight.detach().clone()

    step = make_step(model, {"fc1.weight": mask}, setting, MODES[1])
    step(torch.randn(2, 1, 28, 28), torch.tensor([1, 2]))

    assert not weight[:, 1::2].any()
    assert not torch.equal(weight[:, ::2], before[:, ::2])


@pytest.mark.parametrize("make", [trained_epoch, best_epoch])
def test_resnet18_trains_in_its_cifar_variant(make) -> None:
    setting = Setting(Blueprint("resnet18", 3, 32, 10), 100, 2, 1, "cpu", "eager")

    make(setting, MODES[3])()
