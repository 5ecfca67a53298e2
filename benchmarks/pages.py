"""The pages in a browser with 10,000 jobs and 10,000 trials: ``python -m benchmarks.pages``.

Fills a database, starts a real ``safs api`` and opens the pages in Chromium. Prints the time to the first picture, the
time from an action to the frame that shows it, and the requests that each page made.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from playwright.sync_api import Page, sync_playwright
from sqlalchemy import text

from benchmarks.load.rows import RESULT, SPEC
from cli.supervisor import free_port
from migrations import upgrade
from store import queue
from store.session import Database
from store.sqlite_urls import sqlite_url

SITES = 17
OPERATORS = ("relu", "swish", "hardswish", "gelu", "elu", "tanh", "acon", "softplus", "symlog", "identity")
FIRST_PICTURE_LIMIT_MS = 1500
ACTION_LIMIT_MS = 100
REPEATS = 5
_INSERT = text(
    "INSERT INTO trials (job_id, stage, number, config, epochs, seed, state, loss, accuracy, cross_entropy, seconds, "
    "started_at, finished_at) "
    "VALUES (:job, 'joint', :number, :config, :epochs, 0, :state, :loss, :accuracy, 0.4, 3.5, :at, :at)"
)
_SHOWN = "() => performance.getEntriesByName('first-picture')[0]?.startTime"


def main() -> None:
    """Parse the arguments and run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000, help="number of jobs (default: 10000)")
    parser.add_argument("--trials", type=int, default=10_000, help="number of trials of one job (default: 10000)")
    parser.add_argument("--chromium", default="/usr/bin/chromium", help="the browser (default: /usr/bin/chromium)")
    given = parser.parse_args()
    with TemporaryDirectory(prefix="safs-pages-") as home:
        url = sqlite_url(Path(home) / "safs.db")
        job_id = fill(url, given.jobs, given.trials)
        with served(Path(home), url) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=given.chromium, args=["--no-sandbox"])
            measure(browser, address, job_id, given.trials)
            browser.close()


def fill(database_url: str, jobs: int, trials: int) -> str:
    """Fill a new database; returns the id of the job with the trials."""
    upgrade(database_url)
    database = Database(database_url)
    draw = random.Random(0)
    with database.begin() as tx:
        ids = [queue.submit(tx, SPEC, f"job {number}").id for number in range(jobs)]
        ended = "state = 'succeeded', attempt = 1, started_at = created_at, finished_at = created_at, result = :result"
        tx.execute(text(f"UPDATE jobs SET {ended}"), {"result": RESULT})
        tx.execute(_INSERT, [_trial(ids[-1], number, draw) for number in range(trials)])
    database.dispose()
    return ids[-1]


def _trial(job_id: str, number: int, draw: random.Random) -> dict[str, Any]:
    failed = draw.random() < 0.02
    accuracy = None if failed else round(min(0.99, 0.4 + 0.5 * draw.random() + number / 200_000), 4)
    config = {f"operator:layer{site // 5}.act{site}": draw.choice(OPERATORS) for site in range(SITES)}
    recipe = {
        "optimizer": draw.choice(("adam", "sgd", "nadam")),
        "schedule": draw.choice(("cosine", "step", "linear")),
        "weight_decay": 10 ** draw.uniform(-6, -2),
        "learning_rate": 10 ** draw.uniform(-4, -1),
        "momentum": draw.uniform(0.5, 0.99),
    }
    at = f"2026-11-30T{number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}.000Z"
    return {
        "job": job_id,
        "number": number,
        "config": json.dumps(config | recipe),
        "epochs": draw.choice((1, 3, 9)),
        "state": "done",
        "loss": None if accuracy is None else 1 - accuracy,
        "accuracy": accuracy,
        "at": at,
    }


@contextmanager
def served(home: Path, database_url: str) -> Iterator[str]:
    """Run ``safs api`` over the database, and yield its address."""
    port = free_port()
    environment = os.environ | {"SAFS_HOME": str(home), "SAFS_DATABASE_URL": database_url}
    command = [sys.executable, "-P", "-m", "cli", "api", "--port", str(port)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        address = f"http://127.0.0.1:{port}"
        try:
            while process.poll() is None and not _answers(address):
                time.sleep(0.2)
            yield address
        finally:
            process.terminate()


def _answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/livez", trust_env=False).is_success
    except httpx.TransportError:
        return False


def measure(browser: Any, address: str, job_id: str, trials: int) -> None:
    """Open the pages several times, act on them, and print medians."""
    rows: dict[str, list[float]] = {}
    for _ in range(REPEATS):
        page = browser.new_context(viewport={"width": 1360, "height": 900}).new_page()
        requests: list[str] = []
        page.on("request", lambda request, seen=requests: seen.append(request.url))
        page.goto(f"{address}/")
        page.wait_for_selector("tbody tr")
        rows.setdefault("list of jobs: first row", []).append(page.evaluate("performance.now()"))
        rows.setdefault("list of jobs: requests", []).append(len(requests))
        requests.clear()
        page.goto(f"{address}/jobs/{job_id}")
        rows.setdefault(f"job with {trials} trials: first picture", []).append(_value(page, _SHOWN))
        page.wait_for_timeout(1500)
        rows.setdefault("job: requests", []).append(len(requests))
        for name, act in ACTIONS.items():
            rows.setdefault(f"job: {name}", []).append(_time_of(page, act))
        page.context.close()
    for name, values in rows.items():
        unit = "" if name.endswith("requests") else " ms"
        print(f"{name:45} {median(values):8.0f}{unit}  (of {', '.join(f'{value:.0f}' for value in values)})")


def _time_of(page: Page, act: Callable[[Page], None]) -> float:
    """Milliseconds from an action to the end of the frame that shows it."""
    page.evaluate("""() => {
        window.took = null;
        const noted = (event) => {
            const begun = performance.now();
            requestAnimationFrame(() => requestAnimationFrame(() => { window.took ??= performance.now() - begun; }));
        };
        for (const kind of ["click", "change"]) window.addEventListener(kind, noted, { capture: true, once: true });
    }""")
    act(page)
    return _value(page, "window.took")


def _value(page: Page, script: str) -> float:
    """The number that a script gives, once it gives one. Playwright waits by ``eval``, which the pages forbid."""
    while (found := page.evaluate(script)) is None:
        page.wait_for_timeout(20)
    return float(found)


ACTIONS: dict[str, Callable[[Page], None]] = {
    "select a trial": lambda page: page.locator(".picture canvas").first.click(position={"x": 640, "y": 120}),
    "history over epochs": lambda page: page.get_by_label("Horizontal axis").select_option("epochs") and None,
    "map by accuracy": lambda page: page.get_by_label("Order of the columns").select_option("accuracy") and None,
    "next page of trials": lambda page: page.get_by_label("Next trials").click(),
    "trials sorted by time": lambda page: page.get_by_label("Order of trials").select_option("slowest") and None,
}


if __name__ == "__main__":
    main()
