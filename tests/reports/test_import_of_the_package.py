"""``import safs`` gives what the README uses, and imports torch only when it is used."""

import subprocess
import sys


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_the_readmes_network_is_built_after_importing_the_package() -> None:
    code = 'import safs; print(type(safs.models.build("resnet18", channels=3, classes=10, image_size=32)).__name__)'

    assert run(code) == "ResNet"


def test_importing_the_package_imports_no_torch() -> None:
    assert run("import safs, sys; print('torch' in sys.modules, 'models' in dir(safs))") == "False True"
