"""Cost of a training step under gradient balancing, over one backward pass of the summed loss, against targets.

    python benchmarks/balancing.py --workloads mlp256 --tasks 2 3 8 20 40
    python benchmarks/balancing.py --workloads resnet32 --tasks 8 --few --every-line
    python benchmarks/balancing.py --memory --workloads mlp256 transformer4 resnet32 --tasks 2 8 40

A step is forward, losses and backward; the floor is the same with ``sum(losses).backward()``. All contenders run in one
process, in turn; a ratio is the median over rounds of the ratio within a round. Time is that of the process, so that
neighbours on the machine disturb less. Contenders:

- ``rows``: T ordinary backward passes, written as anyone would, and the mean of the rows;
- ``auto``, ``sequential``, ``keep``, ``forget``: the engine with ``mgda``, in its modes;
- ``features``; ``every=10``; ``rows=0.25``, and both: the options of the balancer with ``mgda``;
- every method of the catalogue, solver included; methods on gradients beside torchjd (Quinton, Rey 2024) with the same
  method in the better of its two modes (if it lacks the method, with its cheapest aggregator, the mean).

A line per workload and number of tasks is printed; numbers that miss their target carry an exclamation mark.
``--every-line`` prints all contenders, with their targets. With ``--memory`` every contender runs in a process of its
own, and the peak above that of the floor is printed.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch

from polytask.balancing import METHODS, Balancer, Need
from workloads import WORKLOADS, Problem

Step = Callable[[], object]
MODES = ("auto", "sequential", "keep", "forget")
SHORTEST = 0.03
"""Seconds: steps that are shorter are timed several at a time."""
FEW = ("mgda", "pcgrad", "nash_mtl", "upgrad", "graddrop", "equal", "uncertainty", "famo")
CONFIGS = {"gcs": {"main": ["t0"]}, "ol_aux": {"main": ["t0"]}, "cr_mogm": {"method": "mgda"}}
THEIRS = {
    "mgda": "MGDA",
    "pcgrad": "PCGrad",
    "gradvac": "GradVac",
    "cagrad": "CAGrad",
    "imtl_g": "IMTLG",
    "nash_mtl": "NashMTL",
    "aligned_mtl": "AlignedMTL",
    "fairgrad": "FairGrad",
    "upgrad": "UPGrad",
    "dualproj": "DualProj",
    "config": "ConFIG",
    "krum": "Krum",
}


def config(name: str, T: int) -> dict[str, object]:
    extra = {"fixed": {"weights": {f"t{t}": 1.0 for t in range(T)}}, **CONFIGS}
    return {"name": name, **extra.get(name, {})}


def methods(need: Need) -> list[str]:
    return [name for name in METHODS if METHODS.build(config(name, 2)).needs is need]


def floor(problem: Problem) -> Step:
    return lambda: sum(problem.losses().values()).backward()


def rows(problem: Problem) -> Step:
    """T ordinary passes."""
    shared, heads = list(problem.trunk.parameters()), list(problem.heads)

    def step() -> None:
        losses = list(problem.losses().values())
        J = torch.empty(len(losses), sum(parameter.numel() for parameter in shared))
        for t, loss in enumerate(losses):
            own = list(heads[t].parameters())
            found = torch.autograd.grad(loss, [*shared, *own], retain_graph=t < len(losses) - 1)
            torch.cat([gradient.flatten() for gradient in found[: len(shared)]], out=J[t])
            for parameter, gradient in zip(own, found[len(shared) :], strict=True):
                parameter.grad = gradient
        sizes = [parameter.numel() for parameter in shared]
        for parameter, gradient in zip(shared, J.mean(0).split(sizes), strict=True):
            parameter.grad = gradient.view(parameter.shape)

    return step


def ours(problem: Problem, method: str, **options: object) -> Step:
    balancer = Balancer(config(method, len(problem.heads)), **options)
    part = {"forward": problem.part, "labelled": len(problem.x)} if "rows" in options else {}

    def step() -> None:
        losses = problem.losses()
        balancer.backward(losses, shared=problem.trunk.parameters(), features=problem.z, **part)
        problem.z = torch.empty(0)
        if balancer.method.looks_back:
            balancer.look_back({name: loss.detach() for name, loss in problem.losses().items()})

    return step


def theirs(problem: Problem, aggregator: str, chunk: int | None) -> Step:
    from torchjd import aggregation
    from torchjd.autojac import jac_to_grad, mtl_backward

    extra = {
        "NashMTL": {"n_tasks": len(problem.heads)},
        "CAGrad": {"c": 0.5},
        "Krum": {"n_byzantine": 0},
        "FairGrad": {"alpha": 2.0},
    }
    chosen = getattr(aggregation, aggregator)(**extra.get(aggregator, {}))

    def step() -> None:
        losses = list(problem.losses().values())
        mtl_backward(losses, features=problem.z, parallel_chunk_size=chunk)
        jac_to_grad(list(problem.trunk.parameters()), chosen)

    return step


def contenders(workload: str, T: int, names: Sequence[str], chunk: int | None) -> dict[str, Step]:
    """By name, none of them run yet."""
    problem = Problem.of(workload, T)
    steps: dict[str, Step] = {"floor": floor(problem), "rows": rows(problem)}
    steps |= {mode: ours(problem, "mgda", engine=mode) for mode in MODES}
    steps["features"] = ours(problem, "mgda", on="features")
    steps["every=10"] = ours(problem, "mgda", every=10)
    steps["rows=0.25"] = ours(problem, "mgda", rows=0.25)
    steps["both"] = ours(problem, "mgda", every=10, rows=0.25)
    steps |= {name: ours(problem, name) for name in names}
    gramian = [name for name in names if name in methods(Need.GRAMIAN)]
    wanted = {"Mean", *(THEIRS[name] for name in gramian if name in THEIRS)}
    steps |= {f"torchjd {name}": theirs(problem, name, chunk) for name in sorted(wanted)}
    return steps


def measure(steps: dict[str, Step], rounds: int) -> dict[str, float]:
    """Median ratios to the floor; NaN for what fails."""
    found: dict[str, list[float]] = {}
    for name, step in steps.items():
        try:
            for _ in range(1 if is_sparse(name) else 3):
                step()  # the engine checks itself in the steps 1, 2, 4, ...
        except Exception as reason:
            print(f"# {name} fails: {str(reason).splitlines()[0]}")
        else:
            found[name] = []
    start = time.process_time()
    steps["floor"]()
    once = max(1, int(SHORTEST / (time.process_time() - start)))
    for _ in range(rounds):
        for name, times in found.items():
            repeats = max(10, once) if is_sparse(name) else once
            start = time.process_time()
            for _ in range(repeats):
                steps[name]()
            times.append((time.process_time() - start) / repeats)
    base = np.array(found["floor"])
    return {name: float(np.median(np.array(found[name]) / base)) if name in found else np.nan for name in steps}


def is_sparse(name: str) -> bool:
    return name in ("every=10", "both")


def better_mode(workload: str, T: int) -> int | None:
    """Which of torchjd's two modes is faster here: all tasks at once, or one by one."""
    problem = Problem.of(workload, T)
    steps = {"floor": floor(problem), "None": theirs(problem, "Mean", None), "1": theirs(problem, "Mean", 1)}
    found = measure(steps, 3)
    return None if found["None"] <= found["1"] else 1


