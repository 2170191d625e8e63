from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from polytask.app.config import SECTIONS, TAKEN, Config
from polytask.app.reading import read_config, resolve
from polytask.balancing.methods.uncertainty import Uncertainty
from polytask.data.splits.group import Group
from polytask.data.splits.random import Random
from polytask.errors import ConfigError, UserError
from polytask.nets.encoders.mlp import MLP
from polytask.nets.encoders.resnet import ResNet
from polytask.studies.options import CompareOptions
from polytask.tasks.binary import Binary
from polytask.tasks.regression import Regression
from polytask.training.options import TrainingOptions

LEAST: dict[str, Any] = {"data": {"train": "a.csv"}, "tasks": {"churn": "binary"}}


def test_the_least_configuration_has_the_documented_defaults() -> None:
    config = resolve(LEAST)
    assert config.tasks == (Binary("churn"),)
    assert config.recipe.encoder == MLP()
    assert config.recipe.options == TrainingOptions()
    assert config.compare == CompareOptions()
    assert config.split is None
    assert config.contenders == {}


def test_tasks_are_a_list_or_a_mapping_by_name() -> None:
    by_name = resolve({**LEAST, "tasks": {"churn": "binary", "spend": {"kind": "regression", "weight": 2.0}}})
    listed = resolve(
        {**LEAST, "tasks": [{"name": "churn", "kind": "binary"}, {"kind": "regression", "name": "spend", "weight": 2}]}
    )
    assert by_name.tasks == listed.tasks == (Binary("churn"), Regression("spend", weight=2.0))


def test_fields_without_a_name_are_those_of_the_default() -> None:
    config = resolve({**LEAST, "encoder": {"width": 16}, "data": {"train": "a.csv", "split": {"test": 0.3}}})
    assert config.recipe.encoder == MLP(width=16)
    assert config.split == Random(test=0.3)


def test_a_contender_is_the_requested_model_with_changes() -> None:
    config = resolve(
        {
            **LEAST,
            "encoder": {"name": "mlp", "width": 64, "depth": 3},
            "training": {"lr": 0.01, "epochs": 7},
            "seed": 5,
            "compare": {
                "contenders": {
                    "narrow": {"encoder": {"width": 16}, "training": {"epochs": 9}},
                    "other": {"encoder": {"name": "resnet", "width": 32}},
                    "named": {"encoder": "mlp", "balancer": "uncertainty"},
                    "same": {},
                }
            },
        }
    )
    narrow, other, named, same = (config.contenders[name] for name in ("narrow", "other", "named", "same"))
    assert narrow.encoder == MLP(width=16, depth=3)
    assert narrow.options == TrainingOptions(lr=0.01, epochs=9, seed=5)
    assert other.encoder == ResNet(width=32)
    assert named.encoder == MLP()
    assert named.balancer == Uncertainty()
    assert same == config.recipe


def test_paths_start_from_the_file(tmp_path: Path) -> None:
    inside = tmp_path / "conf"
    inside.mkdir()
    (inside / "c.yaml").write_text("data: {train: {a: ../a.csv, b: /data/b.csv}, test: t.csv}\ntasks: {y: count}\n")
    data = read_config(inside / "c.yaml").data
    assert data.train == {"a": str(inside / "../a.csv"), "b": "/data/b.csv"}
    assert data.test == str(inside / "t.csv")


FULL: dict[str, Any] = {
    "title": "All",
    "data": {
        "train": {"a": "/a.csv", "b": "/b.parquet"},
        "features": ["x", "z"],
        "exclude": ["id"],
        "split": {"name": "group", "column": "who", "test": 0.3},
    },
    "tasks": {
        "churn": {"kind": "binary", "metric": "log_loss", "weight": 0.5},
        "place": {"kind": "regression", "columns": ["lon", "lat"]},
        "grade": {"kind": "ordinal", "levels": ["a", "b"], "role": "auxiliary"},
    },
    "encoder": {"name": "resnet", "width": 16},
    "balancer": "dwa",
    "sampler": "square_root",
    "training": {"lr": 1e-4, "clip_norm": 1.0, "schedule": "cosine"},
    "seed": 3,
    "schema": {"bins": 8, "categorical": ["code"]},
    "compare": {"seeds": 3, "primary": "multi", "contenders": {"small": {"encoder": {"width": 4}}}},
}


@pytest.mark.parametrize("raw", [LEAST, FULL, {"data": {"dataset": "nhanes"}, "tasks": ["bmi", "diabetes"]}])
def test_a_configuration_comes_back_from_its_plain_values(raw: dict[str, Any]) -> None:
    config = resolve(raw)
    assert isinstance(config, Config)
    assert resolve(config.to_mapping()) == config


