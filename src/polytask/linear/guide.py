"""What the pages of the documents say beyond the docstrings: when to take which estimator, and an example."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Advice:
    """Of one estimator.

    :param when: the tasks it is for.
    :param rather: what is better in other cases, and what to beware of.
    :param call: how it is made in the example.
    :param look: expressions on the fitted ``model`` with what they are.
    """

    when: str
    rather: str
    call: str
    look: tuple[tuple[str, str], ...]


COEF = ("model.coef_", "(T, d), a row of weights per task; model.intercept_ is (T,)")
BLOCKS = ("model.blocks_", "(2, T, d): the two parts of coef_")

GUIDE: dict[str, Advice] = {
    "mean_regularized": Advice(
        "Many tasks with few rows each that follow one relation up to variations: schools, shops, patients. The first "
        "thing to try: closed form, two strengths, thousands of tasks in seconds; a new task gets the mean.",
        "Tasks in groups, or with opposite signs, have no useful mean: `ClusteredTasks`, `TraceNorm`.",
        "MeanRegularized(strength=10.0, ridge=1.0)",
        (COEF, ("model.shared_coef_", "(d,), the mean, which answers for new tasks")),
    ),
    "joint_feature": Advice(
        "More features than a task has rows, few of which matter, the same ones to all tasks.",
        "Features that matter to some tasks only: `RobustFeature`, `Dirty`. Correlated features that only matter as "
        "combinations: `TraceNorm`. Standardise the features: the penalty compares their weights.",
        "JointFeature(strength=5.0)",
        (COEF, ("(model.coef_ != 0).any(axis=0)", "the features that are used")),
    ),
    "trace_norm": Advice(
        "Tasks that are mixtures of a few hidden factors; correlated or rotated features; one X for many tasks.",
        "Few features that matter as they are: `JointFeature`. A few tasks unlike the rest: `Robust`. With fewer than "
        "five tasks there is hardly a rank to find.",
        "TraceNorm(strength=5.0)",
        (COEF, ("np.linalg.matrix_rank(model.coef_, tol=1e-6)", "dimensions that the tasks share")),
    ),
    "dirty": Advice(
        "Most features are shared, with weights of like size, and some tasks have features of their own.",
        "Whole tasks that are different: `RobustFeature`. Tune both strengths, with `own` between `shared / T` and "
        "`shared`; elsewhere one of the parts is zero.",
        "Dirty(shared=8.0, own=4.0)",
        (COEF, BLOCKS),
    ),
    "robust": Advice(
        "Hidden factors are shared by most tasks, and a few tasks, unknown which, go their own way.",
        "No outliers: `TraceNorm`, with one strength less. Outliers among joint features: `RobustFeature`.",
        "Robust(low_rank=20.0, outlier=15.0)",
        (COEF, ("model.tasks_[np.abs(model.blocks_[1]).max(axis=1) > 0]", "the outlier tasks")),
    ),
    "robust_feature": Advice(
        "The same few features matter to most tasks, and a few tasks, unknown which, go their own way.",
        "No outliers: `JointFeature`, with one strength less. Single features, not tasks, that stray: `Dirty`.",
        "RobustFeature(shared=8.0, outlier=12.0)",
        (COEF, ("model.tasks_[np.abs(model.blocks_[1]).max(axis=1) > 0]", "the outlier tasks")),
    ),
    "sparse_low_rank": Advice(
        "A few hidden factors of all features, of bounded size, and single weights that stick out.",
        "The radius is in the units of the weights and has to be tuned for every problem: try `Robust` first.",
        "SparseLowRank(sparse=5.0, radius=2.0)",
        (COEF, BLOCKS),
    ),
    "graph_tasks": Advice(
        "You know which tasks are alike: regions that touch, sensors along a line, levels of a hierarchy.",
        "An unknown relation: `ClusteredTasks`, `TaskGaussianProcess`. All pairs of tasks alike: `MeanRegularized`, "
        "which is this with a complete graph.",
        'GraphTasks(strength=2.0, graph="chain", ridge=0.1)',
        (COEF,),
    ),
    "temporal_group": Advice(
        "Tasks are time points, their labels sort in time, and features matter throughout or from some point on.",
        "Smooth change without selection of features is quicker with `GraphTasks`. Five strengths: fix those that you "
        "do not need at zero.",
        "TemporalGroup(smooth=1.0, group=2.0)",
        (COEF, ("(model.coef_ != 0).any(axis=0)", "the features that are used")),
    ),
    "clustered_tasks": Advice(
        "Groups of tasks that you do not know, with like weights within a group.",
        "One group: `MeanRegularized`. Known groups: `GraphTasks`. Fewer than a dozen tasks hardly show groups. Tune "
        "`clusters`, below T and below d: with as many as either nothing is shared, it is a ridge per task.",
        "ClusteredTasks(strength=5.0, ridge=0.5, clusters=2)",
        (COEF, ("model.task_groups_", "(T,), the cluster of every task")),
    ),
    "alternating_structure": Advice(
        "A subspace of the features in which tasks are free, and small weights outside it.",
        "It has the optimum of `ClusteredTasks` with equal arguments; take it for the subspace that it tells. Tune "
        "`dimensions`, below T and below d.",
        "AlternatingStructure(strength=5.0, ridge=0.5, dimensions=2)",
        (COEF, ("model.shared_subspace_", "(dimensions, d), orthonormal")),
    ),
    "feature_learning": Advice(
        "As for `TraceNorm`; the strength is on the squared norm, so that weights never become all zero.",
        "`TraceNorm` has the same path of solutions and a largest strength, `lambda_max`, to begin from.",
        "FeatureLearning(strength=0.5)",
        (COEF, ("model.feature_covariance_", "(d, d), the matrix D of the paper")),
    ),
    "kernel_tasks": Advice(
        "Curved relations with up to some thousand rows of all tasks together, strengths to be tuned.",
        "Error bars, or an unknown relation between the tasks: `TaskGaussianProcess`. More rows: `TaskTrees`.",
        'KernelTasks(strength=0.5, kernel="rbf", gamma=0.2, mu=0.5)',
        (("model.dual_coef_", "(N,), a weight per row"),),
    ),
    "task_gaussian_process": Advice(
        "Curved relations with up to about two thousand rows of all tasks together, when the relation between tasks is "
        "to be learned, or predictions need error bars; tasks measured at different inputs.",
        "More rows, or many tasks: `KernelTasks` with a given relation, `TaskTrees`. With a few dozen rows and many "
        "features a lengthscale per feature is too much: `ard=False`.",
        "TaskGaussianProcess(ard=False)",
        (
            ("model.task_covariance_", "(T, T), how the tasks go together"),
            ('model.predict(X[:2], tasks=["a", "b"], return_std=True)', "means and deviations of the function"),
        ),
    ),
    "task_trees": Advice(
        "Interactions and steps, features of any scale, hundreds of rows and more; tasks that partly agree.",
        "Straight relations with few rows: any of the linear estimators. Tune `pooling` and `depth`; for many small "
        "tasks trees of depth 2 with much pooling.",
        "TaskTrees(rounds=50, depth=2, pooling=30.0)",
        (("model.score(X, y, tasks=tasks)", "R^2 of all rows"),),
    ),
}
"""Advice by the configuration name of the regressor."""
