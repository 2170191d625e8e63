"""Checks of hyperparameters."""

from __future__ import annotations

import math

from polytask.errors import ConfigError


def at_least(least: float, **values: float) -> None:
    """Refuse values below ``least``, by the name of their field.

    :raises polytask.errors.ConfigError: with the name of the field.
    """
    for name, value in values.items():
        if not (math.isfinite(value) and value >= least):
            raise ConfigError(f"expected at least {least:g}, found {value:g}.", where=name)


def above(bound: float, **values: float) -> None:
    """Refuse values that are not above ``bound``, by the name of their field.

    :raises polytask.errors.ConfigError: with the name of the field.
    """
    for name, value in values.items():
        if not (math.isfinite(value) and value > bound):
            raise ConfigError(f"expected more than {bound:g}, found {value:g}.", where=name)


def within(low: float, high: float, **values: float) -> None:
    """Refuse values outside of [``low``, ``high``].

    :raises polytask.errors.ConfigError: with the name of the field.
    """
    for name, value in values.items():
        if not low <= value <= high:
            raise ConfigError(f"expected a number from {low:g} to {high:g}, found {value:g}.", where=name)
