"""Row scores of a metric that is any function of summed statistics, by leaving each row out once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def jackknife_rows(statistics: Array, metric: Callable[[Array], Array]) -> Array:
    """Scores ``(n,)`` of rows whose mean is ``metric(sum of all statistics)`` exactly.

    ``score_i = v + (n - 1) (mean_j v_(-j) - v_(-i))``, where ``v_(-i)`` is the metric without row i.

    Efron. The jackknife, the bootstrap and other resampling plans. SIAM 1982.

    :param statistics: ``(n, S)``. :param metric: from sums ``(m, S)`` to values ``(m,)``.

    >>> jackknife_rows(np.array([[1.0], [2.0], [6.0]]), lambda sums: sums[:, 0])
    array([ 5.,  7., 15.])
    """
    n = len(statistics)
    total = statistics.sum(0)
    value = float(metric(total[None])[0])
    if n < 2:
        return np.full(n, value)
    without = metric(total - statistics)
    scores: Array = value + (n - 1) * (without.mean() - without)
    return scores
