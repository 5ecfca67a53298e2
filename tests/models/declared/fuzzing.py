"""``python -m tests.models.declared.fuzzing COUNT SEED``: random documents, in a process that watches itself.

Each document is the good one with one to four random changes. The process prints one line of JSON: how many were
accepted and refused, what crashed, and every file, process or connection that a check opened.
"""

import json
import sys
import tempfile
from random import Random
from typing import Any

import torch

from safs.errors import NetworkError
from safs.models.declared.checking import check_header
from safs.models.declared.operations import operations
from tests.models.declared.corpus import HOSTILE
from tests.models.declared.good_document import GOOD, TENSORS, good, header

_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 7, 2**31, -(2**31), 2**31 + 1, 2**63, 0.5, -1e30, 1e38, "", "a", "inf",
    "float32", "contiguous_format", "conv", "fc.weight", "__class__", "a\nb", '"];x#', [], {}, [0], [1, 2, 3], [[1]],
    {"node": 0}, {"node": 2}, {"node": 5}, {"node": 99}, {"node": None}, {"tensor": "scale"}, {"tensor": "table"},
    {"tensor": ""}, {"float": "inf"}, {"float": "x"}, "mean", "same", "ij,jk->ik", [{"node": 1}, {"node": 1}],
)  # fmt: skip
_WATCHED = ("open", "os.", "subprocess.", "socket.", "shutil.", "ctypes.", "pickle.", "urllib.", "tempfile.")


def main() -> None:
    """Check the documents and report."""
    count, random = int(sys.argv[1]), Random(sys.argv[2])
    tempfile.tempdir = "/"
    for name in ("as it is", *HOSTILE):  # everything that PyTorch imports on first use is imported
        _verdict(header(GOOD if name == "as it is" else HOSTILE[name][0](good())))
    effects: list[str] = []
    watching = False

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event.startswith(_WATCHED) and len(effects) < 20:
            effects.append(f"{event} {arguments!r}"[:300])

    sys.addaudithook(watch)
    crashes, verdicts = [], {"accepted": 0, "refused": 0}
    for number in range(count):
        content = header(_mutated(random), _tensors(random))
        watching = True
        try:
            verdicts[_verdict(content)] += 1
        except Exception as error:  # what the fuzzer looks for
            crashes.append(f"{number}: {type(error).__name__}: {str(error)[:200]}")
        finally:
            watching = False
    print(json.dumps({"documents": count, "crashes": crashes[:10], "side_effects": effects, **verdicts}))


def _verdict(content: bytes) -> str:
    try:
        check_header(content, max_gflops=0.1)
    except NetworkError:
        return "refused"
    return "accepted"


def _mutated(random: Random) -> dict[str, Any]:
    document: Any = good()
    for _ in range(random.randint(1, 4)):
        places = list(_places(document))
        parent, key = random.choice(places)
        match random.randrange(6):
            case 0:
                parent[key] = random.choice(_VALUES)
            case 1 if isinstance(parent, list):
                parent.insert(key, random.choice([parent[key], random.choice(_VALUES)]))
            case 2:
                del parent[key]
                if not document:
                    return {}
            case 3:
                other, other_key = random.choice(places)
                parent[key] = json.loads(json.dumps(other[other_key])) if _has(other, other_key) else None
            case 4:
                _random_call(document, random)
            case _ if isinstance(parent[key], int) and not isinstance(parent[key], bool):
                parent[key] += random.choice([-1, 1, 100, 2**20])
    return dict(document)


def _random_call(document: Any, random: Random) -> None:
    """Append a call of a random operation with random arguments to both graphs, and maybe return it."""
    operation = operations()[random.choice(list(operations()))]
    given = [random.choice([{"node": random.randint(0, 5)}, random.choice(_VALUES)]) for _ in operation.arguments]
    call = {"target": operation.name, "args": given[: random.randint(0, len(given))]}
    for mode in ("eval_graph", "train_graph"):
        graph = document.get(mode)
        if isinstance(graph, dict) and isinstance(graph.get("calls"), list):
            graph["calls"].append(call)
            if random.random() < 0.3:
                graph["output"] = len(graph["calls"])


def _tensors(random: Random) -> dict[str, Any]:
    if random.random() < 0.9:
        return dict(TENSORS)
    return {name: (dtype, [*shape, 1] if random.random() < 0.2 else shape) for name, (dtype, shape) in TENSORS.items()}


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in list(items):
        yield value, key
        yield from _places(item)


def _has(parent: Any, key: Any) -> bool:
    return key in parent if isinstance(parent, dict) else isinstance(parent, list) and key < len(parent)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
