"""Balancing: who gets how much say in the update, each step.

:data:`METHODS` lists every method, :class:`Balancer` runs one in anyone's loop, :func:`weigh`
is the mathematics in one call, and :func:`check_method` puts a method of your own to the test.
"""

from polytask.balancing.balancer import Balancer
from polytask.balancing.check import check_method
from polytask.balancing.contract import Combiner, Evidence, Law, Method, Need, State, Weigher
from polytask.balancing.laws import BrokenPromiseError
from polytask.balancing.methods import METHODS
from polytask.balancing.one_shot import weigh
from polytask.balancing.record import StepRecord

__all__ = [
    "METHODS",
    "Balancer",
    "BrokenPromiseError",
    "Combiner",
    "Evidence",
    "Law",
    "Method",
    "Need",
    "State",
    "StepRecord",
    "Weigher",
    "check_method",
    "weigh",
]
