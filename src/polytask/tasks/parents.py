"""Tasks that depend on other tasks: which tasks come first, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence

from polytask.errors import ConfigError, did_you_mean
from polytask.tasks.task import Task


def check_parents(tasks: Sequence[Task]) -> None:
    """Refuse parents that are no task, and tasks that depend on themselves.

    :raises polytask.errors.ConfigError: an unknown parent, or a cycle with the tasks that it runs through.
    """
    names = [task.name for task in tasks]
    for task in tasks:
        for parent in task.parents:
            if parent not in names:
                others = [name for name in names if name != task.name]
                raise ConfigError(
                    f"the parent {parent!r} is no task.",
                    where=f"task {task.name!r}",
                    do=did_you_mean(parent, others),
                )
    generations(tasks)


def generations(tasks: Sequence[Task]) -> dict[str, int]:
    """How many generations of parents every task has: 0 for a task without parents.

    Parents that are not among these tasks are left out of account: a model of one task has none.

    >>> from polytask.tasks import Binary
    >>> generations([Binary("buy", parents=("click",)), Binary("click"), Binary("send back", parents=("buy",))])
    {'click': 0, 'buy': 1, 'send back': 2}

    :raises polytask.errors.ConfigError: a task depends on itself; the message names the cycle.
    """
    parents = {task.name: task.parents for task in tasks}
    known = {name: tuple(p for p in own if p in parents) for name, own in parents.items()}
    done: dict[str, int] = {}

    def visit(name: str, path: tuple[str, ...]) -> int:
        if name in path:
            cycle = " -> ".join([*path[path.index(name) :], name])
            raise ConfigError(
                f"tasks depend on each other in a cycle: {cycle}.",
                where="tasks",
                do="Remove one of these parents: a task can only build on tasks that come before it.",
            )
        if name not in done:
            done[name] = 1 + max((visit(parent, (*path, name)) for parent in known[name]), default=-1)
        return done[name]

    for name in parents:
        visit(name, ())
    return done
