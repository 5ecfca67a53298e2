"""Hostile archives are refused with their reason; random damage is refused or read alike by Python's own readers.

``make test`` draws 2,000 damaged archives; ``make fuzz`` as many as ``FUZZ_EXAMPLES`` says.
"""

import io
import tarfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from random import Random, randrange

import numpy as np
import pytest
from fastapi.testclient import TestClient

from api.settings import ApiSettings
from api.uploads.archive_contents import Found
from api.uploads.strict_archive import is_archive, parse
from api.uploads.strict_safetensors import Refused
from tests.api.uploads.data_sets import tarred
from tests.api.uploads.fuzzing import EXAMPLES, MANY
from tests.api.uploads.hostile_archives import GOOD_NPZ, GOOD_TAR, GOOD_ZIP, PICTURES, hostile_archives
from tests.api.uploads.test_uploads import OCTETS, _files

CASES = hostile_archives()
ARCHIVES = {name: case for name, case in CASES.items() if is_archive(case[0][:512])}
BY_HTTP = {
    "bomb: zip": "may unpack to",  # The limit on sizes of these tests is below that on ratios.
    "bomb: tar.gz": "may unpack to",
    "npz: code in a header": "only plain arrays",
    "zip: name up": "'..'",
    "tar: a symbolic link": "is a link",
}
LIMIT_BYTES = 2**30


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_hostile_archive_is_refused_with_its_reason(name: str) -> None:
    content, words = ARCHIVES[name]

    with pytest.raises(Refused) as refused:
        parse(io.BytesIO(content), limit_bytes=LIMIT_BYTES)

    reason = str(refused.value)
    assert words in reason
    assert len(reason) < 400
    assert reason.isprintable()


@pytest.mark.parametrize("name", BY_HTTP)
def test_the_service_refuses_it_and_keeps_nothing(http: TestClient, settings: ApiSettings, name: str) -> None:
    refused = http.post("/v1/uploads", content=CASES[name][0], headers=OCTETS)

    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_upload"), refused.text
    assert BY_HTTP[name] in refused.json()["detail"]
    assert _files(settings) == []


@pytest.mark.parametrize("name", sorted(set(CASES) - set(ARCHIVES)))
def test_what_is_no_archive_is_refused_as_weights(http: TestClient, name: str) -> None:
    refused = http.post("/v1/uploads", content=CASES[name][0], headers=OCTETS)

    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_upload")
    assert CASES[name][1] in refused.json()["detail"]


def test_the_corpus_is_as_large_as_the_decision_says() -> None:
    assert len(CASES) >= 100


def test_many_small_files_fit_into_the_memory_of_the_parser(http: TestClient, settings: ApiSettings) -> None:
    """60,000 names of 40 characters take 6 MB packed; the limit of the tests is 1 MB, so they go past the service."""
    from api.uploads.upload_stream import UploadStream

    files = {f"class{number % 9}/{number:034}.txt": b"" for number in range(60_000)} | PICTURES
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        for name, content in files.items():
            opened.writestr(name, content)
    with UploadStream(io.BytesIO(archive.getvalue()), limit_bytes=10**8) as stream:
        while stream.read(2**20):
            pass

    assert stream.content.images == len(PICTURES)


def _mutated(seed: int, count: int) -> Iterator[bytes]:
    random = Random(seed)
    seeds = [GOOD_NPZ, GOOD_ZIP, GOOD_TAR, tarred(PICTURES)]
    seeds += [content for content, _ in ARCHIVES.values() if len(content) < 20_000]
    for _ in range(count):
        content = random.choice(seeds)
        for _ in range(random.randint(1, 3)):
            place = random.randrange(len(content) + 1)
            match random.randrange(4):
                case 0:
                    content = content[:place] + bytes([random.randrange(256)]) + content[place + 1 :]
                case 1:
                    content = content[:place] + content[place + random.randrange(16) :]
                case 2:
                    content = content[: place + random.randrange(64)] + content[place:]
                case _:
                    number = random.choice([0, 1, 2**16 - 1, 2**31, 2**32 - 1, 2**63])
                    width = random.choice([2, 4, 8])
                    content = (
                        content[:place] + (number % 256**width).to_bytes(width, "little") + content[place + width :]
                    )
        yield content


def _verdict(content: bytes) -> str:
    reason = ""
    try:
        found = parse(io.BytesIO(content), limit_bytes=10**7)
    except Refused as refusal:
        reason = str(refusal)
    if reason:
        assert len(reason) < 500
        assert reason.isprintable()
        return "refused"
    _check_alike(content, found)
    return "accepted"


def _check_alike(content: bytes, found: Found) -> None:
    """Python's own readers find the same in what we accept, without an error."""
    if found.kind == "arrays":
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            names = [name for name in ("x", "x_train", "x_test") if name in arrays.files]
            assert sum(len(arrays[name]) for name in names[:2]) == found.images
    elif content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            assert archive.testzip() is None
            names = archive.namelist()
            assert not any(name.startswith("/") or ".." in name.split("/") for name in names)
    else:
        with tarfile.open(fileobj=io.BytesIO(content)) as packed:
            for member in packed:
                assert member.isreg() or member.isdir()
                assert not member.name.startswith("/")
                assert ".." not in member.name.split("/")


def test_random_damage_is_refused_or_read_alike(capsys: pytest.CaptureFixture[str]) -> None:
    seed = randrange(2**32) if MANY else 0

    seen = Counter(_verdict(content) for content in _mutated(seed, EXAMPLES))

    assert seen["refused"]
    if MANY:
        with capsys.disabled():
            print(f"\nrandom damage of archives, seed {seed}: {dict(seen)}")
