"""What can be predicted: one kind of task per file, all listed in :data:`TASKS`."""

from polytask.catalogue import Catalogue
from polytask.tasks.binary import Binary
from polytask.tasks.multiclass import Multiclass
from polytask.tasks.regression import Regression
from polytask.tasks.task import Answer, Array, Metric, Target, Task, labelled

TASKS: Catalogue[Task] = Catalogue(
    "task",
    Task,  # type: ignore[type-abstract]  # the contract is abstract on purpose
    {
        "binary": Binary,
        "multiclass": Multiclass,
        "regression": Regression,
    },
    key="kind",
)

__all__ = [
    "TASKS",
    "Answer",
    "Array",
    "Binary",
    "Metric",
    "Multiclass",
    "Regression",
    "Target",
    "Task",
    "labelled",
]
