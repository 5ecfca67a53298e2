"""CPU seconds and memory of the processes of a service: ``python -m benchmarks.footprint``.

Each process is started by itself, brought to the state in its row, and asked for its CPU seconds and its memory.
*Own* is what it shares with no other process (private pages), *whole* its proportional set size. The process that
checks jobs for the API is its child, and has a row.
"""

import subprocess
import sys

MEASURE = """
import sys, time
pid = globals().get("pid", "self")
sizes = dict(line.split(":") for line in open(f"/proc/{pid}/smaps_rollup").read().splitlines()[1:])
own = sum(int(sizes[name].split()[0]) for name in ("Private_Clean", "Private_Dirty"))
heavy = ("torch", "torch._dynamo", "torch._inductor", "sympy", "sklearn", "pandas", "smac", "ray.tune")
cpu_s = sum(map(int, open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[11:13])) / 100
print(cpu_s, own, int(sizes["Pss"].split()[0]), *[name for name in heavy if name in sys.modules])
"""
START = "import workers.on_ray.trial_actor\n"
TRAIN = (
    START
    + """
from safs import data
from safs.execution.runs import begin
from safs.execution.training import Training
from safs.execution.work import Context
from safs.networks import Blueprint
from safs.spec.data import DataSpec
from safs.spec.training import Recipe
from safs.training.settings import TrainingData

splits = data.load(DataSpec(dataset="digits"), root=None, channels=1, image_size=28, seed=0)
context = Context(Blueprint("lenet5", 1, 28, 10), TrainingData(splits.train, splits.validation, 64, augment=False))
run = begin(context, Training({}, Recipe(), 1, 0), "cpu", None)
while not run.finished:
    run.advance(0)
assert run.outcome().error is None
"""
)
API = """
import tempfile
from fastapi.testclient import TestClient
from api.app import create_app
from api.settings import ApiSettings
from migrations import upgrade

folder = tempfile.TemporaryDirectory()
settings = ApiSettings(home=folder.name, free_disk_bytes=0)
upgrade(settings.database_url)
client = TestClient(create_app(settings), base_url="http://127.0.0.1:8000", client=("127.0.0.1", 50_000))
client.__enter__()
assert client.get("/v1/jobs").status_code == 200
"""
CHECKED = """
assert client.get("/v1/catalog").status_code == 200
job = {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": 0.99}
assert client.post("/v1/jobs?validate_only=true", json=job).status_code == 200
assert client.post("/v1/jobs", json=job).status_code == 202
"""
PROCESSES = {
    "worker, started": START,
    "worker, after an epoch of lenet5 on digits": TRAIN,
    "API, after a list of jobs": API,
    "API, after the catalog, and a job with its estimate": API + CHECKED,
    "its process that checks jobs": API + CHECKED + "pid = client.app.state.services.checker._process.pid\n",
}


def main() -> None:
    """Print one row for each process."""
    print("| process | CPU s | own MB | whole MB | heavy imports |\n|---|---|---|---|---|")
    for name, code in PROCESSES.items():
        done = subprocess.run([sys.executable, "-c", code + MEASURE], capture_output=True, text=True, check=True)
        cpu_s, own_kb, whole_kb, *heavy = done.stdout.split()
        sizes = " | ".join(f"{int(kilobytes) / 1000:.0f}" for kilobytes in (own_kb, whole_kb))
        print(f"| {name} | {float(cpu_s):.1f} | {sizes} | {', '.join(heavy)} |", flush=True)


if __name__ == "__main__":
    main()
