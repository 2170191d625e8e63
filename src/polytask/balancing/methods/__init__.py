"""Every balancing method, one file each."""

from __future__ import annotations

from polytask.balancing.contract import Method
from polytask.balancing.methods.equal import Equal
from polytask.catalogue import Catalogue

METHODS: Catalogue[Method] = Catalogue(
    "balancer",
    Method,
    {
        "equal": Equal,
    },
)
