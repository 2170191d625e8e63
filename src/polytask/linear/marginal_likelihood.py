"""What a Gaussian process of several tasks learns from the labels: gpytorch's kernels under the exact likelihood.

PyTorch and gpytorch are imported when something is to be learned. Rows are compared in units of the features' spread,
labels in units of each task's, so that starting values and bounds have no units.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize

from polytask.errors import MissingExtraError
from polytask.linear.arrays import Array
from polytask.linear.coregionalisation import SMOOTHNESS
from polytask.linear.forms import Rows

if TYPE_CHECKING:
    from torch import Tensor

LENGTHS, OWN, FACTORS, NOISE = (-4.0, 7.0), (-12.0, 5.0), (-10.0, 10.0), (-12.0, 3.0)
"""Bounds: of log lengthscales, logs of the tasks' own variances, entries of C, log noise; all in those units."""


@dataclass(frozen=True)
class Hyperparameters:
    """What the covariance of the labels is made of.

    :param lengthscales: (Q, d).
    :param covariances: (Q, T, T).
    :param noise: (T,) variances.
    """

    lengthscales: Array
    covariances: Array
    noise: Array


@dataclass(frozen=True)
class Given:
    """Those that are held fixed; None is learned."""

    lengthscales: Array | None
    covariances: Array | None
    noise: Array | None

    def complete(self) -> Hyperparameters | None:
        """All of them, if nothing is to be learned."""
        if self.lengthscales is None or self.covariances is None or self.noise is None:
            return None
        return Hyperparameters(self.lengthscales, self.covariances, self.noise)


@dataclass(frozen=True)
class Search:
    """How to learn.

    :param kernel: of rows: ``rbf``, ``matern12``, ``matern32`` or ``matern52``.
    :param latent: Q.
    :param rank: of ``C_q`` in ``B_q = C_q C_q' + diag(v_q)``.
    :param ard: a lengthscale per feature, or one for all.
    :param intercept: an intercept per task, with a flat prior.
    :param restarts: random starts besides the first.
    :param max_iter: of L-BFGS-B from each start.
    """

    kernel: str
    latent: int
    rank: int
    ard: bool
    intercept: bool
    restarts: int
    max_iter: int


def learn(rows: Rows, known: Given, search: Search, rng: Any) -> tuple[Hyperparameters, int, bool]:
    """Maximise the restricted likelihood of stacked rows.

    :param rng: numpy's ``RandomState`` of the starts.
    :returns: all hyperparameters, iterations of the best start, and whether these sufficed.
    :raises MissingExtraError: gpytorch is not installed.
    """
    middle = np.average(rows.X, axis=0, weights=rows.weight)
    spread = np.sqrt(np.average(np.square(rows.X - middle), axis=0, weights=rows.weight))
    spread = np.where(spread > 1e-12 * np.abs(rows.X).max(axis=0), spread, 1.0)
    scale = _label_scale(rows, centred=search.intercept)
    unitless = replace(rows, X=rows.X / spread, y=rows.y / scale[rows.codes])
    pairs = scale[:, None] * scale
    given = Given(
        None if known.lengthscales is None else known.lengthscales / spread,
        None if known.covariances is None else known.covariances / pairs,
        None if known.noise is None else known.noise / scale**2,
    )
    data = _labels(unitless, intercept=search.intercept)
    runs = []
    for start in range(1 + search.restarts):
        process = _start(unitless, given, search, rng, jump=start > 0)
        runs.append((process.climb(data, search.max_iter), process))
    result, process = min(runs, key=lambda run: float(run[0].fun))
    values = process.values()
    return (
        Hyperparameters(values.lengthscales * spread, values.covariances * pairs, values.noise * scale**2),
        int(result.nit),
        bool(result.status != 1),  # an abnormal end is at the limit of the arithmetic
    )


def _labels(rows: Rows, *, intercept: bool) -> _Labels:
    _gpytorch()
    import torch

    codes = torch.from_numpy(np.asarray(rows.codes))
    X, y, weight = (torch.from_numpy(np.ascontiguousarray(part)) for part in (rows.X, rows.y, rows.weight))
    indicators = torch.nn.functional.one_hot(codes, rows.tasks).double() if intercept else None
    return _Labels(X, y, codes, weight, indicators)


