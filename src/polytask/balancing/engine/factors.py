"""Gradients of one parameter for several tasks, not written out as long as that is not needed.

The gradient of a weight matrix is a product of two thin matrices, that of an embedding touches a few rows. As long as
they stay factors, their inner products and weighted sums are cheap.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from polytask.balancing.engine.multiply import multiply
from polytask.balancing.engine.products import combined, ghost, ghost_cost, inner, outer, outer_cost, wide

LARGEST = 16 << 20
"""Bytes that the patches of a convolution, or their inner products, may take."""

PATCHES = 1.5
"""Time of a product over patches, over that of as many multiplications in a convolution's own kernels."""


class Factor(ABC):
    """The gradients of one parameter for r tasks."""

    @abstractmethod
    def dense(self) -> Tensor:
        """``(r, *shape)``."""

    @abstractmethod
    def measure(self) -> tuple[Tensor, Factor]:
        """The Gramian ``(r, r)`` in float64, and the smallest thing that :meth:`combine` can be asked of later."""

    @abstractmethod
    def combine(self, weights: Tensor) -> Tensor:
        """``sum_t w_t D_t`` in the parameter's shape."""

    @abstractmethod
    def spread(self, rows: Tensor, count: int) -> Factor:
        """The same for ``count`` tasks, of which these are the given rows and the others are 0."""

    @property
    @abstractmethod
    def held(self) -> Tensor:
        """The tensor that is kept alive for the factor alone."""


class Dense(Factor):
    """Gradients written out.

    :param rows: ``(r, *shape)``.
    """

    def __init__(self, rows: Tensor) -> None:
        self.rows = rows

    def dense(self) -> Tensor:
        """The rows."""
        return self.rows

    def measure(self) -> tuple[Tensor, Factor]:
        """Inner products of the rows."""
        flat = wide(self.rows).reshape(len(self.rows), -1)
        return inner(flat, flat), self

    def combine(self, weights: Tensor) -> Tensor:
        """A weighted sum of the rows."""
        return combined(weights, self.rows)

    def spread(self, rows: Tensor, count: int) -> Dense:
        """Rows among zeros."""
        return Dense(spread(self.rows, rows, count))

    @property
    def held(self) -> Tensor:
        """The rows."""
        return self.rows


class Linear(Factor):
    """The gradients of a weight matrix ``(O, I)``: ``D_t = B_t^T A``.

    :param A: ``(N, I)``: what went into the layer.
    :param B: ``(r, N, O)``: gradients of what came out.
    :param is_turned: the parameter is the transpose, ``(I, O)``.
    """

    def __init__(self, A: Tensor, B: Tensor, *, is_turned: bool = False) -> None:
        self.A, self.B, self.is_turned = A, B, is_turned

    def turned(self) -> Linear:
        """The gradients of the transpose."""
        return Linear(self.A, self.B, is_turned=not self.is_turned)

    def dense(self) -> Tensor:
        """The products."""
        D = outer(wide(self.A), wide(self.B))
        return D.transpose(1, 2) if self.is_turned else D

    def measure(self) -> tuple[Tensor, Factor]:
        """By the cheaper of two ways: the products, or inner products of the factors."""
        A, B = wide(self.A), wide(self.B)
        (r, N, outputs), inputs = B.shape, A.shape[1]
        if ghost_cost(r, N, inputs, outputs) < outer_cost(r, N, inputs, outputs):
            return ghost(A, B), self
        D = outer(A, B)
        flat = D.reshape(r, -1)
        small = Dense(D.transpose(1, 2) if self.is_turned else D) if inputs < N else self
        return inner(flat, flat), small

    def combine(self, weights: Tensor) -> Tensor:
        """One weight gradient, from the weighted sum of the output gradients."""
        D = multiply(combined(weights, wide(self.B)).T, wide(self.A))
        return D.T if self.is_turned else D

    def spread(self, rows: Tensor, count: int) -> Linear:
        """Output gradients among zeros."""
        return Linear(self.A, spread(self.B, rows, count), is_turned=self.is_turned)

    @property
    def held(self) -> Tensor:
        """The output gradients; what went in is held by the graph."""
        return self.B


