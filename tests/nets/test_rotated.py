"""RotoGrad as a way of sharing: the gradients of the module for loops of one's own, in one backward pass."""

from __future__ import annotations

import pytest
import torch
from nets_fakes import SPECS, TARGETS, make_inputs, make_targets, randomise_heads
from torch import nn

from polytask.batch import Targets
from polytask.errors import ConfigError
from polytask.nets.encoders import MLP
from polytask.nets.model import Model
from polytask.nets.rotograd import RotoGrad
from polytask.nets.sharing.rotated import Rotated

KIND = SPECS["columns"]
ROWS = 12


def build(**options):
    torch.manual_seed(0)
    model = Model(KIND, TARGETS, MLP(width=8, dropout=0.0), Rotated(rate=1.0, **options))
    randomise_heads(model)
    with torch.no_grad():
        model.sharing.generators.normal_(std=0.3)
    return model.train()


def twin(model, **options):
    """The module for loops of one's own, in the same state."""
    rotograd = RotoGrad(model.tasks, width=8, **options)
    with torch.no_grad():
        rotograd.generators.copy_(model.sharing.generators)
    return rotograd


def by_hand(model, rotograd, inputs, targets):
    """What RotoGrad's own backward adds to trunk, rotations and heads."""
    model.zero_grad()
    rotated = rotograd(model.sharing.stages(inputs))
    values = torch.stack([rotated[task] for task in model.tasks], 1)
    shared = model.sharing

    class Given(nn.Module):
        """Hands the heads what was rotated elsewhere."""

        is_linked = False

        def forward(self, inputs, tasks=None):
            return type(shared(make_inputs(1, KIND)))(values)

    model.sharing = Given()
    losses = model.losses(model(inputs), targets)
    model.sharing = shared
    rotograd.backward(dict(zip(losses.names, losses.values.unbind(), strict=True)), rotated)
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("options", [{}, {"scale": False}, {"size": 5}, {"burn_in": 1}])
def test_one_backward_pass_gives_what_the_module_gives(options):
    model, inputs = build(**options), make_inputs(ROWS, KIND)
    rotograd, targets = twin(model, **options), make_targets(ROWS, TARGETS, missing=0.2)
    for _ in range(3):
        expected = by_hand(model, rotograd, inputs, targets)
        turn = rotograd.generators.grad.clone()
        rotograd.zero_grad()
        model.zero_grad()
        model.losses(model(inputs), targets).values.sum().backward()
        found = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        torch.testing.assert_close(found.pop("sharing.generators"), turn, rtol=1e-4, atol=1e-6)
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6)
        with torch.no_grad():  # the lengths change from step to step
            for p in model.sharing.stages.parameters():
                p.mul_(1.1)
    if options.get("scale", True):
        torch.testing.assert_close(model.sharing.start, rotograd.start, rtol=1e-4, atol=1e-6)
        assert model.sharing.steps.tolist() == [3] * len(TARGETS)


def test_a_task_without_labels_keeps_its_rotation_and_its_memory():
    model, targets = build(), make_targets(ROWS, TARGETS, missing=0)
    absent = targets.values.clone()
    absent[:, targets.layout[model.tasks[0]]] = torch.nan
    model.losses(model(make_inputs(ROWS, KIND)), Targets(absent, targets.layout)).values.sum().backward()
    assert not model.sharing.generators.grad[0].any()
    assert model.sharing.generators.grad[1:].flatten(1).any(1).all()
    assert model.sharing.steps.tolist() == [0, *[1] * (len(TARGETS) - 1)]
    assert model.sharing.start.isnan().tolist() == [True, *[False] * (len(TARGETS) - 1)]


def test_a_gradient_that_is_not_finite_is_passed_on_and_not_remembered():
    model = build()
    values = model.sharing(make_inputs(ROWS, KIND)).values
    values.backward(torch.full_like(values, torch.nan))
    assert all(p.grad.isnan().any() for p in model.sharing.stages.parameters())
    assert not model.sharing.generators.grad.any()
    assert model.sharing.steps.tolist() == [0] * len(TARGETS)


def test_rotations_keep_lengths_and_are_the_same_in_evaluation():
    model, inputs = build(size=5), make_inputs(ROWS, KIND)
    z = model.sharing.stages(inputs)
    turned = model.sharing(inputs).values
    torch.testing.assert_close(turned.norm(dim=-1), z.norm(dim=-1)[:, None].expand(-1, len(TARGETS)))
    torch.testing.assert_close(turned[..., 5:], z[:, None, 5:].expand(-1, len(TARGETS), -1))
    assert not torch.allclose(turned[:, 0, :5], turned[:, 1, :5])
    with torch.no_grad():
        torch.testing.assert_close(model.sharing(inputs).values, turned)


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="1 to 8 features, found 9"):
        build(size=9)
    for wrong in ({"size": 0}, {"rate": 0.0}, {"burn_in": -1}):
        with pytest.raises(ConfigError):
            Rotated(**wrong)
