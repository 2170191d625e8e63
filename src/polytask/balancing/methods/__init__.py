"""Every balancing method, one file each."""

from __future__ import annotations

from polytask.balancing.contract import Method
from polytask.balancing.methods.config import ConFIG
from polytask.balancing.methods.dwa import DWA
from polytask.balancing.methods.equal import Equal
from polytask.balancing.methods.famo import FAMO
from polytask.balancing.methods.fixed import Fixed
from polytask.balancing.methods.gls import GLS
from polytask.balancing.methods.graddrop import GradDrop
from polytask.balancing.methods.imtl_l import IMTLL
from polytask.balancing.methods.log import Log
from polytask.balancing.methods.mgda import MGDA
from polytask.balancing.methods.nash_mtl import NashMTL
from polytask.balancing.methods.pcgrad import PCGrad
from polytask.balancing.methods.revised_uncertainty import RevisedUncertainty
from polytask.balancing.methods.rlw import RLW
from polytask.balancing.methods.uncertainty import Uncertainty
from polytask.catalogue import Catalogue

METHODS: Catalogue[Method] = Catalogue(
    "balancer",
    Method,
    {
        "equal": Equal,
        "fixed": Fixed,
        "uncertainty": Uncertainty,
        "revised_uncertainty": RevisedUncertainty,
        "dwa": DWA,
        "gls": GLS,
        "log": Log,
        "rlw": RLW,
        "imtl_l": IMTLL,
        "famo": FAMO,
        "graddrop": GradDrop,
        "config": ConFIG,
        "mgda": MGDA,
        "pcgrad": PCGrad,
        "nash_mtl": NashMTL,
    },
)
