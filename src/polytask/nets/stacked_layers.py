"""The stacked forms of layers: n of them as one, on values with the leading dimension n.

Each takes the n layers, copies their weights, and keeps the names of their parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class StackedLinear(nn.Module):
    """n linear layers: ``(n, ..., I) -> (n, ..., O)``, one batched product."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = _parameter([layer.weight for layer in layers])
        self.bias = _parameter([layer.bias for layer in layers]) if layers[0].bias is not None else None

    def forward(self, values: Tensor) -> Tensor:
        """``(n, ..., I) -> (n, ..., O)``."""
        count, outputs, _ = self.weight.shape
        if values.stride(0) == 0:  # the same for all copies, by expand: one product with all weights side by side
            bias = None if self.bias is None else self.bias.flatten()
            joint = functional.linear(values[0], self.weight.flatten(0, 1), bias)
            return joint.view(*joint.shape[:-1], count, outputs).movedim(-2, 0)
        rows = values.flatten(1, -2) if values.ndim != 3 else values
        product = torch.bmm(rows, self.weight.mT) if self.bias is None else _product(rows, self.weight, self.bias)
        return product if values.ndim == 3 else product.view(*values.shape[:-1], outputs)


class Product(torch.autograd.Function):
    """n linear layers with bias, whose gradients of the weights come out as the weights lie.

    That of ``baddbmm`` comes out transposed and is copied once more on its way to the parameter: with few rows, when
    weights are most of what is read and written, a third of the step.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """``(n, N, I), (n, O, I), (n, O) -> (n, N, O)``."""
        return torch.baddbmm(bias[:, None], rows, weight.mT)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Keep rows and weights for the way back."""
        ctx.save_for_backward(*inputs[:2])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of those that want one."""
        rows, weight = ctx.saved_tensors
        above = gradients[0]
        wants_rows, wants_weight, wants_bias = ctx.needs_input_grad
        return (
            torch.bmm(above, weight.to(above.dtype)) if wants_rows else None,
            torch.bmm(above.mT, rows.to(above.dtype)) if wants_weight else None,
            above.sum(1) if wants_bias else None,
        )


def _product(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    found: Tensor = Product.apply(rows, weight, bias)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return found


class StackedLayerNorm(nn.Module):
    """n layer norms over the last dimension."""

    def __init__(self, layers: Sequence[nn.LayerNorm]) -> None:
        super().__init__()
        self.shape, self.eps = list(layers[0].normalized_shape), layers[0].eps
        self.weight = _parameter([layer.weight for layer in layers])
        self.bias = _parameter([layer.bias for layer in layers])

    def forward(self, values: Tensor) -> Tensor:
        """``(n, ..., D) -> (n, ..., D)``."""
        shape = (len(self.weight), *[1] * (values.ndim - 2), -1)
        normed = functional.layer_norm(values, self.shape, eps=self.eps)
        return torch.addcmul(self.bias.view(shape), normed, self.weight.view(shape))


class StackedBatchNorm(nn.Module):
    """n batch norms of vectors ``(n, N, D)`` or maps ``(n, N, D, H, W)``: one over n * D channels.

    One row of vectors has no statistics: the running ones are used and left alone.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, layers: Sequence[nn.BatchNorm1d | nn.BatchNorm2d]) -> None:
        super().__init__()
        self.momentum, self.eps = layers[0].momentum, layers[0].eps
        self.weight = _parameter([layer.weight for layer in layers])
        self.bias = _parameter([layer.bias for layer in layers])
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, torch.stack([layer.get_buffer(name).clone() for layer in layers]))

    def forward(self, values: Tensor) -> Tensor:
        """The same shape."""
        count, channels = self.weight.shape
        joint = values.transpose(0, 1).flatten(1, 2)  # (N, n * D, ...)
        learns = self.training and joint.numel() > joint.shape[1]
        if learns:
            self.num_batches_tracked += 1
        normed = functional.batch_norm(
            joint,
            self.running_mean.view(-1),
            self.running_var.view(-1),
            self.weight.flatten(),
            self.bias.flatten(),
            training=learns,
            momentum=self.momentum or 0.0,
            eps=self.eps,
        )
        return normed.view(-1, count, channels, *values.shape[3:]).transpose(0, 1)


