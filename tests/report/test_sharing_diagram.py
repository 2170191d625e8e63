"""The diagram of who shares what."""

from __future__ import annotations

from polytask.record.layout import GateFacts, LayoutFacts, PartFacts
from polytask.report.sharing import WIDEST, diagram

PARTS = (
    PartFacts("block 1", "shared", ("a", "b"), (60,)),
    PartFacts("trunk", "read", ("a", "b"), (10, 10)),
    PartFacts("head", "own", ("b",), (20,)),
)


def test_parts_and_shares() -> None:
    gates = (GateFacts("a", ("1", "2"), (1.0, 0.0), 0.0), GateFacts("b", ("1", "2"), (0.995, 0.005), 0.03))
    found = diagram(LayoutFacts("mmoe", ("a", "b"), PARTS, 1200.0, gates), "model")
    assert [[cell.text for cell in row.cells] for row in found.parts] == [["60"], ["10", "10"], ["", "20"]]
    assert found.parts[0].cells[0].span == 2
    assert dict(found.facts)["Shared by all"] == "60 (60.0 %)"
    assert found.gates[0].cells[1].strength == 0.995
    assert found.notes == ("Collapsed to one expert: the gate of a, b.", "Used by no gate: expert 2.")


def test_many_tasks_are_not_all_drawn() -> None:
    tasks = tuple(f"t{i}" for i in range(WIDEST + 5))
    found = diagram(LayoutFacts("hard", tasks, (PartFacts("head", "own", tasks, (1,) * len(tasks)),), 1.0), "model")
    assert len(found.parts[0].cells) == WIDEST
    assert found.hidden == 5
    assert found.gates == ()
