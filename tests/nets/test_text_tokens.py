"""What encoders of texts put out, and gates that weigh for every token of it."""

from __future__ import annotations

import pytest
import torch

from polytask.batch import Features
from polytask.nets.encoders.tokens import TokenRows, token_rows
from polytask.nets.sharing.gates import summary


@pytest.mark.parametrize("pooling", ["first", "mean"])
def test_windows_come_first_then_all_tokens(pooling: str) -> None:
    values = torch.randn(3, 4, 2)
    mask = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]]).bool()
    rows = TokenRows(pooling)(Features(values, mask))  # type: ignore[arg-type]
    assert rows.shape == (3 + 12, 2)
    for r in range(3):
        real = values[r][mask[r]]
        expected = values[r, 0] if pooling == "first" else (real.mean(0) if len(real) else torch.zeros(2))
        torch.testing.assert_close(rows[r], expected)
        for t in range(4):
            assert torch.equal(rows[3 + 4 * r + t], values[r, t])


def test_leading_dimensions_are_kept() -> None:
    values, mask = torch.randn(2, 5, 3, 4, 2), torch.rand(3, 4) < 0.7
    rows = token_rows(Features(values, mask))
    assert rows.shape == (2, 5, 15, 2)
    torch.testing.assert_close(rows[1, 3], token_rows(Features(values[1, 3], mask)))
    assert token_rows(Features(values[:, :, :0], mask[:0])).shape == (2, 5, 0, 2)


def test_without_a_mask_all_tokens_are_real() -> None:
    values = torch.randn(3, 4, 2)
    torch.testing.assert_close(token_rows(Features(values)), token_rows(Features(values, torch.ones(3, 4).bool())))


def test_a_gate_per_token_reads_what_the_pool_puts_out() -> None:
    features = Features(torch.randn(2, 3, 4), torch.tensor([[True, True, False], [True, True, True]]))
    assert torch.equal(summary(features, per_token=True), token_rows(features))
    torch.testing.assert_close(summary(features), token_rows(features)[:2])
