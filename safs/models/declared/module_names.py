"""Names of the tensors and modules of a module that is captured."""

import torch
from torch import Tensor, nn


class ModuleNames:
    """Names of the tensors and modules of a module, each under its first name."""

    def __init__(self, module: nn.Module) -> None:
        self.modules = dict(module.named_modules())
        self.tensors: dict[str, Tensor] = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        persistent = module.state_dict(keep_vars=True).keys()
        first = {id(value): name for name, value in self.tensors.items()}
        self._tensor_names = {
            name: first[id(value)]
            for name, value in (
                *module.named_parameters(remove_duplicate=False),
                *module.named_buffers(remove_duplicate=False),
            )
        }
        paths: dict[int, str] = {id(value): path for path, value in self.modules.items()}
        self._paths = {path: paths[id(value)] for path, value in module.named_modules(remove_duplicate=False)}
        self.kinds: dict[str, str] = {
            name: "parameter" if isinstance(value, nn.Parameter) else "buffer" if name in persistent else "constant"
            for name, value in self.tensors.items()
        }
        self._constants: dict[str, Tensor] = {}

    def tensor(self, name: str) -> str:
        """The name in the document of a parameter or a buffer."""
        return self._tensor_names[name]

    def path(self, path: str) -> str:
        """The path in the document of a module; empty for what torch.export runs beside the modules."""
        return self._paths.get(path, "")

    def constant(self, value: Tensor) -> str:
        """The name in the document of a tensor that the forward creates; equal tensors have one name."""
        value = value.detach().cpu()
        for name, known in (*self._constants.items(), *self.tensors.items()):
            if self.kinds[name] == "constant" and _is_equal(known, value):
                return name
        number = len(self._constants)
        name = f"constant{number}"
        while name in self.tensors or name in self.modules:
            number += 1
            name = f"constant{number}"
        self._constants[name], self.kinds[name] = value, "constant"
        return name

    def all_tensors(self) -> dict[str, Tensor]:
        """Parameters, buffers and constants by name, on the CPU."""
        return {
            name: value.detach().cpu().contiguous() for name, value in (*self.tensors.items(), *self._constants.items())
        }


def _is_equal(known: Tensor, value: Tensor) -> bool:
    same_form = known.dtype == value.dtype and known.shape == value.shape
    return same_form and torch.equal(known.detach().cpu(), value)
