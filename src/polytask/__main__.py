"""``python -m polytask`` is the command ``polytask``."""

import sys

from polytask.app.cli import main

if __name__ == "__main__":
    sys.exit(main())
