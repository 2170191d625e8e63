"""The choices of a schema: how columns of a table become numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from polytask.errors import ConfigError, did_you_mean

Scaling = Literal["auto", "standard", "quantile"]


@dataclass(frozen=True)
class SchemaOptions:
    """How columns become numbers.

    :param numeric: ``"standard"``: subtract the mean, divide by the standard deviation. ``"quantile"``: normal scores
        through training quantiles. ``"auto"``: standard, but columns with heavy tails (excess kurtosis above 10; an
        exponential has 6) first pass through the signed logarithm ``sign(u) log(1 + |u|)`` of their robust units.
    :param categorical: numeric columns whose numbers are codes of categories.
    :param bins: number of quantile bins of the piecewise-linear embedding of numeric columns (Gorishniy, Rubachev,
        Babenko: On Embeddings for Numerical Features in Tabular Deep Learning. NeurIPS 2022); None: no bins.
    :param max_levels: most frequent levels of a category that keep a code of their own; the rest share one.
    :param min_count: levels seen less often in training share one code.
    :param clip: standardised numbers are clipped to ``[-clip, clip]``.
    :param text: for encoders of texts, the column that holds the text of a row (raw, or a list of words), or the two
        columns of a pair; default: ``words``, else ``text``. The other options mean nothing there.
    """

    numeric: Scaling = "auto"
    categorical: tuple[str, ...] = ()
    bins: int | None = None
    max_levels: int = 256
    min_count: int = 2
    clip: float = 10.0
    text: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.numeric not in ("auto", "standard", "quantile"):
            known = ("auto", "standard", "quantile")
            raise ConfigError(f"numeric: {self.numeric!r}.", where="schema", do=did_you_mean(str(self.numeric), known))
        if isinstance(self.categorical, str):
            raise ConfigError(
                f"expected a list of column names, found {self.categorical!r}.", where="schema.categorical"
            )
        object.__setattr__(self, "categorical", tuple(self.categorical))
        object.__setattr__(self, "text", (self.text,) if isinstance(self.text, str) else tuple(self.text))
        if self.bins is not None and self.bins < 2:
            raise ConfigError(f"expected at least 2 bins, found {self.bins}.", where="schema.bins")
        if self.max_levels < 1 or self.min_count < 1:
            raise ConfigError("expected max_levels and min_count of at least 1.", where="schema")
        if not self.clip > 0:
            raise ConfigError(f"expected a clip above 0, found {self.clip}.", where="schema.clip")
