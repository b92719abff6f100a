"""Check the types of the dashboard's scripts, which are told in their comments.

It needs the npm packages of tests/frontend. Where they are not installed it says so, and is an error only if
`SERVICEKIT_REQUIRE_ALL=1`.
"""

import os
import subprocess
import sys
from pathlib import Path

from tools.system_packages import find_program

FOLDER = Path(__file__).parents[1] / "tests" / "frontend"
CHECKER = FOLDER / "node_modules" / "typescript" / "bin" / "tsc"


def main() -> int:
    node = find_program("node")
    if node is not None and CHECKER.exists():
        return subprocess.run([node, CHECKER, "--project", FOLDER], check=False).returncode
    print("The types of the scripts are not checked; enable with: make tests/frontend/node_modules/.installed")
    return 1 if os.environ.get("SERVICEKIT_REQUIRE_ALL") == "1" else 0


if __name__ == "__main__":
    sys.exit(main())
