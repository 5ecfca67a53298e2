"""The API never imports torch: it takes seconds, and 370 MB. A process of its own does, which ends when it is idle."""

import subprocess
import sys
from pathlib import Path

PROBE = """
import json, sys
from fastapi.testclient import TestClient
from api.app import create_app
from api.settings import ApiSettings
from migrations import upgrade

settings = ApiSettings(home=sys.argv[1], free_disk_bytes=0, estimate_limit_s=0)
upgrade(settings.database_url)
app = create_app(settings)
job = {"model": {"architecture": "lenet5"}, "data": {"dataset": "digits"}, "sparsity": 0.99}
with TestClient(app, base_url="http://127.0.0.1:8000", client=("127.0.0.1", 50_000)) as http:
    for path in ("/livez", "/readyz", "/openapi.json", "/v1/jobs", "/metrics"):
        assert http.get(path).status_code == 200, path
    server = app.state.services.checker._process
    assert server.pid is None
    queued = http.post("/v1/jobs", json=job).json()["id"]
    first = server.pid
    assert http.post("/v1/jobs?validate_only=true", json=job).json()["live"] == 615
    assert len(http.get("/v1/catalog/presets").json()["items"]) == 3
    assert http.get(f"/v1/jobs/{queued}/importances/joint").json()["shares"] == {}
    assert server.pid == first
print([name for name in ("torch", "numpy", "torchvision", "optuna", "ConfigSpace", "PIL") if name in sys.modules])
print(server.pid)
"""


def test_torch_is_imported_by_a_process_of_its_own(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROBE, str(tmp_path)], capture_output=True, text=True)

    assert (done.stdout, done.returncode) == ("[]\nNone\n", 0), done.stderr
