"""Everything that a learner can balance with: methods of one backward pass, and those that look ahead."""

from __future__ import annotations

from polytask.balancing.contract import Method
from polytask.balancing.methods import METHODS
from polytask.catalogue import Catalogue
from polytask.training.bilevel import BILEVEL

BALANCERS: Catalogue[Method] = METHODS | BILEVEL
"""What the configuration key ``balancer`` names."""
