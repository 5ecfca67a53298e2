"""Milliseconds of sparse networks on this CPU: the sparse runtime against torch, onnxruntime and OpenVINO.

    python -m benchmarks.inference --networks resnet18 --sparsities 0.9 0.95 0.99 --threads 1

Networks have fresh weights, masks by magnitude (ERK) and their own activations. Each time is the median of seven runs
after two, and the runtimes take turns in changing order, so that a disturbance meets all of them. OpenVINO is measured
where it is installed. The sparse runtime keeps its timings in ``SAFS_TIMINGS``.
"""

import argparse
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import median
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from safs.deploy.onnx_file import write as write_onnx
from safs.deploy.sparse.runtime import SparseNetwork
from safs.deploy.torch_graph import traced
from safs.networks import Blueprint, Network, assemble
from safs.pruning.axes.distributions import live_total
from safs.pruning.masks import apply_masks, prunable_parameters
from safs.pruning.selection.choose_masks import choose_masks
from safs.pruning.selection.selector import selector
from safs.spec.pruning import PruneSpec

NETWORKS = {
    "lenet5": Blueprint("lenet5", 1, 28, 10),
    "vgg16": Blueprint("vgg16", 3, 32, 10),
    "resnet18": Blueprint("resnet18", 3, 32, 10),
    "mobilenet_v3_small": Blueprint("torchvision/mobilenet_v3_small", 3, 64, 10),
    "efficientnet_b0": Blueprint("efficientnet_b0", 3, 32, 10),
    "vit_b_16": Blueprint("torchvision/vit_b_16", 3, 224, 10),
}
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}
"""CPU time is comparable on one thread of a machine that runs other programs."""
RUNS, WARM_UPS = 7, 2
Runtime = Callable[[Tensor], object]


def pruned(blueprint: Blueprint, sparsity: float, granularity: str = "weight") -> nn.Module:
    """The network with ERK masks by magnitude, or without the filters of the smallest weights, in eval mode."""
    model = blueprint.build(seed=0)
    parameters = prunable_parameters(model)
    scores = {name: weight.detach().abs() for name, weight in parameters.items()}
    if granularity == "filter":
        example = torch.zeros(1, blueprint.channels, blueprint.image_size, blueprint.image_size)
        chosen = selector(model, example, PruneSpec(granularity="filter"))
        removed = chosen.finish(chosen.choose(scores, sparsity))
        state = dict(removed.model.state_dict())
        return assemble(Network(replace(blueprint, form=removed.form), state, removed.masks)).requires_grad_(False)
    live = live_total(sum(score.numel() for score in scores.values()), sparsity)
    masks = choose_masks(scores, live, distribution="erk", granularity="weight")
    apply_masks(parameters, masks)
    return assemble(Network(blueprint, dict(model.state_dict()), masks)).requires_grad_(False)


def runtimes(network: nn.Module, images: Tensor, folder: Path) -> dict[str, Runtime]:
    """Name -> function of a batch; the sparse runtime comes last."""
    channels_last = images.contiguous(memory_format=torch.channels_last)
    found: dict[str, Runtime] = {"torch": network, "torch NHWC": lambda _: network(channels_last)}
    found["onnxruntime"] = _onnxruntime(network, images, folder / "network.onnx")
    if (openvino := _openvino(folder / "network.onnx")) is not None:
        found["OpenVINO"] = openvino
    return found | {"sparse": SparseNetwork(traced(network), network)}


def milliseconds(
    found: dict[str, Runtime], images: Tensor, clock: Callable[[], float], runs: int = RUNS
) -> dict[str, float]:
    """Median time of each runtime. The order changes, since a runtime is slower behind one with other code."""
    times: dict[str, list[float]] = {name: [] for name in found}
    turns, random = list(found), Random(0)
    with torch.inference_mode():
        for run in range(WARM_UPS + runs):
            random.shuffle(turns)
            for name in turns:
                begun = clock()
                found[name](images)
                if run >= WARM_UPS:
                    times[name].append(1e3 * (clock() - begun))
    return {name: median(measured) for name, measured in times.items()}


def rows(
    names: list[str],
    sparsities: list[float],
    batches: list[int],
    clock: Callable[[], float],
    granularity: str,
    runs: int,
) -> Iterator[str]:
    """Rows of the table."""
    for name in names:
        blueprint = NETWORKS[name]
        for sparsity in sparsities:
            network = pruned(blueprint, sparsity, granularity)
            for batch in batches:
                images = torch.randn(batch, blueprint.channels, blueprint.image_size, blueprint.image_size)
                with TemporaryDirectory() as folder:
                    found = milliseconds(runtimes(network, images, Path(folder)), images, clock, runs)
                best = min(value for runtime, value in found.items() if runtime != "sparse")
                cells = [f"{found[column]:.2f}" if column in found else "" for column in COLUMNS]
                label = name if granularity == "weight" else f"{name}, {granularity}"
                yield f"| {label} | {sparsity:.0%} | {batch} | {' | '.join(cells)} | {best / found['sparse']:.2f} |"


COLUMNS = ("torch", "torch NHWC", "onnxruntime", "OpenVINO", "sparse")


def _onnxruntime(network: nn.Module, images: Tensor, path: Path) -> Runtime:
    import onnxruntime

    write_onnx(path, network, images[:2] if len(images) > 1 else torch.cat([images, images]), {})
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    array = images.numpy()
    return lambda _: session.run(None, {"images": array})


def _openvino(path: Path) -> Runtime | None:
    try:
        import openvino
    except ModuleNotFoundError:
        return None
    settings = {"INFERENCE_NUM_THREADS": torch.get_num_threads(), "PERFORMANCE_HINT": "LATENCY"}
    settings["INFERENCE_PRECISION_HINT"] = "f32"
    compiled = openvino.Core().compile_model(str(path), "CPU", settings)
    return lambda images: compiled(images.numpy())


def main() -> None:
    """Print the machine and the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=["lenet5", "resnet18"])
    parser.add_argument("--sparsities", nargs="+", type=float, default=[0.9, 0.95, 0.99])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="cpu: CPU time of this process")
    parser.add_argument("--granularity", choices=("weight", "filter"), default="weight")
    parser.add_argument("--runs", type=int, default=RUNS, help=f"runs of which the median is taken, default {RUNS}")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    model = next((line.split(": ")[1] for line in _cpu_lines() if line.startswith("model name")), platform.machine())
    print(f"{model}, {given.threads} thread(s), {given.clock} time, {torch.backends.cpu.get_cpu_capability()}")
    print(f"| network | sparsity | batch | {' | '.join(COLUMNS)} | gain |")
    print("|---" * (4 + len(COLUMNS)) + "|")
    clock = CLOCKS[given.clock]
    for row in rows(given.networks, given.sparsities, given.batches, clock, given.granularity, given.runs):
        print(row, flush=True)


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


if __name__ == "__main__":
    main()
