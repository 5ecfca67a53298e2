"""How a network differs from what its architecture builds: fewer units, fewer inputs, weights that layers share.

A form is plain data. With the architecture's name it is all that is needed to build the network again and load a state
into it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from safs.errors import WeightsError
from safs.inputs import InputSelection
from safs.models.shared_weights import tie


@dataclass(frozen=True, slots=True)
class Form:
    """How a network differs from what its architecture builds; the empty form is the architecture's own network."""

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Parameter or buffer name -> shape, where it is not the architecture's own."""
    inputs: InputSelection | None = None
    """Which inputs the network reads; None is all. The network itself is fed the reduced input."""
    shared: Mapping[str, str] = field(default_factory=dict)
    """Weight name -> name of the weight, of an earlier layer, that it is; see ``safs.models.shared_weights``."""


def apply_form(form: Form, model: nn.Module) -> nn.Module:
    """Resizes and ties ``model``'s layers in place and returns it; works on the meta device.

    Of a tensor that shrinks the leading part stays, so weights drawn from a seed are reproducible in every form.

    Raises:
        WeightsError: a name that the model does not have, a shape that is no part of its tensor's, a layer whose size
            this function cannot change, or weights that cannot be shared.
    """
    paths = dict.fromkeys(name.rpartition(".")[0] for name in form.shapes)
    modules = {path: _module(model, path) for path in paths}
    for name, shape in form.shapes.items():
        path, _, leaf = name.rpartition(".")
        _resize(modules[path], leaf, tuple(shape), name)
    for path, module in modules.items():
        _follow(module, path)
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
        raise WeightsError(f"the form gives {name!r} the shape {shape}, which is no part of {tuple(old.shape)}")
    part = old.detach()[tuple(slice(size) for size in shape)].clone()
    if isinstance(old, nn.Parameter):
        module.register_parameter(leaf, nn.Parameter(part, requires_grad=old.requires_grad))
    else:
        module._buffers[leaf] = part


def _follow(module: nn.Module, path: str) -> None:
    """Sets the sizes that ``module`` keeps as attributes to those of its tensors."""
    tensor = next((value for value in (*module.parameters(False), *module.buffers(False)) if value.dim()), None)
    assert tensor is not None
    size = tensor.shape[0]
    match module:
        case nn.Conv1d() | nn.Conv2d() | nn.Conv3d():
            _follow_convolution(module, module.weight)
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
            pass  # A model's own module with bare parameters (a layer scale) keeps no sizes.


def _follow_convolution(module: nn.Conv1d | nn.Conv2d | nn.Conv3d, weight: Tensor) -> None:
    """A depthwise convolution stays one; any other keeps its number of groups."""
    if module.groups == module.in_channels == module.out_channels:
        module.groups = weight.shape[0] if module.groups > 1 else 1
    module.out_channels, module.in_channels = weight.shape[0], weight.shape[1] * module.groups
