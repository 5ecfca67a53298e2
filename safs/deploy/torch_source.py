"""Source of a module of plain PyTorch code for a traced network.

Every name in the source is a keyword, a name that this file writes, a function that ``torch_names`` finds in torch, a
method of a tensor, or an identifier of the network that was checked. Every value is a literal.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.fx import Node

from safs.activations.module import Activation
from safs.deploy.source_layout import call, statement
from safs.deploy.torch_graph import TracedNetwork
from safs.deploy.torch_names import constructor, function_call, literal, method_call, place
from safs.deploy.torch_operators import activation_code, operator_sources
from safs.errors import ExportError
from safs.inputs import InputSelection
from safs.models.shared_weights import SharedConv2d, SharedLinear
from safs.networks import Blueprint

_HEAD = '''"""{title}

Made by SAFS; needs PyTorch, and safetensors for ``load``. It has no other dependencies.

    network = load("checkpoint.safetensors")
    logits = network(images)  # float32 [batch, {channels}, {size}, {size}], normalised as config.json says
"""

{imports}


class Layers(nn.Module):
    """Named or numbered layers: ``layers[0]`` is the layer named ``0``, ``layers["a-b"]`` the one named ``a-b``."""

    def __getitem__(self, name: int | str) -> nn.Module:
        return getattr(self, str(name))

    def place(self, path: str, member: nn.Module | nn.Parameter | Tensor) -> None:
        """Put a layer, a parameter or a buffer at a dotted path, and make the layers on the way."""
        name, _, rest = path.partition(".")
        if rest:
            if name not in self._modules:
                self.add_module(name, Layers())
            getattr(self, name).place(rest, member)
        elif isinstance(member, nn.Module):
            self.add_module(name, member)
        elif isinstance(member, nn.Parameter):
            self.register_parameter(name, member)
        else:
            self.register_buffer(name, member)
'''
_TAIL = '''

def load(path: str | Path) -> Network:
    """The network with its weights, in eval mode."""
    network = Network()
    network.load_state_dict(load_file(path))
    return network.eval()
'''


@dataclass(frozen=True, slots=True)
class GeneratedNetwork:
    """Source, and the tensors of the module that it defines."""

    source: str
    state: dict[str, Tensor]


@dataclass(slots=True)
class _Names:
    """Names of intermediate values. A name is used again once its value is no longer needed."""

    of: dict[Node, str] = field(default_factory=dict)
    free: list[str] = field(default_factory=list)
    made: int = 0

    def assign(self, node: Node) -> str:
        if not self.free:
            self.made += 1
            self.free.append("xyzuvw"[self.made - 1] if self.made <= 6 else f"x{self.made}")
        self.free.sort()
        preferred = "x" if "x" in self.free else self.free[0]
        self.free.remove(preferred)
        self.of[node] = preferred
        return preferred

    def release_after(self, node: Node, last_use: dict[Node, Node]) -> None:
        for used in node.all_input_nodes:
            if last_use[used] is node and used in self.of:
                self.free.append(self.of.pop(used))


def generate(network: TracedNetwork, blueprint: Blueprint, selection: InputSelection | None) -> GeneratedNetwork:
    """Source of a module ``Network`` that computes what ``network`` computes, and its tensors.

    Args:
        selection: the part of whole images that the network reads; None for all.

    Raises:
        ExportError: the network calls something that has no plain PyTorch form here.
    """
    writer = _Writer(network)
    body = list(writer.forward())
    selected = [] if selection is None else list(_selected(selection))
    operators = operator_sources(writer.operators)
    init = [line for path, code in writer.members.items() for line in statement("", place(path, code), indent=8)]
    text = "\n".join(
        [
            _HEAD.format(
                title=f"The sparse {literal_text(blueprint.architecture)}, as plain PyTorch code.",
                channels=blueprint.channels,
                size=blueprint.image_size,
                imports=_imports("\n".join(operators + body), operators),
            ),
            *operators,
            "",
            "",
            "class Network(Layers):",
            f'    """{literal_text(blueprint.architecture)} for {blueprint.classes} classes."""',
            "",
            "    def __init__(self) -> None:",
            "        super().__init__()",
            *init,
            "",
            f"    def forward(self, {writer.argument}: Tensor) -> Tensor:",
            *[line.replace("IMAGES", writer.argument) for line in selected],
            *body,
            _TAIL,
        ]
    )
    return GeneratedNetwork(re.sub(r"\n{4,}", "\n\n\n", text), writer.state)


def literal_text(text: str) -> str:
    """``text`` for a docstring: without characters that could end it."""
    return "".join(letter for letter in text if letter.isalnum() or letter in "-_. ")


def _imports(code: str, operators: list[str]) -> str:
    standard = ["import math"] if "math." in code else []
    third = ["import torch"]
    if "F." in code:
        third.append("import torch.nn.functional as F")
    third += ["from safetensors.torch import load_file", "from torch import Tensor, nn"]
    return "\n".join([*standard, "from pathlib import Path", "", *third])


def _selected(selection: InputSelection) -> Iterator[str]:
    kept = call("torch.tensor", [literal(list(selection.kept)), "device=IMAGES.device"])
    yield from statement("kept = ", kept, indent=8)
    if selection.kind == "pixel":
        yield "        IMAGES = IMAGES.flatten(1).index_select(1, kept)[:, :, None, None]"
    else:
        yield "        IMAGES = IMAGES.index_select(1, kept)"


class _Writer:
    """Turns nodes into statements, and notes the members and operators that they need."""

    def __init__(self, network: TracedNetwork) -> None:
        self._network = network
        self._names = _Names()
        self._owners = {id(tensor): name for name, tensor in reversed(list(network.tensors.items()))}
        self.members: dict[str, str] = {}
        """Path of a member -> the code that makes it."""
        self.state: dict[str, Tensor] = {}
        self.operators: set[str] = set()
        self.argument = "x"

    def forward(self) -> Iterator[str]:
        nodes = list(self._network.graph.nodes)
        last_use = {used: node for node in nodes for used in node.all_input_nodes}
        for node in nodes:
            if node.op == "output":
                if node.args[0] in self._names.of or not isinstance(node.args[0], Node):
                    yield from statement("return ", self._value(node.args[0]), indent=8)
                continue
            if node.op == "placeholder":
                self.argument = self._names.assign(node)
                continue
            code = self._code(node)
            if [user.op for user in node.users] == ["output"] and nodes[-1].args[0] is node:
                yield from statement("return ", code, indent=8)
                continue
            self._names.release_after(node, last_use)
            yield from statement(f"{self._names.assign(node)} = ", code, indent=8)
            if not node.users:
                self._names.free.append(self._names.of.pop(node))

    def _code(self, node: Node) -> str:
        arguments = [self._value(value) for value in node.args]
        named = {name: self._value(value) for name, value in node.kwargs.items()}
        match node.op:
            case "call_module":
                return self._module(str(node.target), arguments, named)
            case "call_function":
                return function_call(node.target, arguments, named)
            case "call_method":
                return method_call(str(node.target), arguments, named)
            case "get_attr":
                return self._tensor(str(node.target))
        raise ExportError(f"the format torch has no code for {node.op}")

    def _module(self, path: str, arguments: list[str], named: dict[str, str]) -> str:
        module = self._network.modules[path]
        if isinstance(module, Activation):
            code, operator = activation_code(module, arguments[0])
            self.operators |= {operator} if operator else set()
            return code
        if isinstance(module, SharedConv2d | SharedLinear):
            return self._shared(path, module, arguments[0])
        self.members.setdefault(path, constructor(module, path))
        for name, tensor in module.state_dict(keep_vars=True).items():
            self.state[f"{path}.{name}"] = tensor
        return call(expression(path), [*arguments, *(f"{name}={value}" for name, value in named.items())])

    def _shared(self, path: str, module: SharedConv2d | SharedLinear, value: str) -> str:
        weight = self._tensor(self._owners[id(module.weight)])
        bias = "None" if module.bias is None else self._tensor(f"{path}.bias")
        scale = self._tensor(f"{path}.share_scale")
        if isinstance(module, SharedLinear):
            return f"F.linear({value}, {weight}, {bias}) * {scale}"
        if module.padding_mode != "zeros":
            raise ExportError(f"{path} pads by {module.padding_mode!r}; the format torch writes zero padding only")
        numbers = [literal(item) for item in (module.stride, module.padding, module.dilation, module.groups)]
        return f"F.conv2d({', '.join([value, weight, bias, *numbers])}) * {scale}"

    def _tensor(self, name: str) -> str:
        tensor = self._network.tensors.get(name)
        if tensor is None:
            raise ExportError(f"the network reads {name!r}, which is no parameter and no buffer")
        path = self._owners[id(tensor)]
        owner = path.rpartition(".")[0]
        if owner not in self.members:
            empty = call("torch.empty", [literal(tuple(tensor.shape)), f"dtype={literal(tensor.dtype)}"])
            is_parameter = isinstance(tensor, nn.Parameter)
            self.members.setdefault(path, call("nn.Parameter", [empty]) if is_parameter else empty)
            self.state[path] = tensor
        return expression(path)

    def _value(self, value: object) -> str:
        return literal(value, self._names.of)


def expression(path: str) -> str:
    """The member at a dotted path as code: ``self.layer1[0].conv1``."""
    parts = path.split(".")
    for part in parts:
        if not (part.isidentifier() or re.fullmatch(r"[A-Za-z0-9_-]+", part)):
            raise ExportError(f"the network has a member named {path!r}, which cannot be written as code")
    return "self" + "".join(_access(part) for part in parts)


def _access(part: str) -> str:
    if part.isdecimal():
        return f"[{part}]"
    return f".{part}" if part.isidentifier() else f'["{part}"]'
