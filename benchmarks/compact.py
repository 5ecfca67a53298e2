"""Size and time of the compact form of a checkpoint: CIFAR's resnet18 with ERK masks, float32 and bfloat16.

    python -m benchmarks.compact

Weights are fresh, since their distribution is close to that of trained weights and no data set is needed.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from safs.compact.file import bound, read, write
from safs.networks import Blueprint
from safs.pruning.axes.distributions import live_total
from safs.pruning.masks import apply_masks, prunable_parameters
from safs.pruning.selection.choose_masks import choose_masks

SPARSITIES = (0.9, 0.95, 0.99)
RESNET = Blueprint("resnet18", 3, 32, 10)


def measure(blueprint: Blueprint = RESNET) -> Iterator[str]:
    """Rows of the table: sparsity, bits, bytes, bytes a live weight, bound, share above it, CPU seconds each way."""
    for sparsity in SPARSITIES:
        model = blueprint.build(seed=0)
        parameters = prunable_parameters(model)
        scores = {name: weight.detach().abs() for name, weight in parameters.items()}
        live = live_total(sum(score.numel() for score in scores.values()), sparsity)
        apply_masks(parameters, choose_masks(scores, live, distribution="erk", granularity="weight"))
        state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        for bits in (32, 16):
            least = bound(state, parameters, bits=bits)
            with TemporaryDirectory() as folder:
                path, begun = Path(folder, "compact"), time.process_time()
                write(path, state, parameters, "", bits=bits)
                written = time.process_time()
                back = read(path).state
                done, size = time.process_time(), path.stat().st_size
            if bits == 32:
                assert all(torch.equal(back[name], tensor) for name, tensor in state.items())
            yield (
                f"| {sparsity:.0%} | {bits} | {size:,} | {size / live:.2f} | {least / live:.2f} "
                f"| {size / least - 1:+.1%} | {written - begun:.2f} | {done - written:.2f} |"
            )


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print("| sparsity | bits a value | bytes | a live weight | bound | above it | write, s | read, s |")
    print("|---|---|---|---|---|---|---|---|")
    for row in measure():
        print(row, flush=True)


if __name__ == "__main__":
    main()
