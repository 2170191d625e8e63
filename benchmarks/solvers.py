"""How long one answer of each Gramian method takes, and how exact it is: ours, and torchjd's if it is installed.

    OMP_NUM_THREADS=1 python benchmarks/solvers.py --repeats 20

One process, CPU, float64, contenders interleaved, a fresh random Gramian in every repeat. Times are milliseconds of
CPU time of one thread (what others do on the machine does not count), ``median (10 % .. 90 %)``, from evidence to
weights; the residual is the method's own measure, the worst over repeats.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from polytask.balancing.contract import Evidence, Weigher
from polytask.balancing.methods import METHODS

NAMES = ("mgda", "pcgrad", "gradvac", "cagrad", "imtl_g", "nash_mtl", "aligned_mtl", "fairgrad", "upgrad", "dualproj")
TARGETS = {2: 1.0, 8: 1.0, 20: 2.0, 40: 5.0}


def generic(T: int, rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(T, 3 * T))


def conflicting(T: int, rng: np.random.Generator) -> np.ndarray:
    """One strong direction that half of the tasks want and half do not."""
    side = np.where(np.arange(T) % 2, 1.0, -1.0)
    return 0.5 * rng.normal(size=(T, 3 * T)) + side[:, None] * rng.normal(size=3 * T)


def near_singular(T: int, rng: np.random.Generator) -> np.ndarray:
    """Half of the tasks are copies of the others up to 1e-6."""
    J = generic(T, rng)
    half = T // 2
    J[half : 2 * half] = J[:half] + 1e-6 * rng.normal(size=(half, 3 * T))
    return J


def rank_deficient(T: int, rng: np.random.Generator) -> np.ndarray:
    """Three times as many tasks as parameters: some combination of the gradients is zero."""
    return rng.normal(size=(T, max(T // 3, 1)))


def nearly_stationary(T: int, rng: np.random.Generator) -> np.ndarray:
    """Gradients in half as many directions as tasks, up to 1e-5: combinations that are almost zero."""
    low = max(T // 2, 2)
    return rng.normal(size=(T, low)) @ rng.normal(size=(low, 3 * T)) + 1e-5 * rng.normal(size=(T, 3 * T))


def spread(T: int, rng: np.random.Generator) -> np.ndarray:
    """Norms a million apart."""
    return generic(T, rng) * np.logspace(-3, 3, T)[:, None]


KINDS = (generic, conflicting, near_singular, nearly_stationary, rank_deficient, spread)


def other_weightings() -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import torchjd.aggregation as jd
    except ImportError:
        return {}
    return {
        "mgda": jd.MGDAWeighting(),
        "pcgrad": jd.PCGradWeighting(),
        "imtl_g": jd.IMTLGWeighting(),
        "aligned_mtl": jd.AlignedMTLWeighting(),
        "fairgrad": jd.FairGradWeighting(alpha=2.0),
        "upgrad": jd.UPGradWeighting(),
        "dualproj": jd.DualProjWeighting(),
        **({"cagrad": jd.CAGradWeighting(c=0.5)} if _has_cvxpy() else {}),
    }


def _has_cvxpy() -> bool:
    try:
        import cvxpy  # noqa: F401  # torchjd needs it for CAGrad
    except ImportError:
        return False
    return True


def timed(call: Callable[[], torch.Tensor]) -> tuple[float, torch.Tensor | None]:
    start = time.thread_time()
    try:
        answer = call()
    except Exception:  # a solver of others may refuse a hard input: that is a result, too
        return float("nan"), None
    return 1e3 * (time.thread_time() - start), answer


def spell(times: list[float]) -> str:
    known = sorted(t for t in times if not math.isnan(t))
    if not known:
        return "fails"
    low, high = known[int(0.1 * len(known))], known[min(int(0.9 * len(known)), len(known) - 1)]
    return f"{statistics.median(known):7.2f} ({low:.2f} .. {high:.2f})"


def measure(name: str, T: int, make: Callable[[int, np.random.Generator], np.ndarray], repeats: int) -> None:
    method = METHODS.build(name)
    if not isinstance(method, Weigher):
        raise TypeError(name)
    other = other_weightings().get(name)
    rng = np.random.default_rng(T)
    generator = torch.Generator().manual_seed(0)
    losses = torch.ones(T, dtype=torch.float64)
    state = method.init(tuple(map(str, range(T))), losses)
    ours: list[float] = []
    theirs: list[float] = []
    residuals: list[float] = []
    for repeat in range(repeats + 1):
        J = torch.from_numpy(make(T, rng))
        evidence = Evidence(losses, J @ J.T)
        own, weights = timed(lambda e=evidence: method.weigh(e, state, generator)[0])
        foreign = timed(partial(other, evidence.gramian))[0] if other is not None else float("nan")
        if repeat and weights is not None:  # the first one warms up
            ours.append(own)
            theirs.append(foreign)
            residuals.append(method.residual(evidence, state, weights))
    late = "" if statistics.median(ours) <= TARGETS[T] else f"   over {TARGETS[T]:g} ms"
    beside = f"   torchjd {spell(theirs)}" if other is not None else ""
    print(f"{name:12s} T={T:<3d} {make.__name__:15s} {spell(ours)}   residual {max(residuals):.0e}{beside}{late}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--tasks", type=int, nargs="*", default=sorted(TARGETS), choices=sorted(TARGETS))
    parser.add_argument("--methods", nargs="*", default=list(NAMES), choices=NAMES)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in options.methods:
        for T in options.tasks:
            for make in KINDS:
                measure(name, T, make, options.repeats)


if __name__ == "__main__":
    main()
