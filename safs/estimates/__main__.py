"""``python -m safs.estimates``: time a job's trainings on this machine (see ``in_subprocess``).

Standard input holds a ``TimingRequest`` as JSON, standard output gets a ``TimingResponse``.
"""

import resource
import sys
from pathlib import Path

import torch

from safs.data import TensorSplit
from safs.estimates.in_subprocess import REQUEST, RESPONSE, TimingResponse
from safs.estimates.local_share import cores, local_share
from safs.estimates.timing import Trainings, time_trainings
from safs.networks import Blueprint, Network

MEMORY_BYTES = 2**27
"""Memory of the synthetic images. The time of a batch that does not fit is extrapolated from smaller batches."""


def main() -> None:
    """Answer the request on standard input."""
    request = REQUEST.validate_json(sys.stdin.buffer.read())
    spec, preflight = request.spec, request.preflight
    share = local_share(spec.resources, preflight.blueprint.image_size, cores(), torch.cuda.device_count())
    torch.set_num_threads(share.threads)
    if not share.gpus:  # CUDA reserves far more address space than it uses.
        _limit_memory(request.memory_bytes)
    timing = time_trainings(
        Network(preflight.blueprint, {}),
        images(
            preflight.blueprint,
            min(preflight.data.train, 4 * spec.data.batch_size),
            crop_and_flip=preflight.blueprint.channels > 1,
        ),
        spec.data.batch_size,
        "cuda" if share.gpus else "cpu",
        trainings=Trainings.of(spec, preflight),
    )
    sys.stdout.buffer.write(RESPONSE.dump_json(TimingResponse(timing, share)))


def images(blueprint: Blueprint, count: int, *, crop_and_flip: bool) -> TensorSplit:
    """At most ``count`` images of noise in the shape of the network's input; they take up to ``MEMORY_BYTES``."""
    shape = (blueprint.channels, blueprint.image_size, blueprint.image_size)
    most = max(2, MEMORY_BYTES // (blueprint.channels * blueprint.image_size**2))
    count, generator = min(count, most), torch.Generator().manual_seed(0)
    return TensorSplit(
        torch.randint(256, (count, *shape), dtype=torch.uint8, generator=generator),
        torch.randint(blueprint.classes, (count,), generator=generator),
        mean=torch.full(shape[:1], 127.5),
        std=torch.full(shape[:1], 73.9),
        classes=blueprint.classes,
        channels=blueprint.channels,
        image_size=blueprint.image_size,
        crop_and_flip=crop_and_flip,
    )


def _limit_memory(size_bytes: int) -> None:
    """Let this process allocate ``size_bytes`` more than now. Allocations beyond that fail as out of memory."""
    lines = Path("/proc/self/status").read_text().splitlines()
    used = next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmData:"))
    resource.setrlimit(resource.RLIMIT_DATA, (used + size_bytes, used + size_bytes))


if __name__ == "__main__":
    main()
