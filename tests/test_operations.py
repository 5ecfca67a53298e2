"""The files that operators copy agree with the program: compose file, Prometheus files, the table of settings."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from api.prometheus import Metrics
from api.settings import ApiSettings
from cli.main import make_app
from store.session import Database
from telemetry.logs import LogSettings
from tests.test_docs import rows, section
from workers.settings import WorkerSettings

ROOT = Path(__file__).parent.parent
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ALERTS = yaml.safe_load((ROOT / "docs" / "prometheus" / "safs-alerts.yml").read_text())["groups"][0]["rules"]
OUR_IMAGE = [name for name, service in SERVICES.items() if service["image"] == "safs-service"]
VARIABLE = re.compile(r"SAFS_[A-Z_]+")


def settings() -> set[str]:
    """Every variable that the API and the runner read."""
    fields = {name for kind in (ApiSettings, WorkerSettings) for name in kind.model_fields}
    fields |= {f"log_{name}" for name in LogSettings.model_fields}
    return {f"SAFS_{name.upper()}" for name in fields}


def test_every_setting_has_a_row_and_every_row_is_read_somewhere() -> None:
    documented = {name for row in rows(section("Settings", OPERATIONS)) for name in VARIABLE.findall(row[0])}

    of_commands_and_library = {"SAFS_URL", "SAFS_API_KEY", "SAFS_DEBUG", "SAFS_TIMINGS"}
    assert documented - of_commands_and_library == settings()


@pytest.mark.parametrize("name", OUR_IMAGE)
def test_a_service_sets_only_what_the_program_reads(name: str) -> None:
    given = {variable for variable in SERVICES[name]["environment"] if variable.startswith("SAFS_")}

    assert given <= settings()


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_gains_no_privileges_waits_for_its_dependencies_and_has_a_health_check(name: str) -> None:
    service = SERVICES[name]

    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert name == "migrate" or "healthcheck" in service
    for other, waits in service.get("depends_on", {}).items():
        expected = "service_completed_successfully" if other == "migrate" else "service_healthy"
        assert waits["condition"] == expected
        assert other in SERVICES
    for volume in service["volumes"]:
        source = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", volume).split(":")[0]
        assert source in COMPOSE["volumes"] or source.startswith("./")


def test_only_the_api_is_published_and_on_loopback_alone() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert published == {"api": ["127.0.0.1:${SAFS_PORT:-8000}:8000"]}


def test_services_run_existing_commands() -> None:
    commands = {command.callback.__name__ for command in make_app().registered_commands if command.callback}

    for name in OUR_IMAGE:
        service = SERVICES[name]
        if "entrypoint" not in service:
            assert service["command"][0] in commands
    assert SERVICES["runner"]["command"][0].endswith("exec safs worker")


def test_the_image_runs_as_a_user_and_not_as_root() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()

    assert "USER safs" in lines
    assert lines.index("USER safs") < next(i for i, line in enumerate(lines) if line.startswith("ENTRYPOINT"))


def test_the_image_is_built_from_every_package() -> None:
    (line,) = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("RUN mkdir -p ")]

    packages = {folder.parent.name for folder in ROOT.glob("*/__init__.py")}
    assert set(line.removeprefix("RUN mkdir -p ").rstrip("\\ ").split()) == packages - {"benchmarks"}


def sample_names(database: Database, home: Path) -> set[str]:
    """The names of all samples in /metrics."""
    metrics = Metrics(database, home, lambda: 0)
    metrics.observe_request("GET", "/v1/jobs", 200, 0.01)
    families = text_string_to_metric_families(metrics.render().decode())
    return {sample.name for family in families for sample in family.samples}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_queries_existing_metrics(alert: dict[str, Any], sqlite_database: Database, tmp_path: Path) -> None:
    asked = set(re.findall(r"safs_\w+", alert["expr"]))

    assert asked <= sample_names(sqlite_database, tmp_path)
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert alert["annotations"]["summary"]
    assert alert["expr"].count("(") == alert["expr"].count(")")


def test_every_metric_and_every_alert_is_explained(sqlite_database: Database, tmp_path: Path) -> None:
    documented = {
        name for row in rows(section("What to watch", OPERATIONS)) for name in re.findall(r"safs_\w+", row[0])
    }
    explained = {name for row in rows(section("Alerts", OPERATIONS)) for name in re.findall(r"Safs\w+", row[0])}

    families = {re.sub(r"_(bucket|count|sum|created)$", "", name) for name in sample_names(sqlite_database, tmp_path)}
    assert documented == {name for name in families if name.startswith("safs_")}
    assert explained == {alert["alert"] for alert in ALERTS}


def test_the_scrape_queries_the_metrics_path_with_a_key() -> None:
    (job,) = yaml.safe_load((ROOT / "docs" / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]

    assert job["metrics_path"] == "/metrics"
    assert "credentials_file" in job["authorization"]
    assert os.path.isabs(job["authorization"]["credentials_file"])