def advantage(workload: str, T: int) -> float:
    """How many times faster than torchjd every Gramian method should be."""
    if T < 8:
        return 1 / 1.05
    if workload == "mlp16":
        return 2.5
    return 1.4 if T >= 20 or workload.startswith("resnet") else 1.2 if workload.startswith("mlp") else 1.1


def limits(workload: str, T: int, found: dict[str, float]) -> dict[str, float]:
    """The largest ratio that meets the target, by contender."""
    most = {"auto": 1.05 * found["rows"], "every=10": 1.6, "features": 1.15 if T <= 8 else 1.3}
    if T <= 20:
        most["rows=0.25"] = 2.0 if T <= 8 else 2.6
    most |= {name: 1.4 if name == "famo" else 1.05 for name in methods(Need.LOSSES)}
    most |= dict.fromkeys(methods(Need.JACOBIAN), 1.15 * found["rows"])
    faster = advantage(workload, T)
    for name in methods(Need.GRAMIAN):
        rival = found.get(f"torchjd {THEIRS.get(name, 'Mean')}", np.nan)
        most[name] = (found["torchjd Mean"] if np.isnan(rival) else rival) / faster
    return {name: limit for name, limit in most.items() if name in found}


HEADINGS = ("rows", *MODES, "features", "every=10", "rows=0.25", "both")