def test_the_full_example_is_read() -> None:
    config = resolve(FULL)
    assert config.split == Group(column="who", test=0.3)
    assert config.recipe.options.seed == 3
    assert config.schema.bins == 8
    assert [task.role for task in config.tasks if not isinstance(task, str)] == ["primary", "primary", "auxiliary"]


WRONG = [
    ({"encodr": "mlp"}, None, "'encoder'"),
    ({"encoder": "mpl"}, "encoder", "'mlp'"),
    ({"encoder": {"name": "mlp", "widht": 3}}, "encoder", "'width'"),
    ({"encoder": {"width": "wide"}}, "encoder.width", None),
    ({"encoder": 3}, "encoder", None),
    ({"balancer": ["equal"]}, "balancer", None),
    ({"training": {"epochs": 2.5}}, "training.epochs", None),
    ({"training": {"lr": -1}}, "training.lr", None),
    ({"training": 3}, "training", None),
    ({"seed": "x"}, "training.seed", None),
    ({"seed": True}, "training.seed", None),
    ({"title": 3}, "title", None),
    ({"schema": {"bins": 1}}, "schema.bins", None),
    ({"data": {"train": "a.csv", "dataset": "nhanes"}}, "data", None),
    ({"data": {}}, "data", None),
    ({"data": None}, "data", None),
    ({"data": {"train": "a.csv", "tests": "b.csv"}}, "data", "'test'"),
    ({"data": {"train": ["a.csv"]}}, "data.train", None),
    ({"data": {"dataset": "nhanes", "test": "b.csv"}}, "data", None),
    ({"data": {"train": "a.csv", "split": {"test": 2}}}, "data.split.test", None),
    ({"data": {"train": "a.csv", "split": "randon"}}, "data.split", "'random'"),
    ({"tasks": {}}, "tasks", None),
    ({"tasks": None}, "tasks", None),
    ({"tasks": ["churn"]}, "tasks[0]", "churn: binary"),
    ({"tasks": {"churn": "binry"}}, "tasks.churn", "'binary'"),
    ({"tasks": {"churn": {"kind": "binary", "weight": -1}}}, "tasks.churn", None),
    ({"tasks": {"churn": {"weight": 1}}}, "tasks.churn", None),
    ({"tasks": [{"kind": "binary"}]}, "tasks[0]", None),
    ({"tasks": [{"name": "a", "kind": "count"}, {"name": "a", "kind": "binary"}]}, "tasks", None),
    ({"tasks": {"churn": {"name": "b", "kind": "binary"}}}, "tasks.churn", None),
    ({"tasks": 3}, "tasks", None),
    ({"compare": {"seeds": 0}}, "compare", None),
    ({"compare": {"contenders": {"a": {"encodr": "mlp"}}}}, "compare.contenders.a", "'encoder'"),
    ({"compare": {"contenders": {"a": {"encoder": {"width": "x"}}}}}, "compare.contenders.a.encoder.width", None),
    ({"compare": {"contenders": {"a": {"training": {"lr": -1}}}}}, "compare.contenders.a.training.lr", None),
    ({"compare": {"contenders": {"a": {"training": {"seed": 1}}}}}, "compare.contenders.a.training", None),
    ({"compare": {"contenders": {"a": 3}}}, "compare.contenders.a", None),
    ({"compare": {"contenders": ["a"]}}, "compare.contenders", None),
]


@pytest.mark.parametrize(("changes", "where", "offer"), WRONG)
def test_a_mistake_is_named_by_the_path_to_its_key(
    changes: dict[str, Any], where: str | None, offer: str | None
) -> None:
    with pytest.raises(UserError) as caught:
        resolve({**LEAST, **changes})
    found = caught.value.where
    if where is None:
        assert found is None
    else:
        assert found is not None
        assert found == where or found.startswith((f"{where}:", f"{where}.")), found
    if offer is not None:
        assert offer in (caught.value.do or "")


@pytest.mark.parametrize("name", TAKEN)
def test_contenders_that_a_comparison_names_itself_are_taken(name: str) -> None:
    with pytest.raises(ConfigError, match="taken"):
        resolve({**LEAST, "compare": {"contenders": {name: {}}}})


def test_the_file_is_part_of_the_place(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("data: {train: a.csv}\ntasks: {y: binary}\ntraining: {epochs: many}\n")
    with pytest.raises(ConfigError) as caught:
        read_config(tmp_path / "c.yaml")
    assert caught.value.where == f"{tmp_path / 'c.yaml'}: training.epochs"


def test_every_section_is_documented() -> None:
    text = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text("utf-8")
    assert [
        key for key in SECTIONS if f"`{key}`" not in text and f"## {key}" not in text and f"\n{key}:" not in text
    ] == []
