"""Methods against an independent implementation (torchjd 0.18), where both define the same thing."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Generator

from polytask.balancing.contract import Evidence
from polytask.balancing.methods.aligned_mtl import AlignedMTL
from polytask.balancing.methods.cagrad import CAGrad
from polytask.balancing.methods.dualproj import DualProj
from polytask.balancing.methods.fairgrad import FairGrad
from polytask.balancing.methods.imtl_g import IMTLG
from polytask.balancing.methods.mgda import MGDA
from polytask.balancing.methods.nash_mtl import NashMTL
from polytask.balancing.methods.pcgrad import PCGrad
from polytask.balancing.methods.upgrad import UPGrad

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torchjd = pytest.importorskip("torchjd.aggregation")

SHAPES = pytest.mark.parametrize(("T", "P", "seed"), [(2, 5, 0), (3, 5, 1), (5, 20, 2), (8, 30, 3), (8, 9, 4)])


def random(T, P, seed):
    return torch.randn(T, P, generator=Generator().manual_seed(seed), dtype=torch.float64)


def ours(method, J):
    losses = torch.ones(len(J), dtype=J.dtype)
    return method.weigh(Evidence(losses, J @ J.T), method.init(tuple(map(str, range(len(J)))), losses), Generator())[0]


def theirs(weighting, J):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return weighting(J @ J.T)


@SHAPES
@pytest.mark.parametrize("mode", ["min", "median", "rmse"])
def test_aligned_mtl(T, P, seed, mode):
    J = random(T, P, seed)
    torch.testing.assert_close(
        ours(AlignedMTL(mode), J), theirs(torchjd.AlignedMTLWeighting(scale_mode=mode), J), rtol=1e-8, atol=1e-10
    )


@SHAPES
def test_imtl_g(T, P, seed):
    J = random(T, P, seed)
    w, expected = ours(IMTLG(), J), theirs(torchjd.IMTLGWeighting(), J)
    torch.testing.assert_close(w, expected * expected.sum().sign() * (J @ (w @ J))[0].sign(), rtol=1e-8, atol=1e-10)


@SHAPES
@pytest.mark.parametrize("name", ["upgrad", "dualproj"])
def test_dual_cone_projections(T, P, seed, name):
    """Theirs adds 1e-4 of the trace to the Gramian and solves to the tolerance of a general solver."""
    J = random(T, P, seed)
    mine, its = {
        "upgrad": (UPGrad(), torchjd.UPGradWeighting()),
        "dualproj": (DualProj(), torchjd.DualProjWeighting()),
    }[name]
    d, e = ours(mine, J) @ J, theirs(its, J) @ J
    assert float((d - e).norm() / d.norm()) < 2e-2
    assert float((J @ d).min()) > -1e-12


@SHAPES
def test_mgda_is_at_least_as_short(T, P, seed):
    """Theirs stops Frank-Wolfe early: its combination is longer."""
    J = random(T, P, seed)
    d, e = ours(MGDA(), J) @ J, theirs(torchjd.MGDAWeighting(epsilon=1e-9, max_iters=5000), J) @ J
    assert float(d.norm()) <= float(e.norm()) * (1 + 1e-12)
    assert float((d - e).norm() / d.norm()) < 3e-2


@SHAPES
def test_pcgrad_without_the_order(T, P, seed):
    """With two tasks there is one order only; with more, the rows that conflict with one task at most are the same."""
    J = random(T, P, seed)
    if T == 2:
        torch.testing.assert_close(ours(PCGrad(), J), theirs(torchjd.PCGradWeighting(), J), rtol=1e-9, atol=1e-12)
    else:
        draws = torch.stack([theirs(torchjd.PCGradWeighting(), J) for _ in range(300)])
        rng = Generator().manual_seed(0)
        evidence = Evidence(torch.ones(T).double(), J @ J.T)
        mine = torch.stack([PCGrad().weigh(evidence, {}, rng)[0] for _ in range(300)])
        error = (draws.std(0) + mine.std(0)) / 300**0.5
        assert ((draws.mean(0) - mine.mean(0)).abs() <= 5 * error + 1e-9).all()


@SHAPES
@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_fairgrad(T, P, seed, alpha):
    J = random(T, P, seed)
    w, expected = ours(FairGrad(alpha), J), theirs(torchjd.FairGradWeighting(alpha=alpha), J)
    torch.testing.assert_close(w, expected, rtol=1e-4, atol=1e-6)


@SHAPES
@pytest.mark.parametrize("c", [0.4, 0.9])
def test_cagrad(T, P, seed, c):
    pytest.importorskip("cvxpy")
    J = random(T, P, seed)
    w, expected = ours(CAGrad(c=c, rescale=0), J), theirs(torchjd.CAGradWeighting(c=c), J)
    assert float((w @ J - expected @ J).norm() / (w @ J).norm()) < 1e-3


@SHAPES
def test_nash_mtl_is_at_least_as_good_a_bargain(T, P, seed):
    """Theirs stops a sequence of approximations early: the product of the gains is smaller."""
    pytest.importorskip("cvxpy")
    pytest.importorskip("ecos")
    J = random(T, P, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = torchjd.NashMTL(n_tasks=T, max_norm=0.0, optim_niter=100)(J).to(J)

    def product_of_gains(d):
        gains = J @ (d / d.norm())
        return gains.log().sum() if bool((gains > 0).all()) else -torch.inf

    assert product_of_gains(ours(NashMTL(), J) @ J) >= product_of_gains(theirs) - 1e-9
    if T <= 3:
        torch.testing.assert_close(ours(NashMTL(), J) @ J, theirs, rtol=1e-2, atol=1e-2)
