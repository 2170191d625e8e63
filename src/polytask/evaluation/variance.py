"""Where the uncertainty of a difference comes from: training seeds, test rows, and their shared noise.

Everything here works on whole families at once (leading axes), so the calibration benchmark runs the code of the
product.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PRIOR_DF = 4.0
"""Degrees of freedom that the family's average lends to a task, at most."""

_TINY = 1e-24  # variances below this share of max |score|^2 are rounding


@dataclass(frozen=True)
class Parts:
    """One task's difference and the raw variances behind it; all arrays of one shape.

    :param estimate: D, oriented: positive = contender better.
    :param seeds: Vs0, variance of D over seeds, as observed.
    :param noise: Ve, what Vs0 would be if seeds only added independent row noise.
    :param rows: Vr, variance of D over test rows, without the noise already in Vs0.
    :param df: d = S_A + S_B - 2.
    """

    estimate: Array
    seeds: Array
    noise: Array
    rows: Array
    df: Array


@dataclass(frozen=True)
class Pooled:
    """The variances that a verdict uses, after the family has had its say; arrays of one shape.

    :param ratio: F = Vs0 / Ve, unit-free; NaN where Ve = 0.
    :param mean_ratio: Fbar, mean of F over the family, at least 1.
    :param prior_df: d0, weight of Fbar in degrees of freedom.
    :param nu: d0 + d, degrees of freedom of Vs.
    :param seeds: Vs, seed variance raised towards the family's average.
    :param rows: Vr.
    """

    ratio: Array
    mean_ratio: Array
    prior_df: Array
    nu: Array
    seeds: Array
    rows: Array

    @property
    def se(self) -> Array:
        """``sqrt(Vs + Vr)``."""
        return np.sqrt(self.seeds + self.rows)


def parts(baseline: Array, contender: Array) -> Parts:
    """Estimate and raw variance components of a crossed design, seeds by test rows.

    With m_s the mean of seed s, and the seeds of the two contenders taken as unpaired::

        E   = sum_si (A_si - m_s - Abar_i + Abar)^2 / ((S-1)(n-1))      for A and for B
        Vs0 = var_s(m_A)/S_A + var_s(m_B)/S_B
        Ve  = (E_A/S_A + E_B/S_B)/n
        Vr  = max(0, var_i(Bbar_i - Abar_i)/n - Ve)

    :param baseline: ``(..., S_A, n)`` row scores, higher = better, S_A >= 2, n >= 2.
    :param contender: ``(..., S_B, n)`` row scores on the same rows.
    """
    (count_a, n), count_b = baseline.shape[-2:], contender.shape[-2]
    mean_a, seed_a, noise_a, rows_a = _crossed(baseline)
    mean_b, seed_b, noise_b, rows_b = _crossed(contender)
    largest = np.maximum(np.abs(baseline).max((-2, -1)), np.abs(contender).max((-2, -1)))
    tiny = _TINY * largest**2

    noise = _above((noise_a / count_a + noise_b / count_b) / n, tiny)
    return Parts(
        estimate=mean_b - mean_a,
        seeds=_above(seed_a / count_a + seed_b / count_b, tiny),
        noise=noise,
        rows=_above(np.var(rows_b - rows_a, axis=-1, ddof=1) / n - noise, tiny),
        df=np.full(np.shape(mean_a), float(count_a + count_b - 2)),
    )


def pool(raw: Parts, prior_df: float = PRIOR_DF) -> Pooled:
    """Raise each task's seed variance towards the average of its family; never lower it.

    With F = Vs0/Ve, whose true value is at least 1, and G tasks with Ve > 0::

        Fbar = max(1, mean of F)      d0 = min(prior_df, (G-1) d)
        F~   = max(1, F, (d0 Fbar + d F)/(d0 + d))
        Vs   = F~ Ve,  nu = d0 + d    (Ve = 0: Vs = Vs0, nu = d)

    :param raw: parts of shape ``(..., T)``, one family along the last axis.
    """
    known = raw.noise > 0
    ratio = np.divide(raw.seeds, raw.noise, out=np.full(np.shape(raw.seeds), np.nan), where=known)
    group = known.sum(-1, keepdims=True)
    mean = np.where(known, ratio, 0.0).sum(-1, keepdims=True) / np.maximum(group, 1)
    mean = np.broadcast_to(np.maximum(mean, 1.0), ratio.shape)
    prior = np.where(known, np.minimum(prior_df, np.maximum(group - 1, 0) * raw.df), 0.0)
    nu = prior + raw.df
    raised = np.maximum(np.maximum(1.0, ratio), (prior * mean + raw.df * ratio) / nu)
    return Pooled(
        ratio=ratio,
        mean_ratio=mean,
        prior_df=prior,
        nu=nu,
        seeds=np.where(known, raised * raw.noise, raw.seeds),
        rows=raw.rows,
    )


def _crossed(scores: Array) -> tuple[Array, Array, Array, Array]:
    """Of ``(..., S, n)``: grand mean, variance of the seed means, residual variance, mean of each row."""
    count, n = scores.shape[-2:]
    by_seed = scores.mean(-1)
    by_row = scores.mean(-2)
    grand = by_seed.mean(-1)
    residual = scores - by_seed[..., None]
    residual -= by_row[..., None, :]
    residual += grand[..., None, None]
    noise = np.square(residual, out=residual).sum((-2, -1)) / ((count - 1) * (n - 1))
    return grand, by_seed.var(-1, ddof=1), noise, by_row


def _above(values: Array, least: Array) -> Array:
    return np.where(values < least, 0.0, np.maximum(values, 0.0))
