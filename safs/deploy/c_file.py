"""A result as one C11 file: its live weights, and the whole forward pass, for devices without Python.

The result can have convolutions, linear layers, activations, additions, pooling and flattening. Weights that are zero
are not in the file, and cost nothing.
"""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx import Node

from safs.deploy.c_operators import HEAD, activation_statement
from safs.deploy.sparse.runtime import SparseNetwork
from safs.deploy.sparse.steps import Addition, Convolution, Elementwise, Linear, Other, Step
from safs.deploy.torch_graph import TracedNetwork
from safs.errors import ExportError
from safs.inputs import InputSelection

COMPILE = ("-std=c11", "-O3", "-DSAFS_MAIN")
_LIMIT_S = 600


def write(path: Path, network: TracedNetwork, images: Tensor, selection: InputSelection | None) -> Tensor:
    """Write the C file, compile it, and return the logits that it computes for ``images``.

    Raises:
        ExportError: the network calls something that the C file cannot do, or there is no C compiler to check it with.
    """
    path.write_text(source_of(network, images[:1], selection))
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise ExportError("an export to C is checked with a C compiler, and neither cc nor gcc is installed")
    with TemporaryDirectory() as folder:
        program = Path(folder) / "network"
        _call([compiler, *COMPILE, "-o", str(program), str(path), "-lm"], b"")
        answer = _call([str(program)], images.contiguous().numpy().tobytes())
    return torch.from_numpy(np.frombuffer(answer, np.float32).reshape(len(images), -1).copy())


def source_of(network: TracedNetwork, image: Tensor, selection: InputSelection | None) -> str:
    """The C file for whole images like ``image`` [1, channels, height, width]."""
    runtime = SparseNetwork(network)
    reduced = image if selection is None else _select(image, selection)
    shapes = {node: tuple(value.shape) for node, value in runtime.values(reduced).items() if isinstance(value, Tensor)}
    writer = _Writer(shapes)
    first = runtime.input
    writer.names[first] = "image"
    body: list[str] = []
    if selection is not None:
        body += writer.select(selection, first, image, reduced)
    for step in runtime.steps:
        body += writer.statements(step)
    classes = shapes[runtime.output][-1]
    return "\n".join(
        [
            HEAD.format(inputs=image.numel(), outputs=classes, shape=" x ".join(map(str, image.shape[1:]))),
            *writer.constants,
            "",
            "void safs_network(const float image[SAFS_INPUTS], float logits[SAFS_OUTPUTS])",
            "{",
            *(f"    static float {name}[{size}];" for name, size in writer.buffers.items()),
            *(f"    {line}" for line in body),
            f"    memcpy(logits, {writer.names[runtime.output]}, sizeof(float) * SAFS_OUTPUTS);",
            "}",
            _MAIN,
        ]
    )


_MAIN = """
#ifdef SAFS_MAIN
#include <stdio.h>

/* Reads images as float32 from standard input, and writes their logits to standard output. */
int main(void)
{
    static float image[SAFS_INPUTS], logits[SAFS_OUTPUTS];
    while (fread(image, sizeof(float), SAFS_INPUTS, stdin) == SAFS_INPUTS) {
        safs_network(image, logits);
        if (fwrite(logits, sizeof(float), SAFS_OUTPUTS, stdout) != SAFS_OUTPUTS) return 1;
    }
    return 0;
}
#endif
"""


