"""Multi-task learning without networks: scikit-learn estimators that share across tasks. PyTorch is not imported."""

from __future__ import annotations

from typing import Any

from polytask.errors import MissingExtraError

try:
    import sklearn  # noqa: F401  # only to say which extra is missing
except ImportError as error:
    raise MissingExtraError("scikit-learn", "linear", "polytask.linear") from error

from polytask.linear.alternating_structure import AlternatingStructure, AlternatingStructureClassifier
from polytask.linear.clustered_tasks import ClusteredTasks, ClusteredTasksClassifier
from polytask.linear.dirty import Dirty, DirtyClassifier
from polytask.linear.feature_learning import FeatureLearning, FeatureLearningClassifier
from polytask.linear.graph_tasks import GraphTasks, GraphTasksClassifier
from polytask.linear.joint_feature import JointFeature, JointFeatureClassifier
from polytask.linear.kernel_tasks import KernelTasks, KernelTasksClassifier
from polytask.linear.mean_regularized import MeanRegularized, MeanRegularizedClassifier
from polytask.linear.regularisation_path import Path, strength_path
from polytask.linear.robust import Robust, RobustClassifier
from polytask.linear.robust_feature import RobustFeature, RobustFeatureClassifier
from polytask.linear.sparse_low_rank import SparseLowRank, SparseLowRankClassifier
from polytask.linear.strength_search import StrengthCV
from polytask.linear.task_gaussian_process import TaskGaussianProcess
from polytask.linear.task_scorer import TaskScorer
from polytask.linear.task_splits import TaskKFold
from polytask.linear.task_trees import TaskTrees, TaskTreesClassifier
from polytask.linear.temporal_group import TemporalGroup, TemporalGroupClassifier
from polytask.linear.trace_norm import TraceNorm, TraceNormClassifier

ESTIMATORS: dict[str, type[Any]] = {
    "mean_regularized": MeanRegularized,
    "mean_regularized_classifier": MeanRegularizedClassifier,
    "joint_feature": JointFeature,
    "joint_feature_classifier": JointFeatureClassifier,
    "trace_norm": TraceNorm,
    "trace_norm_classifier": TraceNormClassifier,
    "dirty": Dirty,
    "dirty_classifier": DirtyClassifier,
    "robust": Robust,
    "robust_classifier": RobustClassifier,
    "robust_feature": RobustFeature,
    "robust_feature_classifier": RobustFeatureClassifier,
    "sparse_low_rank": SparseLowRank,
    "sparse_low_rank_classifier": SparseLowRankClassifier,
    "graph_tasks": GraphTasks,
    "graph_tasks_classifier": GraphTasksClassifier,
    "temporal_group": TemporalGroup,
    "temporal_group_classifier": TemporalGroupClassifier,
    "clustered_tasks": ClusteredTasks,
    "clustered_tasks_classifier": ClusteredTasksClassifier,
    "alternating_structure": AlternatingStructure,
    "alternating_structure_classifier": AlternatingStructureClassifier,
    "feature_learning": FeatureLearning,
    "feature_learning_classifier": FeatureLearningClassifier,
    "kernel_tasks": KernelTasks,
    "kernel_tasks_classifier": KernelTasksClassifier,
    "task_gaussian_process": TaskGaussianProcess,
    "task_trees": TaskTrees,
    "task_trees_classifier": TaskTreesClassifier,
}
"""Every estimator under its configuration name."""

__all__ = [
    "ESTIMATORS",
    "AlternatingStructure",
    "AlternatingStructureClassifier",
    "ClusteredTasks",
    "ClusteredTasksClassifier",
    "Dirty",
    "DirtyClassifier",
    "FeatureLearning",
    "FeatureLearningClassifier",
    "GraphTasks",
    "GraphTasksClassifier",
    "JointFeature",
    "JointFeatureClassifier",
    "KernelTasks",
    "KernelTasksClassifier",
    "MeanRegularized",
    "MeanRegularizedClassifier",
    "Path",
    "Robust",
    "RobustClassifier",
    "RobustFeature",
    "RobustFeatureClassifier",
    "SparseLowRank",
    "SparseLowRankClassifier",
    "StrengthCV",
    "TaskGaussianProcess",
    "TaskKFold",
    "TaskScorer",
    "TaskTrees",
    "TaskTreesClassifier",
    "TemporalGroup",
    "TemporalGroupClassifier",
    "TraceNorm",
    "TraceNormClassifier",
    "strength_path",
]
