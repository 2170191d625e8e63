"""The batched walk against T ordinary calls of autograd, on trunks that are odd on purpose, in float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from polytask.balancing.engine import batched
from polytask.balancing.engine.guard import Guard
from polytask.balancing.engine.survey import Survey
from polytask.balancing.losses import Given

T = 3
FLOAT = torch.float64


@pytest.fixture(autouse=True)
def double():
    before = torch.get_default_dtype()
    torch.set_default_dtype(FLOAT)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(before)


class Residual(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return x + self.inner(x)


class Act(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x):
        return self.f(x)


class Own(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, power):
        ctx.save_for_backward(x)
        ctx.power = power
        return x**power, x.sin()

    @staticmethod
    def backward(ctx, g, h):
        (x,) = ctx.saved_tensors
        return ctx.power * x ** (ctx.power - 1) * g + x.cos() * h, None


class Attention(nn.Module):
    def __init__(self, sdpa):
        super().__init__()
        self.qkv, self.out, self.sdpa = nn.Linear(8, 24), nn.Linear(8, 8), sdpa

    def forward(self, x):
        q, k, v = self.qkv(x).view(*x.shape[:2], 3, 2, 4).permute(2, 0, 3, 1, 4).unbind(0)
        written_out = ((q @ k.transpose(-1, -2)) / 2.0).softmax(-1) @ v
        y = functional.scaled_dot_product_attention(q, k, v) if self.sdpa else written_out
        return self.out(y.transpose(1, 2).reshape(x.shape))


class Recomputed(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(6, 6)

    def forward(self, x):
        return checkpoint(self.inner, x, use_reentrant=False).tanh()


class Matrices(nn.Module):
    """Parameters used as matrices on either side, twice, and through einsum and baddbmm."""

    def __init__(self):
        super().__init__()
        self.W = nn.Parameter(torch.randn(6, 6))
        self.V = nn.Parameter(torch.randn(2, 6, 6))
        self.s = nn.Parameter(torch.randn(6))

    def forward(self, x):
        x = (self.W @ x.T).T.tanh() + x @ self.W
        x = torch.einsum("ni,ij->nj", x, self.W.T) * self.s / (1 + self.s.square())
        y = torch.baddbmm(x.expand(2, *x.shape), x.expand(2, *x.shape), self.V)
        return y.sigmoid().mean(0) - 0.5 * x


def lstm():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.LSTM(8, 6, batch_first=True)

        def forward(self, x):
            return self.net(x)[0]

    return Last()


def inplace(x):
    y = x * 2
    y[:, 1:3] = x[:, 1:3] ** 2
    return functional.relu(y + 1, inplace=True)


def tied(index):
    table = nn.Embedding(7, 6)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.padded, self.bag = (
                table,
                nn.Embedding(7, 6, padding_idx=2),
                nn.EmbeddingBag(7, 6, mode="sum"),
            )

        def forward(self, x):
            z = self.table(index) + self.padded(index) + self.bag(index)[:, None] + self.table(index.flip(0))
            return (z.mean(1) @ self.table.weight.T).tanh()

    return Net()


shared_layer = nn.Linear(6, 6, dtype=FLOAT)
INDEX = torch.tensor([[0, 2, 2], [1, 4, 6], [2, 2, 0], [5, 3, 1], [1, 1, 1]])
FLAT, TOKENS, MAPS = (5, 6), (4, 7, 8), (3, 4, 8, 8)
ACTS = (
    functional.relu,
    functional.gelu,
    functional.silu,
    torch.tanh,
    torch.sigmoid,
    functional.leaky_relu,
    functional.elu,
    functional.softplus,
    functional.hardtanh,
    functional.hardswish,
)
ACTS += (
    functional.mish,
    torch.exp,
    functional.logsigmoid,
    torch.abs,
    torch.sin,
    functional.selu,
    functional.softsign,
    functional.hardsigmoid,
)

TRUNKS = {
    "mlp": (lambda: nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 7), nn.Tanh()), FLAT),
    "wide, few rows": (lambda: nn.Sequential(nn.Linear(6, 140), nn.ReLU(), nn.Linear(140, 150)), (3, 6)),
    "many rows": (lambda: nn.Sequential(nn.Linear(6, 300), nn.ReLU(), nn.Linear(300, 250)), (530, 6)),
    "no bias": (lambda: nn.Sequential(nn.Linear(6, 9, bias=False), nn.ReLU(), nn.Linear(9, 7, bias=False)), FLAT),
    "one layer twice": (lambda: nn.Sequential(shared_layer, nn.Tanh(), shared_layer, nn.Tanh(), shared_layer), FLAT),
    "residual": (
        lambda: nn.Sequential(Residual(nn.Linear(6, 6)), Residual(nn.Sequential(nn.Linear(6, 6), nn.ReLU()))),
        FLAT,
    ),
    "matrices": (Matrices, FLAT),
    "dropout": (lambda: nn.Sequential(nn.Linear(6, 9), nn.Dropout(0.4), nn.Linear(9, 7), nn.AlphaDropout(0.3)), FLAT),
    "activations": (lambda: nn.Sequential(*[m for f in ACTS for m in (nn.Linear(6, 6), Act(f))]), FLAT),
    "in place": (lambda: nn.Sequential(nn.Linear(6, 6), Act(inplace), nn.Linear(6, 4), nn.ReLU(inplace=True)), FLAT),
    "own function": (
        lambda: nn.Sequential(nn.Linear(6, 6), Act(lambda x: sum(Own.apply(x, 3))), nn.Linear(6, 6)),
        FLAT,
    ),
    "one output of two": (
        lambda: nn.Sequential(nn.Linear(6, 6), Act(lambda x: Own.apply(x, 2)[1]), nn.Linear(6, 6)),
        FLAT,
    ),
    "shapes": (
        lambda: nn.Sequential(
            nn.Linear(6, 8),
            Act(lambda x: torch.cat([x[:, :3], x[:, 2:].flip(1), x.roll(1, 0)], 1)),
            Act(lambda x: torch.stack(x.split(4, 1)[:2]).amax(0) + x.unfold(1, 4, 4).sum(1)),
            nn.Linear(4, 6),
            Act(
                lambda x: x.unsqueeze(1).expand(-1, 2, -1).reshape(len(x), -1).index_select(1, torch.tensor([0, 3, 3]))
            ),
        ),
        FLAT,
    ),
    "batch norm": (lambda: nn.Sequential(nn.Linear(6, 9), nn.BatchNorm1d(9), nn.ReLU(), nn.Linear(9, 7)), FLAT),
    "batch norm, eval": (lambda: nn.Sequential(nn.Linear(6, 9), nn.BatchNorm1d(9).eval(), nn.Linear(9, 7)), FLAT),
    "convolutions": (
        lambda: nn.Sequential(
            nn.Conv2d(4, 6, 3, padding=1, bias=False),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Conv2d(6, 8, 3, stride=2, padding=(1, 2), dilation=(1, 2)),
            Residual(nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(8, 8, 1))),
            nn.Conv2d(8, 6, 1, stride=2),
            nn.MaxPool2d(2, 1),
        ),
        MAPS,
    ),
    "convolutions, others": (
        lambda: nn.Sequential(
            nn.Conv2d(4, 6, 3, groups=2),
            nn.ConvTranspose2d(6, 4, 2, stride=2),
            nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
            nn.GroupNorm(2, 4),
            nn.AvgPool2d(2),
            nn.InstanceNorm2d(4, affine=True),
            nn.Conv2d(4, 5, 3, padding="same"),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        ),
        MAPS,
    ),
    "deep, small maps": (lambda: nn.Sequential(nn.Conv2d(4, 64, 3, stride=4), nn.ReLU(), nn.Conv2d(64, 64, 2)), MAPS),
    "channels last": (
        lambda: nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3)).to(
            memory_format=torch.channels_last
        ),
        MAPS,
    ),
    "1-d and 3-d": (
        lambda: nn.Sequential(nn.Conv1d(7, 6, 3), nn.ReLU(), nn.Unflatten(2, (1, 2, 3)), nn.Conv3d(6, 4, (1, 2, 2))),
        TOKENS,
    ),
    "attention": (
        lambda: nn.Sequential(Residual(Attention(False)), nn.LayerNorm(8), nn.Linear(8, 8), nn.GELU()),
        TOKENS,
    ),
    "sdpa": (lambda: nn.Sequential(nn.LayerNorm(8), Residual(Attention(True)), nn.LayerNorm(8, bias=False)), TOKENS),
    "encoder layer": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.1), TOKENS),
    "rms norm": (lambda: nn.Sequential(nn.Linear(8, 8), nn.RMSNorm(8), nn.Linear(8, 4)), TOKENS),
    "lstm": (lstm, TOKENS),
    "embeddings": (lambda: tied(INDEX), FLAT),
    "weight norm": (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(6, 5)), FLAT),
    "checkpoint": (lambda: nn.Sequential(nn.Linear(6, 6), Recomputed()), FLAT),
}


def build(name):
    make, shape = TRUNKS[name]
    torch.manual_seed(1)
    trunk = make()
    return trunk.double(), torch.randn(shape)


def losses_of(z, skip=None):
    flat = z.flatten(1)
    heads = [nn.Linear(flat.shape[1], 2) for _ in range(T)]
    losses = [(head(flat) - t).square().mean() * 10.0**t for t, head in enumerate(heads)]
    if skip is not None:
        losses[1] = losses[1] + skip.square().mean()
    return losses, [p for head in heads for p in head.parameters()]


def by_autograd(losses, shared, heads):
    rows = []
    for loss in losses:
        grads = torch.autograd.grad(loss, shared, retain_graph=True, allow_unused=True)
        rows.append(
            torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for p, g in zip(shared, grads, strict=True)])
        )
    plain = torch.autograd.grad(sum(losses), heads, retain_graph=True, allow_unused=True) if heads else ()
    return torch.stack(rows), plain


def compare(losses, shared, heads):
    """Every mode on one graph, and the guard agrees."""
    J, plain = by_autograd(losses, shared, heads)
    given = Given(tuple("abcdefgh"[: len(losses)]), tuple(losses))
    G, w = J @ J.T, torch.tensor([0.3, -1.0, 0.02, 2.0, 1.0][: len(losses)])
    scale = float(G.diagonal().max())
    for mode in ("rows", "keep", "forget"):
        survey = Survey(given, shared)
        if mode == "rows":
            found = batched.rows(survey, 1.0)
            torch.testing.assert_close(found.jacobian, J, rtol=1e-10, atol=1e-11 * scale**0.5)
        else:
            found = batched.products(survey, 1.0, keep=mode == "keep", budget=float("inf"))
        torch.testing.assert_close(found.gramian, G, rtol=1e-10, atol=1e-11 * scale)
        at = {id(leaf): gradient for leaf, gradient in found.others}
        for parameter, expected in zip(heads, plain, strict=True):
            if expected is not None:
                torch.testing.assert_close(at[id(parameter)], expected, rtol=1e-10, atol=1e-12)
        if mode != "forget":
            guard = Guard()
            assert guard.passes(found, survey)
        update = found.combine(w)
        parts = [torch.zeros_like(p) if u is None else u for p, u in zip(shared, update, strict=True)]
        assert all(part.shape == p.shape and part.dtype == p.dtype for part, p in zip(parts, shared, strict=True))
        torch.testing.assert_close(
            torch.cat([part.flatten() for part in parts]), w @ J, rtol=1e-10, atol=1e-11 * scale**0.5
        )


@pytest.mark.parametrize("name", list(TRUNKS))
def test_agrees_with_autograd(name):
    trunk, x = build(name)
    losses, heads = losses_of(trunk(x))
    compare(losses, [p for p in trunk.parameters() if p.requires_grad], heads)


@pytest.mark.parametrize("name", ["mlp", "convolutions", "attention"])
def test_a_skip_connection_from_inside_the_trunk_to_a_head(name):
    trunk, x = build(name)
    middle = trunk[0](x)
    losses, heads = losses_of(trunk[1:](middle), skip=middle)
    compare(losses, list(trunk.parameters()), heads)


def test_tasks_that_share_a_part_among_themselves():
    """Two of three tasks go through a decoder of their own, which is shared as well; one task skips the trunk's end."""
    trunk, x = build("mlp")
    decoder = nn.Sequential(nn.Linear(7, 6), nn.ReLU())

    def losses():
        middle = trunk[:2](x)
        z = trunk[2:](middle)
        d = decoder(z)
        own = (x @ trunk[0].weight.T).sum()
        return [d.square().mean(), d.sum(1).sigmoid().mean(), z.cos().mean(), middle.mean(), own]

    compare(losses(), [*trunk.parameters(), *decoder.parameters()], [])
    compare(losses(), list(trunk.parameters()), list(decoder.parameters()))  # the decoder gets its plain gradient
    compare(losses(), [trunk[2].weight], [trunk[0].weight, trunk[0].bias, *decoder.parameters()])


