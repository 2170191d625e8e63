"""Graphs of tasks: what the user may give, checked, as a Laplacian."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from polytask.errors import ConfigError


def laplacian(graph: Any, labels: NDArray[Any]) -> Any:
    """``D - A`` of a symmetric, connected, non-negative adjacency (T, T) in the order of the sorted labels.

    :param graph: ``"chain"`` along the sorted labels, or a dense or sparse adjacency.
    :raises ValueError: naming the task.
    """
    tasks = len(labels)
    if isinstance(graph, str):
        if graph != "chain":
            raise ConfigError(f"expected 'chain' or an adjacency matrix, found {graph!r}.", where="graph")
        links: Any = sp.eye_array(tasks, k=1, format="csr")
        links = links + links.T
    else:
        links = sp.csr_array(graph, dtype=np.float64)
    if links.shape != (tasks, tasks):
        raise ConfigError(f"expected an adjacency of shape ({tasks}, {tasks}), found {links.shape}.", where="graph")
    if not np.all(np.isfinite(links.data)) or np.any(links.data < 0):
        raise ConfigError("weights of edges must be finite and not negative.", where="graph")
    uneven = (links - links.T).tocoo()
    wrong = np.flatnonzero(np.abs(uneven.data) > 1e-12 * np.abs(links.data).max(initial=1.0))
    if len(wrong):
        here, there = (labels[index[wrong[0]]].item() for index in uneven.coords)
        raise ConfigError(f"not symmetric between the tasks {here!r} and {there!r}.", where="graph")
    number, parts = connected_components(links, directed=False)
    if number > 1:
        apart = labels[np.flatnonzero(parts != parts[0])[0]].item()
        raise ConfigError(
            f"not connected: no path from task {labels[0].item()!r} to task {apart!r}.", where="graph",
            do="Fit the parts apart, or link them with a small weight.",
        )  # fmt: skip
    degree = np.asarray(links.sum(axis=1)).ravel() - links.diagonal()
    return sp.csr_array(sp.diags_array(degree) - links + sp.diags_array(links.diagonal()))
