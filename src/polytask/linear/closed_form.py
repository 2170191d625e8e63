"""Quadratic problems without a proximal part: the mean coupling in closed form, any coupling by conjugate gradients."""

from __future__ import annotations

import numpy as np

from polytask.linear.arrays import Array, inner, norm
from polytask.linear.fista import Solution
from polytask.linear.smooth import GRAM_ENTRIES, SquaredLoss

CHUNK_ENTRIES = 2**22


def solve_mean_coupled(loss: SquaredLoss, scale: float) -> Solution | None:
    """Ridge plus distance to the mean, exactly; None where Gram matrices would not fit.

    With ``A_t = H_t + 2 (ridge + mean) I`` the optimum is ``w_t = A_t^-1 (b_t + 2 mean m)``, and the mean ``m`` of the
    tasks solves the d x d system ``mean_t[A_t^-1 (H_t + 2 ridge I)] m = mean_t[A_t^-1 b_t]``.
    """
    tasks, d = loss.shape
    coupling = loss.coupling
    if coupling.laplacian is not None or coupling.ridge + coupling.mean <= 0:
        return None
    gram = loss.gram()
    if gram is None:
        if loss.design.grams * d**2 > GRAM_ENTRIES // 8:
            return None
        gram = loss.design.gram(loss.weight)
    gram = np.broadcast_to(gram, (tasks, d, d))
    eye = np.eye(d)
    shift, ridge = 2 * (coupling.ridge + coupling.mean) * eye, 2 * coupling.ridge * eye
    alone, pulled = np.empty((tasks, d)), np.zeros((d, d))
    height = max(1, CHUNK_ENTRIES // (2 * d * d))
    chunks = [slice(first, first + height) for first in range(0, tasks, height)]
    for part in chunks:
        right = np.concatenate([gram[part] + ridge, loss.b[part, :, None]], axis=2)
        solved = np.linalg.solve(gram[part] + shift, right)
        pulled += solved[:, :, :-1].sum(axis=0)
        alone[part] = solved[:, :, -1]
    W = alone
    if coupling.mean:
        mean = np.linalg.lstsq(pulled / tasks, alone.mean(axis=0), rcond=None)[0]
        for part in chunks:
            W[part] += 2 * coupling.mean * np.linalg.solve(gram[part] + shift, mean)
    point = loss.at(W)
    residual = norm(point.grad) / scale if scale > 0 else 0.0
    return Solution(W[None], residual, 1, loss.value(point))


def conjugate_gradients(loss: SquaredLoss, start: Array, *, tol: float, max_iter: int, scale: float) -> Solution:
    """Solve ``gradient = 0``; preconditioned by the diagonal blocks of the tasks where there are Gram matrices."""
    inverse = _block_inverse(loss)
    point = loss.at(start)
    W, r = start, -point.grad
    z = inverse(r)
    p, rz = z, inner(r, z)
    iteration = 0
    while norm(r) > tol * scale and iteration < max_iter and rz > 0:
        iteration += 1
        image = loss.at(p).product
        curvature = inner(p, image)
        if curvature <= 0:
            break
        step = rz / curvature
        W = W + step * p
        r = r - step * image if iteration % 50 else -loss.at(W).grad
        z = inverse(r)
        before, rz = rz, inner(r, z)
        p = z + (rz / before) * p
    point = loss.at(W)
    residual = norm(point.grad) / scale if scale > 0 else 0.0
    return Solution(W[None], residual, iteration, loss.value(point))


class _block_inverse:  # noqa: N801  # a function with what it has factorised
    """Apply the inverse of ``H_t + 2 A_tt I`` to every task."""

    def __init__(self, loss: SquaredLoss) -> None:
        tasks, d = loss.shape
        diagonal = 2 * loss.coupling.diagonal(tasks)
        self.inverse: Array | None = None
        gram = loss.gram()
        if gram is not None and np.all(diagonal > 0) and tasks * d * d <= GRAM_ENTRIES:
            self.inverse = np.asarray(np.linalg.inv(gram + diagonal[:, None, None] * np.eye(d)), dtype=np.float64)

    def __call__(self, r: Array) -> Array:
        return r if self.inverse is None else np.asarray(np.matmul(self.inverse, r[:, :, None])[:, :, 0])