def test_losses_that_share_their_last_node():
    """Stacked losses taken apart again."""
    trunk, x = build("mlp")
    head = nn.Linear(7, T)
    losses = list(head(trunk(x)).square().mean(0).unbind())
    compare(losses, list(trunk.parameters()), list(head.parameters()))


def test_a_shared_parameter_in_a_head_too():
    trunk, x = build("mlp")
    losses, heads = losses_of(trunk(x))
    losses[0] = losses[0] + (x @ trunk[0].weight.T).square().mean() + trunk[2].bias.sum()
    compare(losses, list(trunk.parameters()), heads)


def test_frozen_and_unused_parameters():
    trunk, x = build("convolutions")
    trunk[0].weight.requires_grad_(False)
    trunk[3].bias.requires_grad_(False)
    losses, heads = losses_of(trunk(x))
    unused = nn.Parameter(torch.ones(3))
    compare(losses, [*(p for p in trunk.parameters() if p.requires_grad), unused], heads)


def test_inputs_that_require_a_gradient():
    trunk, x = build("mlp")
    x.requires_grad_()
    losses, heads = losses_of(trunk(x))
    compare(losses, list(trunk.parameters()), [*heads, x])


def test_a_budget_turns_keep_into_forget():
    trunk, x = build("many rows")
    losses, _ = losses_of(trunk(x))
    shared = list(trunk.parameters())
    J, _ = by_autograd(losses, shared, [])
    survey = Survey(Given(("a", "b", "c"), tuple(losses)), shared)
    found = batched.products(survey, 1.0, keep=True, budget=1000)
    assert isinstance(found, batched.Forgotten)
    torch.testing.assert_close(found.gramian, J @ J.T, rtol=1e-10, atol=0)
    update = found.combine(torch.ones(3))
    torch.testing.assert_close(torch.cat([u.flatten() for u in update]), J.sum(0), rtol=1e-10, atol=1e-9)


def test_float32_grams_of_long_rows_are_exact_to_a_millionth():
    """A product over millions of float32 numbers is added up in blocks."""
    torch.manual_seed(0)
    p = nn.Parameter(torch.randn(1500, 1500, dtype=torch.float32))
    losses = [(p * torch.randn(1500, 1500, dtype=torch.float32)).sum() + p.sum() for _ in range(2)]
    J = torch.stack([torch.autograd.grad(loss, p, retain_graph=True)[0].flatten() for loss in losses]).double()
    found = batched.products(Survey(Given(("a", "b"), tuple(losses)), [p]), 1.0, keep=True, budget=float("inf"))
    torch.testing.assert_close(found.gramian, J @ J.T, rtol=1e-6, atol=0)
