"""Krum, robust to outliers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor

from polytask.balancing.contract import Evidence, Law, Need, State, Weigher
from polytask.catalogue import Paper
from polytask.errors import ConfigError


@dataclass(frozen=True)
class Krum(Weigher):
    """Averages the few task gradients that lie closest to the others, and leaves the rest out.

    ``score_t = sum of |g_t - g_s| over the T - f - 2 nearest others s;   w_t = 1 / m for the m smallest scores``

    From robust distributed learning, where all gradients estimate one and f of them may be false; tasks whose
    gradients differ on purpose are treated as outliers, so this is a baseline. At least one other is looked at, and m
    counts at most the present tasks. Equal scores share their weight. The scale is that of a mean.

    :param outliers: f.
    :param selected: m.

    Blanchard, El Mhamdi, Guerraoui, Stainer. NeurIPS 2017.
    """

    needs = Need.GRAMIAN
    paper = Paper(
        "Blanchard, El Mhamdi, Guerraoui, Stainer",
        "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent",
        "NeurIPS",
        2017,
    )
    verified = "worked example; torchjd"
    laws = frozenset({Law.SIMPLEX, Law.EQUIVARIANT, Law.SCALE_FREE})

    outliers: int = 1
    selected: int = 1

    def __post_init__(self) -> None:
        if self.outliers < 0:
            raise ConfigError(f"expected 0 outliers or more, found {self.outliers}.", where="outliers")
        if self.selected < 1:
            raise ConfigError(f"expected 1 gradient or more, found {self.selected}.", where="selected")

    def weigh(self, evidence: Evidence, state: State, rng: Generator) -> tuple[Tensor, State]:
        """Distances from the Gramian, in float64."""
        G = evidence.products.double()
        T, squares = len(G), G.diagonal()
        distances = (squares[:, None] + squares - 2 * G).clamp_min(0).sqrt()
        near = distances.sort(dim=1).values[
            :, 1 : 1 + max(T - self.outliers - 2, 1)
        ]  # the first is the distance to itself
        return _smallest(near.sum(1), min(self.selected, T)).to(evidence.losses), state


def _smallest(scores: Tensor, m: int) -> Tensor:
    """1 / m for each of the m smallest; scores that tie for the last places share them."""
    last = scores.sort().values[m - 1]
    room = 1e-7 * scores.max()
    tied = (scores - last).abs() <= room
    sure = (scores < last) & ~tied
    return (sure + tied * (m - sure.sum()) / tied.sum()) / m
