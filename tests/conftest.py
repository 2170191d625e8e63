"""Settings of the whole suite."""

from __future__ import annotations

import torch

torch.set_num_threads(1)  # two test processes with two threads each are ten times slower than with one
