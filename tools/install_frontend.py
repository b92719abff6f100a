"""Install what the tests of front-end code need, from tests/frontend/package.json."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "tests" / "frontend"
NPM_OPTIONS = ["--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]


def main() -> int:
    if install():
        (FOLDER / "node_modules" / ".installed").touch()
        return 0
    print("The front-end packages could not be installed; run this again once npm works here.", file=sys.stderr)
    return 1 if os.environ.get("SERVICEKIT_REQUIRE_ALL") == "1" else 0


def install() -> bool:
    """Run `npm install`; say whether it succeeded."""
    # The npm of this environment, from PyPI. What it runs looks for its Node on the PATH.
    scripts = sysconfig.get_path("scripts")
    path = os.pathsep.join([scripts, os.environ.get("PATH", os.defpath)])
    npm = [str(Path(scripts, "npm")), "install", *NPM_OPTIONS]
    return subprocess.run(npm, cwd=FOLDER, env=os.environ | {"PATH": path}, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
