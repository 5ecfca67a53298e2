"""The probe of a GPU and the packing by it, without a GPU: the meter is a fake."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import ray

from safs.data import DataInfo
from safs.errors import Cancelled
from safs.execution.training import Training
from safs.execution.work import Context
from safs.networks import Blueprint
from safs.spec.job import JobSpec
from tests.pipeline.jobs import TINY
from tests.waiting import wait_until
from workers.on_ray.capacity import Node, pack
from workers.on_ray.gpu_probe import (
    Probe,
    ProbeFailed,
    batches_for,
    kept_values,
    largest_operator,
    measure,
    synthetic_split,
)
from workers.on_ray.gpu_share import ProbeTarget, data_bytes, largest_training, measured_share, probe_on_ray

GIB = 2**30
LENET5 = Blueprint("lenet5", 1, 28, 10)
DIGITS = DataInfo(channels=1, image_size=8, classes=10, train=1200, validation=300, test=297)
GPU_MACHINE = (Node(cpus=16, gpus=1),)
SPEC = JobSpec.model_validate(TINY | {"data": {"dataset": "digits", "batch_size": 8}})


@dataclass(frozen=True, slots=True)
class FakeMeter:
    """A GPU with 40 GiB, of which a process takes 2. ``kernels_s`` is the time of its kernels."""

    kernels_s: float = 0.0
    memory: int = 2 * GIB

    def wait(self) -> None:
        pass

    def kernel_s(self, work: Callable[[], object]) -> float:
        work()
        return self.kernels_s

    def memory_bytes(self) -> int:
        return self.memory

    def gpu_bytes(self) -> int:
        return 40 * GIB


@pytest.mark.parametrize(
    ("probe", "cores", "data", "trials"),
    [
        (Probe(2 * GIB, 0.3, 40 * GIB), 16, 0, 3),  # A fourth would wait for GPU time.
        (Probe(8 * GIB, 0.1, 40 * GIB), 16, 0, 4),  # 34 GiB are given out, 8 to each.
        (Probe(8 * GIB, 0.1, 40 * GIB), 16, 1 * GIB, 3),  # 9 GiB each.
        (Probe(1 * GIB, 0.05, 40 * GIB), 6, 0, 6),  # One core each.
        (Probe(1 * GIB, 0.01, 40 * GIB), 64, 0, 16),  # The upper limit.
        (Probe(1 * GIB, 0.25, 40 * GIB), 64, 0, 4),
        (Probe(1 * GIB, 1.0, 40 * GIB), 64, 0, 1),
        (Probe(60 * GIB, 0.1, 40 * GIB), 64, 0, 1),  # Runs out of memory, which the trial reports.
        (Probe(1 * GIB, 0.1, 40 * GIB), 0, 0, 1),
    ],
)
def test_trials_are_packed_by_memory_by_time_and_by_cores(probe: Probe, cores: int, data: int, trials: int) -> None:
    share = pack(probe, cores=cores, data_bytes=data)

    assert share == 1 / trials
    assert Node(cpus=trials, gpus=1).fits(1, share) == trials


def test_the_largest_operator_saves_most_values_for_its_backward_pass() -> None:
    # With learnable scalars, relu saves its input (for beta), its result (for alpha and for itself), and the input of
    # the next layer. gelu also saves its own input.
    assert kept_values("relu") == pytest.approx(3, abs=0.01)
    assert kept_values("gelu") == pytest.approx(4, abs=0.01)
    assert kept_values("relu") < kept_values("symexp") < kept_values("srs")
    assert largest_operator(["identity", "srs", "tanh"]) == "srs"
    assert largest_operator(["leaky_relu(0.2)", "relu"]) == "relu"
    assert largest_operator([]) == "relu"


def test_the_probe_trains_the_network_at_its_batch_size_with_the_largest_operator_everywhere() -> None:
    context, training = largest_training(SPEC, LENET5)

    assert list(training.assignment) == ["relu1", "relu2", "relu3", "relu4"]
    assert set(training.assignment.values()) == {"srs"}
    assert training.learnable
    images, labels = next(context.data.train.batches(8, device=context.data.device))
    assert (images.shape, labels.shape) == ((8, 1, 28, 28), (8,))
    assert context.masks is not None
    live = sum(int(mask.sum()) for mask in context.masks.values())
    assert live == pytest.approx(0.05 * 61_470, rel=0.1)


def test_large_images_get_fewer_batches() -> None:
    large = Blueprint("resnet18", 3, 224, 1000)

    assert [batches_for(LENET5, 128), batches_for(large, 64), batches_for(large, 4096)] == [20, 6, 4]


def test_the_probe_measures_memory_and_the_share_of_time_in_kernels() -> None:
    context, training = _short_training()

    idle = measure(context, training, "cpu", FakeMeter(kernels_s=1e-9))
    full = measure(context, training, "cpu", FakeMeter(kernels_s=1e9))

    assert 0 < idle.busy < 1e-3
    assert (full.memory_bytes, full.busy, full.gpu_bytes) == (2 * GIB, 1.0, 40 * GIB)


def test_a_probe_without_kernels_or_with_a_broken_training_fails() -> None:
    context, training = _short_training()

    with pytest.raises(ProbeFailed, match="no kernel"):
        measure(context, training, "cpu", FakeMeter(kernels_s=0.0))
    diverging = replace(training, recipe=training.recipe.model_copy(update={"learning_rate": 1e30}))
    with pytest.raises(ProbeFailed, match="broke down: the loss was not finite"):
        measure(context, diverging, "cpu", FakeMeter(kernels_s=1.0))


def test_images_count_with_the_smaller_of_their_stored_and_the_networks_size() -> None:
    assert data_bytes(DIGITS, LENET5) == 1500 * 64
    assert data_bytes(replace(DIGITS, image_size=500, channels=3), LENET5) == 1500 * 3 * 28 * 28


def _nothing() -> None:
    pass


def _short_training() -> tuple[Context, Training]:
    context, training = largest_training(SPEC, LENET5)
    few = synthetic_split(LENET5, 16)
    return replace(context, data=replace(context.data, train=few, validation=few)), training


@pytest.mark.parametrize(("nodes", "gpus"), [((Node(cpus=2),), "auto"), (GPU_MACHINE, 0.5), (GPU_MACHINE, 0)])
def test_nothing_is_probed_without_a_gpu_or_with_a_given_gpu_share(nodes: tuple[Node, ...], gpus: float | str) -> None:
    spec = SPEC.model_copy(update={"resources": SPEC.resources.model_copy(update={"gpus_per_trial": gpus})})

    assert measured_share(spec, DIGITS, LENET5, nodes, _nothing) is None


@pytest.mark.exhaustive  # The next test starts a probe on Ray, too.
@pytest.mark.usefixtures("local_ray")
def test_the_probe_runs_on_ray_and_reports_its_result_or_its_failure() -> None:
    def share(kernels_s: float) -> tuple[float | None, str]:
        target = ProbeTarget("cpu", 0.0, FakeMeter(kernels_s))
        spec = SPEC.model_copy(update={"resources": SPEC.resources.model_copy(update={"stack": "off"})})
        found = measured_share(spec, DIGITS, LENET5, GPU_MACHINE, _nothing, target)
        assert found is not None
        return found.gpus, found.message

    assert share(1e9) == (
        1.0,
        "Measured: a trial takes 2.00 of a GPU's 40 GiB and keeps it busy for 100% of the time. Trials on a GPU: 1.",
    )
    failed = share(0.0)
    assert failed[0] is None
    assert "rule of thumb" in failed[1]
    assert "no kernel" in failed[1]


@pytest.mark.usefixtures("local_ray")
def test_a_probe_that_times_out_or_is_cancelled_leaves_nothing_running() -> None:
    context, training = largest_training(SPEC, LENET5)
    unending = replace(training, epochs=10**9)

    def cancel() -> None:
        raise Cancelled("cancelled by the user")

    unavailable = ProbeTarget("cpu", 0.0, FakeMeter())
    with pytest.raises(ProbeFailed, match="within 0 s"):
        probe_on_ray(context, unending, _nothing, replace(unavailable, gpus=1.0), limit_s=0.0)
    with pytest.raises(Cancelled):
        probe_on_ray(context, unending, cancel, replace(unavailable, gpus=1.0))

    wait_until(lambda: ray.available_resources().get("CPU", 0) == 2)


@pytest.mark.parametrize(
    ("seconds", "packed", "stack"),
    [
        ({}, 1, 1),  # The network cannot be stacked.
        ({4: 1.0, 16: 1.5, 64: 6.0}, 3, 16),
        ({4: 1.0, 16: 1.5, 64: 6.0}, 16, 1),  # 16 at once make 16 epochs a second, the stack 10.7.
        ({4: 3.9}, 1, 1),  # Hardly faster.
    ],
)
def test_trials_are_stacked_if_that_is_faster_than_the_trainings_side_by_side(
    seconds: dict[int, float], packed: int, stack: int
) -> None:
    probe = Probe(GIB, 0.1, 40 * GIB, epoch_s=1.0, stacked_epoch_s=seconds)

    assert probe.best_stack(packed) == stack


def test_the_probe_times_stacks_until_a_larger_one_is_no_faster() -> None:
    context, training = _short_training()

    probe = measure(context, training, "cpu", FakeMeter(kernels_s=1.0), stacks=(2, 4))

    assert 2 in probe.stacked_epoch_s
    assert all(seconds > 0 for seconds in probe.stacked_epoch_s.values())
    assert measure(context, training, "cpu", FakeMeter(kernels_s=1.0)).stacked_epoch_s == {}
