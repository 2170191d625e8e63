"""What gates gave to experts, read off the diagnostics of trainings."""

from __future__ import annotations

from math import isnan

import pytest

from polytask.record.layout import LayoutFacts, gates_of

DIAGNOSTICS = {"gate_share/a/b/1": 0.25, "gate_share/a/b/2": 0.75, "gate_entropy/a/b": 0.5, "expert_use": 0.9}


def test_gates_are_read_off_diagnostics() -> None:
    (gate,) = gates_of(DIAGNOSTICS)
    assert (gate.task, gate.experts, gate.shares, gate.entropy) == ("a/b", ("1", "2"), (0.25, 0.75), 0.5)
    assert gates_of({"own_layers": 1.0}) == ()
    (bare,) = gates_of({"gate_share/a/1": 1.0})
    assert isnan(bare.entropy)


def test_gates_of_several_trainings_are_averaged() -> None:
    bare = LayoutFacts("mmoe", ("a/b",), (), 1.0)
    other = {key: 1 - value for key, value in DIAGNOSTICS.items()}
    one, two = bare.with_gates(DIAGNOSTICS), bare.with_gates(other)
    (gate,) = one.mean_gates([one, two, None]).gates
    assert gate.shares == pytest.approx((0.5, 0.5))
    assert gate.entropy == pytest.approx(0.5)
