"""The model card (Mitchell et al., Model cards for model reporting. FAT* 2019): facts, and fields for people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from polytask.data.saved import AnySchema
from polytask.tasks import TASKS
from polytask.training.config import LearnerConfig
from polytask.training.parts import Part
from polytask.training.scores import Scores

TO_FILL = "_to be filled in_"


def model_card(
    config: LearnerConfig,
    schema: AnySchema,
    parts: Sequence[Part],
    *,
    scores: Scores | None,
    verdicts: Mapping[str, str] | None,
    version: str,
) -> str:
    """The card as Markdown."""
    tasks = {target.task.name: (part.name, target.task) for part in parts for target in part.targets}
    rows = [
        f"| {name} | {TASKS.name_of(task)} | {', '.join(task.columns)} | {task.role} | {part} |"
        for name, (part, task) in tasks.items()
    ]
    sections = [
        "# Model card",
        f"Made with Polytask {version}.",
        "## Tasks",
        "| task | kind | predicts | role | model |\n| --- | --- | --- | --- | --- |\n" + "\n".join(rows),
        "## Intended use",
        f"- Purpose: {TO_FILL}\n- People affected: {TO_FILL}\n- Not to be used for: {TO_FILL}",
        "## Data",
        f"- Source: {TO_FILL}\n- Licence: {TO_FILL}\n- Jurisdiction and legal basis: {TO_FILL}\n- Collected: {TO_FILL}",
        f"Features ({len(schema.names)}): {', '.join(schema.names)}.",
        "## Results",
        _results(scores),
        "Verdicts against the same tasks trained alone:",
        _verdicts(verdicts),
        "## Training",
        f"Seed {config.recipe.options.seed}; the resolved configuration is in `polytask.yaml`, the history in "
        "`scores.json`.",
        "## Limits",
        "Scores hold for rows from the population of the test table. " + TO_FILL,
    ]
    return "\n\n".join(sections) + "\n"


def _results(scores: Scores | None) -> str:
    if scores is None:
        return "Not evaluated on a test table before it was saved."
    head = "| task | rows | metric | value |\n| --- | ---: | --- | ---: |\n"
    rows = [
        f"| {name} | {task.rows} | {metric} | {'n/a' if math.isnan(value) else f'{value:.4g}'} |"
        for name, task in scores.tasks.items()
        for metric, value in task.values.items()
    ]
    return head + "\n".join(rows)


def _verdicts(verdicts: Mapping[str, str] | None) -> str:
    if not verdicts:
        return "not compared; `polytask compare` does that."
    return "\n".join(f"- {name}: {verdict}" for name, verdict in verdicts.items())
