"""Exports: every format computes what the result computes, and a failed export leaves nothing."""

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import safs
from safs.activations.module import Activation
from safs.activations.operators import OPERATORS
from safs.deploy import compact_file, onnx_file
from safs.deploy.equality import Images, check_equality
from safs.deploy.export import ExportOptions, export
from safs.deploy.formats import FORMATS
from safs.errors import CheckpointError, ExportError, MissingExtraError, OutputError, UnknownNameError
from tests.deploy.results import write_result


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_result(tmp_path_factory.mktemp("result"))


def images(count: int = 5) -> Tensor:
    return torch.randn(count, 1, 28, 28, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    "format", [pytest.param(name, marks=pytest.mark.exhaustive if name == "pt2" else ()) for name in FORMATS]
)
def test_an_export_has_the_files_of_its_format_and_equal_outputs(result: Path, tmp_path: Path, format: str) -> None:
    written = export(result, format, tmp_path / "out")

    beside = {"config.json"} if format == "compact" else set()
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*FORMATS[format].files} | beside
    assert written.files[0].stat().st_size == written.size_bytes
    assert written.checkpoint_bytes == (result / "checkpoint.safetensors").stat().st_size
    assert written.equality.source == "random"
    assert written.equality.equal_predictions == written.equality.images == 32
    assert written.equality.relative_difference < 1e-5


def test_the_jobs_validation_split_is_compared_where_its_data_set_is_there(tmp_path: Path) -> None:
    folder = write_result(tmp_path / "result")
    config = json.loads((folder / "config.json").read_text())
    spec = {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": 0.9}
    (folder / "config.json").write_text(json.dumps(config | {"spec": spec}))

    written = export(folder, "compact", tmp_path / "out")

    assert written.equality.source == "validation split"
    assert written.equality.images > 100


def test_onnx_takes_any_batch_and_raw_pixels_and_tells_of_the_result(result: Path, tmp_path: Path) -> None:
    import onnxruntime

    export(result, "onnx", tmp_path, options=ExportOptions(with_normalisation=True))

    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    for count in (1, 3):
        raw = torch.randint(0, 256, (count, 1, 28, 28)).float()
        (logits,) = session.run(["logits"], {"images": raw.numpy()})
        expected = safs.load(result)((raw / 255 - 0.5) / 0.25)
        assert torch.allclose(torch.from_numpy(logits), expected, atol=1e-5)
    described = session.get_modelmeta().custom_metadata_map
    assert {"classes": "10", "sparsity": "0.900000", "live_weights": "6147", "input": "raw pixels"}.items() <= (
        described.items()
    )
    assert described["checkpoint_sha256"] == safs.verify(result).sha256


def test_every_operator_is_the_same_in_onnx(tmp_path: Path) -> None:
    class AllOperators(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            scalars = [{name: 0.7 + 0.2 * at for at, name in enumerate(op.scalars)} for op in OPERATORS.values()]
            sites = (Activation(op, values=values) for op, values in zip(OPERATORS.values(), scalars, strict=True))
            self.sites = nn.ModuleList(sites)

        def forward(self, x: Tensor) -> Tensor:
            return torch.cat([site(x) for site in self.sites], dim=1)

    network, x = AllOperators().eval(), torch.linspace(-120, 12, 600)[:, None]

    with torch.inference_mode():
        actual = onnx_file.write(tmp_path / "all.onnx", network, x, {})
        expected = network(x)

    assert torch.allclose(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("format", "load"),
    [
        ("torch", "from network import load; network = load('checkpoint.safetensors')"),
        pytest.param("pt2", "network = torch.export.load('network.pt2').module()", marks=pytest.mark.exhaustive),
    ],
    ids=["torch", "pt2"],
)
def test_pt2_and_torch_run_where_this_package_is_not(result: Path, tmp_path: Path, format: str, load: str) -> None:
    export(result, format, tmp_path)
    torch.save(images(), tmp_path / "images.pt")
    code = (
        f"import sys, torch; sys.modules['safs'] = None; {load}; images = torch.load('images.pt'); "
        "print([network(images[:count]).tolist() for count in (1, 5)])"
    )

    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)

    for logits in map(torch.tensor, json.loads(ended.stdout)):
        assert torch.allclose(logits, safs.load(result)(images()[: len(logits)]), atol=1e-6)


def test_a_compact_folder_is_loaded_and_verified(result: Path, tmp_path: Path) -> None:
    export(result, "compact", tmp_path)

    assert safs.verify(tmp_path) == safs.verify(result)
    assert torch.equal(safs.load(tmp_path)(images()), safs.load(result)(images()))


def test_a_point_of_a_front_is_exported_by_its_sparsity(result: Path, tmp_path: Path) -> None:
    front = tmp_path / "front"
    shutil.copytree(result, front)
    for sparsity in (0.9, 0.8):
        write_result(front / f"sparsity-{sparsity}", sparsity=sparsity)

    export(front, "compact", tmp_path / "point", sparsity=0.8)
    export(front, "compact", tmp_path / "recommended")

    assert safs.verify(tmp_path / "point").target == 0.8
    assert safs.verify(tmp_path / "recommended").target == 0.9
    with pytest.raises(CheckpointError, match=r"has no point at sparsity 0\.5; it has 0\.8, 0\.9\."):
        export(front, "compact", tmp_path / "none", sparsity=0.5)
    assert not (tmp_path / "none").exists()


def test_a_result_with_one_sparsity_has_that_point_alone(result: Path, tmp_path: Path) -> None:
    export(result, "compact", tmp_path / "own", sparsity=0.9)

    assert safs.verify(tmp_path / "own").target == 0.9
    with pytest.raises(CheckpointError, match=r"has no point at sparsity 0\.5; it has 0\.9\."):
        export(result, "compact", tmp_path / "none", sparsity=0.5)
    with pytest.raises(CheckpointError, match="is no result folder"):
        export(tmp_path, "compact", tmp_path / "none", sparsity=0.5)


def test_a_compact_folder_can_be_exported_again(result: Path, tmp_path: Path) -> None:
    export(result, "compact", tmp_path / "small")

    again = export(tmp_path / "small", "compact", tmp_path / "again")

    assert again.files[0].read_bytes() == (tmp_path / "small" / again.files[0].name).read_bytes()


def test_live_weights_rounded_to_bfloat16_keep_the_sparsity(result: Path, tmp_path: Path) -> None:
    exact = export(result, "compact", tmp_path / "exact")

    rounded = export(result, "compact", tmp_path / "rounded", options=ExportOptions(bfloat16=True))

    assert rounded.size_bytes < 0.6 * exact.size_bytes
    assert safs.verify(tmp_path / "rounded").sparsity == safs.verify(result).sparsity


def test_the_compact_checkpoint_of_another_result_is_refused(result: Path, tmp_path: Path) -> None:
    other = write_result(tmp_path / "other", sparsity=0.8)
    export(other, "compact", tmp_path / "small")
    shutil.copyfile(result / "config.json", tmp_path / "small" / "config.json")

    with pytest.raises(CheckpointError, match=r"checkpoint\.compact\.safetensors was altered"):
        safs.load(tmp_path / "small")


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("compact", ExportOptions(with_normalisation=True)),
        ("torch", ExportOptions(with_normalisation=True)),
        ("onnx", ExportOptions(bfloat16=True)),
    ],
)
def test_an_option_of_another_format_is_refused(
    result: Path, tmp_path: Path, format: str, options: ExportOptions
) -> None:
    with pytest.raises(ExportError, match=f"format '{format}'"):
        export(result, format, tmp_path / "out", options=options)

    assert not (tmp_path / "out").exists()


