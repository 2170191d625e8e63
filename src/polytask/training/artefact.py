"""The artefact: one small folder that holds everything needed to predict. Reading it executes nothing.

``polytask.yaml``
    format, version, the resolved configuration, and the parts: models with the tasks that each answers for. One part
    is the rule; there are several when tasks are served by different trunks (``keep="per_task"``, or tasks that
    fell back to their single-task model).
``schema.json``
    how columns become numbers, and what each task learned about its labels.
``weights.safetensors``
    the weights of all parts, ``<part>/<weight>``.
``scores.json``
    the training history, best epochs, and the scores on the last evaluated table.
``MODEL_CARD.md``
    for people; with fields that only they can fill in.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from polytask.data.saved import AnySchema, read_schema
from polytask.errors import PolytaskError, RunError
from polytask.nets.encoders import ENCODERS
from polytask.nets.model import Model
from polytask.nets.sharing import SHARING
from polytask.record.folder import read_file, whole_folder, write_file
from polytask.record.run import EpochRecord
from polytask.tasks.task import Target
from polytask.training.config import LearnerConfig
from polytask.training.model_card import model_card
from polytask.training.parts import Part
from polytask.training.scores import Scores

FORMAT = 1
VERSION = version("polytask")
CONFIG, SCHEMA, WEIGHTS, SCORES, CARD = (
    "polytask.yaml",
    "schema.json",
    "weights.safetensors",
    "scores.json",
    "MODEL_CARD.md",
)
HISTORY = TypeAdapter(tuple[EpochRecord, ...])


@dataclass(frozen=True)
class Artefact:
    """What the folder holds.

    :param parts: models, each with the tasks it answers for.
    :param verdicts: task -> what a comparison with single-task training found, in words; for the card.
    """

    config: LearnerConfig
    schema: AnySchema
    parts: tuple[Part, ...]
    history: tuple[EpochRecord, ...] = ()
    best_epoch: int = 0
    best_epoch_per_task: Mapping[str, int] = field(default_factory=dict)
    scores: Scores | None = None
    verdicts: Mapping[str, str] | None = None


def write_artefact(artefact: Artefact, folder: Path, *, auxiliary: bool = False, overwrite: bool = False) -> Path:
    """Write the folder, whole or not at all.

    :param auxiliary: keep auxiliary tasks, with their heads.
    :raises RunError: it exists, or cannot be written.
    """
    parts = artefact.parts if auxiliary else _primary(artefact.parts)
    targets = [target for part in parts for target in part.targets]
    config = {
        "format": FORMAT,
        "polytask": VERSION,
        "parts": [
            {
                "name": part.name,
                "tasks": list(part.tasks),
                "encoder": ENCODERS.config(part.encoder),
                "sharing": SHARING.config(part.sharing),
            }
            for part in parts
        ],
        "learner": artefact.config.to_json(),
    }
    learned = {target.task.name: target.learned() for target in targets}
    schema = {"format": FORMAT, "schema": artefact.schema.to_json(), "targets": learned}
    scores = {
        "format": FORMAT,
        "best_epoch": artefact.best_epoch,
        "best_epoch_per_task": dict(artefact.best_epoch_per_task),
        "test": None if artefact.scores is None else artefact.scores.to_json(),
        "verdicts": None if artefact.verdicts is None else dict(artefact.verdicts),
        "history": HISTORY.dump_python(artefact.history, mode="json"),
    }
    card = model_card(
        artefact.config, artefact.schema, parts, scores=artefact.scores, verdicts=artefact.verdicts, version=VERSION
    )
    with whole_folder(folder, overwrite=overwrite) as inside:
        files = {
            SCHEMA: json.dumps(schema, ensure_ascii=False, indent=1).encode(),
            WEIGHTS: save(_weights(parts), metadata={"format": "pt"}),
            SCORES: json.dumps(_finite(scores), ensure_ascii=False, indent=1).encode(),
        }
        # The last key of the first file read: without it that file was cut short, and with it the others cannot be.
        config["sha256"] = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        for name, content in files.items():
            write_file(inside / name, content)
        write_file(inside / CONFIG, yaml.safe_dump(config, sort_keys=False, allow_unicode=True).encode())
        write_file(inside / CARD, card.encode())
    return folder


def artefact_in(folder: Path) -> Path:
    """The artefact: the folder itself, or ``model/`` in a run folder."""
    inside = folder / "model"
    return inside if inside.is_dir() else folder


def read_artefact(folder: Path, *, trust: bool = False) -> Artefact:
    """Read the folder.

    :param trust: also import third-party classes that it names, which runs their code.
    :raises RunError: missing, damaged, or written by a newer version.
    """
    if not folder.is_dir():
        raise RunError("there is no such folder.", where=str(folder), do="Check the path.")
    plain = _document(folder / CONFIG, yaml.safe_load)
    try:
        config = LearnerConfig.from_json(plain["learner"], trusted=trust)
        learned = _document(folder / SCHEMA, json.loads)
        scores = _document(folder / SCORES, json.loads)
        _check_whole(folder, plain["sha256"])
        schema = read_schema(learned["schema"])
        tasks = {task.name: task for task in config.tasks}
        targets = {name: tasks[name].restore(facts) for name, facts in learned["targets"].items()}
        weights = load(read_file(folder / WEIGHTS))
        parts = tuple(_part(part, schema, targets, weights, trust) for part in plain["parts"])
        history = HISTORY.validate_python(scores["history"], strict=False)
        test = None if scores["test"] is None else Scores.from_json(scores["test"])
        best = {str(name): int(epoch) for name, epoch in scores["best_epoch_per_task"].items()}
        return Artefact(config, schema, parts, history, int(scores["best_epoch"]), best, test, scores["verdicts"])
    except PolytaskError as error:
        raise error if str(folder) in str(error.where) else _damaged(folder, error) from error
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, SafetensorError) as error:
        raise _damaged(folder, error) from error


def _check_whole(folder: Path, digests: Mapping[str, str]) -> None:
    """Refuse files that are not the ones that were written together."""
    for name in (SCHEMA, WEIGHTS, SCORES):
        if hashlib.sha256(read_file(folder / name)).hexdigest() != digests[name]:
            raise ValueError(f"{name} is not the file that was written with {CONFIG}")


def _part(
    plain: Mapping[str, Any],
    schema: AnySchema,
    targets: Mapping[str, Target],
    weights: Mapping[str, Tensor],
    trust: bool,
) -> Part:
    name, own = str(plain["name"]), tuple(targets[task] for task in plain["tasks"])
    encoder = ENCODERS.build(plain["encoder"], where=f"parts.{name}.encoder", trusted=trust)
    sharing = SHARING.build(plain["sharing"], where=f"parts.{name}.sharing", trusted=trust)
    with torch.random.fork_rng(devices=[]):  # the first weights are drawn, and replaced at once
        model = Model(schema.spec, own, encoder.restored(), sharing)
    prefix = f"{name}/"
    model.load_task_state({k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)})
    return Part(name, own, encoder, sharing, model.eval())


def _weights(parts: tuple[Part, ...]) -> dict[str, Tensor]:
    return {
        f"{part.name}/{key}": value.contiguous()
        for part in parts
        for key, value in part.model.task_state(part.tasks).items()
    }


def _primary(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    kept = [replace(part, targets=tuple(t for t in part.targets if t.task.role == "primary")) for part in parts]
    return tuple(part for part in kept if part.targets)


def _document(path: Path, parse: Any) -> dict[str, Any]:
    """A YAML or JSON file of a format that this version knows."""
    content = read_file(path)
    try:
        plain = parse(content)
        found = plain["format"]
    except (ValueError, yaml.YAMLError, KeyError, TypeError) as error:
        raise _damaged(path.parent, error, path.name) from error
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise _damaged(path.parent, ValueError(f"format is {found!r}"), path.name)
    if found > FORMAT:
        raise RunError(
            f"format {found} is newer than this version of Polytask understands ({FORMAT}); Polytask "
            f"{plain.get('polytask', 'of a later version')} wrote it, this is {VERSION}.",
            where=str(path),
            do="Update Polytask: pip install --upgrade polytask",
        )
    result: dict[str, Any] = plain
    return result


def _damaged(folder: Path, error: Exception, name: str = "") -> RunError:
    advice = error.do if isinstance(error, PolytaskError) else None
    reason = str(error).split("\n")[0][:300].rstrip(".") or type(error).__name__
    if isinstance(error, KeyError):
        reason = f"{reason} is missing"
    return RunError(
        f"the artefact cannot be read{f', {name}' if name else ''}: {reason}.",
        where=str(folder),
        do=advice or "It may be damaged or cut short; copy it again, or save it again with learner.save(folder).",
    )


def _finite(value: Any) -> Any:
    """NaN and infinity have no place in JSON: null."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not (abs(value) < float("inf")) else value
