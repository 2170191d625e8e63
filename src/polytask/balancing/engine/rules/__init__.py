"""What each kind of node does to the gradients of several tasks at once.

A rule takes a node and what arrived there and answers with one :class:`~polytask.balancing.engine.nodes.Out` per input,
or None if it does not cover this node (a grouped convolution, say); then the node is run once per task. Nodes without
a rule are, too. Rules read the saved values of nodes, which torch does not promise to keep: every rule is held against
autograd by the tests.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

from polytask.balancing.engine.nodes import AnyNode, Arrived, Out
from polytask.balancing.engine.rules import attention, conv, embedding, linear, norm, pointwise, shape

Rule: TypeAlias = Callable[[AnyNode, Arrived], list[Out] | None]

RULES: Mapping[str, Rule] = {
    **linear.RULES,
    **conv.RULES,
    **norm.RULES,
    **attention.RULES,
    **pointwise.RULES,
    **shape.RULES,
    **embedding.RULES,
}
