"""The matrix of networks: its list, its table, and one network measured."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.matrix.networks import HUGGING_FACE, NAMED
from benchmarks.matrix.table import table, write_table
from safs import models

DONE = {"ok": True, "seconds": 1.5}
RESULTS = [
    {
        "name": "timm/a",
        "image_size": 64,
        "route": "torch.fx",
        "number_of_sites": 3,
        "sites": DONE,
        "search": DONE,
        "unstructured": DONE,
        "capture": DONE,
        "filter": {"ok": False, "error": "it fails"},
    },
    {"name": "transformers/b", "error": "it took longer than 900 s", "sites": DONE, "number_of_sites": 2},
]


def test_the_list_has_46_and_8_networks_that_exist() -> None:
    assert (len(set(NAMED)), len(set(HUGGING_FACE))) == (46, 8)
    for name in NAMED:
        models.find(name)


def test_the_table_has_a_row_for_each_network_totals_and_reasons(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- matrix -->\nold\n<!-- end of matrix -->\nafter\n")

    write_table(RESULTS, page)

    text = page.read_text()
    assert table(RESULTS) in text
    assert "| `timm/a` | 64 | torch.fx | 3 | yes | yes | no | 1.5 s |" in text
    assert "| **torchvision and timm** | | | 1 of 1 | 1 of 1 | 1 of 1 | 0 of 1 | 1 of 1 |" in text
    assert "- `timm/a`, filter: it fails" in text
    assert "| `transformers/b` |  |  | 2 | no | no | no | no |" in text
    assert "- `transformers/b`: it took longer than 900 s" in text
    assert "- Not measured: `torchvision/alexnet`, " in text
    assert "old" not in text


@pytest.mark.exhaustive
def test_one_network_is_measured() -> None:
    command = [sys.executable, "-m", "benchmarks.matrix.measure", "torchvision/mobilenet_v3_small", "600"]

    done = subprocess.run(command, capture_output=True, text=True)

    result = json.loads(done.stdout.splitlines()[-1])
    assert all(result[what]["ok"] for what in ("capture", "sites", "unstructured", "search", "filter")), done.stdout
