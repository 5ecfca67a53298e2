"""Every hostile document is refused with its code and reason, before anything of it runs; a fuzzer finds no crash."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from safs.errors import NetworkError
from safs.models.declared.checking import check_header
from tests.models.declared.corpus import FILES, HOSTILE
from tests.models.declared.good_document import GOOD, good, header

ROOT = Path(__file__).parents[3]
MANY = "FUZZ_EXAMPLES" in os.environ
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "400"))
"""Documents that the fuzzer draws; ``make fuzz`` sets a larger number."""


def test_the_document_that_all_are_made_of_is_accepted() -> None:
    assert check_header(header(GOOD), max_gflops=1.0).name == "Good"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_document_is_refused_with_its_reason(name: str) -> None:
    change, code, words = HOSTILE[name]

    with pytest.raises(NetworkError) as refused:
        check_header(header(change(good())), max_gflops=0.1)

    assert words in refused.value.message
    assert refused.value.code == code
    assert len(refused.value.message) < 1000
    assert refused.value.message.isprintable()


@pytest.mark.parametrize("name", FILES)
def test_a_file_without_the_tensors_of_its_document_is_refused(name: str) -> None:
    tensors, words = FILES[name]

    with pytest.raises(NetworkError) as refused:
        check_header(header(GOOD, tensors), max_gflops=1.0)

    assert words in refused.value.message


def test_the_corpus_is_as_large_as_we_say() -> None:
    assert len(HOSTILE) >= 160


@pytest.mark.timeout(0 if MANY else 300)
def test_random_documents_crash_nothing_and_touch_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    seed = os.urandom(8).hex() if MANY else "0"
    command = [sys.executable, "-m", "tests.models.declared.fuzzing", str(EXAMPLES), seed]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if MANY:
        with capsys.disabled():
            print(f"\n{found['documents']} documents, {found['accepted']} accepted; seed {seed}")
    assert found["documents"] == EXAMPLES
    assert (found["crashes"], found["side_effects"]) == ([], [])
    assert found["accepted"] > 0
    assert found["refused"] > EXAMPLES / 2
