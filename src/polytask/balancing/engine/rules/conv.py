"""Convolutions: the tasks side by side as images of one batch."""

from __future__ import annotations

import torch
from torch import Tensor

from polytask.balancing.engine.factors import Conv
from polytask.balancing.engine.nodes import NOTHING, AnyNode, Arrived, Out, leads_to_leaf, signed

LAST = torch.channels_last


def convolution(node: AnyNode, arrived: Arrived) -> list[Out] | None:
    """Plain 2-d convolutions; transposed and grouped ones and other dimensions run once per task."""
    g = arrived.first
    if node._saved_transposed or node._saved_groups != 1 or g.ndim != 5:
        return None
    weight, x = node._saved_weight, node._saved_input
    stride, padding, dilation = (
        [signed(v) for v in values] for values in (node._saved_stride, node._saved_padding, node._saved_dilation)
    )
    tasks, images = g.shape[:2]
    flat = g.reshape(tasks * images, *g.shape[2:]).contiguous(memory_format=LAST)
    g = flat.view(tasks, images, *flat.shape[1:])
    outs = [NOTHING, NOTHING, NOTHING]
    if arrived.wanted[0]:
        back = _input_gradient(flat, x, weight, (stride, padding, dilation))
        outs[0] = Out(back.view(tasks, images, *back.shape[1:]), own=True)
    if arrived.wanted[1]:
        plain = x.contiguous(memory_format=LAST)
        factor = Conv(plain, g, weight.shape, stride=stride, padding=padding, dilation=dilation)
        outs[1] = Out(factor if leads_to_leaf(node.next_functions[1]) else factor.dense(), own=False)
    if len(arrived.wanted) > 2 and arrived.wanted[2]:
        outs[2] = Out(g.sum((1, 3, 4)), own=True)
    return outs


def _input_gradient(g: Tensor, x: Tensor, weight: Tensor, steps: tuple[list[int], list[int], list[int]]) -> Tensor:
    """``(r N, C, H, W)``, channels last.

    :param steps: stride, padding and dilation.
    """
    stride, padding, dilation = steps
    shape = (len(g), *x.shape[1:])
    if tuple(weight.shape[2:]) == (1, 1) and not any(padding):  # a matrix product, scattered when strided
        product = g.permute(0, 2, 3, 1) @ weight.view(weight.shape[:2])
        if stride != [1, 1]:
            room = product.new_zeros(shape[0], *shape[2:], shape[1])
            room[:, :: stride[0], :: stride[1]] = product
            product = room
        return product.permute(0, 3, 1, 2)
    # An empty input of the right layout: its values are not looked at, and an expanded one would be copied.
    dummy = torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=LAST)
    kernel = weight.contiguous(memory_format=LAST)
    grads = torch.ops.aten.convolution_backward(
        g, dummy, kernel, None, stride, padding, dilation, False, [0, 0], 1, [True, False, False]
    )
    found: Tensor = grads[0]
    return found


RULES = {"ConvolutionBackward0": convolution}
