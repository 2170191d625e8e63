r"""Learning from what another model says: losses against a teacher's outputs in place of labels.

For logits s of the student, t of the teacher, and a temperature :math:`\tau`:

.. math:: \ell = -\tau^2 \sum_k \mathrm{softmax}(t / \tau)_k \log \mathrm{softmax}(s / \tau)_k

At :math:`\tau = 1` it is the loss of a label that is uncertain; :math:`\tau^2` keeps gradients of the same size at
any temperature. (Hinton, Vinyals, Dean: Distilling the knowledge in a neural network. NIPS workshop 2014.)
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import log_softmax, softplus


def soft_multiclass(outputs: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Cross-entropy to the teacher's classes: ``(..., C), (..., C) -> (...)``."""
    likely = (teacher / temperature).softmax(-1)
    return -(temperature**2) * (likely * log_softmax(outputs / temperature, -1)).sum(-1)


def soft_binary(outputs: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Cross-entropy to the teacher's probability, elementwise: ``softplus(z) - p z`` of logits over the temperature."""
    z = outputs / temperature
    return temperature**2 * (softplus(z) - (teacher / temperature).sigmoid() * z)
