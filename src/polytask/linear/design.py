"""The linear map from weights to predictions, (T, d) -> rows, for all tasks in one kernel.

Features are centred per task (weighted means), which removes the intercept from a squared loss exactly.
"Rows" are in the layout of the design: padded stacks for dense rows of many tasks, (n, T) for one shared X.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import scipy.sparse as sp

from polytask.linear.arrays import Array, Codes, is_sparse


class Design(ABC):
    """A centred design of T tasks.

    :param tasks: number of tasks T.
    :param features: number of features d.
    :param grams: how many Gram matrices there are: 1 if all tasks have the same rows, else T.
    :param rows: number of rows behind one Gram matrix on average.
    """

    tasks: int
    features: int
    grams: int
    rows: float

    @abstractmethod
    def lay(self, values: Array) -> Array:
        """Values per row as the user gave them, (N,) or (n, T), in the layout of the design."""

    @abstractmethod
    def forward(self, W: Array) -> Array:
        """Predictions of all rows from ``W`` (T, d)."""

    @abstractmethod
    def adjoint(self, R: Array) -> Array:
        """The transposed map: rows -> (T, d)."""

    @abstractmethod
    def sums(self, R: Array) -> Array:
        """The sum of the rows of each task (T,)."""

    @abstractmethod
    def spread(self, values: Array) -> Array:
        """One value per task (T,) onto its rows."""

    @abstractmethod
    def gram(self, weight: Array) -> Array:
        """``X_t' diag(weight) X_t`` as (T, d, d), or (1, d, d) where all tasks share one."""

    @abstractmethod
    def squares(self, weight: Array) -> Array:
        """The diagonals of ``gram`` (T, d) or (1, d)."""

    @abstractmethod
    def columns(self, chosen: Codes) -> Design:
        """The design of some features."""


