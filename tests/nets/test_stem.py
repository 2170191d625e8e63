"""Columns as vectors."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nets_fakes import SPEC, make_inputs

from polytask.batch import Inputs, InputSpec
from polytask.errors import DataError
from polytask.nets.encoders.stem import Embeddings, PiecewiseLinear, TableStem, embedding_width


def test_piecewise_linear_by_hand() -> None:
    # inner edges 0, 1, 3: bins [-1, 0), [0, 1), [1, 3), [3, 5) with open ends; then a column without edges
    encode = PiecewiseLinear([(0.0, 1.0, 3.0), ()])
    numeric = torch.tensor([[2.0, 9.0], [7.0, -9.0], [-3.0, 0.0], [0.25, 1.0], [1.0, 1.0]])
    expected = [
        [1.0, 1.0, 0.5, 0.0, 9.0],
        [1.0, 1.0, 1.0, 2.0, -9.0],
        [-2.0, 0.0, 0.0, 0.0, 0.0],
        [1.0, 0.25, 0.0, 0.0, 1.0],
        [1.0, 1.0, 0.0, 0.0, 1.0],
    ]
    torch.testing.assert_close(encode(numeric), torch.tensor(expected))


def test_one_inner_edge_makes_two_bins_of_width_one() -> None:
    encode = PiecewiseLinear([(2.0,)])
    torch.testing.assert_close(
        encode(torch.tensor([[1.5], [2.0], [4.5]])), torch.tensor([[0.5, 0.0], [1.0, 0.0], [1.0, 2.5]])
    )


@given(
    st.lists(st.integers(-50, 50), min_size=1, max_size=6, unique=True).map(sorted),
    st.lists(st.floats(-100, 100, width=32), min_size=2, max_size=8),
)
@settings(max_examples=50, deadline=None)
def test_piecewise_linear_is_the_papers_formula(edges: list[int], values: list[float]) -> None:
    first, last = (edges[1] - edges[0], edges[-1] - edges[-2]) if len(edges) > 1 else (1, 1)
    bounds = [edges[0] - first, *edges, edges[-1] + last]
    bins = len(bounds) - 1

    def component(x: float, t: int) -> float:
        if x < bounds[t - 1] and t > 1:
            return 0.0
        if x >= bounds[t] and t < bins:
            return 1.0
        return (x - bounds[t - 1]) / (bounds[t] - bounds[t - 1])

    encoded = PiecewiseLinear([tuple(map(float, edges))])(torch.tensor(values)[:, None])
    expected = torch.tensor([[component(x, t) for t in range(1, bins + 1)] for x in values])
    torch.testing.assert_close(encoded, expected, rtol=1e-5, atol=1e-4)


def test_edges_must_increase_and_fit() -> None:
    with pytest.raises(DataError, match="increasing"):
        PiecewiseLinear([(1.0, 1.0)])
    with pytest.raises(DataError, match="expected edges for 2"):
        TableStem(InputSpec(numeric=2, edges=((0.0,),)))


def test_width_of_embeddings() -> None:
    assert [embedding_width(c) for c in (1, 2, 3, 4, 5, 8, 16, 17, 64, 65, 256, 257, 10**6)] == [
        4, 4, 4, 4, 8, 8, 8, 16, 16, 32, 32, 64, 64,
    ]  # fmt: skip


def test_embeddings_look_up_each_column_in_its_own_rows() -> None:
    cardinalities = (3, 20, 4, 2)
    embeddings = Embeddings(cardinalities)
    narrow, wide = embeddings.tables  # widths 4 and 16
    with torch.no_grad():
        narrow.weight.copy_(torch.arange(9.0)[:, None].expand(9, 4))
        wide.weight.copy_(100 + torch.arange(20.0)[:, None].expand(20, 16))
    got = embeddings(torch.tensor([[2, 19, 3, 1], [0, 0, 0, 0]]))
    # columns 0, 2 and 3 are narrow, with offsets 0, 3 and 7
    assert got[:, [0, 4, 8, 12]].tolist() == [[2, 6, 8, 119], [0, 3, 7, 100]]
    assert got.shape == (2, embeddings.width) == (2, 28)
    assert sum(p.numel() for p in embeddings.parameters()) == 9 * 4 + 20 * 16


def test_many_columns_share_few_tables() -> None:
    assert len(Embeddings([*range(1, 2000, 7)]).tables) == 5


def test_an_embedding_weighs_as_much_as_a_number() -> None:
    torch.manual_seed(0)
    for table in Embeddings([4000, 8, 250] * 20).tables:
        assert table.weight.detach().square().sum(1).mean().item() == pytest.approx(1, abs=0.2)


def test_table_stem_puts_numbers_before_embeddings() -> None:
    stem = TableStem(SPEC)
    inputs = make_inputs(5)
    values = stem(inputs).values
    assert values.shape == (5, stem.width) == (5, 4 + 1 + 2 + 1 + 4 + 16)
    assert torch.equal(values[:, 4], inputs.numeric[:, 1])
    assert torch.equal(values[:, 7], inputs.numeric[:, 3])


def test_plain_numbers_pass_unchanged() -> None:
    inputs = Inputs(torch.randn(3, 2), torch.zeros(3, 0, dtype=torch.long))
    assert torch.equal(TableStem(InputSpec(numeric=2))(inputs).values, inputs.numeric)
