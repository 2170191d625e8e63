"""What a way of sharing asks of training: its penalty in the total, annealing, diagnostics in the record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from polytask.batch import InputSpec, Targets
from polytask.nets.encoders import MLP
from polytask.nets.encoders.encoder import Encoder
from polytask.nets.model import Model
from polytask.nets.sharing import LTB, AdaShare
from polytask.nets.sharing.hard import HardShared
from polytask.nets.sharing.sharing import Representation, Shared, Sharing
from polytask.tasks.task import Target

ADVANCED: list[float] = []


class PulledShared(HardShared):
    """A trunk whose squared length is penalised."""

    strength: float = 0.0

    def penalty(self, representation: Representation, targets: Targets) -> Tensor | None:
        return self.strength * sum((p.square().sum() for p in self.parameters()), torch.tensor(0.0))

    def diagnostics(self, representation: Representation) -> dict[str, Tensor]:
        return {"length": representation.values.norm()}

    def advance(self, progress: float) -> None:
        ADVANCED.append(progress)


@dataclass(frozen=True)
class Pulled(Sharing):
    """Hard sharing with a penalty."""

    strength: float = 0.0

    def build(self, encoder: Encoder, spec: InputSpec, targets: Sequence[Target]) -> Shared:
        built = PulledShared(encoder.build(spec), tuple(t.task.name for t in targets))
        built.strength = self.strength
        return built


def length(model: Model) -> float:
    return sum(float(p.detach().square().sum()) for p in model.shared_parameters())


def fitted(world, strength, **options):
    rows = torch.arange(len(world.table))
    trunk = MLP(width=8, dropout=0.0)
    return world.train(encoder=trunk, sharing=Pulled(strength), train=rows, validation=rows, **options)


def test_a_strong_penalty_shrinks_the_trunk(world):
    many = {"epochs": 40, "patience": 0, "lr": 0.01}
    assert length(fitted(world, 0.1, **many).model) < 0.3 * length(fitted(world, 0.0, **many).model)


def test_the_penalty_counts_once_however_many_batches_a_step_has(world):
    plain = {"epochs": 3, "optimizer": "sgd", "momentum": 0.0, "lr": 0.01}
    rows = len(world.table)
    whole = fitted(world, 0.5, batch_size=rows, **plain)
    half = fitted(world, 0.5, batch_size=-(-rows // 2), accumulate=2, **plain)
    for one, two in zip(whole.model.parameters(), half.model.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


def test_annealing_follows_the_epochs_and_diagnostics_reach_the_record(world):
    ADVANCED.clear()
    trained = fitted(world, 0.0, epochs=4, patience=0)
    assert ADVANCED == [0.0, 0.25, 0.5, 0.75]
    assert all(record.diagnostics["length"] > 0 for record in trained.history)


@pytest.mark.parametrize("sharing", [AdaShare(), LTB(branches=2)], ids=["adashare", "ltb"])
def test_training_goes_on_through_a_search_and_keeps_no_epoch_of_it(world, sharing):
    """At this rate no weight moves: with a patience of one, hard sharing stops at once, a search does not."""
    still = {"epochs": 10, "patience": 1, "lr": 1e-12, "optimizer": "sgd", "momentum": 0.0}
    assert len(world.train(encoder=MLP(width=8, depth=2), **still).history) < 4
    trained = world.train(encoder=MLP(width=8, depth=2), sharing=sharing, **still)
    assert len(trained.history) >= 8  # seven epochs of ten are warm-up and search
    assert trained.best_epoch >= 8
    assert set(trained.best_epoch_per_task.values()) <= {8, 9, 10}
