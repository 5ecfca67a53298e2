"""Jobs as a tree: each below the job whose stages it reuses."""

from cli.lineage import lineage, reuse
from safs.client import RemoteJob
from safs.client.connection import Backoff, Connection

HERE = Connection("http://127.0.0.1:1", None, Backoff())


def job(name: str, **reused: list[str]) -> RemoteJob:
    return RemoteJob(HERE, {"id": name, "reused": reused or None})


def shown(*jobs: RemoteJob) -> list[tuple[int, str]]:
    return [(depth, found.id) for depth, found in lineage(jobs)]


def test_jobs_that_share_nothing_stay_in_their_order() -> None:
    assert shown(job("c"), job("b"), job("a")) == [(0, "c"), (0, "b"), (0, "a")]


def test_a_job_stands_beneath_the_maker_of_its_last_reused_stage() -> None:
    first, second = job("first"), job("second", dense=["first"])
    third = job("third", activations=["second"], dense=["first"], prune=["first"])

    assert shown(third, second, first) == [(0, "first"), (1, "second"), (2, "third")]


def test_siblings_keep_their_order_and_a_maker_that_is_not_listed_leaves_its_users_at_the_top() -> None:
    found = shown(job("d", dense=["a"]), job("c", dense=["gone"]), job("b", dense=["a"]), job("a"))

    assert found == [(0, "c"), (0, "a"), (1, "d"), (1, "b")]


def test_what_was_reused_is_told_in_the_order_of_the_stages() -> None:
    assert reuse(job("b", prune=["a"], final=["c", "a"], dense=["a"])) == "dense, prune, final ← a; final ← c"
    assert reuse(job("b")) == ""
