"""Balancing: who gets how much say in the update, each step.

:data:`METHODS` lists every method, :class:`Balancer` runs one in anyone's loop.
"""

from polytask.balancing.balancer import Balancer, StepRecord
from polytask.balancing.contract import Combiner, Evidence, Law, Method, Need, State, Weigher
from polytask.balancing.methods import METHODS

__all__ = [
    "METHODS",
    "Balancer",
    "Combiner",
    "Evidence",
    "Law",
    "Method",
    "Need",
    "State",
    "StepRecord",
    "Weigher",
]
