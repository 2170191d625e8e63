"""Any metric as a scorer that passes the tasks on to ``predict``, which scikit-learn's own scorers do not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.metadata_routing import MetadataRequest

from polytask.errors import ConfigError


@dataclass(frozen=True)
class TaskScorer:
    """For ``scoring=`` of ``GridSearchCV`` and ``cross_val_score``, with metadata routing switched on.

    ``scoring="neg_mean_absolute_error"`` and the like call ``predict(X)`` without tasks, so they cannot serve;
    ``TaskScorer(mean_absolute_error, greater_is_better=False)`` does the same with them.

    :param metric: ``metric(y, answer)`` of stacked rows -> a number.
    :param greater_is_better: False for errors: the score is then minus the metric.
    :param response: the method that answers: ``"predict"`` or ``"decision_function"``.
    :param per_task: the mean of the metric over the tasks, instead of the metric of all rows; it must be defined on the
        rows of every task in every fold.
    """

    metric: Callable[..., Any]
    greater_is_better: bool = True
    response: str = "predict"
    per_task: bool = False

    def __post_init__(self) -> None:
        if self.response not in ("predict", "decision_function"):
            raise ConfigError(f"expected 'predict' or 'decision_function', found {self.response!r}.", where="response")

    def __call__(self, estimator: Any, X: Any, y: Any, tasks: Any = None) -> float:
        """The score of a fitted estimator."""
        method = estimator.predict if self.response == "predict" else estimator.decision_function
        answer, truth = np.asarray(method(X, tasks=tasks)), np.asarray(y)
        if self.per_task and tasks is not None:
            names = np.asarray(tasks)
            parts = [self.metric(truth[names == name], answer[names == name]) for name in np.unique(names)]
            value = float(np.mean(parts))
        else:
            value = float(self.metric(truth, answer))
        return value if self.greater_is_better else -value

    def get_metadata_routing(self) -> MetadataRequest:
        """Tasks are wanted."""
        request = MetadataRequest(owner=self)
        request.score.add_request(param="tasks", alias=True)
        return request
