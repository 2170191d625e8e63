"""What can be predicted: one kind of task per file, all listed in :data:`TASKS`."""

from polytask.catalogue import Catalogue
from polytask.tasks.binary import Binary
from polytask.tasks.count import Count
from polytask.tasks.dependency_parsing import DependencyParsing
from polytask.tasks.generation import Generation
from polytask.tasks.infer import Inference, infer_task
from polytask.tasks.language_modelling import LanguageModelling
from polytask.tasks.lemmatisation import Lemmatisation
from polytask.tasks.morph_tagging import MorphTagging
from polytask.tasks.multiclass import Multiclass
from polytask.tasks.multilabel import Multilabel
from polytask.tasks.ordinal import Ordinal
from polytask.tasks.pair_classification import PairClassification
from polytask.tasks.regression import Regression
from polytask.tasks.span_labelling import SpanLabelling
from polytask.tasks.tagging import Tagging
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
        "tagging": Tagging,
        "morph_tagging": MorphTagging,
        "lemmatisation": Lemmatisation,
        "dependency_parsing": DependencyParsing,
        "span_labelling": SpanLabelling,
        "pair_classification": PairClassification,
        "generation": Generation,
        "language_modelling": LanguageModelling,
    },
    key="kind",
)

__all__ = [
    "TASKS",
    "Answer",
    "Array",
    "Binary",
    "Count",
    "DependencyParsing",
    "Generation",
    "Inference",
    "LanguageModelling",
    "Lemmatisation",
    "Metric",
    "MorphTagging",
    "Multiclass",
    "Multilabel",
    "Ordinal",
    "PairClassification",
    "Regression",
    "SpanLabelling",
    "Tagging",
    "Target",
    "Task",
    "infer_task",
    "labelled",
]
