"""Changes of a network's structure after its architecture built it: fewer units, fewer inputs, shared weights.

A form is plain data. The architecture's name and the form are enough to build the network again and load a state.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from safs.errors import WeightsError
from safs.inputs import InputSelection
from safs.models.shared_weights import tie


@dataclass(frozen=True, slots=True)
class Form:
    """Changes to the network that an architecture builds; the empty form changes nothing."""

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Parameter or buffer name -> its smaller shape."""
    inputs: InputSelection | None = None
    """Pixels or channels that the network reads, as its reduced input; None means all."""
    shared: Mapping[str, str] = field(default_factory=dict)
    """Weight name -> name of the earlier layer's weight that replaces it; see ``safs.models.shared_weights``."""


def apply_form(form: Form, model: nn.Module) -> nn.Module:
    """Resize and tie ``model``'s layers in place, and return it. Works on the meta device.

    A smaller tensor keeps its leading part, so weights drawn from a seed are reproducible in every form.

    Raises:
        WeightsError: the form names a tensor that the model does not have, gives a shape that does not fit inside the
            tensor's, resizes a layer that cannot be resized, or ties weights that cannot be shared.
    """
    paths = dict.fromkeys(name.rpartition(".")[0] for name in form.shapes)
    modules = {path: _module(model, path) for path in paths}
    for name, shape in form.shapes.items():
        path, _, leaf = name.rpartition(".")
        _resize(modules[path], leaf, tuple(shape), name)
    for path, module in modules.items():
        _update_sizes(module, path)
    for user, owner in form.shared.items():
        tie(model, user, owner)
    return model


def _module(model: nn.Module, path: str) -> nn.Module:
    try:
        return model.get_submodule(path)
    except AttributeError as error:
        raise WeightsError(f"the form names {path!r}, which {type(model).__name__} does not have") from error


def _resize(module: nn.Module, leaf: str, shape: tuple[int, ...], name: str) -> None:
    old = module._parameters.get(leaf, module._buffers.get(leaf))
    if old is None:
        raise WeightsError(f"the form names {name!r}, which the network does not have")
    if len(shape) != old.dim() or any(not 1 <= new <= size for new, size in zip(shape, old.shape, strict=True)):
        raise WeightsError(f"the form gives {name!r} the shape {shape}, which does not fit inside {tuple(old.shape)}")
    part = old.detach()[tuple(slice(size) for size in shape)].clone()
    if isinstance(old, nn.Parameter):
        module.register_parameter(leaf, nn.Parameter(part, requires_grad=old.requires_grad))
    else:
        module._buffers[leaf] = part


def _update_sizes(module: nn.Module, path: str) -> None:
    """Set the sizes that ``module`` keeps as attributes from its resized tensors."""
    tensor = next((value for value in (*module.parameters(False), *module.buffers(False)) if value.dim()), None)
    assert tensor is not None
    size = tensor.shape[0]
    match module:
        case nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
            _update_convolution(module, module.weight)
        case nn.Linear():
            module.out_features, module.in_features = module.weight.shape
        case nn.modules.batchnorm._NormBase():
            module.num_features = size
        case nn.GroupNorm():
            module.num_channels = size
        case nn.LayerNorm():
            module.normalized_shape = tuple(tensor.shape)
        case nn.PReLU():
            module.num_parameters = size
        case nn.Embedding():
            module.embedding_dim = module.weight.shape[1]
        case _ if type(module).__module__.startswith("torch.nn."):
            raise WeightsError(f"the form resizes {path!r}; a {type(module).__name__} cannot be resized")
        case _:
            pass  # A model's custom module with bare parameters (a layer scale) has no size attributes.


def _update_convolution(module: nn.Conv1d | nn.Conv2d | nn.Conv3d, weight: Tensor) -> None:
    """Set the sizes of a convolution. A depthwise one stays depthwise; any other keeps its number of groups."""
    if module.groups == module.in_channels == module.out_channels:
        module.groups = weight.shape[0] if module.groups > 1 else 1
    module.out_channels, module.in_channels = weight.shape[0], weight.shape[1] * module.groups
