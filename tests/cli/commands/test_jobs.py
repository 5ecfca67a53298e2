"""Commands about jobs, against the real API; the runner's part is written by hand."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from typer.testing import Result

from cli.errors import CommandError, explain
from safs.client import JobFailed, RemoteJob, ServiceError
from safs.events.kinds import EpochDone, Stage, StageDone, StageStarted
from safs.trials import EpochMetrics
from store import attempts
from tests.cli.conftest import RESULT, report

if TYPE_CHECKING:
    from tests.cli.conftest import Api, RunnerPen

Safs = Callable[..., Result]
LENET = ("--model", "lenet5", "--dataset", "digits", "--sparsity", "0.99")


@pytest.fixture
def submit(safs: Safs, api: "Api") -> Callable[..., str]:
    """Queues a job; returns its id."""

    def queue_one(*flags: str) -> str:
        done = safs("submit", *LENET, "--url", api.url, *flags)
        assert done.exit_code == 0, done.exception
        return done.stdout.strip()

    return queue_one


def test_submit_prints_the_id_and_flags_win_over_the_file(safs: Safs, api: "Api", tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("{model: {architecture: mlp}, data: {dataset: digits}, sparsity: 0.5, seed: 3}")

    done = safs("submit", "--spec", str(tmp_path / "job.yaml"), "--model", "lenet5", "--name", "mine", "--url", api.url)
    shown = safs("show", done.stdout.strip(), "--url", api.url).stdout

    assert re.fullmatch(r"job_\w+\n", done.stdout)
    assert re.search(r"name +mine *\n", shown)
    assert re.search(r"network +lenet5 *\n", shown)
    assert re.search(r"sparsity +0\.5 *\n", shown)
    assert re.search(r"seed +3 *\n", shown)
    assert re.search(r"state +queued *\n", shown)


def test_a_target_on_the_command_line_takes_the_place_of_the_files_sparsity(
    safs: Safs, api: "Api", tmp_path: Path
) -> None:
    (tmp_path / "job.yaml").write_text("{model: {architecture: lenet5}, data: {dataset: digits}, sparsity: 0.5}")
    job = ("submit", "--spec", str(tmp_path / "job.yaml"), "--url", api.url)

    checked = safs(*job, "--target", "flops=0.3", "--dry-run").stdout
    shown = safs("show", safs(*job, "--target", "bytes=20000").stdout.strip(), "--url", api.url).stdout
    wrong = safs(*job, "--target", "flops")

    assert re.search(r"about [\d,]+ of 61,470 are kept at sparsity 0\.\d+, for the target flops 0\.3", checked)
    assert re.search(r"sparsity +bytes 20000 *\n", shown)
    assert "such as flops=0.3" in str(wrong.exception)


def test_a_dry_run_checks_and_estimates_the_job_and_queues_nothing(safs: Safs, api: "Api") -> None:
    before = safs("jobs", "--limit", "1", "--url", api.url).stdout

    done = safs("submit", *LENET, "--dry-run", "--url", api.url)

    # LeNet-5 has 61,470 prunable weights: 150 + 2,400 + 48,000 + 10,080 + 840; 1% of them is 614.7
    assert re.search(r"weights +615 of 61,470 are kept at sparsity 0\.99 *\n", done.stdout)
    # `balanced`: dense 30; starts 5 x 6, 2 x 2 more; pruning 5; ASHA 9 x 2, 3 x 6 more; finalists 3 x 20, and 5 more.
    assert re.search(r"will take +25 trainings, 170 epochs; how long they take could not be timed", done.stdout)
    assert re.search(r"prune_search +7 +34 *\n", done.stdout)
    assert re.search(r"joint +12 +36 *\n", done.stdout)
    assert re.search(r"pruning +the best of 5 starts, first magnitude \(magnitude, global, cubic", done.stdout)
    assert safs("jobs", "--limit", "1", "--url", api.url).stdout == before


def test_a_method_is_a_flag_and_how_it_prunes_is_told_before_and_after(safs: Safs, api: "Api") -> None:
    job = (*LENET, "--method", "rigl", "--url", api.url)

    checked = safs("submit", *job, "--dry-run").stdout
    submitted = safs("submit", *job)
    job_id = submitted.stdout.strip()
    assert submitted.stderr == f"its page: {api.url}/jobs/{job_id}\n"

    # rigl trains while it prunes, by default as long as the dense network: 30 epochs in the preset `balanced`.
    for message in (checked, safs("show", job_id, "--url", api.url).stdout):
        assert re.search(r"pruning +rigl \(magnitude, erk, dynamic, weight\), epochs 30 *\n", message)
    assert re.search(rf"{job_id} .* 0\.99 +rigl ", safs("jobs", "--url", api.url).stdout)


def test_a_job_that_the_service_refuses_raises_what_it_said(safs: Safs, api: "Api") -> None:
    done = safs("submit", "--model", "lenet6", "--dataset", "digits", "--sparsity", "0.99", "--url", api.url)

    assert isinstance(done.exception, ServiceError)
    assert done.exception.code == "unknown_name"
    assert "Did you mean 'lenet5'" in str(done.exception)


def test_jobs_lists_the_newest_first_and_filters_by_state(safs: Safs, api: "Api", submit: Callable[..., str]) -> None:
    older, newer = submit("--name", "older"), submit("--name", "newer")
    safs("cancel", older, "--url", api.url)

    listed = safs("jobs", "--url", api.url).stdout
    cancelled = safs("jobs", "--state", "cancelled", "--limit", "1", "--url", api.url).stdout

    assert listed.index(newer) < listed.index(older)
    assert older in cancelled
    assert newer not in cancelled


def test_the_tree_puts_a_job_beneath_the_one_whose_stages_it_reuses(
    safs: Safs, api: "Api", submit: Callable[..., str], runner: "RunnerPen"
) -> None:
    maker = submit("--name", "maker")
    runner.succeed(runner.claim(maker))
    user = submit("--name", "user")
    claim = runner.claim(user)
    with runner.database.begin() as tx:
        attempts.note_reuse(tx, claim.lease, "dense", maker)
        attempts.note_reuse(tx, claim.lease, "prune", maker)

    tree = safs("jobs", "--tree", "--limit", "2", "--url", api.url).stdout
    shown = safs("show", user, "--url", api.url).stdout

    assert re.search(rf"{maker} +maker .*\n└─ {user} +user .*dense, prune ← {maker} *\n", tree)
    assert re.search(rf"reuses +dense, prune ← {maker} *\n", shown)


def test_cancel_says_what_became_of_the_job(safs: Safs, api: "Api", submit: Callable[..., str]) -> None:
    job_id = submit()

    assert safs("cancel", job_id, "--url", api.url).stdout == f"{job_id} is cancelled\n"


def test_a_finished_job_is_shown_with_its_comparison_and_downloaded_whole(
    safs: Safs, api: "Api", submit: Callable[..., str], runner: "RunnerPen", tmp_path: Path
) -> None:
    job_id = submit()
    runner.succeed(runner.claim(job_id))

    shown = safs("show", job_id, "--url", api.url).stdout
    downloaded = safs("download", job_id, "-o", str(tmp_path / "out"), "--url", api.url)

    assert re.search(r"→ SAFS \(both\) +87\.5% +86\.1% +98\.9995% +615 of 61,470 *\n", shown)
    assert "\ntook 42 s: 17 trainings, 60 epochs; estimated: 40 s (30 to 55)\n" in shown
    assert downloaded.exit_code == 0
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "checkpoint.safetensors",
        "config.json",
        "report.html",
        "report.json",
        "report.png",
    }
    assert json.loads((tmp_path / "out" / "report.json").read_text())["result"] == "safs"


def test_the_notes_of_a_job_are_shown_under_its_comparison(
    safs: Safs, api: "Api", submit: Callable[..., str], runner: "RunnerPen"
) -> None:
    job_id = submit()
    noted = report() | {"notes": ["3 layers use another layer's weight [shared]."]}
    runner.succeed(runner.claim(job_id), RESULT | {"report": json.dumps(noted).encode()})

    shown = safs("show", job_id, "--url", api.url).stdout

    assert shown.endswith("note: 3 layers use another layer's weight [shared].\n")


def test_watch_replays_the_job_from_its_first_event(
    safs: Safs, api: "Api", submit: Callable[..., str], runner: "RunnerPen"
) -> None:
    job_id = submit("--preset", "quick")
    claim = runner.claim(job_id)
    runner.tell(
        claim,
        StageStarted(Stage.DENSE, 1, 20),
        EpochDone(Stage.DENSE, 0, EpochMetrics(1, 1.0, 1.0, 0.9, 1e-3, 1.0)),
        StageDone(Stage.DENSE, 6.0, "dense validation accuracy 90.0%"),
    )
    runner.succeed(claim)

    done = safs("watch", job_id, "--url", api.url)

    assert done.exit_code == 0
    assert done.stdout == "[1/6] train dense: dense validation accuracy 90.0% (6 s)\n"


def test_following_a_job_that_fails_ends_with_its_reason(
    safs: Safs, api: "Api", submit: Callable[..., str], runner: "RunnerPen"
) -> None:
    job_id = submit()
    runner.fail(runner.claim(job_id), "dense training broke down")

    watched = safs("watch", job_id, "--url", api.url)
    shown = safs("show", job_id, "--url", api.url).stdout

    assert isinstance(watched.exception, JobFailed)
    assert "dense training broke down" in str(watched.exception)
    assert re.search(r"error +dense training broke down *\n", shown)


def test_a_name_without_its_prefix_is_suggested_and_the_refusal_is_printed_once(safs: Safs, api: "Api") -> None:
    done = safs("submit", "--model", "resnet101", "--dataset", "digits", "--sparsity", "0.9", "--url", api.url)

    assert isinstance(done.exception, ServiceError)
    message = explain(done.exception)
    assert "Did you mean 'torchvision/resnet101'" in message
    assert message.count("torchvision/resnet50") == 1
    assert "model.architecture" in message


def test_jobs_are_listed_by_owner_and_as_json(safs: Safs, api: "Api", submit: Callable[..., str]) -> None:
    job_id = submit("--name", "as data")

    listed = json.loads(safs("jobs", "--limit", "1", "--json", "--url", api.url).stdout)
    shown = json.loads(safs("show", job_id, "--json", "--url", api.url).stdout)
    of_others = json.loads(safs("jobs", "--owner", "vision", "--json", "--url", api.url).stdout)

    assert [job["id"] for job in listed] == [job_id]
    assert (shown["name"], shown["state"]) == ("as data", "queued")
    assert of_others == []


def test_commands_that_print_data_print_json(safs: Safs, api: "Api") -> None:
    checked = json.loads(safs("submit", *LENET, "--dry-run", "--json", "--url", api.url).stdout)
    queued = json.loads(safs("submit", *LENET, "--json", "--url", api.url).stdout)
    cancelled = json.loads(safs("cancel", queued["id"], "--json", "--url", api.url).stdout)
    methods = json.loads(safs("catalog", "methods", "--json", "--url", api.url).stdout)

    assert checked["live"] == 615
    assert (queued["state"], cancelled["state"]) == ("queued", "cancelled")
    assert "rigl" in [method["name"] for method in methods]


def test_another_jobs_result_is_replaced_only_by_force(
    safs: Safs, api: "Api", submit: Callable[..., str], runner: "RunnerPen", tmp_path: Path
) -> None:
    folder, (first, second) = tmp_path / "out", (submit(), submit())
    for number, job_id in enumerate((first, second)):
        config = json.dumps({"seed": number}).encode()
        runner.succeed(runner.claim(job_id), RESULT | {"config": config})

    def download(job_id: str, *options: str) -> Result:
        return safs("download", job_id, "-o", str(folder), *options, "--url", api.url)

    assert [download(first).exit_code, download(first).exit_code] == [0, 0]
    refused = download(second)
    kept = json.loads((folder / "config.json").read_text())
    forced = download(second, "--force")

    assert isinstance(refused.exception, CommandError)
    assert f"not of job {second}" in str(refused.exception)
    assert "--force" in str(refused.exception)
    assert kept == {"seed": 0}
    assert forced.exit_code == 0
    assert json.loads((folder / "config.json").read_text()) == {"seed": 1}


def test_a_repeated_sparsity_queues_a_front_and_each_of_its_points_is_downloaded(
    safs: Safs, api: "Api", submit: Callable[..., str], runner: "RunnerPen", tmp_path: Path
) -> None:
    job_id = submit("--sparsity", "0.9")  # beside the 0.99 of every job here
    points = {f"checkpoint@{at}": b"weights at %g" % at for at in (0.9, 0.99)} | {
        f"config@{at}": b'{"at": %g}' % at for at in (0.9, 0.99)
    }
    exported = {"export-compact@0.9": b"coded weights at 0.9"}
    runner.succeed(runner.claim(job_id), RESULT | points | exported)

    def download(folder: str, *options: str) -> Result:
        return safs("download", job_id, "-o", str(tmp_path / folder), "--sparsity", *options, "--url", api.url)

    shown = safs("show", job_id, "--url", api.url).stdout
    point, export = download("point", "0.9"), download("export", "0.9", "--format", "compact", "--json")
    missing, wrong = download("none", "0.95"), download("none", "1.5")
    other = download("point", "0.99")

    assert re.search(r"sparsity +0\.9, 0\.99 *\n", shown)
    assert point.exit_code == 0
    assert (tmp_path / "point" / "checkpoint.safetensors").read_bytes() == b"weights at 0.9"
    assert json.loads(export.stdout)["format"] == "compact"
    folder = tmp_path / "export"
    assert (folder / "checkpoint.compact.safetensors").read_bytes() == b"coded weights at 0.9"
    assert (folder / "config.json").read_bytes() == b'{"at": 0.9}'
    assert "at sparsity 0.95; it has 0.9, 0.99" in str(missing.exception)
    assert wrong.exit_code == 2
    assert "--sparsity" in wrong.stderr
    assert isinstance(other.exception, CommandError)  # the folder has another point


def test_an_export_of_a_job_without_a_result_and_an_unknown_format_are_refused(
    safs: Safs, api: "Api", submit: Callable[..., str], runner: "RunnerPen", tmp_path: Path
) -> None:
    job_id = submit()
    runner.fail(runner.claim(job_id), "dense training broke down")

    def download(format: str) -> Result:
        return safs("download", job_id, "-o", str(tmp_path / "out"), "--format", format, "--url", api.url)

    without, unknown = download("onnx"), download("onx")
    local = safs("export", str(tmp_path), "--format", "onx")

    assert isinstance(without.exception, ServiceError)
    assert "dense training broke down" in explain(without.exception)
    assert "Did you mean 'onnx'" in str(unknown.exception)
    assert local.exit_code == 2
    assert "'onx' is not one of" in local.stderr


def test_ctrl_c_in_following_says_that_the_job_goes_on(
    safs: Safs, api: "Api", submit: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = submit()

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(RemoteJob, "wait", interrupt)
    done = safs("watch", job_id, "--url", api.url)

    assert done.exit_code == 130
    assert f"the job goes on; `safs watch {job_id}` follows it again" in done.stderr
    assert safs("show", job_id, "--json", "--url", api.url).exit_code == 0