@dataclass(slots=True)
class _Writer:
    """Statements of steps, and the constants and buffers that they need."""

    shapes: dict[Node, tuple[int, ...]]
    names: dict[Node, str] = field(default_factory=dict)
    constants: list[str] = field(default_factory=list)
    buffers: dict[str, int] = field(default_factory=dict)

    def statements(self, step: Step) -> Iterator[str]:
        match step:
            case Convolution():
                yield from self._convolution(step)
            case Linear():
                yield from self._linear(step)
            case Elementwise():
                y = self._copy(step.node, step.input)
                yield f"memcpy({y}, {self.names[step.input]}, sizeof {y});"
                yield from self._activate(step.node, step.function)
            case Addition():
                y = self._copy(step.node, step.input)
                size = self._size(step.node)
                if self._size(step.input) != size or self._size(step.other) != size:
                    raise ExportError("the network adds values of different shapes, which the format c does not know")
                x, other = self.names[step.input], self.names[step.other]
                yield f"for (int i = 0; i < {size}; i++) {y}[i] = {x}[i] + {other}[i];"
            case Other(node=node) if node.op == "get_attr":
                pass  # It is in the weights of the layers that read it.
            case Other():
                yield from self._other(step)

    def select(self, selection: InputSelection, node: Node, image: Tensor, reduced: Tensor) -> Iterator[str]:
        area = image[0, 0].numel() if selection.kind == "channel" else 1
        kept = np.array(selection.kept, np.int64)
        positions = (kept[:, None] * area + np.arange(area)).reshape(-1)
        self._constant("selected", "int32_t", positions)
        self.buffers["reduced"] = reduced.numel()
        self.names[node] = "reduced"
        yield f"for (int i = 0; i < {reduced.numel()}; i++) reduced[i] = image[selected[i]];"

    def _convolution(self, step: Convolution) -> Iterator[str]:
        (_, channels, height, width), (_, outputs, rows, columns) = self.shapes[step.input], self.shapes[step.node]
        output, source, row, column = (index.numpy() for index in step.weight.nonzero(as_tuple=True))
        group = output // (outputs // step.groups)
        number = len(self.buffers)
        taps = np.stack([source + group * (channels // step.groups), row, column], 1)
        weights = step.weight.numpy()[output, source, row, column]
        self._layer(number, output, outputs, taps.reshape(-1), "int16_t", weights, step.bias)
        y, shape = self._buffer(step.node), step.shape
        sizes = (channels, height, width, outputs, rows, columns, *shape.stride, *shape.padding, *shape.dilation)
        yield (
            f"convolve({self.names[step.input]}, {y}, {', '.join(map(str, sizes[1:]))}, "
            f"begins_{number}, taps_{number}, weights_{number}, bias_{number});"
        )
        if step.residual is not None:
            residual = self.names[step.residual]
            yield f"for (int i = 0; i < {self._size(step.node)}; i++) {y}[i] += {residual}[i];"
        if step.activation is not None:
            yield from self._activate(step.node, step.activation)

    def _linear(self, step: Linear) -> Iterator[str]:
        if len(self.shapes[step.input]) != 2:
            raise ExportError("the network has a linear layer over more than one vector, which the format c cannot do")
        number = len(self.buffers)
        output, source = (index.numpy() for index in step.weight.nonzero(as_tuple=True))
        weights = step.weight.numpy()[output, source]
        self._layer(number, output, len(step.weight), source, "int32_t", weights, step.bias)
        y = self._buffer(step.node)
        yield (
            f"multiply({self.names[step.input]}, {y}, {len(step.weight)}, "
            f"begins_{number}, taps_{number}, weights_{number}, bias_{number});"
        )

    def _layer(
        self,
        number: int,
        output: np.ndarray,
        outputs: int,
        taps: np.ndarray,
        kind: str,
        weights: np.ndarray,
        bias: Tensor,
    ) -> None:
        begins = np.concatenate([[0], np.cumsum(np.bincount(output, minlength=outputs))])
        self._constant(f"begins_{number}", "int32_t", begins)
        self._constant(f"taps_{number}", kind, taps)
        self._constant(f"weights_{number}", "float", weights)
        self._constant(f"bias_{number}", "float", bias.detach().numpy())

    def _other(self, step: Other) -> Iterator[str]:
        node, module = step.node, step.run
        source = next(iter(node.all_input_nodes), None)
        if source is None or source not in self.shapes:
            raise _unknown(step)
        before, after = self.shapes[source], self.shapes.get(node, ())
        x = self.names[source]
        if _is_reshape(step, before, after):
            self.names[node] = x
            return
        planes, sizes = before[1], (*before[2:], *after[2:])
        match module:
            case nn.MaxPool2d() | nn.AvgPool2d() if not module.ceil_mode and getattr(module, "count_include_pad", True):
                kind = "max_pool" if isinstance(module, nn.MaxPool2d) else "mean_pool"
                kernel, stride, padding = (
                    _pair(value) for value in (module.kernel_size, module.stride, module.padding)
                )
                if _pair(getattr(module, "dilation", 1)) != (1, 1):
                    raise _unknown(step)
                numbers = (planes, *sizes, *kernel, *stride, *padding)
            case nn.AdaptiveAvgPool2d() if len(after) == 4 and before[2] % after[2] == before[3] % after[3] == 0:
                kind, kernel = "mean_pool", (before[2] // after[2], before[3] // after[3])
                numbers = (planes, *sizes, *kernel, *kernel, 0, 0)
            case _:
                raise _unknown(step)
        yield f"{kind}({x}, {self._buffer(node)}, {', '.join(map(str, numbers))});"

    def _activate(self, node: Node, activation: object) -> Iterator[str]:
        y, size = self.names[node], self._size(node)
        yield f"for (int i = 0; i < {size}; i++) {{"
        yield f"    const float x = {y}[i];"
        yield f"    {y}[i] = {activation_statement(activation)};"
        yield "}"

    def _copy(self, node: Node, source: Node) -> str:
        assert source in self.names
        return self._buffer(node)

    def _buffer(self, node: Node) -> str:
        name = f"value_{len(self.buffers)}"
        self.buffers[name], self.names[node] = self._size(node), name
        return name

    def _size(self, node: Node) -> int:
        return int(np.prod(self.shapes[node]))

    def _constant(self, name: str, kind: str, values: np.ndarray) -> None:
        texts = [float(value).hex() + "f" if kind == "float" else str(int(value)) for value in values] or ["0"]
        lines = [", ".join(texts[first : first + 8]) for first in range(0, len(texts), 8)]
        self.constants.append(f"static const {kind} {name}[{len(texts)}] = {{\n    " + ",\n    ".join(lines) + "};")


def _is_reshape(step: Other, before: Sequence[int], after: Sequence[int]) -> bool:
    names = ("flatten", "view", "reshape", "contiguous", "squeeze", "unsqueeze")
    name = step.node.target if isinstance(step.node.target, str) else getattr(step.node.target, "__name__", "")
    is_named = isinstance(step.run, nn.Flatten) or (step.node.op != "call_module" and name in names)
    return is_named and np.prod(before) == np.prod(after) and before[0] == after[0]


def _pair(value: int | tuple[int, ...] | None) -> tuple[int, int]:
    if isinstance(value, tuple):
        return value[0], value[1]
    assert value is not None
    return value, value


def _unknown(step: Other) -> ExportError:
    what = type(step.run).__name__ if isinstance(step.run, nn.Module) else str(step.node.target)
    return ExportError(f"the network calls {what}, which the format c does not know; choose onnx, pt2 or torch")


def _select(image: Tensor, selection: InputSelection) -> Tensor:
    from safs.inputs import SelectInputs

    reduced: Tensor = SelectInputs(selection)(image)
    return reduced


def _call(command: list[str], given: bytes) -> bytes:
    ended = subprocess.run(command, input=given, capture_output=True, timeout=_LIMIT_S, check=False)
    if ended.returncode != 0:
        last = (ended.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {ended.returncode}"])[-1]
        raise ExportError(f"the C file does not {'compile' if not given else 'run'}: {last}")
    return ended.stdout
