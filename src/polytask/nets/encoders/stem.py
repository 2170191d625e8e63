r"""The stem of tables: numeric and categorical columns as one vector per row.

A numeric column is one number, or a piecewise-linear encoding where the schema has bins for it. A categorical column
is an embedding; see :func:`embedding_width` for its width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from polytask.batch import Features, Inputs, InputSpec
from polytask.errors import DataError


class PiecewiseLinear(nn.Module):
    r"""Piecewise-linear encoding of numeric columns: ``(N, F) -> (N, B)``, B bins over all columns.

    Bin t of a column with edges :math:`b_0 < ... < b_T` gives

    .. math:: e_t = \begin{cases} 0 & x < b_{t-1}, \; t > 1 \\ 1 & x \ge b_t, \; t < T \\
                    (x - b_{t-1}) / (b_t - b_{t-1}) & \text{otherwise} \end{cases}

    The schema gives the inner edges :math:`b_1 ... b_{T-1}`. The outer bins are open, so :math:`b_0` and :math:`b_T`
    only set the unit of two components; the outer bins are as wide as their neighbours (1 if there is one edge). A
    column without edges stays as it is.

    :param edges: the inner edges of each of the F columns, increasing.

    Source: Gorishniy, Rubachev, Babenko. On embeddings for numerical features in tabular deep learning. NeurIPS 2022.
    """

    start: Tensor
    slope: Tensor
    floor: Tensor
    ceiling: Tensor
    column: Tensor

    def __init__(self, edges: Sequence[Sequence[float]]) -> None:
        super().__init__()
        bins = [_bins(column) for column in edges]
        self.sizes = tuple(len(column) for column in bins)
        start, slope, floor, ceiling = (
            torch.tensor([b[i] for column in bins for b in column], dtype=torch.float32) for i in range(4)
        )
        # Not in the state: they come from the schema, which is saved beside the weights.
        self.register_buffer("start", start, persistent=False)
        self.register_buffer("slope", slope, persistent=False)
        self.register_buffer("floor", floor, persistent=False)
        self.register_buffer("ceiling", ceiling, persistent=False)
        column = torch.repeat_interleave(torch.tensor(self.sizes, dtype=torch.long))
        self.register_buffer("column", column, persistent=False)

    def forward(self, numeric: Tensor) -> Tensor:
        """``(N, F) -> (N, B)``, the bins of a column side by side, columns in order."""
        position = (numeric.index_select(1, self.column) - self.start) * self.slope
        return position.clamp(self.floor, self.ceiling)


def _bins(edges: Sequence[float]) -> list[tuple[float, float, float, float]]:
    """(start, 1 / width, lowest value, highest value) of the bins between and around inner edges."""
    if not edges:
        return [(0.0, 1.0, -math.inf, math.inf)]
    if any(not a < b for a, b in pairwise(edges)):
        raise DataError(f"expected increasing edges of bins, found {tuple(edges)}.", where="schema")
    first, last = (edges[1] - edges[0], edges[-1] - edges[-2]) if len(edges) > 1 else (1.0, 1.0)
    steps = list(pairwise([edges[0] - first, *edges, edges[-1] + last]))
    return [
        (a, 1 / (b - a), 0.0 if t > 0 else -math.inf, 1.0 if t < len(steps) - 1 else math.inf)
        for t, (a, b) in enumerate(steps)
    ]


def numeric_edges(spec: InputSpec) -> tuple[tuple[float, ...], ...]:
    """The inner edges of every numeric column; all empty when bins were not asked for."""
    edges = spec.edges or ((),) * spec.numeric
    if len(edges) != spec.numeric:
        raise DataError(f"expected edges for {spec.numeric} numeric columns, found {len(edges)}.", where="schema")
    return edges


def embedding_width(cardinality: int) -> int:
    """Width of the embedding of a column: twice the power of two at or above the root of its codes, at most 64.

    Up to 8 codes there is room for a one-hot code. Only five widths exist, so columns share few tables.

    >>> [embedding_width(c) for c in (2, 4, 5, 16, 17, 1000, 1_000_000)]
    [4, 4, 8, 8, 16, 64, 64]
    """
    return int(min(64, 2 ** (1 + math.ceil(math.log2(max(cardinality, 2)) / 2))))


class Embeddings(nn.Module):
    """Embeddings of categorical columns, side by side: ``(N, C) -> (N, sum of widths)``.

    Columns of equal width share one flat table with an offset per column: at most five look-ups however many columns.
    Weights start normal with variance 1 / width, so a column weighs as much as one standardised number.

    :param cardinalities: codes of each column, code 0 (missing or unseen) included.
    """

    def __init__(self, cardinalities: Sequence[int]) -> None:
        super().__init__()
        widths = [embedding_width(c) for c in cardinalities]
        self.tables = nn.ModuleList()
        self.columns: list[str] = []  # names of buffers
        for i, width in enumerate(sorted(set(widths))):
            columns = [c for c, w in enumerate(widths) if w == width]
            sizes = torch.tensor([cardinalities[c] for c in columns])
            table = nn.Embedding(int(sizes.sum()), width)
            nn.init.normal_(table.weight, std=width**-0.5)
            self.tables.append(table)
            self.register_buffer(f"columns_{i}", torch.tensor(columns), persistent=False)
            self.register_buffer(f"offsets_{i}", sizes.cumsum(0) - sizes, persistent=False)
        self.width = sum(widths)

    def forward(self, codes: Tensor) -> Tensor:
        """``(N, C) -> (N, sum of widths)``, narrow columns first."""
        parts = [
            table(codes.index_select(1, self.get_buffer(f"columns_{i}")) + self.get_buffer(f"offsets_{i}")).flatten(1)
            for i, table in enumerate(self.tables)
        ]
        return torch.cat(parts, 1)


class TableStem(nn.Module):
    """Inputs -> Features ``(N, width)``: numeric columns, binned or not, then embeddings.

    :param spec: the columns.
    :raises polytask.errors.DataError: there is no column.
    """

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        edges = numeric_edges(spec)
        self.numeric = PiecewiseLinear(edges) if any(edges) else nn.Identity()
        self.categorical = Embeddings(spec.cardinalities) if spec.cardinalities else None
        bins = sum(self.numeric.sizes) if isinstance(self.numeric, PiecewiseLinear) else spec.numeric
        self.width = bins + (self.categorical.width if self.categorical else 0)
        if not self.width:
            raise DataError(
                "the table has no feature column.",
                where="schema",
                do="Give at least one column besides the targets, or exclude fewer.",
            )

    def forward(self, inputs: Inputs) -> Features:
        """Features ``(N, width)``."""
        numeric: Tensor = self.numeric(inputs.numeric)
        if self.categorical is None:
            return Features(numeric)
        return Features(torch.cat([numeric, self.categorical(inputs.categorical)], 1))
