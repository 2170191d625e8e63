"""Holm's correction for testing several hypotheses at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def holm(p: ArrayLike) -> NDArray[np.float64]:
    """p-values that may be compared with the level of the whole family.

    With p_(1) <= ... <= p_(m): ``p_holm(i) = min(1, max_{j <= i} (m - j + 1) p_(j))``. Rejecting where
    ``p_holm < alpha`` keeps the chance of any false rejection below alpha, whatever the dependence.

    :param p: ``(..., m)``, one family along the last axis.
    :returns: corrected values, ``(..., m)``, in the order given.

    >>> holm([0.001, 0.02, 0.04, 0.3]).round(3).tolist()
    [0.004, 0.06, 0.08, 0.3]

    S. Holm. A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 1979.
    """
    p = np.asarray(p, np.float64)
    order = np.argsort(p, axis=-1, kind="stable")
    factors = np.arange(p.shape[-1], 0, -1)
    stepped = np.maximum.accumulate(np.take_along_axis(p, order, -1) * factors, axis=-1)
    out = np.empty_like(p)
    np.put_along_axis(out, order, np.minimum(stepped, 1.0), -1)
    return out
