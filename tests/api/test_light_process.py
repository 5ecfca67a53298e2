"""An API that was asked for no check and no catalog has not imported torch: seconds of its start, and 370 MB."""

import subprocess
import sys
from pathlib import Path

PROBE = """
import sys
from fastapi.testclient import TestClient
from api.app import create_app
from api.settings import ApiSettings
from migrations import upgrade

settings = ApiSettings(home=sys.argv[1], free_disk_bytes=0)
upgrade(settings.database_url)
with TestClient(create_app(settings), base_url="http://127.0.0.1:8000", client=("127.0.0.1", 50_000)) as http:
    answers = [http.get(path).status_code for path in ("/livez", "/readyz", "/openapi.json", "/v1/jobs", "/metrics")]
    before = "torch" in sys.modules
    catalog = http.get("/v1/catalog/presets").status_code
print(answers, before, catalog)
"""


def test_torch_is_imported_with_the_first_request_that_needs_it(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PROBE, str(tmp_path)], capture_output=True, text=True, check=True)

    assert done.stdout == "[200, 200, 200, 200, 200] False 200\n"
