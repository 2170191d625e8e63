"""How a comparison is run."""

from __future__ import annotations

from dataclasses import dataclass

from polytask.catalogue import check_types
from polytask.errors import ConfigError


@dataclass(frozen=True)
class CompareOptions:
    """What ``compare`` trains beside the requested model, and how often.

    :param seeds: training runs per contender. 1: no verdict; 2: weak; from 3 on calibrated; default 5.
    :param equal: also train the multi-task model with equal weights (when the requested balancer is another one).
    :param matched: also train single-task models that share the compute of one multi-task run among them.
    :param same: also train single-task models under the requested way of sharing, where it is not ``hard``. The
        baseline is a plain encoder; where a way of sharing has layers of its own (masks, gates, experts), this tells
        what they do without anybody to share with.
    :param boosting: also train one LightGBM model per target (extra ``[boosting]``).
    :param linear: also fit these estimators of ``polytask.linear``, each once per seed, with strengths chosen on the
        validation rows (extra ``[linear]``; binary and regression tasks), for example ``["mean_regularized"]``.
    :param primary: name of the contender whose verdicts count, named before looking; its Holm family holds its own
        tasks only. Default: all contenders share one family.
    :param margin: differences below this many percent of the baseline's error may be called "practically equal".
    :param splits: 0, or at least 2 (better 10): repeat the whole comparison over this many random splits, one seed
        each, to speak about other training samples too (Nadeau and Bengio, Machine Learning 2003).
    :param act: let tasks that were hurt fall back to their single-task model in the saved artefact. The decision is
        made on validation rows that all seeds share, never on the test rows.
    """

    seeds: int = 5
    equal: bool = True
    matched: bool = True
    same: bool = False
    boosting: bool = False
    linear: tuple[str, ...] = ()
    primary: str = ""
    margin: float | None = None
    splits: int = 0
    act: bool = False

    def __post_init__(self) -> None:
        check_types(self, "compare")
        if self.seeds < 1:
            raise ConfigError(f"expected at least 1 seed, found {self.seeds}.", where="compare.seeds")
        if self.splits < 0 or self.splits == 1:
            raise ConfigError(f"expected 0 splits, or at least 2; found {self.splits}.", where="compare.splits")
        if self.margin is not None and not self.margin > 0:
            raise ConfigError(f"expected a margin above 0 percent, found {self.margin}.", where="compare.margin")
