"""The stateful shell: gradients, tasks that come and go, reuse of weights, errors."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from lightning_fabric import Fabric

from polytask.balancing import METHODS, Balancer, Combiner, Evidence, Law, Need, Weigher
from polytask.balancing.one_shot import answer
from polytask.batch import TaskLosses
from polytask.errors import ConfigError, TrainingError, UnknownNameError, UserError

EXAMPLES = {
    "fixed": {"weights": {"a": 1.0, "b": 0.25, "c": 0.0, "d": 3.0}},
    "gcs": {"main": ["a"]},
    "ol_aux": {"main": ["a"]},
    "cr_mogm": {"method": {"name": "imtl_l", "lr": 0.1}},
}
NAMES = ("a", "b", "c", "d")


def config(name):
    return {"name": name, **EXAMPLES.get(name, {})}


class Toy:
    """Four losses of one shared parameter, each with a head of its own."""

    def __init__(self, seed=0, dtype=torch.float64):
        rng = torch.Generator().manual_seed(seed)
        self.trunk = torch.randn(6, generator=rng, dtype=dtype).requires_grad_()
        self.heads = torch.randn(4, 6, generator=rng, dtype=dtype).requires_grad_()

    def losses(self, tasks=NAMES):
        rows = [NAMES.index(task) for task in tasks]
        return {task: (self.heads[row] * self.trunk).square().mean() for task, row in zip(tasks, rows, strict=True)}

    def task_losses(self, tasks=NAMES):
        values = torch.stack(list(self.losses(tasks).values()))
        return TaskLosses(tuple(tasks), values, torch.ones(len(tasks)))

    def gradients(self):
        return self.trunk.grad, self.heads.grad


@pytest.mark.parametrize("as_task_losses", [True, False])
@pytest.mark.parametrize("name", list(METHODS))
def test_fills_grad_with_the_weighted_sum_of_task_gradients(name, as_task_losses):
    toy = Toy()
    balancer = Balancer(config(name))
    step = balancer.backward(toy.task_losses() if as_task_losses else toy.losses(), shared=[toy.trunk])
    assert tuple(step.weights) == tuple(step.losses) == step.names == NAMES
    twin = Toy()
    rows = [torch.autograd.grad(loss, (twin.trunk, twin.heads)) for loss in twin.losses().values()]
    trunk, heads = (torch.stack(part) for part in zip(*rows, strict=True))
    weights = torch.tensor(list(step.weights.values()), dtype=trunk.dtype)
    if isinstance(balancer.method, Combiner):
        evidence = Evidence(step.loss_values, trunk @ trunk.T, trunk)
        state = balancer.method.init(NAMES, evidence.like(Need.JACOBIAN))
        update = answer(balancer.method, evidence, state, torch.Generator().manual_seed(0))[0]
    else:
        update = weights @ trunk
    plain = balancer.method.needs is not Need.LOSSES  # then heads get their own gradient as it is
    expected = heads.sum(0) if plain else torch.einsum("t,thp->hp", weights, heads)
    torch.testing.assert_close(toy.trunk.grad, update, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(toy.heads.grad, expected, rtol=1e-12, atol=1e-14)


def test_equal_is_bit_for_bit_the_sum_for_two_tasks():
    toy, plain = Toy(), Toy()
    Balancer().backward(toy.losses(("a", "b")))
    sum(plain.losses(("a", "b")).values()).backward()
    assert torch.equal(toy.trunk.grad, plain.trunk.grad)


def test_scale_and_accumulation():
    toy, plain = Toy(), Toy()
    balancer = Balancer("equal")
    for _ in range(4):
        balancer.backward(toy.losses(), scale=0.25)
    sum(plain.losses().values()).backward()
    torch.testing.assert_close(toy.trunk.grad, plain.trunk.grad, rtol=1e-12, atol=0)


def test_fabric_and_a_gradient_scaler_do_the_backward_pass():
    toy, plain = Toy(), Toy()
    fabric = Fabric(accelerator="cpu", devices=1)
    Balancer("gls").backward(toy.losses(), backward=fabric.backward)
    Balancer("gls").backward(plain.losses())
    assert torch.equal(toy.trunk.grad, plain.trunk.grad)
    scaled = Toy()
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    Balancer("gls").backward(scaled.losses(), backward=lambda total: scaler.scale(total).backward())
    torch.testing.assert_close(scaled.trunk.grad, 1024 * plain.trunk.grad, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_losses_are_weighed_in_float32(dtype):
    losses = torch.tensor([1e-3, 2.0], dtype=dtype, requires_grad=True)
    step = Balancer("log").backward(TaskLosses(("a", "b"), losses, torch.ones(2)))
    assert step.weight_values.dtype == torch.float32
    assert losses.grad.dtype == dtype
    torch.testing.assert_close(step.weight_values, 1 / losses.detach().float())


@pytest.mark.parametrize("name", [name for name in METHODS if Law.EQUIVARIANT in METHODS.find(name).laws])
def test_order_of_the_tasks_in_the_batch_does_not_matter(name):
    one, two = Balancer(config(name)), Balancer(config(name))
    toy = Toy()
    for step in range(6):
        order = NAMES[step % 4 :] + NAMES[: step % 4]
        forward = one.backward(toy.losses(), shared=[toy.trunk])
        turned = two.backward(toy.losses(order), shared=[toy.trunk])
        for task in NAMES:
            assert turned.weights[task] == pytest.approx(forward.weights[task], rel=1e-9, nan_ok=True)
        with torch.no_grad():
            toy.trunk *= 0.9
        if step % 2:
            one.epoch_end()
            two.epoch_end()


@pytest.mark.parametrize("name", ["uncertainty", "imtl_l", "revised_uncertainty", "dwa"])
def test_an_absent_task_keeps_its_memory_and_a_new_one_starts_afresh(name):
    balancer, toy = Balancer(name), Toy()
    for _ in range(3):
        balancer.backward(toy.losses(("a", "b")))
    rows = balancer.state_dict()["tensors"]
    balancer.backward(toy.losses(("c", "a")))
    later = balancer.state_dict()
    assert later["meta"]["tasks"] == ["a", "b", "c"]
    alone = Balancer(name)
    alone.backward(toy.losses(("c",)))
    first = alone.state_dict()["tensors"]
    steps = {key.removeprefix("method."): value for key, value in later["tensors"].items() if key != "rng"}
    assert steps["steps"].tolist() == [4.0, 3.0, 1.0]
    for key, now in steps.items():
        before = rows[f"method.{key}"]
        torch.testing.assert_close(now[1], before[1], rtol=0, atol=0, equal_nan=True)  # absent: unchanged
        torch.testing.assert_close(now[2], first[f"method.{key}"][0], equal_nan=True)  # new: as if alone


def test_none_means_absent():
    toy = Toy()
    step = Balancer().backward({**toy.losses(("a", "b")), "c": None})
    assert step.names == ("a", "b")


def test_dwa_skips_epochs_without_the_task():
    balancer = Balancer("dwa")

    def epoch(**losses):
        tensors = {k: torch.tensor(v, dtype=torch.float64, requires_grad=True) for k, v in losses.items()}
        weights = balancer.backward(tensors).weights
        balancer.epoch_end()
        return weights

    epoch(a=2.0, b=1.0)
    epoch(a=2.0)
    epoch(a=2.0, b=0.5)
    # a: 2/2 = 1; b: 0.5/1, its last two epochs; softmax over tau = 2
    found = epoch(a=2.0, b=0.5)
    ea, eb = torch.tensor([1 / 2, 0.5 / 2], dtype=torch.float64).exp().tolist()
    assert found == pytest.approx({"a": 2 * ea / (ea + eb), "b": 2 * eb / (ea + eb)}, rel=1e-12)


def test_every_reuses_weights_and_renews_them_on_time():
    balancer, toy = Balancer("rlw", every=3), Toy()
    traces = [balancer.backward(toy.losses()).weight_values for _ in range(9)]
    fresh = [not torch.equal(one, two) for one, two in pairwise(traces)]
    assert fresh == [False, False, True, False, False, True, False, False]


def test_every_counts_by_task():
    """Two sources in turn: each is renewed at its own third batch, and a new task is weighed at once."""
    balancer, toy = Balancer("rlw", every=2), Toy()
    sources = [("a", "b"), ("c", "d")] * 4
    traces = [balancer.backward(toy.losses(tasks)).weight_values for tasks in sources]
    for source in (traces[0::2], traces[1::2]):
        assert torch.equal(source[0], source[1])
        assert not torch.equal(source[1], source[2])
        assert torch.equal(source[2], source[3])


def test_seeds_decide_and_the_global_generator_does_not():
    toy = Toy()

    def draw(seed):
        torch.manual_seed(seed + 17)
        return Balancer("rlw", seed=seed).backward(toy.losses()).weight_values

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))
    before = torch.get_rng_state()
    Balancer("rlw").backward(toy.losses())
    assert torch.equal(before, torch.get_rng_state())


@dataclass(frozen=True)
class HalfEach(Weigher):
    """A method of a third party."""

    needs = Need.LOSSES
    factor: float = 0.5

    def weigh(self, evidence, state, rng):
        return torch.full_like(evidence.losses, self.factor), state


def test_a_third_partys_method_by_its_path():
    balancer = Balancer({"name": f"{__name__}:HalfEach", "factor": 0.25})
    assert balancer.backward(Toy().losses()).weights == dict.fromkeys(NAMES, 0.25)
    assert balancer.state_dict()["meta"]["method"] == {"name": f"{__name__}:HalfEach", "factor": 0.25}


@dataclass(frozen=True)
class NeedsGramian(Weigher):
    """Wants more than the losses."""

    needs = Need.GRAMIAN

    def weigh(self, evidence, state, rng):
        return evidence.gramian.diagonal(), state


@dataclass(frozen=True)
class Combines(Combiner):
    """Answers with an update."""

    def combine(self, evidence, state, rng):
        return evidence.jacobian.sum(0), state


def test_a_third_partys_methods_on_gradients():
    toy, twin = Toy(), Toy()
    rows = torch.stack([torch.autograd.grad(loss, twin.trunk)[0] for loss in twin.losses().values()])
    step = Balancer(NeedsGramian()).backward(toy.losses(), shared=[toy.trunk])
    torch.testing.assert_close(step.weight_values, rows.square().sum(1), rtol=1e-12, atol=0)
    torch.testing.assert_close(toy.trunk.grad, rows.square().sum(1) @ rows, rtol=1e-12, atol=0)
    toy.trunk.grad = None
    step = Balancer(Combines()).backward(toy.losses(), shared=[toy.trunk])
    torch.testing.assert_close(toy.trunk.grad, rows.sum(0), rtol=1e-12, atol=0)
    assert step.weight_values.isnan().all()


def test_unknown_method_offers_the_nearest_name():
    with pytest.raises(UnknownNameError, match="Did you mean 'uncertainty'"):
        Balancer("uncertanty")


@pytest.mark.parametrize(
    ("method", "key"),
    [
        ({"name": "dwa", "tau": 0.0}, "tau"),
        ({"name": "uncertainty", "lr": -1.0}, "lr"),
        ({"name": "uncertainty", "form": "regresion"}, "form"),
        ({"name": "imtl_l", "rate": 1.0}, "rate"),
        ({"name": "fixed"}, "weights"),
        ({"name": "fixed", "weights": {"a": -1.0}}, "weights.a"),
    ],
)
def test_wrong_hyperparameters_name_the_key(method, key):
    with pytest.raises(ConfigError, match=key):
        Balancer(method)


def test_every_below_one_is_refused():
    with pytest.raises(ConfigError, match="every >= 1, found 0"):
        Balancer(every=0)


def test_no_losses():
    for nothing in ({}, {"a": None}, TaskLosses((), torch.empty(0, requires_grad=True), torch.empty(0))):
        with pytest.raises(UserError, match="at least one task, found none"):
            Balancer().backward(nothing)


def test_a_loss_that_is_no_scalar_has_no_gradient_or_is_no_tensor_names_the_task():
    good = Toy().losses(("a",))
    for bad, says in [
        (torch.ones(3, requires_grad=True), r"'b'.*shape \(3,\)"),
        (torch.tensor(1.0), "'b'.*constant"),
        (1.5, "'b'.*float"),
    ]:
        with pytest.raises(UserError, match=says):
            Balancer().backward({**good, "b": bad})


def test_task_losses_of_the_wrong_shape_or_without_gradient():
    with pytest.raises(UserError, match=r"expected 2 losses.*found \(3,\)"):
        Balancer().backward(TaskLosses(("a", "b"), torch.ones(3, requires_grad=True), torch.ones(2)))
    with pytest.raises(UserError, match="without gradient for a, b"):
        Balancer().backward(TaskLosses(("a", "b"), torch.ones(2), torch.ones(2)))


def test_a_task_named_twice():
    with pytest.raises(UserError, match="one loss per task"):
        Balancer().backward(TaskLosses(("a", "a"), torch.ones(2, requires_grad=True), torch.ones(2)))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", list(METHODS))
def test_a_loss_that_is_not_finite_names_its_task_and_changes_nothing(name, value):
    balancer, toy = Balancer(config(name)), Toy()
    balancer.backward(toy.losses(), shared=[toy.trunk])
    before, gradient = balancer.state_dict(), toy.trunk.grad.clone()
    with pytest.raises(TrainingError, match=r"task 'b'.*finite"):
        balancer.backward({**toy.losses(("a", "c", "d")), "b": toy.losses()["b"] * value}, shared=[toy.trunk])
    after = balancer.state_dict()
    assert after["meta"] == before["meta"]
    for key, tensor in before["tensors"].items():
        torch.testing.assert_close(after["tensors"][key], tensor, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(toy.trunk.grad, gradient)


def test_large_finite_losses_are_no_error():
    """Their sum overflows float32, they do not."""
    losses = torch.full((4,), 3e38, requires_grad=True)
    step = Balancer("gls").backward(TaskLosses(NAMES, losses, torch.ones(4)))
    torch.testing.assert_close(step.weight_values, torch.full((4,), 0.25))


@pytest.mark.parametrize("name", list(METHODS))
@pytest.mark.parametrize("value", [0.0, -2.0])
def test_losses_outside_the_domain_name_the_task(name, value):
    balancer = Balancer(config(name))
    shared = torch.tensor([1.0, 1.0], requires_grad=True)
    losses = {"a": shared[0], "b": shared.mean() * value}
    allowed = {"any": True, "non-negative": value >= 0, "positive": value > 0}[balancer.method.domain]
    if allowed:
        balancer.backward(losses, shared=[shared])
        assert shared.grad.isfinite().all()
        return
    with pytest.raises(TrainingError, match=f"task 'b': the balancer '{name}'") as caught:
        balancer.backward(losses, shared=[shared])
    assert f"found {value:g}" in str(caught.value)
    assert "'equal'" in str(caught.value)


def test_without_the_check_nothing_is_read_back():
    losses = {"a": torch.tensor(float("nan"), requires_grad=True)}
    assert Balancer(check=False).backward(losses).names == ("a",)


def test_declared_tasks_guard_against_misspelt_ones():
    toy = Toy()
    balancer = Balancer(tasks=("a", "bee"))
    with pytest.raises(UserError, match=r"expected tasks among a, bee, found 'b'"):
        balancer.backward(toy.losses(("a", "b")))


def test_fixed_weights_must_fit_the_tasks():
    with pytest.raises(UserError, match="balancer 'fixed': expected tasks among height, weight, found 'hight'"):
        Balancer({"name": "fixed", "weights": {"hight": 1.0, "weight": 1.0}}, tasks=("height", "weight"))
    with pytest.raises(ConfigError, match=r"the task 'a' has no weight"):
        Balancer({"name": "fixed", "weights": {"b": 1.0}}).backward(Toy().losses(("a", "b")))
