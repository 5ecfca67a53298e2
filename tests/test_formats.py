"""docs/formats.md: the reader of the compact form as it is printed, and every format."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from safs.deploy.export import ExportOptions, export
from safs.deploy.formats import FORMATS
from tests.deploy.results import write_result

TEXT = (Path(__file__).parent.parent / "docs" / "formats.md").read_text()
(READER,) = re.findall(r"```python\n(import json.*?)```", TEXT, flags=re.DOTALL)


def test_the_reader_has_at_most_sixty_lines() -> None:
    assert len(READER.splitlines()) <= 60


@pytest.mark.parametrize("bfloat16", [False, True])
def test_the_reader_reads_every_tensor(tmp_path: Path, bfloat16: bool) -> None:
    result = write_result(tmp_path / "result")
    export(result, "compact", tmp_path / "small", options=ExportOptions(bfloat16=bfloat16))
    names: dict[str, Any] = {}
    exec(READER, names)

    tensors = names["read_compact"](tmp_path / "small" / "checkpoint.compact.safetensors")

    state = load_file(result / "checkpoint.safetensors")
    assert tensors.keys() == state.keys()
    for name, tensor in state.items():
        kept = tensor.bfloat16().float() if bfloat16 and name.endswith("weight") else tensor
        assert np.array_equal(tensors[name], kept.numpy()), name
    assert any(torch.count_nonzero(tensor) < tensor.numel() for tensor in state.values())


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_a_section_and_a_row_with_its_files(name: str) -> None:
    assert f"\n## {name}\n" in TEXT
    (row,) = re.findall(rf"^\| \[`{name}`\].*$", TEXT, flags=re.MULTILINE)
    assert all(f"`{file}`" in row for file in FORMATS[name].files)
