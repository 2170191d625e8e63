"""Studies of many runs: did sharing help, for which task, at what cost?"""

from polytask.studies.compare import compare
from polytask.studies.options import CompareOptions

__all__ = ["CompareOptions", "compare"]