def _label_scale(rows: Rows, *, centred: bool) -> Array:
    """The spread of the labels of every task (T,); where there is none to see, that of all tasks."""
    codes, w = np.asarray(rows.codes), rows.weight
    total = np.bincount(codes, w)
    middle = np.bincount(codes, w * rows.y) / total if centred else np.zeros(rows.tasks)
    squares = np.bincount(codes, w * np.square(rows.y - middle[codes])) / total
    tiny = 1e-20 * np.max(np.square(rows.y), initial=0.0)
    seen = squares > tiny
    common = squares[seen].mean() if seen.any() else 1.0
    return np.asarray(np.sqrt(np.where(seen, squares, common)))


@dataclass(frozen=True)
class _Process:
    """Row kernels and covariances of tasks as gpytorch has them, and the parameters that are free, with bounds."""

    kernels: list[Any]
    covariances: Sequence[Callable[[], Tensor]]
    log_noise: Tensor
    free: list[tuple[Tensor, tuple[float, float]]]

    def climb(self, data: _Labels, max_iter: int) -> Any:
        """Run L-BFGS-B and leave the parameters at the best point."""
        import torch

        def put(point: Array) -> None:
            at = 0
            with torch.no_grad():
                for tensor, _ in self.free:
                    size = tensor.numel()
                    tensor.copy_(torch.from_numpy(point[at : at + size].reshape(tensor.shape)))
                    at += size

        def loss(point: Array) -> tuple[float, Array]:
            put(point)
            for tensor, _ in self.free:
                tensor.grad = None
            covariance, more = data.covariance(self)
            found = data.likelihood_and_slope(covariance.detach())
            if found is None:  # the line search steps back
                return np.inf, np.zeros_like(point)
            value, slope = found
            rows = float(data.weight.sum())
            torch.autograd.backward([covariance], [-slope / rows], retain_graph=more.requires_grad)
            if more.requires_grad:
                torch.autograd.backward([-more / rows])
            gradients = [_gradient(tensor) for tensor, _ in self.free]
            return -(value + float(more.detach())) / rows, _flat(gradients)

        start = _flat([tensor.detach() for tensor, _ in self.free])
        bounds = [limits for tensor, limits in self.free for _ in range(tensor.numel())]
        result = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": max_iter})
        put(result.x)
        return result

    def values(self) -> Hyperparameters:
        """What the parameters say now."""
        d = max(kernel.lengthscale.shape[-1] for kernel in self.kernels)
        return Hyperparameters(
            np.stack([np.broadcast_to(kernel.lengthscale.detach().numpy()[0], (d,)) for kernel in self.kernels]),
            np.stack([covariance().detach().numpy() for covariance in self.covariances]),
            self.log_noise.detach().exp().numpy(),
        )


@dataclass(frozen=True)
class _Labels:
    """Rows, labels and weights as tensors; ``indicators`` (N, T) of the tasks, or None without intercepts."""

    X: Tensor
    y: Tensor
    codes: Tensor
    weight: Tensor
    indicators: Tensor | None

    def covariance(self, process: _Process) -> tuple[Tensor, Tensor]:
        """Of the labels (N, N), and what weights add to the log likelihood."""
        import torch

        pairs = self.codes[:, None], self.codes
        terms = zip(process.kernels, process.covariances, strict=True)
        K: Tensor = sum(kernel(self.X).to_dense() * tasks()[pairs] for kernel, tasks in terms)
        log_noise = process.log_noise[self.codes]
        return K + torch.diag(log_noise.exp() / self.weight), -0.5 * ((self.weight - 1) * log_noise).sum()

    def likelihood_and_slope(self, K: Tensor) -> tuple[float, Tensor] | None:
        """The log likelihood up to a constant, as in ``coregionalisation.condition``, and its derivative by ``K``.

        The derivative is ``(a a' - P) / 2`` with ``P = K^-1 - K^-1 Z (Z' K^-1 Z)^-1 Z' K^-1`` and ``a = P y``; to go
        back through the factorisation would take three times as long. None where ``K`` is singular.
        """
        import torch

        L, failed = torch.linalg.cholesky_ex(K)
        if failed:
            return None
        P = torch.cholesky_inverse(L)
        value = -float(L.diagonal().log().sum())
        if self.indicators is not None:
            solved = P @ self.indicators
            factor = torch.linalg.cholesky(self.indicators.mT @ solved)
            half = torch.linalg.solve_triangular(factor, solved.mT, upper=False)
            P -= half.mT @ half
            value -= float(factor.diagonal().log().sum())
        dual = P @ self.y
        return value - 0.5 * float(self.y @ dual), 0.5 * (torch.outer(dual, dual) - P)