class Conv(Factor):
    """The gradients of a 2-d convolution's weight: a matrix product over the patches of the input.

    :param x: ``(N, C, H, W)``, channels last in memory.
    :param B: ``(r, N, O, h, w)``: gradients of what came out, channels last.
    :param shape: of the weight, ``(O, C, kh, kw)``.
    """

    def __init__(
        self,
        x: Tensor,
        B: Tensor,
        shape: Sequence[int],
        *,
        stride: Sequence[int],
        padding: Sequence[int],
        dilation: Sequence[int],
    ) -> None:
        self.x, self.B, self.shape = x, B, tuple(shape)
        self.stride, self.padding, self.dilation = tuple(stride), tuple(padding), tuple(dilation)

    def dense(self) -> Tensor:
        """One ordinary weight gradient per task: the kernels for it are faster than products over patches."""
        rows = self.B.new_empty(len(self.B), *self.shape).contiguous(memory_format=torch.contiguous_format)
        for row, b in zip(rows, self.B, strict=True):
            row.copy_(self._weight_gradient(b))
        return rows

    def measure(self) -> tuple[Tensor, Factor]:
        """From the factors where there are few positions and many channels, else from the products."""
        r, images, outputs, h, w = self.B.shape
        N, inputs = images * h * w, self.shape[1] * self.shape[2] * self.shape[3]
        is_small = 4 * N * max(N, inputs) <= LARGEST
        if is_small and PATCHES * ghost_cost(r, N, inputs, outputs) < outer_cost(r, N, inputs, outputs):
            return ghost(wide(self._patches()), wide(self._gradients())), self
        D = self.dense()
        flat = wide(D).view(r, -1)
        return inner(flat, flat), Dense(D) if D.numel() < self.B.numel() else self

    def combine(self, weights: Tensor) -> Tensor:
        """One ordinary weight gradient."""
        b = combined(weights, self.B.permute(0, 1, 3, 4, 2)).permute(0, 3, 1, 2)
        return self._weight_gradient(b)

    def _weight_gradient(self, b: Tensor) -> Tensor:
        dummy = self.x.new_empty(1).expand(self.shape)
        grads = torch.ops.aten.convolution_backward(
            b, self.x, dummy, None, self.stride, self.padding, self.dilation, False, [0, 0], 1, [False, True, False]
        )
        found: Tensor = grads[1]
        return found

    def spread(self, rows: Tensor, count: int) -> Conv:
        """Output gradients among zeros."""
        B = spread(self.B.permute(0, 1, 3, 4, 2), rows, count).permute(0, 1, 4, 2, 3)
        kind = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}
        return Conv(self.x, B, self.shape, **kind)

    @property
    def held(self) -> Tensor:
        """The output gradients."""
        return self.B

    def _patches(self) -> Tensor:
        """``(positions, kh kw C)``."""
        x = self.x.permute(0, 2, 3, 1)
        (ph, pw), (sh, sw), (dh, dw) = self.padding, self.stride, self.dilation
        if ph or pw:
            x = functional.pad(x, (0, 0, pw, pw, ph, ph))
        channels, kh, kw = self.shape[1:]
        if (kh, kw) == (1, 1):
            return x[:, ::sh, ::sw].reshape(-1, channels)
        h, w = self.B.shape[3:]
        s = x.stride()
        windows = x.as_strided(
            (x.shape[0], h, w, kh, kw, channels),
            (s[0], s[1] * sh, s[2] * sw, s[1] * dh, s[2] * dw, s[3]),
            x.storage_offset(),
        )
        return windows.reshape(-1, kh * kw * channels)

    def _gradients(self) -> Tensor:
        """``(r, positions, O)``."""
        return self.B.permute(0, 1, 3, 4, 2).reshape(len(self.B), -1, self.B.shape[2])


class Embedding(Factor):
    """The gradients of a table ``(V, D)`` of which some rows were looked up.

    :param index: ``(N,)``: the rows.
    :param B: ``(r, N, D)``: gradients of what was looked up.
    :param size: V.
    """

    def __init__(self, index: Tensor, B: Tensor, size: int) -> None:
        self.index, self.B, self.size = index, B, size

    def dense(self) -> Tensor:
        """The whole tables."""
        B = wide(self.B)
        return B.new_zeros(len(B), self.size, B.shape[2]).index_add_(1, self.index, B)

    def measure(self) -> tuple[Tensor, Factor]:
        """Inner products over the rows that were looked up."""
        used, place = torch.unique(self.index, return_inverse=True)
        B = wide(self.B)
        rows = B.new_zeros(len(B), len(used), B.shape[2]).index_add_(1, place, B).flatten(1)
        return inner(rows, rows), self

    def combine(self, weights: Tensor) -> Tensor:
        """One table."""
        B = wide(self.B)
        return B.new_zeros(self.size, B.shape[2]).index_add_(0, self.index, combined(weights, B))

    def spread(self, rows: Tensor, count: int) -> Embedding:
        """Gradients among zeros."""
        return Embedding(self.index, spread(self.B, rows, count), self.size)

    @property
    def held(self) -> Tensor:
        """The gradients of what was looked up."""
        return self.B


def spread(B: Tensor, rows: Tensor, count: int) -> Tensor:
    """``(r, ...) -> (count, ...)``: zeros in all other rows."""
    return B.new_zeros(count, *B.shape[1:]).index_copy_(0, rows, B)


def merged(uses: Sequence[Factor]) -> Factor:
    """All uses of one parameter as one factor, so that the cross terms of a parameter used twice are exact."""
    first = uses[0]
    if len(uses) == 1:
        return first
    linear = [use for use in uses if isinstance(use, Linear)]
    if len(linear) == len(uses) and len({use.is_turned for use in linear}) == 1:
        A, B = torch.cat([use.A for use in linear]), torch.cat([use.B for use in linear], 1)
        return Linear(A, B, is_turned=linear[0].is_turned)
    tables = [use for use in uses if isinstance(use, Embedding)]
    if len(tables) == len(uses):
        index, B = torch.cat([use.index for use in tables]), torch.cat([use.B for use in tables], 1)
        return Embedding(index, B, tables[0].size)
    total = first.dense()
    for use in uses[1:]:
        total = total + use.dense()
    return Dense(total)
