"""The stateful shell: one balancing method in anyone's training loop."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from polytask.balancing import losses as door
from polytask.balancing import scaling, snapshot
from polytask.balancing.contract import Combiner, Evidence, Method, Need, State
from polytask.balancing.engine import sharded
from polytask.balancing.engine.deliver import Backward
from polytask.balancing.engine.engine import Engine, Mode, Ranks, Way, look
from polytask.balancing.engine.plain import weighted_backward
from polytask.balancing.engine.survey import Survey
from polytask.balancing.halves import look_twice, products
from polytask.balancing.losses import Losses
from polytask.balancing.memory import Memory
from polytask.balancing.methods import METHODS
from polytask.balancing.one_shot import answer
from polytask.balancing.options import check_options
from polytask.balancing.part import Features, Forward, look_again
from polytask.balancing.record import StepRecord
from polytask.balancing.reuse import Reuse
from polytask.balancing.scaling import Normalise
from polytask.balancing.sinks import feature_tensors, shared_parameters
from polytask.errors import UserError, did_you_mean

FORMAT = 1


class Balancer:
    """Weighs the losses of several tasks and runs their backward pass.

    Methods on losses: ``total = scale * sum_t w_t L_t`` over the present tasks, with the weights ``w`` held constant.
    Methods on gradients: shared parameters get ``scale * J^T w`` (or the method's own update) for the Jacobian ``J``
    of the task gradients; everything else the losses reach gets its plain gradient, ``scale * sum_t grad L_t``.

    The memory of the method is kept by task name: a task that is absent from a batch keeps its own, a task that is
    met for the first time starts afresh.

    :param method: a name of ``polytask list balancers``, ``"package.module:Class"``, a mapping
        ``{"name": ..., field: value}``, or an instance.
    :param tasks: all tasks of the run. Optional; when given, any other task is an error at once.
    :param seed: seed of the method's own random numbers (drawn on the CPU: the same on every device and process).
    :param every: new weights each n-th step, the last ones in between. It is counted by task: weights are renewed as
        soon as one of the present tasks has used its own ``every`` times (or has none yet). Reused weights are taken
        as they are: they may not sum to 1 (or T) when other tasks are present than before.
    :param check: False skips the check that losses are finite and in the domain of the method, which on a GPU waits
        for the forward pass in every step; do that only if the loop checks them itself.
    :param on: where methods on gradients compare the tasks: on the shared ``"parameters"`` (exact), or at the
        ``"features"`` that the heads read (one backward pass through the trunk, whatever T is).
    :param normalise: what the task gradients are divided by before the method sees them: ``"none"``, ``"loss"`` (the
        task's loss: gradients of log L) or ``"gradient"`` (their own length). The weights carry the divisor.
    :param engine: how task gradients are computed; the result is the same. ``"keep"``: one batched pass, fastest;
        ``"forget"``: the same with less memory; ``"sequential"``: one ordinary backward pass per task; ``"auto"``.
    :param memory: bytes that ``"keep"`` may hold beside the graph before it turns into ``"forget"``.
    :param rows: share of the rows, in (0, 1], that weights are taken from while the update uses all (``forward=`` of
        :meth:`backward`): about as good as the full batch from a quarter on, and cheaper. None: all rows.

    >>> balancer = Balancer("equal")
    >>> parameter = torch.ones(2, requires_grad=True)
    >>> step = balancer.backward({"age": parameter.sum(), "height": (3 * parameter).sum()})
    >>> parameter.grad, step.weights
    (tensor([4., 4.]), {'age': 1.0, 'height': 1.0})
    """

    def __init__(
        self,
        method: str | Mapping[str, Any] | Method = "equal",
        *,
        tasks: Sequence[str] | None = None,
        seed: int = 0,
        every: int = 1,
        check: bool = True,
        on: Literal["parameters", "features"] = "parameters",
        normalise: Normalise = "none",
        engine: Mode = "auto",
        memory: int | None = None,
        rows: float | None = None,
    ) -> None:
        self.method = METHODS.build(method)
        self.name = METHODS.name_of(self.method)
        check_options(self.method, every, rows, {"on": on, "normalise": normalise, "engine": engine})
        self.tasks = None if tasks is None else tuple(tasks)
        if self.tasks is not None:
            self._check_known(tuple(sorted(self.method.mentions())), f"balancer {self.name!r}")
        self.seed = seed
        self.every = every
        self.check = check
        self.on = on
        self.normalise: Normalise = normalise
        self.rows = rows
        self._rng = torch.Generator().manual_seed(seed)
        self._memory = Memory(self._begin)
        self._reuse = Reuse(every)
        self._engine = Engine(engine, memory)

    def backward(
        self,
        losses: Losses,
        shared: Iterable[Tensor] | None = None,
        *,
        features: Features | None = None,
        scale: float = 1.0,
        backward: Backward | None = None,
        kpi: Mapping[str, float] | None = None,
        forward: Forward | None = None,
        labelled: Tensor | int | None = None,
        evidence: Losses | None = None,
        evidence_features: Features | None = None,
        ranks: Ranks | None = None,
    ) -> StepRecord:
        """Weigh the losses of one batch and add the gradient of their weighted sum to ``.grad``.

        :param losses: a scalar per task by name (None: absent from this batch), or a
            :class:`~polytask.batch.TaskLosses`.
        :param shared: the parameters that tasks share. Methods that see losses alone do not look at it.
        :param features: with ``on="features"``, the tensor (or several) through which the tasks read the trunk.
        :param scale: a factor on the total, 1/k for gradient accumulation over k micro-batches; use ``every=k`` with
            it to hold the weights over the k.
        :param backward: called with a total instead of ``total.backward()``: ``fabric.backward``, or
            ``lambda total: scaler.scale(total).backward()``. Methods on gradients call it once more with a probe, to
            learn the scaler's factor.
        :param kpi: how well each task is solved, in (0, 1], for the method that asks for it (``dtp``).
        :param forward: with ``rows=``: losses of some rows of this batch, ``(n,)`` indices, computed anew (beside their
            features with ``on="features"``); see :func:`~polytask.balancing.quiet.quiet`. It is called in steps that
            renew weights. The tasks must be the same. Methods that multiply gradients of independent samples
            (:attr:`pairs_batches`) are given two disjoint halves by it, where both have every task.
        :param labelled: with ``forward=``: which rows carry a label of which task, ``(N, T)`` bool; or N.
        :param evidence: instead of these two, losses of the same tasks on other rows of your choice.
        :param evidence_features: the features of that pass, with ``on="features"``.
        :param ranks: the other processes, when each holds a part of the batch.
        :raises UserError: no loss, a loss that is not a scalar or has no gradient, an unknown task; shared parameters
            or features that are missing or that no loss reaches.
        :raises TrainingError: a loss or a task gradient is NaN or infinite, or a loss outside the domain of the method
            (``gls`` and ``log`` take losses above 0 only); the memory and ``.grad`` are as before.
        """
        given = door.read(losses)
        seen = door.evidence(given, kpi)
        if ranks is not None and ranks.size > 1:
            ranks.agree(given.names, seen.losses)
        if self.check:
            door.check(given.names, seen.losses, self.method, self.name)
        if self.method.needs is Need.LOSSES:
            if (weights := self._reused(given.names, seen)) is None:
                weights = self._fresh(given.names, seen)[0]
                self._reuse.keep(given.names, weights)
            weighted_backward(given.values(), weights, scale=scale, backward=backward)
            return StepRecord(given.names, weights, seen.losses)
        sinks = self._sinks(shared, features)
        if sharded.is_sharded(sinks):
            on_part = self.rows is not None or evidence is not None
            return self._on_shards(given, sinks, seen, Way.of(scale, backward, seen.losses, ranks), on_part=on_part)
        survey = look(given, sinks, on=self.on)
        way = Way.of(scale, backward, seen.losses, ranks)
        if way.ranks is not None and self.on == "features" and isinstance(self.method, Combiner):
            raise UserError(
                f"{type(self.method).__name__} needs the whole gradient at the features, of which each process has a "
                "part.",
                where="ranks",
                do='Use Balancer(..., on="parameters").',
            )
        if (weights := self._reused(given.names, seen)) is not None:
            self._engine.reuse(survey, weights, way)
            return StepRecord(given.names, weights, seen.losses)
        if self.pairs_batches and evidence is None and forward is not None and labelled is not None:
            share = self.rows or 1.0
            halves = look_twice(forward, labelled, share, self._rng, names=given.names, ranks=way.ranks)
            if halves is not None:
                return self._on_part(survey, look(halves, sinks, on=self.on), seen, way)
        if self.rows is not None and evidence is None:
            evidence, evidence_features = look_again(forward, labelled, self.rows, self._rng)
        if evidence is None:
            return self._on_gradients(survey, seen, way)
        part = door.read(evidence)
        door.check_part(given, part, self.method)
        at = sinks if self.on == "parameters" else feature_tensors(evidence_features, self.name)
        return self._on_part(survey, look(part, at, on=self.on), seen, way)

    @property
    def pairs_batches(self) -> bool:
        """Whether the method multiplies gradients of independent samples, which ``forward=`` can give it."""
        return self.method.n_batches > 1 and self.on == "parameters"

    def look_back(self, losses: Losses) -> None:
        """Show the method the losses of the same batch again, after the optimizer's step.

        Only ``famo`` and methods with ``looks_back`` learn from it; for all others it does nothing.

        :param losses: of the same tasks as in the last :meth:`backward`; no gradient is needed.
        :raises UserError: a task that was not there before.
        """
        if not self.method.looks_back:
            return
        given = door.read(losses, graph=False)
        seen = given.seen()
        for name in given.names:
            if name not in self._memory.names:
                raise UserError(f"expected the tasks of the last step, found {name!r}.", where="look_back")
        after = self.method.look_back(seen, self._memory.gather(given.names, seen))
        self._memory.scatter(given.names, after)

    def epoch_end(self) -> None:
        """Tell the method that an epoch has ended; ``dwa`` works on epoch means and does nothing without it."""
        self._memory.state = self.method.epoch_end(self._memory.state)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next steps depend on: ``{"tensors": {name: Tensor}, "meta": JSON values}``.

        The tensors share no memory and can be written with safetensors as they are.
        """
        return snapshot.take(self._header(), self._memory, self._reuse, self._rng)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where :meth:`state_dict` was taken; nothing is changed if that cannot be.

        :raises RunError: the state is of another version, method or configuration, or its tensors do not fit.
        :raises UserError: the state remembers a task that is not among ``tasks``.
        """
        names = snapshot.check_meta(state["meta"], self._header())
        self._check_known(names, snapshot.PLACE)
        width = state["meta"].get("width")
        like = torch.zeros(1) if width is None else torch.zeros(len(names), width)
        fresh = self._begin(names, like) if names else {}
        snapshot.restore(state, fresh, self._memory, self._reuse, self._rng)

    def _header(self) -> dict[str, Any]:
        return {"format": FORMAT, "method": METHODS.config(self.method), "every": self.every}

    def _sinks(self, shared: Iterable[Tensor] | None, features: Features | None) -> list[Tensor]:
        if self.on == "features":
            return feature_tensors(features, self.name)
        return shared_parameters(shared, self.name)

    def _on_gradients(self, survey: Survey, evidence: Evidence, way: Way) -> StepRecord:
        names, losses = survey.losses.names, evidence.losses
        gathered = self._engine.gather(survey, self.method.needs, way)
        gramian = gathered.gramian
        if self.check and not way.is_scaled:  # a gradient scaler is let have what is not finite: it waits for it
            door.check_gradients(names, gramian.diagonal())
        if not bool(gramian.isfinite().all()):
            self._engine.finish(survey, gathered.combine(torch.ones_like(losses)), gathered.others, way)
            return StepRecord(names, torch.ones_like(losses), losses, gramian)
        units = scaling.units(self.normalise, losses, gramian)
        jacobian = gathered.jacobian if self.method.needs is Need.JACOBIAN else None
        full = scaling.scaled(evidence, gramian, jacobian, units)
        found, before = self._fresh(names, full)
        if isinstance(self.method, Combiner):
            self._engine.finish(survey, gathered.cut(found), gathered.others, way)
            return StepRecord(names, torch.full_like(losses, math.nan), losses, gramian)
        weights = found if units is None else found * units.to(found)
        self._reuse.keep(names, weights)
        update = self._engine.combine(survey, gathered, weights, way)
        self._engine.finish(survey, update, gathered.others, way)
        return StepRecord(names, weights, losses, gramian, partial(self.method.residual, full, before, found))

    def _on_part(self, survey: Survey, part: Survey, evidence: Evidence, way: Way) -> StepRecord:
        """Weights from the gradients of a part of the rows, then one ordinary backward pass of all of them."""
        names, losses = survey.losses.names, evidence.losses
        gathered = self._engine.gather(part, self.method.needs, way)
        gramian, cross = products(gathered.gramian, len(names))
        if self.check and not way.is_scaled:
            door.check_gradients(names, gramian.diagonal())
        if not bool(gramian.isfinite().all()):  # so that a gradient scaler finds it, and the memory does not
            self._engine.reuse(survey, torch.full_like(losses, math.nan), way)
            return StepRecord(names, torch.full_like(losses, math.nan), losses, gramian)
        units = scaling.units(self.normalise, losses, gramian)
        full = scaling.scaled(replace(evidence, cross=cross), gramian, gathered.jacobian, units)
        found, before = self._fresh(names, full)
        weights = found if units is None else found * units.to(found)
        self._reuse.keep(names, weights)
        self._engine.reuse(survey, weights, way)
        return StepRecord(names, weights, losses, gramian, partial(self.method.residual, full, before, found))

    def _on_shards(
        self, given: door.Given, sinks: list[Tensor], evidence: Evidence, way: Way, *, on_part: bool
    ) -> StepRecord:
        """A trunk of which every process holds a part."""
        names, losses = given.names, evidence.losses
        sharded.check(sinks, self.method, way, on_part=on_part)
        if (weights := self._reused(names, evidence)) is not None:
            sharded.reuse(given, weights, way)
            return StepRecord(names, weights, losses)
        shards = sharded.gather(given, sinks, way)
        if self.check and not way.is_scaled:
            door.check_gradients(names, shards.gramian.diagonal())
        units = scaling.units(self.normalise, losses, shards.gramian)
        full = scaling.scaled(evidence, shards.gramian, None, units)
        found, before = self._fresh(names, full)
        weights = found if units is None else found * units.to(found)
        self._reuse.keep(names, weights)
        shards.deliver(weights)
        return StepRecord(names, weights, losses, shards.gramian, partial(self.method.residual, full, before, found))

    def _reused(self, names: tuple[str, ...], evidence: Evidence) -> Tensor | None:
        """The last weights of the tasks, if it is not yet time for new ones."""
        return None if self._reuse.due(names) else self._reuse.take(names, evidence.losses)

    def _fresh(self, names: tuple[str, ...], evidence: Evidence) -> tuple[Tensor, State]:
        """The method's answer to the evidence, and the memory before it."""
        before = self._memory.gather(names, evidence.like(self.method.needs))
        found, after = answer(self.method, evidence, before, self._rng)
        self._memory.scatter(names, after)
        return found, before

    def _begin(self, names: tuple[str, ...], like: Tensor) -> dict[str, Tensor]:
        self._check_known(names, "tasks")
        return self.method.init(names, like)

    def _check_known(self, names: tuple[str, ...], where: str) -> None:
        if self.tasks is None:
            return
        for name in names:
            if name not in self.tasks:
                raise UserError(
                    f"expected tasks among {', '.join(self.tasks)}, found {name!r}.",
                    where=where,
                    do=did_you_mean(name, self.tasks),
                )
