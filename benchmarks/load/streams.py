"""Clients that follow the events of one job, half of them with a reconnect."""

import asyncio
import random

import httpx

CUT_AFTER = 0.3
"""Fraction of the events after which half of the clients disconnect."""


async def follow(url: str, job_id: str, clients: int, events: int, token: str | None = None) -> list[list[int]]:
    """Numbers of the events that each client received, until each client has ``events`` of them.

    Half of the clients disconnect in the middle of the stream and reconnect with ``Last-Event-ID``.
    """
    limits = httpx.Limits(max_connections=None)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, limits=limits, timeout=120, trust_env=False) as http:
        return await asyncio.gather(
            *(_one(http, job_id, events, reconnects=number % 2 == 0) for number in range(clients))
        )


async def _one(http: httpx.AsyncClient, job_id: str, events: int, *, reconnects: bool) -> list[int]:
    seen: list[int] = []
    cut = int(events * CUT_AFTER) + random.randrange(10) if reconnects else None
    while len(seen) < events:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": str(seen[-1])} if seen else {})
        async with http.stream("GET", f"/v1/jobs/{job_id}/events", headers=headers) as response:
            response.raise_for_status()
            async for line in response.aiter_lines():
                if line.startswith("id: "):
                    seen.append(int(line.removeprefix("id: ")))
                if len(seen) >= events or (cut is not None and len(seen) >= cut):
                    cut = None
                    break
    return seen
