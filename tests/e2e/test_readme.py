"""The first lines of "Your own job" in the README run as they stand against a real service."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

from safs import verify
from tests.resume.attempts import ROOT

PATIENCE_S = 500.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(PATIENCE_S + 100)]


def test_the_first_lines_run_as_they_stand(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = re.search(r"^## Your own job\n.*?^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    assert lines is not None
    digits = load_digits()
    images, labels = digits.images.astype("float32") / 16, digits.target
    torch.manual_seed(0)
    arrays: dict[str, Any] = {
        "x_train": images[:400],
        "y_train": labels[:400],
        "x_test": images[400:600],
        "y_test": labels[400:600],
        "my_module": nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)),
        "url": address,
    }
    monkeypatch.chdir(tmp_path)

    exec(lines[1], arrays)

    found = verify(tmp_path / "result")
    assert found.sparsity.live == found.sparsity.weights - round(0.95 * found.sparsity.weights)
    assert arrays["network"](torch.zeros(2, 1, 8, 8)).shape == (2, 10)
