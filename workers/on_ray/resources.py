"""The resources of this process's Ray: what its nodes have, and what is free."""

from collections.abc import Mapping

import ray

NAMES = {"CPU": "cores", "GPU": "gpus", "memory": "memory_bytes", "object_store_memory": "object_store_bytes"}
"""Ray's name of a resource -> ours."""


def ray_resources() -> Mapping[str, Mapping[str, float]]:
    """Resource -> ``total`` and ``free``, over all nodes of the cluster."""
    total, free = ray.cluster_resources(), ray.available_resources()
    return {
        ours: {"total": float(total[name]), "free": float(free.get(name, 0.0))}
        for name, ours in NAMES.items()
        if name in total
    }
