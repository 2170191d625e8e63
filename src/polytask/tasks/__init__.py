"""What can be predicted: one kind of task per file, all listed in :data:`TASKS`."""

from polytask.catalogue import Catalogue
from polytask.tasks.binary import Binary
from polytask.tasks.count import Count
from polytask.tasks.infer import Inference, infer_task
from polytask.tasks.multiclass import Multiclass
from polytask.tasks.multilabel import Multilabel
from polytask.tasks.ordinal import Ordinal
from polytask.tasks.regression import Regression
from polytask.tasks.task import Answer, Array, Metric, Target, Task, labelled

TASKS: Catalogue[Task] = Catalogue(
    "task",
    Task,  # type: ignore[type-abstract]  # the contract is abstract on purpose
    {
        "binary": Binary,
        "multiclass": Multiclass,
        "multilabel": Multilabel,
        "ordinal": Ordinal,
        "regression": Regression,
        "count": Count,
    },
    key="kind",
)

__all__ = [
    "TASKS",
    "Answer",
    "Array",
    "Binary",
    "Count",
    "Inference",
    "Metric",
    "Multiclass",
    "Multilabel",
    "Ordinal",
    "Regression",
    "Target",
    "Task",
    "infer_task",
    "labelled",
]
