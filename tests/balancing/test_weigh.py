"""The one-shot call: evidence in, answer out."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from polytask.balancing import Combiner, Need, Weigher, weigh
from polytask.errors import TrainingError, UserError


@dataclass(frozen=True)
class InverseNorm(Weigher):
    """Weights one over the gradient norm."""

    needs = Need.GRAMIAN

    def weigh(self, evidence, state, rng):
        return evidence.gramian.diagonal().rsqrt(), state


@dataclass(frozen=True)
class Sum(Combiner):
    """The sum of the rows."""

    def combine(self, evidence, state, rng):
        return evidence.jacobian.sum(0), state


J = torch.tensor([[3.0, 4.0], [0.0, 2.0], [1.0, 0.0]])


def test_losses_as_a_list_and_as_integers():
    assert weigh("log", losses=[0.5, 4.0]).tolist() == [2.0, 0.25]
    assert weigh("log", losses=torch.tensor([1, 4])).tolist() == [1.0, 0.25]


def test_a_jacobian_gives_the_gramian():
    expected = torch.tensor([0.2, 0.5, 1.0])
    torch.testing.assert_close(weigh(InverseNorm(), jacobian=J), expected)
    torch.testing.assert_close(weigh(InverseNorm(), gramian=J @ J.T), expected)


def test_a_combiner_answers_with_the_update():
    assert weigh(Sum(), jacobian=J).tolist() == [4.0, 6.0]


def test_a_memory_goes_in():
    state = {"s": torch.tensor([0.0, 1.0]), "first": torch.zeros(2), "second": torch.zeros(2), "steps": torch.zeros(2)}
    torch.testing.assert_close(weigh("imtl_l", losses=[1.0, 1.0], state=state), torch.tensor([1.0, 2.718281828]))


def test_seeds():
    assert torch.equal(weigh("rlw", losses=[1.0] * 3, seed=4), weigh("rlw", losses=[1.0] * 3, seed=4))
    assert not torch.equal(weigh("rlw", losses=[1.0] * 3, seed=4), weigh("rlw", losses=[1.0] * 3, seed=5))


@pytest.mark.parametrize(
    ("method", "evidence", "says"),
    [
        ("equal", {}, "needs losses=..., which was not given"),
        (InverseNorm(), {"losses": [1.0]}, "needs gramian=..."),
        (Sum(), {"gramian": J @ J.T}, "needs jacobian=..."),
        ("equal", {"losses": []}, "T >= 1"),
        ("equal", {"losses": 2.0}, "T >= 1"),
        ("equal", {"losses": [1.0, 2.0], "jacobian": J}, "expected the shapes"),
        (InverseNorm(), {"gramian": J}, "expected the shapes"),
        ("equal", {"losses": [1.0], "tasks": ["a", "b"]}, "expected 1 task names, found 2"),
    ],
)
def test_evidence_that_does_not_suffice(method, evidence, says):
    with pytest.raises(UserError, match=says):
        weigh(method, **evidence)


def test_losses_outside_the_domain():
    with pytest.raises(TrainingError, match=r"task '1': the balancer 'gls' is defined for positive losses, found -2"):
        weigh("gls", losses=[1.0, -2.0])
