"""The methods that see the Gramian, and small helpers of their tests."""

from __future__ import annotations

import pytest
import torch
from torch import Generator

from polytask.balancing.contract import Evidence
from polytask.balancing.methods import METHODS
from polytask.balancing.methods.aligned_mtl import AlignedMTL
from polytask.balancing.methods.cagrad import CAGrad
from polytask.balancing.methods.config import ConFIG
from polytask.balancing.methods.dualproj import DualProj
from polytask.balancing.methods.fairgrad import FairGrad
from polytask.balancing.methods.gradvac import GradVac
from polytask.balancing.methods.imtl import IMTL
from polytask.balancing.methods.imtl_g import IMTLG
from polytask.balancing.methods.mgda import MGDA
from polytask.balancing.methods.nash_mtl import NashMTL
from polytask.balancing.methods.pcgrad import PCGrad
from polytask.balancing.methods.upgrad import UPGrad

ALL = [
    MGDA(),
    PCGrad(),
    GradVac(),
    CAGrad(),
    IMTLG(),
    IMTL(),
    NashMTL(),
    AlignedMTL(),
    FairGrad(),
    UPGrad(),
    DualProj(),
]
MEASURED = [MGDA(), CAGrad(), IMTLG(), NashMTL(), FairGrad(), DualProj(), UPGrad(), AlignedMTL(), ConFIG(), IMTL()]

everyone = pytest.mark.parametrize("method", ALL, ids=METHODS.name_of)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def weigh(method, jacobian, losses=None, dtype=torch.float64):
    J = jacobian.to(dtype) if torch.is_tensor(jacobian) else torch.tensor(jacobian, dtype=dtype)
    losses = torch.ones(len(J), dtype=dtype) if losses is None else losses
    state = method.init(tuple(map(str, range(len(J)))), losses)
    return method.weigh(Evidence(losses, J @ J.T), state, Generator().manual_seed(0))[0]


def near(found, expected, tol=1e-9):
    torch.testing.assert_close(found, torch.as_tensor(expected, dtype=found.dtype), rtol=tol, atol=tol)


def random(T, P, seed=0):
    return torch.randn(T, P, generator=Generator().manual_seed(seed), dtype=torch.float64)


def unit(vector):
    return vector / vector.norm()
