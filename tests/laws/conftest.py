"""The small tasks of the tests of the nets serve the laws of sharing too."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "nets"))
