"""Statistics of batch norm, estimated anew."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def reestimate_statistics(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
    """Set the running means and variances of all batch norms in ``model`` to their averages over ``batches``.

    A network whose weights were just pruned has the statistics of the dense one, under which its accuracy says little.
    Everything else stays in eval mode, so dropout does not act. Batches of one image are skipped, since a batch norm
    cannot normalise a single value. A model without batch norm is not run.

    Li et al., "EagleEye" (2020), arXiv:2007.02491: adaptive batch normalisation.

    Args:
        batches: images [B, C, H, W] as ``model`` reads them, with labels, which are ignored; on its device.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    if not norms:
        return
    modes = {module: module.training for module in model.modules()}
    momenta = {norm: norm.momentum for norm in norms}
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # The average of all batches.
        norm.train()
    try:
        for images, _ in batches:
            if len(images) > 1:
                model(images)
    finally:
        for norm in norms:
            norm.momentum = momenta[norm]
        for module, training in modes.items():
            module.training = training
