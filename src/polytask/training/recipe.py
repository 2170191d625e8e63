"""What is trained, and how."""

from __future__ import annotations

from dataclasses import dataclass

from polytask.balancing.contract import Method
from polytask.data.sampling.sampler import Sampler
from polytask.nets.encoders.encoder import Encoder
from polytask.nets.sharing.sharing import Sharing
from polytask.training.distillation import Distillation
from polytask.training.options import TrainingOptions


@dataclass(frozen=True)
class Recipe:
    """What is trained, and how; everything but data and seed.

    :param distillation: learn from teachers too; None: from labels alone.
    :param init_from: folder of a saved model to start from: its weights where they fit; empty: start afresh.
    """

    encoder: Encoder
    sharing: Sharing
    balancer: Method
    sampler: Sampler
    options: TrainingOptions
    distillation: Distillation | None = None
    init_from: str = ""
