"""A network in a Python file of the user, such as ``net.py:build``. The file runs here, on the user's machine alone."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.errors import CommandError

if TYPE_CHECKING:
    from safs.spec.job import JobSpec


def names_a_file(model: str | None) -> bool:
    """True for ``net.py:build``; other values are names of architectures."""
    return model is not None and ".py:" in model


def load_network(model: str) -> Any:
    """The ``torch.nn.Module`` that ``build`` in ``net.py:build`` returns, or is.

    Raises:
        CommandError: the file or the name does not exist, or gives no module.
    """
    file, _, name = model.rpartition(":")
    path = Path(file).expanduser()
    if not path.is_file():
        raise CommandError(f"there is no file {path}; write --model FILE.py:NAME")
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.path.insert(0, str(path.parent.resolve()))  # so that the file can import its neighbours
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent.resolve()))
    if name not in vars(module):
        raise CommandError(f"{path} has no {name!r}")
    from torch import nn

    found = vars(module)[name]
    network = found() if callable(found) and not isinstance(found, nn.Module) else found
    if not isinstance(network, nn.Module):
        raise CommandError(f"{model} gives a {type(network).__name__}, and no torch.nn.Module")
    return network


def with_network(spec: Mapping[str, Any], model: str | None, folder: Path) -> dict[str, Any]:
    """``spec`` with a file in ``folder`` as its network, or with a named architecture, if ``model`` is given."""
    if model is None:
        return dict(spec)
    if names_a_file(model):
        return {**spec, "model": {"network": str(folder / "network.safetensors")}}
    given = spec.get("model")
    kept = {key: given[key] for key in ("weights", "head") if key in given} if isinstance(given, Mapping) else {}
    return {**spec, "model": {**kept, "architecture": model}}


@contextmanager
def with_readable_weights(spec: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """``spec``, with weights of torch.save (.pt, .pth, .ckpt) converted to a safetensors file while the block runs.

    Raises:
        ServiceError: the file holds more than tensors and plain values, or no state dict.
    """
    model = spec.get("model")
    weights = model.get("weights") if isinstance(model, Mapping) else None
    if not isinstance(model, Mapping) or not isinstance(weights, str):
        yield dict(spec)
        return
    from safs.client.checkpoints import as_safetensors

    with as_safetensors(Path(weights)) as file:
        yield {**spec, "model": {**model, "weights": str(file)}}


def capture_for(job: "JobSpec", model: str, data_root: Path | None) -> None:
    """Write the file that ``job.model.network`` names, for images of the job's data, if ``model`` names a file."""
    if job.model.network is None:
        return
    from safs import data
    from safs.blueprints import LARGEST_DEFAULT_SIZE
    from safs.models.declared.capture import capture

    info = data.inspect(job.data, data_root)
    size = job.data.image_size or min(info.image_size, LARGEST_DEFAULT_SIZE)
    capture(load_network(model), (job.data.channels or info.channels, size)).save(job.model.network)


def parsed_input(text: str | None) -> tuple[int, int] | None:
    """Channels and pixels a side from ``3x32``; None without a text.

    >>> parsed_input("3x32")
    (3, 32)

    Raises:
        CommandError: the text has another form.
    """
    if text is None:
        return None
    channels, _, size = text.partition("x")
    if not (channels.isdecimal() and size.isdecimal()):
        raise CommandError(f"--input is {text!r}; write channels and pixels a side, such as 3x32")
    return int(channels), int(size)