def _start(rows: Rows, given: Given, search: Search, rng: Any, *, jump: bool) -> _Process:
    """Parameters to begin with: as given, else moderate, or thrown for a restart."""
    import torch

    free: list[tuple[Tensor, tuple[float, float]]] = []
    kernels = _row_kernels(rows.X.shape[1], given.lengthscales, search, rng, jump=jump)
    if given.lengthscales is None:
        free += [(kernel.raw_lengthscale, LENGTHS) for kernel in kernels]
    if given.covariances is None:
        indices = _task_kernels(rows.tasks, search, rng, jump=jump)
        free += [pair for kernel in indices for pair in ((kernel.covar_factor, FACTORS), (kernel.raw_var, OWN))]
        covariances = [partial(_dense, kernel) for kernel in indices]
    else:
        covariances = [partial(torch.from_numpy, B) for B in given.covariances]
    if given.noise is None:
        log_noise = torch.full((rows.tasks,), float(np.log(0.3) - jump * rng.uniform(0, 3)), dtype=torch.float64)
        free.append((log_noise.requires_grad_(True), NOISE))
    else:
        log_noise = torch.from_numpy(np.log(np.maximum(given.noise, 1e-300)))
    return _Process(kernels, covariances, log_noise, free)


def _row_kernels(features: int, given: Array | None, search: Search, rng: Any, *, jump: bool) -> list[Any]:
    import torch

    gpytorch = _gpytorch()
    kernels = []
    for q in range(search.latent):
        size = features if search.ard or given is not None else 1
        options = {"ard_num_dims": size if size > 1 else None, "lengthscale_constraint": _positive()}
        kernel = (
            gpytorch.kernels.RBFKernel(**options)
            if search.kernel == "rbf"
            else gpytorch.kernels.MaternKernel(nu=SMOOTHNESS[search.kernel], **options)
        ).double()
        if given is None:  # terms of a sum begin one e-fold apart
            start = 0.5 * np.log(features) - q + jump * rng.normal(size=(1, size))
        else:
            start = np.log(given[q])[None]
        kernel.initialize(raw_lengthscale=torch.from_numpy(np.broadcast_to(start, (1, size)).copy()))
        kernel.requires_grad_(given is None)
        kernels.append(kernel)
    return kernels


def _task_kernels(tasks: int, search: Search, rng: Any, *, jump: bool) -> list[Any]:
    import torch

    gpytorch = _gpytorch()
    kernels = []
    for _ in range(search.latent):
        with torch.random.fork_rng(devices=[]):  # the kernel begins with draws from the global generator
            kernel = gpytorch.kernels.IndexKernel(num_tasks=tasks, rank=search.rank, var_constraint=_positive())
        kernel.double()
        C = (0.1 + 0.5 * jump) * rng.normal(size=(tasks, search.rank))
        C[:, 0] += np.sqrt(0.4 / search.latent)
        own = torch.full((tasks,), float(np.log(0.3 / search.latent)), dtype=torch.float64)
        kernel.initialize(covar_factor=torch.from_numpy(C), raw_var=own)
        kernels.append(kernel)
    return kernels


def _dense(kernel: Any) -> Tensor:
    """``C C' + diag(v)`` of an index kernel."""
    C: Tensor = kernel.covar_factor
    own: Tensor = kernel.var
    matrix: Tensor = C @ C.mT + own.diag()
    return matrix


def _positive() -> Any:
    """Parameters are logarithms, so that bounds are ratios."""
    import torch

    return _gpytorch().constraints.Positive(transform=torch.exp, inv_transform=torch.log)


def _flat(tensors: list[Tensor]) -> Array:
    return np.concatenate([tensor.numpy().ravel() for tensor in tensors]).astype(np.float64)


def _gradient(tensor: Tensor) -> Tensor:
    return tensor.grad if tensor.grad is not None else tensor.detach() * 0


def _gpytorch() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # one of its dependencies compiles with torch.jit
            import gpytorch
    except ImportError as error:
        raise MissingExtraError("gpytorch", "gp", "Learning a TaskGaussianProcess") from error
    return gpytorch
