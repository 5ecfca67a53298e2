"""Constant indices are checked before a network runs, which the meta device does not do."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import safs
from safs import preflight
from safs.errors import NetworkError
from safs.models.declared.declaration import declaration
from safs.models.declared.document import from_content
from safs.models.declared.file import write
from safs.models.declared.indices import check_indices
from safs.spec.job import JobSpec
from tests.models.declared.good_document import call, good

TABLE = {"tensor": "table"}
SCALE = torch.ones(4, 1, 1)


def network(index: list[int], *more: dict[str, Any], reads: str = "aten.index_select.default") -> Any:
    """The good network, which multiplies its four channels by those of ``scale`` that ``index`` names."""
    content = good()
    arguments = {
        "aten.index_select.default": [{"tensor": "scale"}, 0, TABLE],
        "aten.index.Tensor": [{"tensor": "scale"}, [TABLE]],
        "aten.embedding.default": [{"tensor": "weights"}, TABLE],
    }[reads]
    for name in ("eval_graph", "train_graph"):
        calls = content[name]["calls"]
        read = {"target": reads, "args": arguments}
        content[name] = {"calls": [*calls, read], "output": content[name]["output"]}
    content["tensors"].append(
        {"path": "weights", "kind": "parameter", "dtype": "float32", "shape": [4, 2], "trained": True}
    )
    document = from_content(content)
    values = {"scale": SCALE, "table": torch.tensor(index), "weights": torch.ones(4, 2)}
    return document, values


@pytest.mark.parametrize(
    ("reads", "index", "words"),
    [
        ("aten.index_select.default", [0, 1, 2, 4], "reads position 4 of 4"),
        ("aten.index_select.default", [0, 1, 2, -1], "reads position -1 of 4"),
        ("aten.index.Tensor", [0, 1, 2, 400], "reads position 400 of 4"),
        ("aten.index.Tensor", [0, 1, 2, -5], "reads position -5 of 4"),
        ("aten.embedding.default", [0, 1, 2, 2**40], "reads position 1099511627776 of 4"),
    ],
)
def test_an_index_beyond_the_end_is_refused(reads: str, index: list[int], words: str) -> None:
    with pytest.raises(NetworkError, match=words) as refused:
        check_indices(declaration(*network(index, reads=reads)))
    assert refused.value.code == "invalid_network"


@pytest.mark.parametrize(
    ("reads", "index"),
    [
        ("aten.index_select.default", [3, 2, 1, 0]),
        ("aten.index.Tensor", [-4, -1, 0, 3]),
        ("aten.embedding.default", [3]),
    ],
)
def test_indices_within_are_accepted(reads: str, index: list[int]) -> None:
    check_indices(declaration(*network((index * 4)[:4], reads=reads)))


class Shifted(nn.Module):
    """Reads rows of its image by a table, by a range that it shifts, and by an embedding of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.places = nn.Embedding(8, 8)
        self.register_buffer("order", torch.arange(8).flip(0))
        self.fc = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        shifted = (torch.arange(8, device=x.device) + 3) % 8
        x = x[:, :, shifted].index_select(2, self.get_buffer("order")) + self.places(torch.arange(8, device=x.device))
        first = x[torch.arange(x.shape[0], device=x.device)]
        logits: Tensor = self.fc(torch.relu(first).flatten(1))
        return logits


def test_computed_indices_are_known_too(tmp_path: Path) -> None:
    captured = safs.capture(Shifted(), (1, 8))
    check_indices(declaration(captured.document, captured.tensors))

    text = captured.document.model_dump_json()
    assert "aten.remainder.Scalar" in text
    content = captured.document.model_dump(mode="json")
    for name in ("eval_graph", "train_graph"):
        for each in content[name]["calls"]:
            if each["target"] == "aten.remainder.Scalar":
                each["args"][1] = 20  # positions 3 to 10 of 8
    damaged = from_content(content)
    file = write(tmp_path / "network.safetensors", damaged, captured.tensors)
    spec = {"model": {"network": str(file)}, "data": {"dataset": "digits", "image_size": 8}, "sparsity": 0.5}

    with pytest.raises(NetworkError, match=r"aten\.index\.Tensor .* reads position 10 of 8") as refused:
        preflight.check(JobSpec.model_validate(spec), data_root=None, weights=file)
    assert refused.value.field == "model.network"


def test_an_index_that_depends_on_the_images_is_left_to_the_run() -> None:
    document, values = network([0, 1, 2, 3])
    content = document.model_dump(mode="json")
    for name in ("eval_graph", "train_graph"):
        calls = content[name]["calls"][:-1]
        place = len(calls)
        calls += [
            call("aten.argmax.default", 1),
            {"target": "aten.view.default", "args": [{"node": place + 1}, [1]]},
            {"target": "aten.index_select.default", "args": [{"tensor": "scale"}, 0, {"node": place + 2}]},
        ]
        content[name]["calls"] = calls

    check_indices(declaration(from_content(content), values))
