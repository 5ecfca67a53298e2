"""A training process imports neither torch's compiler nor scikit-learn: seconds of CPU, and memory of every worker."""

import subprocess
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from safs.data import digits
from safs.spec.data import DataSpec

HEAVY = (
    "torch._dynamo",
    "torch._inductor",
    "sympy",
    "triton",
    "sklearn",
    "scipy",
    "pandas",
    "smac",
    "ray.tune",
    "fastapi",
)
TRAIN = """
import sys
from safs import data
from safs.execution.runs import begin
from safs.execution.training import Training
from safs.execution.work import Context
from safs.networks import Blueprint
from safs.spec.data import DataSpec
from safs.spec.training import Recipe
from safs.training.optimizers import OPTIMIZERS
from safs.training.settings import TrainingData

splits = data.load(DataSpec(dataset="digits"), root=None, channels=1, image_size=8, seed=0)
context = Context(Blueprint("mlp", 1, 8, 10), TrainingData(splits.train, splits.validation, 256, augment=False))
for name in OPTIMIZERS:
    run = begin(context, Training({}, Recipe(optimizer=name), 1, 0), "cpu", None)
    while not run.finished:
        run.advance(0)
    assert run.outcome().error is None, run.outcome()
print([name for name in sys.argv[1:] if name in sys.modules])
"""


def test_trainings_with_every_optimizer_import_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", TRAIN, *HEAVY], capture_output=True, text=True, check=True)

    assert done.stdout == "[]\n"


COMPILER = ("torch._dynamo", "torch._inductor", "sympy", "sklearn", "smac", "ray")
JOB = """
import sys
from pathlib import Path
from safs.execution.serial import SerialExecutor
from safs.pipeline.run import run_job
from safs.spec.job import JobSpec
from search_spaces import SPACES

spec = JobSpec.model_validate({
    "model": {"architecture": "lenet5"}, "data": {"dataset": "digits", "batch_size": 256}, "sparsity": 0.9,
    "train": {"epochs": 1}, "prune": {"search": None}, "joint": {"trials": 2, "epochs": 1}, "final": {"epochs": 1},
    "preset": "quick",
})
run_job(
    spec, spaces=SPACES, executor=SerialExecutor(), report=lambda event: None, data_root=None, dense_weights=None,
    out_dir=Path(sys.argv[1]),
)
print([name for name in sys.argv[2:] if name in sys.modules])
"""


def test_a_whole_job_with_its_report_imports_no_compiler(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", JOB, str(tmp_path), *COMPILER], capture_output=True, text=True, check=True
    )

    assert done.stdout == "[]\n"


def test_the_digits_are_those_of_scikit_learn() -> None:
    expected = load_digits()

    read = digits.read(DataSpec(dataset="digits"), None).samples

    assert np.array_equal(read.images[:, 0], np.rint(expected.images * (255 / 16)))
    assert np.array_equal(read.labels, expected.target)
