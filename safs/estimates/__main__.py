"""``python -m safs.estimates``: times a job's trainings on this machine; question and answer are JSON (``apart``)."""

import sys

import torch

from safs.data import TensorSplit
from safs.estimates.in_subprocess import ANSWER, QUESTION, Answer
from safs.estimates.local_share import cores, local_share
from safs.estimates.timing import Trainings, time_trainings
from safs.networks import Blueprint, Network

MEMORY_BYTES = 2**27
"""Of the images that are made up; batches that are larger are scaled up from smaller ones."""


def main() -> None:
    """Answers the question on standard input."""
    question = QUESTION.validate_json(sys.stdin.buffer.read())
    spec, found = question.spec, question.found
    share = local_share(spec.resources, found.blueprint.image_size, cores(), torch.cuda.device_count())
    torch.set_num_threads(share.threads)
    timed = time_trainings(
        Network(found.blueprint, {}),
        images(
            found.blueprint, min(found.data.train, 4 * spec.data.batch_size), crop_and_flip=found.blueprint.channels > 1
        ),
        spec.data.batch_size,
        "cuda" if share.gpus else "cpu",
        trainings=Trainings.of(spec, found),
    )
    sys.stdout.buffer.write(ANSWER.dump_json(Answer(timed, share)))


def images(blueprint: Blueprint, count: int, *, crop_and_flip: bool) -> TensorSplit:
    """At most ``count`` images of noise of the right shape; fewer where they would take too much memory."""
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


if __name__ == "__main__":
    main()