class StackedDesign(Design):
    """Dense rows of every task, padded into stacks of similar size: a product is one batched kernel per stack.

    Tasks are put together by the power of two above their size, so that padding at most doubles the memory and there
    are about ten stacks however many tasks there are. Padding rows are zero and carry weight zero.
    """

    def __init__(self, flat: Array, slots: Codes, stacks: list[tuple[Codes, slice, int]], tasks: int) -> None:
        self.flat = flat
        self.slots = slots
        self.stacks = stacks
        self.tasks = self.grams = tasks
        self.features = flat.shape[1]
        self.rows = len(slots) / tasks

    @classmethod
    def build(cls, X: Array, codes: Codes, tasks: int) -> StackedDesign:
        """From rows (N, d) and the task of each row (N,); not yet centred."""
        counts = np.bincount(codes, minlength=tasks)
        sizes = 2 ** np.ceil(np.log2(np.maximum(counts, 1))).astype(np.intp)
        position = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
        if np.any(codes[1:] < codes[:-1]):
            order = np.argsort(codes, kind="stable")
            position[order] = position.copy()
        start = np.empty(tasks, dtype=np.intp)
        stacks: list[tuple[Codes, slice, int]] = []
        total = 0
        for size in np.unique(sizes):
            members = np.flatnonzero(sizes == size)
            height = int(counts[members].max())
            start[members] = total + height * np.arange(len(members))
            stacks.append((members, slice(total, total + height * len(members)), height))
            total += height * len(members)
        slots = start[codes] + position
        flat = np.zeros((total, X.shape[1]))
        flat[slots] = X
        return cls(flat, slots, stacks, tasks)

    def centred(self, means: Array) -> StackedDesign:
        """The same rows less the centre of each task (T, d)."""
        flat = np.empty_like(self.flat)
        for members, part, height in self.stacks:
            np.subtract(
                self._stack(part, height), means[members, None, :], out=flat[part].reshape(-1, height, self.features)
            )
        padding = np.ones(len(flat), dtype=bool)
        padding[self.slots] = False
        flat[padding] = 0.0
        return StackedDesign(flat, self.slots, self.stacks, self.tasks)

    def lay(self, values: Array) -> Array:
        """Put in the slots; padding is zero."""
        out = np.zeros(len(self.flat))
        out[self.slots] = values
        return out

    def _stack(self, part: slice, height: int) -> Array:
        return self.flat[part].reshape(-1, height, self.features)

    def forward(self, W: Array) -> Array:
        """One batched product per stack."""
        out = np.empty(len(self.flat))
        for members, part, height in self.stacks:
            np.matmul(self._stack(part, height), W[members, :, None], out=out[part].reshape(-1, height, 1))
        return out

    def adjoint(self, R: Array) -> Array:
        """One batched product per stack."""
        out = np.empty((self.tasks, self.features))
        for members, part, height in self.stacks:
            out[members] = np.matmul(R[part].reshape(-1, 1, height), self._stack(part, height))[:, 0]
        return out

    def sums(self, R: Array) -> Array:
        """Over the rows of every stack."""
        out = np.empty(self.tasks)
        for members, part, height in self.stacks:
            out[members] = R[part].reshape(-1, height).sum(axis=1)
        return out

    def spread(self, values: Array) -> Array:
        """Padding gets the value too; its weight is zero."""
        out = np.empty(len(self.flat))
        for members, part, height in self.stacks:
            out[part] = np.repeat(values[members], height)
        return out

    def gram(self, weight: Array) -> Array:
        """One batched product per stack, of the rows with themselves (half the work in BLAS) where all weigh alike."""
        own = weight[self.slots]
        alike = bool(np.all(own == own[0]))
        out = np.empty((self.tasks, self.features, self.features))
        for members, part, height in self.stacks:
            X = self._stack(part, height)
            out[members] = np.matmul(X.transpose(0, 2, 1), X if alike else X * weight[part].reshape(-1, height, 1))
        if alike and own[0] != 1:
            out *= own[0]
        return out

    def squares(self, weight: Array) -> Array:
        """Over the rows of every stack."""
        out = np.empty((self.tasks, self.features))
        for members, part, height in self.stacks:
            X = self._stack(part, height)
            out[members] = np.einsum("trj,trj,tr->tj", X, X, weight[part].reshape(-1, height))
        return out

    def columns(self, chosen: Codes) -> StackedDesign:
        """A copy of the chosen columns."""
        return StackedDesign(np.ascontiguousarray(self.flat[:, chosen]), self.slots, self.stacks, self.tasks)


