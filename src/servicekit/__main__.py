"""`python -m servicekit`: the `servicekit` command of the Python that runs this."""

import sys

from servicekit.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
