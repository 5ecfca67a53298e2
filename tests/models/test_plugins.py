"""Networks that the operator installed."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from safs import models
from safs.errors import SpecError, UnknownNameError
from safs.models import plugins
from safs.preflight import check
from safs.reuse.keys import code_version
from safs.spec.job import JobSpec

SOURCE = """
from torch import nn

__all__ = ["small", "broken", "odd"]

def small(channels, classes, image_size):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * image_size**2, 16), nn.ReLU(), nn.Linear(16, classes))

def broken(channels, classes, image_size):
    raise RuntimeError("only 224 pixels")

def odd(channels, classes, image_size):
    return 7

def hidden(channels, classes, image_size):
    return nn.Identity()
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that the variable names."""
    (tmp_path / "our_networks.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(plugins.VARIABLE, "our_networks")
    yield tmp_path / "our_networks.py"
    sys.modules.pop("our_networks", None)
    plugins._from_packages.cache_clear()
    code_version.cache_clear()


def test_a_job_takes_a_plugin_by_its_name(installed: Path) -> None:
    spec = {"model": {"architecture": "plugin/small"}, "data": {"dataset": "digits"}, "sparsity": 0.5}

    found = check(JobSpec.model_validate(spec), data_root=None, weights=None)

    assert (found.blueprint.identity, found.weights) == ("plugin/small", 64 * 16 + 160)


def test_an_installed_package_gives_plugins_by_its_entry_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "packaged_networks.py").write_text(SOURCE)
    metadata = tmp_path / "packaged_networks-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: packaged-networks\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[safs.models]\npackaged = packaged_networks:small\n")
    before = plugins.sources_digest()
    monkeypatch.syspath_prepend(tmp_path)
    plugins._entry_points.cache_clear()

    model = models.build("plugin/packaged", channels=1, classes=10, image_size=8)

    assert "packaged" in plugins.plugin_names()
    plugins._entry_points.cache_clear()
    assert [tuple(weight.shape) for weight in model.parameters() if weight.dim() > 1] == [(16, 64), (10, 16)]
    assert plugins.sources_digest() != before
    sys.modules.pop("packaged_networks", None)


def test_plugins_are_listed_and_what_is_not_public_is_unknown(installed: Path) -> None:
    assert {"plugin/small", "plugin/broken"} <= set(models.known_architectures())
    with pytest.raises(UnknownNameError, match="plugin/small"):
        models.find("plugin/hidden")


@pytest.mark.parametrize(("name", "words"), [("broken", "RuntimeError: only 224 pixels"), ("odd", "returns a int")])
def test_a_plugin_that_fails_says_why(installed: Path, name: str, words: str) -> None:
    with pytest.raises(SpecError, match=words) as refused:
        models.build(f"plugin/{name}", channels=1, classes=10, image_size=8)

    assert refused.value.field == "model.architecture"


def test_another_source_of_a_plugin_gives_other_keys(installed: Path) -> None:
    code_version.cache_clear()
    before = code_version()

    installed.write_text(SOURCE + "\n# changed\n")
    code_version.cache_clear()

    assert code_version() != before