def line(workload: str, T: int, found: dict[str, float]) -> str:
    """One row of the table: modes and options, then the worst method of each kind."""
    most = limits(workload, T, found)
    spelled = [f"{found[name]:.2f}{'!' if found[name] > most.get(name, np.inf) else ''}" for name in HEADINGS]
    gramian = [name for name in methods(Need.GRAMIAN) if name in found]
    rivals = {name: most[name] * advantage(workload, T) for name in gramian}
    worst = min(gramian, key=lambda name: rivals[name] / found[name])
    spelled += [_spell(rivals[worst] / found[worst], worst, missed=found[worst] > most[worst])]
    for need, base in ((Need.JACOBIAN, found["rows"]), (Need.LOSSES, 1.0)):
        slowest = max((name for name in methods(need) if name in found), key=lambda name: found[name] / most[name])
        spelled += [_spell(found[slowest] / base, slowest, missed=found[slowest] > most[slowest])]
    met = sum(found[name] <= limit for name, limit in most.items())
    return " | ".join([f"| {workload}", str(T), *spelled, f"{met} of {len(most)} |"])


def _spell(ratio: float, name: str, *, missed: bool) -> str:
    return f"{ratio:.2f}{'!' if missed else ''} ({name})"


def table(arguments: argparse.Namespace) -> None:
    names = [*FEW] if arguments.few else [name for name in METHODS if name not in ("fixed",)]
    columns = ["workload", "T", *HEADINGS, "worst torchjd / ours", "worst Jacobian / rows", "worst on losses", "met"]
    print("| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for workload in arguments.workloads:
        for T in arguments.tasks:
            found = measure(contenders(workload, T, names, better_mode(workload, T)), arguments.rounds)
            print(line(workload, T, found), flush=True)
            most = limits(workload, T, found)
            for name, ratio in found.items() if arguments.every_line else ():
                limit = most.get(name)
                verdict = "" if limit is None else f"   target {limit:6.2f}   {'PASS' if ratio <= limit else 'miss'}"
                print(f"{workload:14} T={T:<3} {name:22} {ratio:6.2f}{verdict}", flush=True)


IN_MEMORY = ("floor", "rows", "auto", "sequential", "keep", "forget", "features", "torchjd")


def holding(name: str, workload: str, T: int) -> Step:
    problem = Problem.of(workload, T)
    if name in ("floor", "rows"):
        return floor(problem) if name == "floor" else rows(problem)
    if name == "torchjd":
        return theirs(problem, "Mean", 1)
    return ours(problem, "mgda", on="features") if name == "features" else ours(problem, "mgda", engine=name)


def peak(workload: str, T: int, name: str) -> float:
    """MB at the peak of a process that runs one contender; libraries are loaded before, by small batches."""
    for other in IN_MEMORY:
        holding(other, "tiny", 2)()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step = holding(name, workload, T)
    for _ in range(3):
        step()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def memory(arguments: argparse.Namespace) -> None:
    print("| workload | T | T x P | " + " | ".join(IN_MEMORY[1:]) + " |\n|" + "---|" * (len(IN_MEMORY) + 2))
    for workload in arguments.workloads:
        for T in arguments.tasks:
            found = {}
            for name in IN_MEMORY:
                call = [sys.executable, __file__, "--peak", workload, str(T), name]
                found[name] = float(subprocess.run(call, check=True, capture_output=True, text=True).stdout)
            size = 4 * T * sum(p.numel() for p in WORKLOADS[workload][0]().parameters()) / 2**20
            above = " | ".join(f"{found[name] - found['floor']:.0f}" for name in IN_MEMORY[1:])
            print(f"| {workload} | {T} | {size:.0f} | {above} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", nargs="+", default=["mlp256", "mlp16", "transformer4", "resnet32"])
    parser.add_argument("--tasks", type=int, nargs="+", default=[2, 3, 8, 20, 40])
    parser.add_argument("--few", action="store_true", help=f"of the methods, only {', '.join(FEW)}")
    parser.add_argument("--every-line", action="store_true", help="print every contender")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--peak", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.simplefilter("ignore")
    if arguments.peak:
        workload, T, name = arguments.peak
        print(peak(workload, int(T), name))
    elif arguments.memory:
        memory(arguments)
    else:
        table(arguments)


if __name__ == "__main__":
    main()