class SparseDesign(Design):
    """Sparse rows of every task as one block-diagonal matrix (N, T d); the centres are subtracted on the way."""

    def __init__(self, X: Any, codes: Codes, means: Array) -> None:
        self.X = X
        self.codes = codes
        self.means = means
        self.tasks, self.features = means.shape
        self.grams = self.tasks
        self.rows = len(codes) / self.tasks
        moved = X.indices.astype(np.int64) + np.repeat(codes.astype(np.int64) * self.features, np.diff(X.indptr))
        self.blocks = sp.csr_array((X.data, moved, X.indptr), shape=(len(codes), self.tasks * self.features))
        self.transposed = self.blocks.T.tocsr()

    def lay(self, values: Array) -> Array:
        """As given."""
        return values

    def forward(self, W: Array) -> Array:
        """One sparse product."""
        centres = np.einsum("td,td->t", self.means, W)[self.codes]
        return np.asarray(self.blocks @ W.ravel() - centres)

    def adjoint(self, R: Array) -> Array:
        """One sparse product."""
        raw = np.asarray(self.transposed @ R).reshape(self.tasks, self.features)
        return np.asarray(raw - self.means * self.sums(R)[:, None])

    def sums(self, R: Array) -> Array:
        """By the task of each row."""
        return np.asarray(np.bincount(self.codes, weights=R, minlength=self.tasks), dtype=np.float64)

    def spread(self, values: Array) -> Array:
        """By the task of each row."""
        return values[self.codes]

    def gram(self, weight: Array) -> Array:
        """The dense blocks on the diagonal of one sparse product."""
        product = (self.transposed @ self.blocks.multiply(weight[:, None]).tocsr()).tocoo()
        d = self.features
        out = np.zeros((self.tasks, d, d))
        out[product.row // d, product.row % d, product.col % d] = product.data
        sums = (self.transposed @ weight).reshape(self.tasks, d)
        total = self.sums(weight)[:, None, None]
        cross = sums[:, :, None] * self.means[:, None, :]
        outer = self.means[:, :, None] * self.means[:, None, :]
        return np.asarray(out - cross - cross.transpose(0, 2, 1) + total * outer)

    def squares(self, weight: Array) -> Array:
        """By sparse products."""
        raw = (self.transposed.power(2) @ weight).reshape(self.tasks, self.features)
        sums = (self.transposed @ weight).reshape(self.tasks, self.features)
        total = self.sums(weight)[:, None]
        return np.asarray(raw - 2 * self.means * sums + total * self.means**2)

    def columns(self, chosen: Codes) -> SparseDesign:
        """A copy of the chosen columns."""
        return SparseDesign(self.X[:, chosen].tocsr(), self.codes, self.means[:, chosen])


class SharedDesign(Design):
    """One X (n, d), dense or sparse, for all tasks; rows are (n, T).

    :param means: (1, d) if every task has a label and the same weight in every row, else (T, d).
    """

    def __init__(self, X: Any, means: Array, tasks: int) -> None:
        self.X = X
        self.means = means
        self.tasks = tasks
        self.features = X.shape[1]
        self.grams = len(means) if len(means) != tasks else tasks
        self.rows = float(X.shape[0])

    def lay(self, values: Array) -> Array:
        """As given, (n, T) or (n, 1)."""
        return values

    def forward(self, W: Array) -> Array:
        """One product."""
        return np.asarray(np.asarray(self.X @ W.T) - (self.means * W).sum(axis=1))

    def adjoint(self, R: Array) -> Array:
        """One product."""
        raw = np.ascontiguousarray((self.X.T @ R).T)  # BLAS is slower for R' X
        return np.asarray(raw - self.means * self.sums(R)[:, None])

    def sums(self, R: Array) -> Array:
        """Of the columns."""
        return np.broadcast_to(R.sum(axis=0), (self.tasks,))

    def spread(self, values: Array) -> Array:
        """Along the rows."""
        return values[None, :]

    def gram(self, weight: Array) -> Array:
        """One product, or one per task where labels are missing."""
        out = np.empty((self.grams, self.features, self.features))
        for t in range(self.grams):
            w, mean = weight[:, t], self.means[t]
            alike = bool(np.all(w == w[0]))
            if is_sparse(self.X):
                out[t] = (self.X.T @ self.X.multiply(w[:, None]).tocsr()).toarray()
            else:  # X.T @ X is one symmetric product in BLAS
                out[t] = w[0] * (self.X.T @ self.X) if alike else self.X.T @ (self.X * w[:, None])
            if mean.any():
                cross = np.outer(np.asarray(self.X.T @ w), mean)
                out[t] += w.sum() * np.outer(mean, mean) - cross - cross.T
        return out

    def squares(self, weight: Array) -> Array:
        """One product."""
        weight, means = weight[:, : self.grams], self.means[: self.grams]
        squared = self.X.power(2) if is_sparse(self.X) else np.square(self.X)
        raw, sums = np.asarray((squared.T @ weight).T), np.asarray((self.X.T @ weight).T)
        return np.asarray(raw - 2 * means * sums + weight.sum(axis=0)[:, None] * means**2)

    def columns(self, chosen: Codes) -> SharedDesign:
        """A copy of the chosen columns."""
        if is_sparse(self.X):
            X = self.X[:, chosen].tocsr()
        else:
            X = self.X.T[chosen].T if self.X.flags.f_contiguous else np.take(self.X, chosen, axis=1)
        return SharedDesign(X, self.means[:, chosen], self.tasks)
