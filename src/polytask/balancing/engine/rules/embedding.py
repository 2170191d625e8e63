"""Look-up tables."""

from __future__ import annotations

from polytask.balancing.engine.factors import Embedding
from polytask.balancing.engine.nodes import AnyNode, Arrived, Out, leads_to_leaf, signed


def embedding(node: AnyNode, arrived: Arrived) -> list[Out] | None:
    """A table that is a parameter, looked up without padding and without scaling by frequency."""
    if node._saved_scale_grad_by_freq or signed(node._saved_padding_idx) >= 0:
        return None
    if not leads_to_leaf(node.next_functions[0]):
        return None
    g = arrived.first
    rows = g.reshape(len(g), -1, g.shape[-1])
    return [Out(Embedding(node._saved_indices.reshape(-1), rows, int(node._saved_weight_sym_argsize_0)), own=False)]


RULES = {"EmbeddingBackward0": embedding}
