"""One model, many tasks, an honest verdict: multi-task learning on PyTorch.

>>> import polytask as pt                                                               # doctest: +SKIP
>>> data = pt.datasets.load("nhanes")                                                   # doctest: +SKIP
>>> learner = pt.Learner(data.tasks, features=data.features)                            # doctest: +SKIP
>>> record = pt.compare(learner, data.frame, seeds=5)                                   # doctest: +SKIP
>>> pt.print_comparison(record)                                                         # doctest: +SKIP
>>> model = learner.fit(data.frame).save("model")                                       # doctest: +SKIP

The names below are imported from their rooms when they are first used, so that ``polytask --help`` need not wait for
PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polytask import datasets, errors
    from polytask.balancing.balancer import Balancer
    from polytask.balancing.check import check_method
    from polytask.balancing.one_shot import weigh
    from polytask.data.options import SchemaOptions
    from polytask.report.page import write_report
    from polytask.report.terminal import print_comparison
    from polytask.studies.compare import compare
    from polytask.studies.options import CompareOptions
    from polytask.tasks.binary import Binary
    from polytask.tasks.count import Count
    from polytask.tasks.multiclass import Multiclass
    from polytask.tasks.multilabel import Multilabel
    from polytask.tasks.ordinal import Ordinal
    from polytask.tasks.regression import Regression
    from polytask.tasks.task import Task
    from polytask.training.learner import Learner, load, resume
    from polytask.training.options import TrainingOptions

__version__ = version("polytask")

HOMES = {
    "Balancer": "balancing.balancer",
    "Binary": "tasks.binary",
    "CompareOptions": "studies.options",
    "Count": "tasks.count",
    "Learner": "training.learner",
    "Multiclass": "tasks.multiclass",
    "Multilabel": "tasks.multilabel",
    "Ordinal": "tasks.ordinal",
    "Regression": "tasks.regression",
    "SchemaOptions": "data.options",
    "Task": "tasks.task",
    "TrainingOptions": "training.options",
    "check_method": "balancing.check",
    "compare": "studies.compare",
    "load": "training.learner",
    "print_comparison": "report.terminal",
    "resume": "training.learner",
    "weigh": "balancing.one_shot",
    "write_report": "report.page",
}
"""Every public name and the module that defines it."""

__all__ = [
    "Balancer",
    "Binary",
    "CompareOptions",
    "Count",
    "Learner",
    "Multiclass",
    "Multilabel",
    "Ordinal",
    "Regression",
    "SchemaOptions",
    "Task",
    "TrainingOptions",
    "__version__",
    "check_method",
    "compare",
    "datasets",
    "errors",
    "load",
    "print_comparison",
    "resume",
    "weigh",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name in HOMES:
        return getattr(import_module(f"polytask.{HOMES[name]}"), name)
    if name in __all__:
        return import_module(f"polytask.{name}")
    raise AttributeError(f"module 'polytask' has no attribute {name!r}")
