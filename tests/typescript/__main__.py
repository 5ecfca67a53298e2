"""Type-checks README's minimal job in TypeScript: ``python -m tests.typescript``. Needs npm and its registry."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from api.app import create_app
from api.settings import ApiSettings

PACKAGES = ("openapi-typescript@7.13.0", "openapi-fetch@0.17.0", "typescript@5.9.3")
TSC = (
    "tsc",
    "--noEmit",
    "--strict",
    "--target",
    "es2022",
    "--module",
    "es2022",
    "--moduleResolution",
    "bundler",
    "--skipLibCheck",
)


def main() -> None:
    """Generates the types, compiles ``minimal_job.ts`` with them, and exits with 1 if it does not compile."""
    if shutil.which("npm") is None:
        sys.exit("npm is not installed; on Debian: apt-get install npm")
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "openapi.json").write_text(json.dumps(create_app(ApiSettings(home=folder)).openapi()))
        (folder / "package.json").write_text('{"type": "module"}')
        shutil.copy(Path(__file__).parent / "minimal_job.ts", folder)
        for command in (
            ("npm", "install", "--no-fund", "--no-audit", "--loglevel=error", *PACKAGES),
            ("npx", "openapi-typescript", "openapi.json", "--output", "api.d.ts"),
            ("npx", *TSC, "minimal_job.ts"),
        ):
            done = subprocess.run(command, cwd=folder, check=False)
            if done.returncode:
                sys.exit(f"{' '.join(command)} failed")
    print("minimal_job.ts compiles")


if __name__ == "__main__":
    main()
