"""Finds weights that can be shared: those of equal blocks in a row."""

from torch import nn

from safs.pruning.masks import prunable_parameters


def shareable(model: nn.Module, ratio: int = 2) -> dict[str, str]:
    """Maps the name of every weight that is replaced to the name of the weight that replaces it.

    A stage is an ``nn.Sequential`` of more than ``ratio`` blocks of one class. Its first ``ratio`` blocks keep their
    weights. Later blocks use the weights of block ``ratio``, in ``Conv2d`` and ``Linear`` layers, if the shapes are
    equal. Norms and biases are never shared. A network without such stages shares nothing.

    Li et al., "Pushing the Limits of Sparsity" (2025), arXiv:2411.13545, where the stages are those of ResNet.
    """
    prunable = {
        name: parameter
        for name, parameter in prunable_parameters(model).items()
        if type(model.get_submodule(name.rpartition(".")[0])) in (nn.Conv2d, nn.Linear)
    }
    shared: dict[str, str] = {}
    for path, stage in model.named_modules():
        blocks = _blocks(path, stage)
        for block in blocks[ratio:]:
            for weight in [name for name in prunable if name.startswith(f"{block}.")]:
                owner = blocks[ratio - 1] + weight.removeprefix(block)
                same = owner in prunable and prunable[owner].shape == prunable[weight].shape
                # With a stage inside a block, no weight may be tied twice, nor to a weight that is tied itself.
                if same and owner not in shared and weight not in {*shared, *shared.values()}:
                    shared[weight] = owner
    return shared


def _blocks(path: str, stage: nn.Module) -> list[str]:
    """Returns the paths of the blocks of ``stage``; none unless it is a sequence of blocks of one class."""
    blocks = dict(stage.named_children()) if isinstance(stage, nn.Sequential) else {}
    kinds = {type(block) for block in blocks.values()}
    if len(kinds) != 1 or issubclass(kinds.pop(), nn.Sequential):
        return []
    return [f"{path}.{name}" if path else name for name in blocks]
