"""Who takes part in a comparison."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from polytask.balancing.methods.equal import Equal
from polytask.errors import ConfigError
from polytask.nets.sharing import SHARING
from polytask.nets.sharing.hard import Hard
from polytask.studies.boosting import Boosting, lightgbm_module
from polytask.studies.linear import Linear, estimator_classes
from polytask.studies.network import Network
from polytask.studies.options import CompareOptions
from polytask.studies.trainer import Contender
from polytask.tasks.task import Task
from polytask.training.balancers import BALANCERS
from polytask.training.recipe import Recipe

SINGLE, SAME, MATCHED, EQUAL, MULTI, BOOSTING = "single", "single_same", "matched", "equal", "multi", "boosting"


def line_up(
    tasks: Sequence[Task], recipe: Recipe, others: Mapping[str, Recipe], options: CompareOptions
) -> tuple[Contender, ...]:
    """The contenders of a comparison; the first one is the baseline.

    The single-task baseline has the recipe's encoder, optimizer and budget, one model per primary task. Auxiliary tasks
    are trained in multi-task models only.

    :param others: name -> recipe of further multi-task models.
    :raises ConfigError: a name is taken, or the primary contender is none of them.
    """
    names = tuple(task.name for task in tasks)
    alone = tuple((task.name,) for task in tasks if task.role == "primary")
    single = Network(dataclasses.replace(recipe, sharing=Hard(), balancer=Equal()))
    found = [
        Contender(
            SINGLE, "single-task", "One model per task: same encoder, same optimizer, same most steps per task.",
            "single", single, alone, judged=False,
        )
    ]  # fmt: skip
    if len(names) > 1:
        found.append(
            Contender(
                MULTI, f"multi-task, {_weights(recipe)}", "The requested model.", "multi", Network(recipe), (names,)
            )
        )
        plain = dataclasses.replace(recipe, balancer=Equal())
        if options.equal and plain != recipe:
            found.append(
                Contender(EQUAL, f"multi-task, {_weights(plain)}", "The requested model with equal weights.", "multi",
                          Network(plain), (names,))
            )  # fmt: skip
        for name, other in others.items():
            text = f"A multi-task model that differs from the requested one: {_difference(other, recipe)}."
            found.append(Contender(name, name, text, "multi", Network(other), (names,)))
        if options.same and recipe.sharing != Hard():
            found.append(_same(recipe, alone))
        if options.matched:
            found.append(
                Contender(
                    MATCHED, "single-task, matched compute",
                    "One model per task; together they take the steps of one multi-task run. Shown without verdicts.",
                    "single", single, alone, judged=False,
                )
            )  # fmt: skip
    for name in options.linear:
        estimator_classes(name)  # missed now, before anything is trained
        title = f"linear, {name.replace('_', ' ')}"
        text = "A convex multi-task estimator, strengths chosen on validation rows; a family of verdicts of its own."
        found.append(Contender(name, title, text, "linear", Linear(name), (names,)))
    if options.boosting:
        lightgbm_module()  # missed now, before anything is trained
        text = "Gradient boosted trees, one model per target; a family of verdicts of their own."
        found.append(Contender(BOOSTING, "LightGBM", text, "boosting", Boosting(), alone))
    _check([contender.name for contender in found], others, options)
    if len(names) == 1 and (others or len(found) == 1):
        raise ConfigError(
            f"{names[0]!r} is the only task: there is nobody to share with, and no multi-task model to compare.",
            where="tasks",
            do="Add a task, or train it with polytask train; --boosting compares one task with boosted trees.",
        )
    return tuple(found)


def _same(recipe: Recipe, alone: tuple[tuple[str, ...], ...]) -> Contender:
    """Each task alone, with the layers of the requested way of sharing."""
    way = SHARING.name_of(recipe.sharing)
    return Contender(
        SAME, f"single-task, {way}",
        f"One model per task with the layers of {way}, without anybody to share with: what they do by themselves. "
        "Shown without verdicts.",
        "single", Network(dataclasses.replace(recipe, balancer=Equal())), alone, judged=False,
    )  # fmt: skip


def _weights(recipe: Recipe) -> str:
    """Balancer and way of sharing in a few words."""
    sharing = SHARING.name_of(recipe.sharing)
    return f"{BALANCERS.name_of(recipe.balancer)} weights" + ("" if sharing == "hard" else f", {sharing}")


def _difference(recipe: Recipe, reference: Recipe) -> str:
    """In what one recipe differs from another."""
    ours, theirs = Network(recipe).describe(), Network(reference).describe()
    changed = {key: value for key, value in ours.items() if value != theirs[key]}
    return "; ".join(f"{key} {_words(value)}" for key, value in changed.items()) or "in nothing"


def _words(value: Mapping[str, object]) -> str:
    name = [str(value["name"])] if "name" in value else []
    return ", ".join([*name, *(f"{key} {field}" for key, field in value.items() if key != "name")])


def _check(names: Sequence[str], others: Mapping[str, Recipe], options: CompareOptions) -> None:
    for name in others:
        if names.count(name) > 1 or name in (SINGLE, SAME, MATCHED, EQUAL, MULTI, BOOSTING):
            raise ConfigError(f"the name {name!r} is taken.", where="compare.contenders", do="Choose another one.")
    if options.primary and options.primary not in names:
        raise ConfigError(
            f"{options.primary!r} is no contender; there are {', '.join(names)}.", where="compare.primary"
        )
