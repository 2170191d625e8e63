"""Shared-private, hierarchical, multi-level and branching trunks: who is reached, published penalties, extraction."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from nets_fakes import SPEC, TARGETS, coin, encoder_named, make_inputs, make_targets, randomise_heads, spec_for, square
from torch import Tensor

from polytask.batch import Features, Targets
from polytask.errors import ConfigError
from polytask.nets.encoders import ENCODERS, MLP, Encoder
from polytask.nets.model import Model
from polytask.nets.sharing import AITM, LTB, Hard, Hierarchical, MultiLevel, SharedPrivate, Sharing
from polytask.nets.sharing.aitm import attend
from polytask.nets.sharing.depths import groups_of
from polytask.nets.sharing.hierarchical import depths_of
from polytask.nets.sharing.labels import LabelEmbedding, soft_labels
from polytask.nets.sharing.reversal import reverse
from polytask.nets.sharing.shared_private import correlation, overlap, task_cross_entropy
from polytask.nets.sharing.side_heads import SideHead
from polytask.nets.sharing.successive import Snapshot, squared_distance
from polytask.tasks import Binary, Multiclass
from polytask.tasks.task import Target, Task

NAMES = tuple(target.task.name for target in TARGETS)
ROWS = 9
DEEP = MLP(width=8, depth=3, dropout=0.0)


def model_of(encoder: Encoder, way: Sharing, targets: tuple[Target, ...] = TARGETS) -> Model:
    torch.manual_seed(0)
    model = Model(SPEC, targets, encoder, way).eval()
    randomise_heads(model)
    return model


def double(*values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def penalty_of(model: Model, targets: Targets) -> Tensor | None:
    return model.sharing.penalty(model.sharing(make_inputs(ROWS)), targets)


# --- shared and private ---------------------------------------------------------------------------------------------


def test_overlap_is_the_frobenius_norm_of_the_paper() -> None:
    s, p = double([1.0, 0.0, 2.0], [0.0, 1.0, 1.0]), double([0.5, 1.0], [1.0, -1.0])
    assert float(overlap(s, p[:, None], torch.ones(2, 1).double())) == pytest.approx(8.25, rel=1e-12)


def test_correlation_is_that_of_domain_separation_networks() -> None:
    s = double([1.0, 0.0, 2.0], [0.0, 1.0, 1.0], [2.0, -1.0, 0.0], [1.0, 1.0, 1.0])
    p = double([0.5, 1.0], [1.0, -1.0], [0.0, 2.0], [-1.0, 0.5])[:, None]
    everyone = torch.ones(4, 1).double()
    assert float(correlation(s, p, everyone)) == pytest.approx(0.8497246597579741, rel=1e-12)
    assert float(overlap(s, p, everyone)) == pytest.approx(40.0, rel=1e-12)
    shift = double(3.0, -2.0, 1.0)
    assert float(correlation(s + shift, p - 5, everyone)) == pytest.approx(0.8497246597579741, rel=1e-9)


@pytest.mark.parametrize("measure", [overlap, correlation])
def test_orthogonal_columns_cost_nothing_and_absent_rows_do_not_count(measure: object) -> None:
    s = double([1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0])  # orthogonal to p, and centred
    p = double([1.0], [-1.0], [-1.0], [1.0])[:, None]
    assert float(measure(s, p, torch.ones(4, 1).double())) == pytest.approx(0.0, abs=1e-12)
    more_s, more_p = torch.cat([s, double([9.0, 9.0])]), torch.cat([p, double([7.0])[None]])
    present = double([1.0], [1.0], [1.0], [1.0], [0.0])
    assert float(measure(more_s, more_p, present)) == pytest.approx(0.0, abs=1e-12)


def test_the_gradient_is_reversed_and_scaled() -> None:
    logits = double([2.0, 0.0, -1.0], [0.0, 1.0, 0.0]).requires_grad_()
    shared = logits.detach().clone().requires_grad_()
    present = double([1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    loss = task_cross_entropy(logits, present)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.36064536674416836, rel=1e-12)
    plain = double(
        [-0.07810263275933027, 0.057097599692297246, 0.021005033067033024],
        [0.10597077880854272, -0.21194155761708544, 0.10597077880854272],
    )
    torch.testing.assert_close(logits.grad, plain, rtol=1e-10, atol=1e-12)
    passed = reverse(shared, 0.05)
    assert torch.equal(passed, shared)
    task_cross_entropy(passed, present).backward()
    torch.testing.assert_close(shared.grad, -0.05 * plain, rtol=1e-10, atol=1e-12)


def test_the_discriminator_learns_what_the_shared_space_forgets() -> None:
    model = model_of(DEEP, SharedPrivate(diff_weight=0.0, adversarial_weight=0.5))
    targets = make_targets(ROWS, missing=0.5)
    penalty_of(model, targets).backward()
    shared = model.sharing(make_inputs(ROWS)).side["shared"].detach().requires_grad_()
    present = torch.stack([~targets[name].isnan().all(1) for name in NAMES], 1).float()
    discriminator = model.sharing.discriminator
    loss = 0.5 * task_cross_entropy(discriminator(shared), present)
    own, into = torch.autograd.grad(loss, [discriminator.weight, shared])
    torch.testing.assert_close(discriminator.weight.grad, own)
    (straight,) = torch.autograd.grad(
        model.sharing(make_inputs(ROWS)).side["shared"], model.sharing.stages.blocks[2].linear.weight, into
    )
    torch.testing.assert_close(model.sharing.stages.blocks[2].linear.weight.grad, -straight)
    assert all(p.grad is None for p in model.sharing.private.parameters())


def test_heads_read_shared_then_private() -> None:
    model = model_of(DEEP, SharedPrivate())
    representation = model.sharing(make_inputs(ROWS))
    for t in range(len(NAMES)):
        torch.testing.assert_close(representation.values[:, t, :8], representation.side["shared"])
        torch.testing.assert_close(representation.values[:, t, 8:], representation.side["private"][:, t])
    assert penalty_of(model_of(DEEP, SharedPrivate(diff_weight=0.0)), make_targets(ROWS)) is None


# --- tasks at depths ------------------------------------------------------------------------------------------------


def family(**parents: tuple[str, ...]) -> tuple[Target, ...]:
    return tuple(replace(t, task=replace(t.task, parents=parents.get(t.task.name, ()))) for t in TARGETS)


def tasks(**parents: tuple[str, ...]) -> list[Task]:
    return [target.task for target in family(**parents)]


def test_generations_are_spread_over_the_blocks() -> None:
    assert set(depths_of(tasks(), {}, 3).values()) == {3}
    assert depths_of(tasks(c=("a",)), {}, 4) == {"a": 2, "b.x": 2, "c": 4, "d": 2}
    assert depths_of(tasks(c=("a",), d=("c",)), {"b.x": 1}, 3) == {"a": 1, "b.x": 1, "c": 2, "d": 3}
    assert groups_of(5, 2) == [range(3), range(3, 5)]


@pytest.mark.parametrize(
    ("parents", "depths", "blocks", "message"),
    [
        ({"c": ("a",)}, {"a": 3, "c": 2}, 3, "parent 'a' is at depth 3"),
        ({"c": ("a",)}, {"a": 2, "c": 2}, 3, "parent 'a' is at depth 2"),
        ({}, {"a": 4}, 3, "from 1 to 3, found 4"),
        ({"c": ("a",), "d": ("c",)}, {}, 2, "3 generations, the encoder has 2 blocks"),
    ],
)
def test_impossible_depths_are_refused(
    parents: dict[str, tuple[str, ...]], depths: dict[str, int], blocks: int, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        depths_of(tasks(**parents), depths, blocks)


@pytest.mark.parametrize("embeddings", [False, True])
def test_a_low_task_teaches_no_block_above_it(embeddings: bool) -> None:
    model = model_of(DEEP, Hierarchical(label_embeddings=embeddings), family(c=("a",), d=("c",)))
    assert model.sharing.depths == {"a": 1, "b.x": 1, "c": 2, "d": 3}
    targets = make_targets(ROWS, missing=0)
    for task, depth in model.sharing.depths.items():
        model.zero_grad()
        losses = model.losses(model(make_inputs(ROWS)), targets)
        losses.values[losses.names.index(task)].backward()
        gradients = [block.linear.weight.grad for block in model.sharing.blocks]
        reached = [g is not None and bool(g.any()) for g in gradients]
        assert reached == [i < depth for i in range(3)]


def test_without_parents_and_depths_it_is_hard_sharing() -> None:
    ours, hard = model_of(DEEP, Hierarchical()), model_of(DEEP, Hard())
    expected = hard.sharing(make_inputs(ROWS)).values
    for t in range(len(NAMES)):
        torch.testing.assert_close(ours.sharing(make_inputs(ROWS)).values[:, t], expected)


def test_a_certain_label_is_looked_up() -> None:
    label = LabelEmbedding(replace(coin("a"), task=Multiclass("a"), start=(0.0, 0.0, 0.0)), 5)
    certain = torch.tensor([[0.0, 500.0, 0.0], [500.0, 0.0, 0.0]])
    torch.testing.assert_close(label(certain), label.embedding[[1, 0]])
    even = label(torch.zeros(1, 3))
    torch.testing.assert_close(even[0], label.embedding.mean(0))
    p = torch.tensor(0.3)
    torch.testing.assert_close(soft_labels(Binary("a"), p.logit()[None, None])[0], torch.tensor([0.7, 0.3]))


@pytest.mark.parametrize("shape", [(2, 5), (2, 4, 5), (2, 5, 3, 3)])
def test_a_label_is_added_everywhere(shape: tuple[int, ...]) -> None:
    label = LabelEmbedding(coin("a"), 5)
    values, outputs = torch.randn(shape), torch.randn(2, 1)
    added = label.add(Features(values), outputs).values - values
    channels_last = added.movedim(1, -1) if added.ndim == 4 else added
    for row, vector in zip(channels_last, label(outputs), strict=True):
        everywhere = row.reshape(-1, 5)
        torch.testing.assert_close(everywhere, vector.expand_as(everywhere))


def test_what_a_child_reads_of_its_parent_learns_from_the_parents_labels() -> None:
    model = model_of(DEEP, Hierarchical(label_weight=2.0), family(c=("a",)))
    targets = make_targets(ROWS)
    first = penalty_of(model.train(), targets)
    assert float(first.detach()) == pytest.approx(2.0, rel=1e-5)  # the constant predictor, in its own units
    optimizer = torch.optim.SGD(model.sharing.labels.parameters(), lr=0.5)
    for _ in range(400):
        optimizer.zero_grad()
        penalty_of(model, targets).backward()
        optimizer.step()
    assert float(penalty_of(model, targets).detach()) < 1.9
    before = model.answers(model(make_inputs(ROWS)))["c"].detach()
    with torch.no_grad():
        model.sharing.labels[0].embedding.add_(1.0)
    after = model.answers(model(make_inputs(ROWS)))
    assert not torch.allclose(before, after["c"])


def test_successive_regularisation() -> None:
    theta, before = double(1.0, 2.0), double(0.5, 2.5)
    assert 0.1 * float(squared_distance(theta, before)) == pytest.approx(0.05, rel=1e-12)
    model = model_of(DEEP, Hierarchical(successive_weight=0.1)).train()
    model.sharing.advance(0.0)
    assert float(penalty_of(model, make_targets(ROWS)).detach()) == 0.0
    with torch.no_grad():
        model.sharing.blocks[0].linear.bias.add_(0.5)
    assert float(penalty_of(model, make_targets(ROWS)).detach()) == pytest.approx(0.1 * 8 * 0.25, rel=1e-5)
    model.sharing.advance(0.0)  # resumed within the epoch: the snapshot stays
    assert float(penalty_of(model, make_targets(ROWS)).detach()) > 0
    model.sharing.advance(0.5)
    assert float(penalty_of(model, make_targets(ROWS)).detach()) == 0.0
    assert isinstance(model.sharing.before, Snapshot)


# --- heads at several depths ----------------------------------------------------------------------------------------


def test_answers_of_all_depths_are_a_sum_of_heads() -> None:
    model, inputs = model_of(DEEP, MultiLevel()), make_inputs(ROWS)
    shared = model.sharing
    features, pooled = shared.stem(inputs), []
    for block in shared.blocks:
        features = block(features)
        pooled.append(features.values)
    head = model.groups[0].head("c")
    parts = [values @ weight.T for values, weight in zip(pooled, head["weight"].split(8, 1), strict=True)]
    torch.testing.assert_close(model.answers(model(inputs))["c"], sum(parts) + head["bias"])


def test_side_heads_start_at_one_and_teach_lower_blocks_alone() -> None:
    model = model_of(DEEP, MultiLevel(side_weight=0.5, answer="last")).train()
    weights = sum(target.task.weight for target in TARGETS)
    targets = make_targets(ROWS)
    first = penalty_of(model, targets)
    assert float(first.detach()) == pytest.approx(0.5 * weights, rel=1e-5)
    with torch.no_grad():
        for head in model.sharing.side.modules():
            if isinstance(head, SideHead):
                head.weight.normal_()
    penalty_of(model, targets).backward()
    reached = [block.linear.weight.grad is not None for block in model.sharing.blocks]
    assert reached == [True, True, False]
    hard = model_of(DEEP, Hard())
    expected = hard.answers(hard(make_inputs(ROWS)))
    assert {k: v.shape for k, v in model.answers(model(make_inputs(ROWS))).items()} == {
        k: v.shape for k, v in expected.items()
    }


def test_a_side_head_measures_in_units_of_the_constant_predictor() -> None:
    target = square("a", 0.5)
    head = SideHead(target, 3)
    labels = torch.tensor([[2.5], [torch.nan], [-1.5]])
    targets = Targets(labels, {"a": slice(0, 1)})
    outputs = torch.tensor([[1.5], [torch.inf], [-1.5]])
    assert float(head.loss(outputs, targets)) == pytest.approx((1.0 + 0.0) / (4.0 + 4.0))
    assert float(head.unit) == pytest.approx(4.0)
    nothing = head.loss(outputs, Targets(torch.full((3, 1), torch.nan), {"a": slice(0, 1)}))
    assert (float(nothing), float(head.unit)) == (0.0, pytest.approx(4.0))


# --- branches -------------------------------------------------------------------------------------------------------


def test_one_branch_is_hard_sharing() -> None:
    ours, hard = model_of(DEEP, LTB(branches=1)), model_of(DEEP, Hard())
    expected = hard.sharing(make_inputs(ROWS)).values
    for t in range(len(NAMES)):
        torch.testing.assert_close(ours.sharing(make_inputs(ROWS)).values[:, t], expected)


@pytest.mark.parametrize("name", list(ENCODERS))
def test_the_tree_is_extracted_into_a_plain_network(name: str) -> None:
    encoder = encoder_named(name, **({} if name == "hf" else {"depth": 3}))
    spec = spec_for(encoder)
    torch.manual_seed(0)
    shared = Model(spec, TARGETS, encoder, LTB(branches=3)).eval().sharing
    with torch.no_grad():
        shared.ends.values.copy_(torch.eye(3)[[0, 0, 1, 2]])
        shared.parents.values.copy_(torch.eye(3)[torch.tensor([[1, 1, 0], [2, 0, 1]])])
    assert shared.paths()[0] == ((0, 0), (1, 2), (2, 0))
    tree = shared.extract()
    inputs = make_inputs(ROWS, spec)
    torch.testing.assert_close(tree(inputs).values, shared(inputs).values, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(tree(inputs, ("d",)).values, shared(inputs, ("d",)).values, rtol=1e-4, atol=1e-5)
    assert sum(p.numel() for p in tree.parameters()) < sum(p.numel() for p in shared.parameters())
    owned = [p for task in NAMES for p in tree.task_parameters(task)] + list(tree.shared_parameters())
    assert sorted(map(id, owned)) == sorted(map(id, tree.parameters()))
    assert {key.split(".")[1] for key in tree.task_state("d")} >= {"block_2_branch_2"}


def test_the_phases_of_branching() -> None:
    shared = model_of(DEEP, LTB(branches=3, warmup=0.2, search=0.8)).sharing.train()
    logits = torch.tensor([[0.0, 5.0, 0.0]], requires_grad=True)
    shared.advance(0.0)
    torch.testing.assert_close(shared._choice(logits), torch.full((1, 3), 1 / 3))
    shared.advance(0.5)
    torch.manual_seed(1)
    drawn = shared._choice(logits.expand(200, 3))
    torch.testing.assert_close(drawn.detach().sort(-1).values, torch.tensor([0.0, 0.0, 1.0]).expand(200, 3))
    assert 1 < len(drawn.detach().argmax(-1).unique()) <= 3
    shared.advance(0.9)
    assert shared._choice(logits).tolist() == [[0.0, 1.0, 0.0]]
    shared.advance(0.0)
    assert shared.eval()._choice(logits).tolist() == [[0.0, 1.0, 0.0]]


# --- chains of tasks ------------------------------------------------------------------------------------------------


def test_tokens_attend_to_themselves() -> None:
    q = double([0.4, 0.5, 0.1, -0.2], [0.2, 0.0, 0.3, 1.0])
    k = double([0.2, 0.0, 0.3, 1.0], [1.4, 1.5, 1.1, 0.8])
    v = double([1.0, 0.0, 2.0, 1.0], [0.0, 1.0, 1.0, 1.0])
    out, weights = attend(q[None], k[None], v[None])
    torch.testing.assert_close(weights[0], double(0.320821300824607, 0.6791786991753931), rtol=1e-12, atol=1e-12)
    expected = double(0.320821300824607, 0.6791786991753931, 1.320821300824607, 1.0)
    torch.testing.assert_close(out[0], expected, rtol=1e-12, atol=1e-12)


def test_a_child_reads_its_parents_and_nobody_else() -> None:
    model = model_of(DEEP, AITM(), family(c=("a",), d=("c", "a")))
    inputs = make_inputs(ROWS)
    representation = model.sharing(inputs)
    representation.values[:, NAMES.index("c")].sum().backward()
    gradient = model.sharing.trunks.blocks[0].copies.linear.weight.grad
    assert [bool(g.any()) for g in gradient] == [name in ("a", "c") for name in NAMES]
    assert {name: tuple(w.shape) for name, w in representation.side.items()} == {
        "transfer/c": (ROWS, 2),
        "transfer/d": (ROWS, 3),
    }
    found = model.sharing.diagnostics(representation)
    by_hand = representation.side["transfer/d"][:, 1:].sum(1).mean().detach()
    assert float(found["from_parents/d"]) == pytest.approx(float(by_hand), rel=1e-5)


def test_without_parents_every_task_has_its_own_trunk() -> None:
    model = model_of(DEEP, AITM())
    assert list(model.sharing.shared_parameters()) == list(model.sharing.stem.parameters())
    assert all(list(model.sharing.task_parameters(name)) for name in NAMES)
