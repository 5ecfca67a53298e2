"""docs/quickstart.md runs as it stands against a real service."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import safs
from tests.resume.attempts import ROOT

PATIENCE_S = 500.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(PATIENCE_S + 100)]


@pytest.mark.exhaustive  # test_readme.py runs such lines, too.
def test_the_quickstart_runs_as_it_stands(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs/quickstart.md").read_text(), re.MULTILINE | re.DOTALL)
    monkeypatch.setenv("SAFS_URL", address)
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "quickstart"}

    exec("\n".join(blocks), namespace)

    assert len(blocks) == 4
    assert safs.verify(tmp_path / "result").sparsity.sparsity == pytest.approx(0.9, abs=1e-4)
    predicted = namespace["network"](namespace["images"]).argmax(1)
    accuracy = (predicted == namespace["labels"]).float().mean().item()
    assert accuracy > 0.8
    assert namespace["report"]["rows"][0]["test_accuracy"] > 0.9
    assert torch.equal(namespace["labels"][:1], torch.tensor([0]))
