"""Numbers and findings in words, the same on the terminal and on the page."""

from __future__ import annotations

from math import floor, isfinite, log10

ABSENT = "–"


def decimals(spread: float, *, most: int = 6) -> int:
    """Decimals that show ``spread`` (an sd, half an interval) with one digit, or two when they begin below 36.

    The rounding rule of the Particle Data Group.

    >>> decimals(0.0123), decimals(0.0099), decimals(4.2)
    (3, 3, 0)
    """
    if not isfinite(spread) or spread <= 0:
        return 3
    exponent = floor(log10(spread))
    leading = spread / 10.0**exponent
    return min(most, max(0, (1 if leading < 3.55 else 0) - exponent))


def number(value: float, places: int = 3, *, sign: bool = False) -> str:
    """A number with fixed decimals and thousands separated; a dash when it is not known.

    >>> number(1234.5, 1), number(0.25, 2, sign=True), number(float("nan"))
    ('1,234.5', '+0.25', '–')
    """
    if not isfinite(value):
        return ABSENT
    if abs(value) >= 1e7 or 0 < abs(value) < 10**-6:
        return f"{value:{'+' if sign else ''}.2e}"
    text = f"{value:{'+' if sign else ''},.{places}f}"
    return text if any(digit in text for digit in "123456789") else text.replace("-", "").replace("+", "")


def interval(bounds: tuple[float, float], places: int = 3) -> str:
    """``[low, high]`` with signs, or nothing when the interval is not known."""
    low, high = bounds
    if not (isfinite(low) and isfinite(high)):
        return ""
    return f"[{number(low, places, sign=True)}, {number(high, places, sign=True)}]"


def share(value: float) -> str:
    """A share as percent: ``0.071`` is ``7.1 %``."""
    return f"{100 * value:.1f} %" if isfinite(value) else ABSENT


def probability(p: float) -> str:
    """A p-value with two significant digits; tiny ones as a bound."""
    if not isfinite(p):
        return ABSENT
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}" if p < 0.995 else "1"


def ratio(value: float, reference: float) -> str:
    """``×0.35``; empty when one of the two is not known."""
    if not (isfinite(value) and isfinite(reference)) or reference <= 0:
        return ""
    return f"×{times(value / reference)}"


def times(factor: float) -> str:
    """A factor with two digits after the comma, or two that count.

    >>> times(0.0096), times(1.034), times(23.4)
    ('0.0096', '1.03', '23')
    """
    return f"{factor:.2g}" if factor < 0.095 else f"{factor:.2f}" if factor < 9.95 else f"{factor:,.0f}"


def count(value: float) -> str:
    """A count with a short suffix: ``41,250`` is ``41.2 k``."""
    return _scaled(value, ((1e9, " G"), (1e6, " M"), (1e4, " k")), places=0, divisors={1e4: 1e3})


def duration(seconds: float) -> str:
    """Seconds as ms, s, min or h."""
    if not isfinite(seconds):
        return ABSENT
    for size, unit in ((3600, "h"), (60, "min"), (1, "s")):
        if seconds >= 2 * size or (size == 1 and seconds >= 1):
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds * 1000:.3g} ms"


def storage(size: float) -> str:
    """Bytes as KB, MB or GB (powers of 1000)."""
    return _scaled(size, ((1e9, " GB"), (1e6, " MB"), (1e3, " KB")), places=0, otherwise=" B")


def capital(text: str) -> str:
    """The text with its first letter large, to begin a sentence."""
    return text[:1].upper() + text[1:]


def listing(words: list[str], *, most: int = 6) -> str:
    """``a, b and c``; long lists end with how many more there are."""
    if len(words) > most:
        return f"{', '.join(words[: most - 1])} and {len(words) - most + 1} more"
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _scaled(
    value: float,
    units: tuple[tuple[float, str], ...],
    *,
    places: int,
    otherwise: str = "",
    divisors: dict[float, float] | None = None,
) -> str:
    if not isfinite(value):
        return ABSENT
    for size, suffix in units:
        if value >= size:
            scaled = value / (divisors or {}).get(size, size)
            return f"{scaled:.{2 if scaled < 10 else 1 if scaled < 100 else 0}f}{suffix}"
    return f"{value:,.{places}f}{otherwise}"
