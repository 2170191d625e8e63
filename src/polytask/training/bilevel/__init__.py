"""Bilevel balancing: loss weights that are learned so that a step on training rows lowers validation losses.

:data:`BILEVEL` lists the methods, :class:`BilevelBalancer` runs one in anyone's loop.
"""

from polytask.balancing.contract import Method
from polytask.catalogue import Catalogue
from polytask.training.bilevel.auto_lambda import AutoLambda
from polytask.training.bilevel.balancer import BilevelBalancer, primary_tasks
from polytask.training.bilevel.contract import Bilevel
from polytask.training.bilevel.moml import MOML
from polytask.training.bilevel.problem import Problem
from polytask.training.bilevel.steps import BilevelSteps

__all__ = ["BILEVEL", "MOML", "AutoLambda", "Bilevel", "BilevelBalancer", "BilevelSteps", "Problem", "primary_tasks"]

BILEVEL: Catalogue[Method] = Catalogue(
    "bilevel method",
    Bilevel,
    {
        "auto_lambda": AutoLambda,
        "moml": MOML,
    },
)
"""Every bilevel method by its name."""