def test_an_unknown_format_is_refused_with_the_known_ones(result: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown export format 'onx'\. Did you mean 'onnx'"):
        export(result, "onx", tmp_path / "out")


def test_a_folder_without_a_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no result folder"):
        export(tmp_path, "compact", tmp_path / "out")


@pytest.mark.parametrize(
    ("format", "package", "extra"), [("onnx", "onnxscript", "onnx"), ("compact", "constriction", "sparse")]
)
def test_a_missing_package_names_its_extra(
    result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(MissingExtraError, match=rf"needs {package}.*safs-service\[{extra}\]"):
        export(result, format, tmp_path / "out")

    assert not any((tmp_path / "out").iterdir())


def test_a_full_disk_is_reported_and_leaves_nothing(
    result: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(compact_file.shutil, "copyfile", full)

    with pytest.raises(OutputError, match="is full: No space left on device"):
        export(result, "compact", tmp_path / "out")

    assert not any((tmp_path / "out").iterdir())


def test_outputs_that_differ_are_refused() -> None:
    expected = torch.tensor([[1.0, 2.0], [3.0, 1.0]])

    with pytest.raises(ExportError, match=r"differ by 1\.5 \(0\.5 of the largest.* 1 of 2 predictions"):
        check_equality(expected, expected + torch.tensor([[0.0, 0.0], [-1.0, 1.5]]), Images(expected, "random"), "it")


def test_outputs_that_are_not_finite_are_refused_unless_both_are() -> None:
    expected, images = torch.tensor([[1.0, float("inf")]]), Images(torch.zeros(1), "random")

    assert check_equality(expected, expected.clone(), images, "it").largest_difference == 0
    with pytest.raises(ExportError):
        check_equality(expected, torch.tensor([[1.0, 2.0]]), images, "it")
    with pytest.raises(ExportError):
        check_equality(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, float("nan")]]), images, "it")