class StackedConv2d(nn.Module):
    """n convolutions of maps: ``(n, N, I, H, W) -> (n, N, O, H', W')``, one grouped convolution."""

    def __init__(self, layers: Sequence[nn.Conv2d]) -> None:
        super().__init__()
        first = layers[0]
        self.stride, self.padding, self.dilation, self.groups = (
            first.stride,
            first.padding,
            first.dilation,
            first.groups,
        )
        self.weight = _parameter([layer.weight for layer in layers])
        self.bias = (
            _parameter([layer.bias for layer in layers if layer.bias is not None]) if first.bias is not None else None
        )

    def forward(self, values: Tensor) -> Tensor:
        """``(n, N, I, H, W) -> (n, N, O, H', W')``."""
        count, outputs = self.weight.shape[:2]
        found = functional.conv2d(
            values.transpose(0, 1).flatten(1, 2),
            self.weight.flatten(0, 1),
            None if self.bias is None else self.bias.flatten(),
            self.stride,
            self.padding,
            self.dilation,
            count * self.groups,
        )
        return found.view(-1, count, outputs, *found.shape[2:]).transpose(0, 1)


class StackedGRU(nn.Module):
    r"""n gated recurrent layers: ``(n, N, L, I) -> (n, N, L, O)``, one batched product per step of the sequence.

    .. math:: r = \sigma(W_{ir} x + b_{ir} + W_{hr} h + b_{hr}), \quad z \text{ likewise,}

    .. math:: c = \tanh(W_{in} x + b_{in} + r \odot (W_{hn} h + b_{hn})), \quad h \leftarrow c + z \odot (h - c)
    """

    def __init__(self, layers: Sequence[nn.GRU]) -> None:
        super().__init__()
        first = layers[0]
        if first.num_layers != 1 or first.bidirectional or not first.batch_first or not first.bias:
            raise TypeError("only GRUs of one layer and direction, with batch_first and biases, can be stacked")
        for name, _ in first.named_parameters():
            self.register_parameter(name, _parameter([layer.get_parameter(name) for layer in layers]))

    def forward(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs of all steps ``(n, N, L, O)``, and the last state ``(n, N, O)``."""
        own = dict(self.named_parameters())
        weight, bias = own["weight_hh_l0"].transpose(1, 2), own["bias_hh_l0"][:, None]
        read = torch.baddbmm(own["bias_ih_l0"][:, None], values.flatten(1, 2), own["weight_ih_l0"].transpose(1, 2))
        steps = read.view(*values.shape[:3], -1).unbind(2)
        state = read.new_zeros(*values.shape[:2], weight.shape[1])
        outputs = []
        for step in steps:
            kept = torch.baddbmm(bias, state, weight)
            (r_in, z_in, c_in), (r_kept, z_kept, c_kept) = step.chunk(3, -1), kept.chunk(3, -1)
            candidate = torch.tanh(torch.addcmul(c_in, torch.sigmoid(r_in + r_kept), c_kept))
            state = torch.lerp(candidate, state, torch.sigmoid(z_in + z_kept))
            outputs.append(state)
        return torch.stack(outputs, 2), state


STACKED_LAYERS: dict[type[nn.Module], Callable[..., nn.Module]] = {
    nn.Linear: StackedLinear,
    nn.LayerNorm: StackedLayerNorm,
    nn.BatchNorm1d: StackedBatchNorm,
    nn.BatchNorm2d: StackedBatchNorm,
    nn.Conv2d: StackedConv2d,
    nn.GRU: StackedGRU,
}
"""Layer -> its stacked form."""


def _parameter(values: Sequence[Tensor]) -> nn.Parameter:
    return nn.Parameter(torch.stack([value.detach() for value in values]))
