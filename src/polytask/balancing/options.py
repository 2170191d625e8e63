"""Options of a balancer that cannot be, alone or with its method."""

from __future__ import annotations

from collections.abc import Mapping

from polytask.balancing import scaling
from polytask.balancing.contract import Combiner, Method, Need
from polytask.balancing.engine.engine import MODES
from polytask.balancing.part import check_share
from polytask.errors import ConfigError, did_you_mean

CHOICES = {"on": ("parameters", "features"), "normalise": scaling.KNOWN, "engine": MODES}


def check_options(method: Method, every: int, rows: float | None, chosen: Mapping[str, str]) -> None:
    """Refuse what cannot be.

    :param chosen: options with a fixed choice, by name.
    :raises ConfigError: with what to do.
    """
    if method.needs is Need.BILEVEL:
        raise ConfigError(
            f"{type(method).__name__} looks at losses of other rows at other parameters, which no backward pass shows.",
            where="balancer",
            do="Use it in a Learner, or BilevelBalancer of polytask.training.bilevel in a loop of your own.",
        )
    check_share(rows)
    if every < 1:
        raise ConfigError(f"expected every >= 1, found {every}.", where="balancer")
    for option, found in chosen.items():
        if found not in CHOICES[option]:
            raise ConfigError(f"{option}: {found!r}.", where="balancer", do=did_you_mean(str(found), CHOICES[option]))
    normalise = chosen["normalise"]
    if normalise != "none" and method.needs is Need.LOSSES:
        raise ConfigError(
            f"normalise={normalise!r} divides task gradients, and {type(method).__name__} looks at none.",
            where="balancer",
            do="Leave it out, or choose a method on gradients.",
        )
    if rows is not None and (method.needs is Need.LOSSES or isinstance(method, Combiner)):
        raise ConfigError(
            f"rows={rows} takes weights from gradients on a part of the rows, and {type(method).__name__} "
            + ("looks at none." if method.needs is Need.LOSSES else "answers with an update instead of weights."),
            where="balancer",
            do="Leave rows out, or choose a method that weighs by gradients.",
        )
    if every > 1 and isinstance(method, Combiner):
        raise ConfigError(
            f"every={every} uses weights again, and {type(method).__name__} answers with an update instead of weights.",
            where="balancer",
            do="Leave every out, or choose a method that answers with weights.",
        )
