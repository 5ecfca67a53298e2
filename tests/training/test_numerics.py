"""Settings by which a process computes on a GPU; they can be read without one."""

from collections.abc import Iterator

import pytest
import torch

from safs.data import Splits
from safs.training import settings
from safs.training.numerics import compute_repeatably, computes_in_bfloat16
from safs.training.settings import TrainingData


@pytest.fixture(autouse=True)
def _same_settings_afterwards() -> Iterator[None]:
    cudnn = torch.backends.cudnn
    before = cudnn.conv.fp32_precision, cudnn.deterministic, cudnn.benchmark
    yield
    cudnn.conv.fp32_precision, cudnn.deterministic, cudnn.benchmark = before


def test_convolutions_on_a_gpu_are_in_float32_and_deterministic() -> None:
    torch.backends.cudnn.benchmark = True

    compute_repeatably("cuda:0")

    cudnn = torch.backends.cudnn
    assert (cudnn.conv.fp32_precision, cudnn.deterministic, cudnn.benchmark) == ("ieee", True, False)


def test_a_process_on_the_cpu_keeps_its_settings() -> None:
    before = torch.backends.cudnn.deterministic

    compute_repeatably("cpu")

    assert torch.backends.cudnn.deterministic == before
    assert not computes_in_bfloat16(torch.device("cpu"))


@pytest.mark.parametrize("capable", [True, False])
def test_auto_is_bfloat16_where_the_device_computes_in_it(capable: bool, digits: Splits, monkeypatch) -> None:
    monkeypatch.setattr(settings, "computes_in_bfloat16", lambda device: capable)
    data = TrainingData(digits.train, digits.validation, 32, precision="auto")

    with data.autocast():
        product = torch.ones(2, 2) @ torch.ones(2, 2)

    assert product.dtype == (torch.bfloat16 if capable else torch.float32)
