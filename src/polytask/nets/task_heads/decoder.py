"""Texts, written token by token by a small transformer that reads the encoder's words."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from polytask.batch import Ragged, Targets
from polytask.errors import TaskError
from polytask.nets.encoders.sequence import position_code
from polytask.nets.task_heads.attention import DecoderLayer, Memory, Pair
from polytask.nets.task_heads.beam import beam_search
from polytask.nets.task_heads.head import TaskHead
from polytask.nets.task_heads.labelled import of_texts
from polytask.nets.units import Units, real_words
from polytask.tasks.generation import BOS, EOS, PAD, GenerationTarget
from polytask.tasks.task import Target

WIDTH, HEADS, LAYERS = 256, 4, 2
DROPOUT = 0.1
BEAM = 4


class DecoderHead(TaskHead):
    """A transformer decoder over the vectors of the words; the vector of the row comes before them.

    Training predicts each token from the true ones before it. Answers are searched for with a beam, and are at most as
    long as the longest text of training. The output layer starts at zero weights and the bias at the frequencies of the
    tokens: the first loss is that of the best constant predictor. A negative token was never seen in training; it costs
    log K and teaches nothing.

    Vaswani, Shazeer, Parmar, Uszkoreit, Jones, Gomez, Kaiser and Polosukhin. Attention is all you need. NeurIPS 2017.

    :param width: D.
    """

    def __init__(self, target: Target, width: int) -> None:
        super().__init__()
        if not isinstance(target, GenerationTarget):
            raise TaskError(
                "a decoder writes texts: it answers 'generation' alone.", where=f"task {target.task.name!r}"
            )
        self.task, self.longest = target.task.name, target.longest
        self.read = nn.Linear(width, WIDTH)
        self.tokens = nn.Embedding(target.outputs, WIDTH)
        self.layers = nn.ModuleList(DecoderLayer(WIDTH, HEADS, DROPOUT) for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH)
        self.dropout = nn.Dropout(DROPOUT)
        self.classes = nn.Linear(WIDTH, target.outputs)
        nn.init.normal_(self.tokens.weight, std=WIDTH**-0.5)
        nn.init.zeros_(self.classes.weight)
        with torch.no_grad():
            self.classes.bias.copy_(target.bias())

    def forward(self, units: Units) -> Units:
        """The vectors as they are: which of them have labels is known when the loss is taken."""
        return units

    def loss_sums(self, outputs: Units, targets: Targets) -> tuple[Tensor, Tensor]:
        """Cross-entropy of all tokens of the labelled texts, and their number."""
        labels = targets.lists[self.task]
        texts = labels.counts > 0
        if not texts.any():
            return outputs.rows.new_zeros(()), outputs.rows.new_zeros(())
        units, kept = (outputs, labels) if texts.all() else (of_texts(outputs, texts), labels[texts])
        real = real_words(kept.counts)
        codes = torch.full(real.shape, PAD, dtype=torch.int64, device=real.device)
        codes[real] = kept.values[:, 0].long()
        with torch.autocast(units.rows.device.type, enabled=False):
            before = functional.pad(codes[:, :-1], (1, 0), value=BOS).clamp(min=PAD)
            tokens = self._embedded(before, 0)
            memory = self._memory(units)
            for layer, pair in zip(self._layers(), memory.pairs, strict=True):
                tokens, _ = layer(tokens, pair, memory.real)
            logits = self.classes(self.norm(tokens[real]))
            wanted = codes[real]
            loss = functional.cross_entropy(logits, wanted.clamp(min=-1), reduction="sum", ignore_index=-1)
        loss = loss + (wanted < 0).sum() * math.log(logits.shape[-1])
        return loss, torch.tensor(float(len(wanted)), device=loss.device, dtype=loss.dtype)

    @torch.no_grad()
    def answers(self, outputs: Units) -> Ragged:
        """The tokens of the text of every row, without the mark of its end: ``(K, 1)``."""
        rows, device = len(outputs.counts), outputs.rows.device
        if not rows:
            return Ragged(outputs.rows.new_zeros(0, 1), outputs.counts)
        memory = self._memory(outputs).take(torch.arange(rows, device=device).repeat_interleave(BEAM))
        past: list[Pair | None] = [None] * LAYERS

        def step(tokens: Tensor, origin: Tensor, place: int) -> Tensor:
            values = self._embedded(tokens[:, None], place)
            for i, layer in enumerate(self._layers()):
                kept = past[i]
                before = None if kept is None else (kept[0][origin], kept[1][origin])
                values, past[i] = layer(values, memory.pairs[i], memory.real, before)
            logits: Tensor = self.classes(self.norm(values[:, 0]))
            return logits.log_softmax(-1)

        found = beam_search(step, rows, BEAM, self.longest, (PAD, BOS, EOS), device=device)
        real = (found != PAD) & (found != EOS)
        return Ragged(found[real][:, None].to(torch.float32), real.sum(1))

    def _memory(self, units: Units) -> Memory:
        """What the layers read: the vector of the row, then those of its words."""
        values, real = units.padded()
        joint = self.read(torch.cat([units.rows[:, None], values], 1).to(self.read.weight.dtype))
        readable = torch.cat([real.new_ones(len(real), 1), real], 1)[:, None, None]
        return Memory(tuple(layer.read(joint) for layer in self._layers()), readable)

    def _embedded(self, codes: Tensor, start: int) -> Tensor:
        """Tokens ``(N, T)`` at places from ``start`` on: ``(N, T, WIDTH)``."""
        values = self.tokens(codes) * math.sqrt(WIDTH)
        placed: Tensor = self.dropout(values + position_code(start + codes.shape[1], WIDTH, values)[start:])
        return placed

    def _layers(self) -> list[DecoderLayer]:
        return [layer for layer in self.layers if isinstance(layer, DecoderLayer)]
