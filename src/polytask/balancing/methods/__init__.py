"""Every balancing method, one file each."""

from __future__ import annotations

from polytask.balancing.contract import Method
from polytask.balancing.methods.aligned_mtl import AlignedMTL
from polytask.balancing.methods.cagrad import CAGrad
from polytask.balancing.methods.config import ConFIG
from polytask.balancing.methods.cr_mogm import CRMOGM
from polytask.balancing.methods.db_mtl import DBMTL
from polytask.balancing.methods.dtp import DTP
from polytask.balancing.methods.dualproj import DualProj
from polytask.balancing.methods.dwa import DWA
from polytask.balancing.methods.equal import Equal
from polytask.balancing.methods.excess_mtl import ExcessMTL
from polytask.balancing.methods.fairgrad import FairGrad
from polytask.balancing.methods.famo import FAMO
from polytask.balancing.methods.fixed import Fixed
from polytask.balancing.methods.gcs import GCS
from polytask.balancing.methods.gls import GLS
from polytask.balancing.methods.go4align import GO4Align
from polytask.balancing.methods.graddrop import GradDrop
from polytask.balancing.methods.gradnorm import GradNorm
from polytask.balancing.methods.gradvac import GradVac
from polytask.balancing.methods.imtl import IMTL
from polytask.balancing.methods.imtl_g import IMTLG
from polytask.balancing.methods.imtl_l import IMTLL
from polytask.balancing.methods.krum import Krum
from polytask.balancing.methods.log import Log
from polytask.balancing.methods.mgda import MGDA
from polytask.balancing.methods.moco import MoCo
from polytask.balancing.methods.modo import MoDo
from polytask.balancing.methods.nash_mtl import NashMTL
from polytask.balancing.methods.ol_aux import OLAUX
from polytask.balancing.methods.pcgrad import PCGrad
from polytask.balancing.methods.revised_uncertainty import RevisedUncertainty
from polytask.balancing.methods.rlw import RLW
from polytask.balancing.methods.sdmgrad import SDMGrad
from polytask.balancing.methods.stch import STCH
from polytask.balancing.methods.trimmed_mean import TrimmedMean
from polytask.balancing.methods.uncertainty import Uncertainty
from polytask.balancing.methods.upgrad import UPGrad
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
        "gradvac": GradVac,
        "cagrad": CAGrad,
        "imtl_g": IMTLG,
        "imtl": IMTL,
        "aligned_mtl": AlignedMTL,
        "fairgrad": FairGrad,
        "upgrad": UPGrad,
        "dualproj": DualProj,
        "stch": STCH,
        "dtp": DTP,
        "go4align": GO4Align,
        "sdmgrad": SDMGrad,
        "modo": MoDo,
        "gradnorm": GradNorm,
        "gcs": GCS,
        "ol_aux": OLAUX,
        "cr_mogm": CRMOGM,
        "moco": MoCo,
        "db_mtl": DBMTL,
        "excess_mtl": ExcessMTL,
        "trimmed_mean": TrimmedMean,
        "krum": Krum,
    },
)
