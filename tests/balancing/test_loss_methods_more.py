"""FAMO, STCH, DTP, GO4Align: worked examples, slow obvious twins, and what happens at the edges."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import pytest
import torch

from polytask.balancing import Evidence, check_method, weigh
from polytask.balancing.methods.dtp import DTP
from polytask.balancing.methods.famo import FAMO
from polytask.balancing.methods.go4align import GO4Align
from polytask.balancing.methods.stch import STCH
from polytask.errors import ConfigError
from polytask.maths.line_clusters import cluster_means

VECTORS = json.loads((Path(__file__).parent / "more_vectors.json").read_text())
NAMES = ("a", "b", "c", "d")


def vector(method, name):
    return next(v for v in VECTORS[method] if v["id"] == name)


def tensor(values):
    return torch.tensor(values, dtype=torch.float64)


def near(found, expected, tol=1e-12):
    torch.testing.assert_close(found, tensor(expected), rtol=tol, atol=tol)


RNG = torch.Generator()


@pytest.mark.parametrize("name", ["three_updates_gamma0.001", "three_updates_gamma0.01", "minlosses_negative"])
def test_famo_vectors(name):
    """The 1e-8 that the published code adds to the losses is left out here: 1e-8 relative is the agreement."""
    v = vector("famo", name)
    losses = tensor(v["inputs"]["loss_sequence"]) - tensor(v["inputs"]["min_losses"])
    method = FAMO(lr=v["inputs"]["lr_w"], gamma=v["inputs"]["gamma"])
    state = method.init(NAMES[: losses.shape[1]], losses[0])
    for before, after, step in zip(losses, losses[1:], v["expected"]["steps"], strict=False):
        near(state["s"].softmax(0), step["z"], 1e-7)
        w, state = method.weigh(Evidence(before), state, RNG)
        near(w, step["effective_weights"], 1e-7)
        state = method.look_back(after, state)
        near(state["s"], step["logits_after"], 1e-7)
        near(state["s"].softmax(0), step["z_after"], 1e-7)


def test_famo_is_what_autograd_and_adam_make_of_its_definition():
    rng = torch.Generator().manual_seed(0)
    losses = torch.rand(20, 4, generator=rng, dtype=torch.float64) + 0.1
    logits = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([logits], lr=0.025, weight_decay=0.01)
    method = FAMO(gamma=0.01)
    state = method.init(NAMES, losses[0])
    for before, after in itertools.pairwise(losses):
        leaf = before.clone().requires_grad_()
        z = logits.detach().softmax(0)
        c = 1 / (z / before).sum()
        (c * z * leaf.log()).sum().backward()
        w, state = method.weigh(Evidence(before), state, RNG)
        torch.testing.assert_close(w, leaf.grad, rtol=1e-12, atol=0)
        state = method.look_back(after, state)
        adam.zero_grad()
        logits.softmax(0).backward(before.log() - after.log())
        adam.step()
        torch.testing.assert_close(state["s"], logits.detach(), rtol=1e-10, atol=1e-12)


def test_famo_takes_weight_from_the_task_that_fell_most():
    method, losses = FAMO(gamma=0.0), tensor([1.0, 1.0, 1.0])
    _, state = method.weigh(Evidence(losses), method.init(NAMES[:3], losses), RNG)
    after = method.look_back(tensor([0.5, 0.9, 1.0]), state)["s"]
    assert after[0] < 0 < after[2]
    near(after.abs()[[0, 2]], [0.025, 0.025], 1e-6)  # the first step of Adam is lr in every coordinate


def test_famo_without_looking_back_is_inverse_losses():
    near(weigh("famo", losses=tensor([1.0, 2.0, 4.0])), [4 / 7, 2 / 7, 1 / 7])


def test_stch_has_the_gradient_of_the_papers_form():
    """``mu log sum exp(y / mu)`` with ``y = lambda (L - z)`` is the form here for losses exp(y) with nadir 1."""
    v = vector("stch", "paper")
    given = {key: tensor(value) for key, value in v["inputs"].items()}
    y = given["pref"] * (given["losses"] - given["ideal"])
    method = STCH(mu=float(given["mu"]))
    state = {**method.init(NAMES[:3], y), "nadir": torch.ones(3, dtype=torch.float64)}
    w, _ = method.weigh(Evidence(y.exp()), state, RNG)
    near(given["pref"] * w * y.exp() / 3, v["expected"]["effective_weights"])


def test_stch_vector():
    v = vector("stch", "mtl_code_log_nadir")
    losses, nadir = tensor(v["inputs"]["losses"]), tensor(v["inputs"]["nadir"])
    method = STCH(mu=v["inputs"]["mu"])
    w, _ = method.weigh(Evidence(losses), {**method.init(NAMES[:3], losses), "nadir": nadir}, RNG)
    near(w, v["expected"]["effective_weights"])


def test_stch_epochs_by_hand():
    """Warm-up of one epoch: inverse losses in epochs 0 and 1, and the mean of epoch 1 is the nadir from then on."""
    method = STCH(mu=0.5, warmup=1)
    state = method.init(NAMES[:2], tensor([1.0, 1.0]))
    epochs = [[[8.0, 2.0]], [[1.0, 2.0], [3.0, 4.0]], [[1.0, 6.0]]]
    for losses in itertools.chain(*epochs[:2]):
        w, state = method.weigh(Evidence(tensor(losses)), state, RNG)
        near(w, [1 / loss for loss in losses])
        if losses in (epochs[0][-1], epochs[1][-1]):
            state = method.epoch_end(state)
    near(state["nadir"], [2.0, 3.0])
    leaf = tensor(epochs[2][0]).requires_grad_()
    (2 * 0.5 * torch.logsumexp((leaf / tensor([2.0, 3.0])).log() / 0.5, 0)).backward()
    w, state = method.weigh(Evidence(leaf.detach()), state, RNG)
    torch.testing.assert_close(w, leaf.grad, rtol=1e-12, atol=0)
    near(method.epoch_end(state)["nadir"], [2.0, 3.0])


def test_stch_counts_only_epochs_with_the_task():
    method = STCH(warmup=0)
    state = method.init(NAMES[:2], tensor([1.0, 1.0]))
    state = method.epoch_end(state)
    assert state["nadir"].isnan().all()
    _, state = method.weigh(Evidence(tensor([2.0, 5.0])), state, RNG)
    near(method.epoch_end(state)["nadir"], [2.0, 5.0])


@pytest.mark.parametrize("gamma", [1, 2])
def test_dtp_vector(gamma):
    v = vector("dtp", "kpi_two_steps")
    method = DTP(gamma=float(gamma), alpha=v["inputs"]["ema_alpha"])
    state = method.init(NAMES[:3], tensor([1.0] * 3))
    for kpi, step in zip(v["inputs"]["kpi_raw"], v["expected"]["steps"], strict=True):
        w, state = method.weigh(Evidence(tensor([1.0] * 3), kpi=tensor(kpi)), state, RNG)
        near(state["k"], step["kpi"])
        near(w, step[f"w_g{gamma}"])


def test_dtp_without_a_kpi_is_a_focal_loss_of_the_loss():
    losses = [0.0, 0.3, 2.0]
    near(weigh({"name": "dtp", "gamma": 2.0}, losses=tensor(losses)), [(1 - math.exp(-x)) ** 2 * x for x in losses])
    method = DTP()
    partly = Evidence(tensor([0.3, 2.0]), kpi=tensor([math.nan, 0.5]))
    w, _ = method.weigh(partly, method.init(NAMES[:2], partly.losses), RNG)
    near(w, [(1 - math.exp(-0.3)) * 0.3, 0.5 * math.log(2)])


@pytest.mark.parametrize(("kpi", "expected"), [(1.0, 0.0), (0.0, 0.999 * math.log(1000)), (2.0, 0.0)])
def test_dtp_at_the_ends(kpi, expected):
    method = DTP()
    w, _ = method.weigh(Evidence(tensor([1.0]), kpi=tensor([kpi])), method.init(("a",), tensor([1.0])), RNG)
    near(w, [expected])


def test_go4align_vector():
    v = vector("go4align", "two_steps_2groups")
    method = GO4Align(groups=2, eta=v["inputs"]["robust_step_size"])
    state = method.init(NAMES[:3], tensor([1.0] * 3))
    for losses, step in zip(v["inputs"]["losses"], v["expected"]["steps"], strict=True):
        w, state = method.weigh(Evidence(tensor(losses)), state, RNG)
        near(state["log_p"].softmax(0), step["adv_probs"], 1e-10)
        near(w, step["weights"], 1e-10)


def test_go4align_with_one_group_is_the_mean_and_with_many_the_indicator():
    losses = tensor([1.0, 2.0, 5.0])
    p = (-1e-4 * losses).softmax(0)
    indicator = p * 8 / losses
    w = weigh({"name": "go4align", "groups": 1}, losses=losses)
    torch.testing.assert_close(w, indicator.mean().expand(3), rtol=1e-12, atol=0)
    torch.testing.assert_close(weigh({"name": "go4align", "groups": 9}, losses=losses), indicator, rtol=1e-12, atol=0)


def test_go4align_leaves_the_share_of_absent_tasks_alone():
    method, losses = GO4Align(eta=0.5), tensor([1.0, 2.0, 5.0, 3.0])
    _, state = method.weigh(Evidence(losses), method.init(NAMES, losses), RNG)
    p = state["log_p"].exp()
    some = [0, 2]
    _, after = method.weigh(Evidence(losses[some]), {"log_p": state["log_p"][some]}, RNG)
    torch.testing.assert_close(after["log_p"].exp().sum(), p[some].sum(), rtol=1e-12, atol=0)


def best_partition(values, groups):
    """Means of the best of all partitions into at most ``groups``, by trying every one."""

    def cost(labels):
        return sum(
            sum((values[i] - values[own].mean()) ** 2 for i in own)
            for own in ([i for i, label in enumerate(labels) if label == g] for g in set(labels))
        )

    best = min(itertools.product(range(groups), repeat=len(values)), key=cost)
    means = {g: values[[i for i, label in enumerate(best) if label == g]].mean() for g in set(best)}
    return torch.stack([means[label] for label in best])


@pytest.mark.parametrize("groups", [1, 2, 3])
@pytest.mark.parametrize("seed", range(6))
def test_clusters_are_the_best_of_all_partitions(groups, seed):
    values = torch.randn(6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) ** 3
    torch.testing.assert_close(cluster_means(values, groups), best_partition(values, groups), rtol=1e-12, atol=1e-12)


def test_clusters_of_equal_numbers_and_of_huge_ones():
    assert cluster_means(tensor([2.0, 2.0, 2.0]), 2).tolist() == [2.0, 2.0, 2.0]
    assert cluster_means(tensor([7.0]), 3).tolist() == [7.0]
    near(cluster_means(tensor([1e200, 3e200, 9e-200]), 2), [5e199, 3e200, 5e199])


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"name": "famo", "lr": 0.0}, "lr"),
        ({"name": "famo", "gamma": -1.0}, "gamma"),
        ({"name": "stch", "mu": 0.0}, "mu"),
        ({"name": "stch", "warmup": -1}, "warmup"),
        ({"name": "dtp", "gamma": -1.0}, "gamma"),
        ({"name": "dtp", "alpha": 0.0}, "alpha"),
        ({"name": "go4align", "groups": 0}, "groups"),
        ({"name": "go4align", "eta": math.nan}, "eta"),
    ],
)
def test_wrong_hyperparameters_name_their_key(config, key):
    with pytest.raises(ConfigError, match=key):
        weigh(config, losses=[1.0])


@pytest.mark.parametrize(
    "config",
    [
        {"name": "famo", "gamma": 0.0},
        {"name": "stch", "warmup": 0, "mu": 0.1},
        {"name": "dtp", "gamma": 0.0},
        {"name": "go4align", "groups": 5},
    ],
    ids=lambda config: config["name"],
)
def test_the_laws_hold_for_other_hyperparameters(config):
    check_method(config)
