"""What the batched walk and T ordinary passes would cost on a graph, from the shapes of its matrix products.

Forward, input gradient and weight gradient of a layer are one unit of work each. Ordinary passes need two units per
task. The walk needs one per task for the input gradients, the cheaper Gramian of each layer, and one more unit for
the combined weight gradient of layers that are kept as factors. Per parameter and task, ordinary passes also write and
read a row of the Jacobian, which decides where batches are small. The walk's own products may run on a faster library
than those of autograd (:mod:`~polytask.balancing.engine.multiply`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch

from polytask.balancing.engine.factors import PATCHES
from polytask.balancing.engine.multiply import speed
from polytask.balancing.engine.nodes import AnyNode
from polytask.balancing.engine.products import ghost_cost, outer_cost
from polytask.balancing.engine.survey import Survey

ROW = 10.0
"""Multiplications that one entry of a Jacobian row costs in memory traffic (measured on CPUs)."""

MARGIN = 0.97
"""The walk must promise to be this much cheaper: near a tie, the simpler way is taken."""


class Layer(NamedTuple):
    """A matrix product: ``(rows, inputs) x (inputs, outputs)``."""

    rows: int
    inputs: int
    outputs: int
    is_conv: bool

    @property
    def unit(self) -> float:
        """Multiplications of the forward pass."""
        return float(self.rows * self.inputs * self.outputs)


def walk_pays(survey: Survey) -> bool:
    """Whether one batched walk is cheaper than T ordinary passes."""
    T, like = len(survey.losses), survey.sinks[0]
    fast = speed(like.device) if like.dtype == torch.float32 else 1.0
    ordinary = walk = 0.0
    for layer in _layers(survey):
        unit = layer.unit * (fast if layer.is_conv else 1.0)  # a convolution's own kernels are oneDNN's already
        ordinary += 2 * T * unit + ROW * T * layer.inputs * layer.outputs
        walk += fast * T * layer.unit + _gramian(layer, T, fast)
    if ordinary == 0.0:  # nothing but heads: a pass of one task runs through its own alone, unless they are stacked
        return survey.losses.is_vector
    return walk < MARGIN * ordinary


def _gramian(layer: Layer, T: int, fast: float) -> float:
    """Gramian and combined gradient of one layer."""
    ghost = fast * ghost_cost(T, *layer[:3])
    dense = fast * outer_cost(T, *layer[:3])
    written = dense + ROW * T * layer.inputs * layer.outputs
    if layer.is_conv:
        return min(PATCHES * ghost, written)
    combine = 0.0 if dense <= ghost and layer.inputs < layer.rows else fast * layer.unit
    return min(ghost, written) + combine


def _layers(survey: Survey) -> Iterator[Layer]:
    masks = survey.batch_masks()
    for node in survey.order:
        if masks[node].bit_count() > 1 and (layer := _layer(node)) is not None:
            yield layer


def _layer(node: AnyNode) -> Layer | None:
    shape = node._input_metadata[0].shape
    match node.name():
        case "AddmmBackward0" | "MmBackward0":
            inputs, outputs = node._saved_mat2_sym_sizes
            return Layer(shape[0], inputs, outputs, is_conv=False)
        case "ConvolutionBackward0":
            kernel = node._saved_weight.shape
            return Layer(math.prod(shape) // shape[1], math.prod(kernel[1:]), kernel[0], is_conv=True)
    return None
