"""The worked examples of CONTRIBUTING.md: taken from the page, listed by one line, held to the generic tests."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl
import pytest

from polytask.balancing import METHODS, BrokenPromiseError, check_method, weigh
from polytask.catalogue import Catalogue
from polytask.data.sampling import SAMPLERS
from polytask.errors import DataError, TaskError
from polytask.nets.encoders import ENCODERS
from polytask.nets.sharing import SHARING
from polytask.tasks import TASKS
from polytask.training.learner import Learner, load

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "CONTRIBUTING.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FILES = {match[1]: block for block in BLOCKS if (match := re.match(r"# src/polytask/(\S+)\.py\n", block))}
LINES = dict(match.groups() for block in BLOCKS if (match := re.fullmatch(r'"(\w+)": (\w+),\n', block)))
CATALOGUES: dict[str, Catalogue[Any]] = {
    "tasks/amount": TASKS,
    "nets/encoders/gated_mlp": ENCODERS,
    "balancing/methods/worst_first": METHODS,
    "data/sampling/limited": SAMPLERS,
}


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], type]]:
    """Does what the page says: write the file, add the line."""
    lines = contextlib.ExitStack()

    def add(place: str) -> type:
        name = place.rsplit("/", 1)[1]
        module = f"worked_example_{name}"
        (tmp_path / f"{module}.py").write_text(FILES[place], "utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, module, raising=False)
        found: type = getattr(importlib.import_module(module), LINES[name])
        lines.enter_context(CATALOGUES[place].with_(**{name: found}))
        return found

    with lines:
        yield add


@pytest.fixture
def generic(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """A module of generic tests by its path below tests/."""

    def find(path: str) -> ModuleType:
        file = TESTS / path
        monkeypatch.syspath_prepend(str(file.parent))
        return importlib.import_module(file.stem)

    return find


def generic_tests(module: ModuleType, *parameters: str) -> Iterator[Callable[..., None]]:
    """The tests of a module that take exactly these parameters."""
    for name, test in inspect.getmembers(module, inspect.isfunction):
        if name.startswith("test_") and tuple(inspect.signature(test).parameters) == parameters:
            yield test


def test_the_page_has_the_four_examples_each_with_its_line() -> None:
    assert set(FILES) == set(CATALOGUES)
    assert set(LINES) == {place.rsplit("/", 1)[1] for place in FILES}


@pytest.mark.parametrize("place", CATALOGUES)
def test_name_table_and_configuration_come_by_themselves(place: str, listed: Callable[[str], type]) -> None:
    cls, catalogue, name = listed(place), CATALOGUES[place], place.rsplit("/", 1)[1]
    row = next(row for row in catalogue.rows() if row.name == name)
    assert row.summary.endswith(".")
    given = {catalogue.key: name} | ({"name": "cost"} if catalogue is TASKS else {})
    built = catalogue.build(given)
    assert type(built) is cls
    assert catalogue.build(catalogue.config(built)) == built
    assert catalogue.name_of(cls) == name


def test_the_task_passes_the_contract_of_tasks(
    listed: Callable[[str], type], generic: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    amount = listed("tasks/amount")
    contract, cases = generic("tasks/test_task_contract.py"), generic("tasks/task_cases.py")
    monkeypatch.setattr(contract, "perfect_answer", lambda target, truth: {"amount": truth[:, 0]})
    case = cases.Case(amount("price"), cases.labels())
    ran = list(generic_tests(contract, "case"))
    assert len(ran) >= 10
    for test in ran:
        test(case)
    for scale in (1e-6, 100.0, 1e4):
        contract.test_losses_are_stable_in_float32(case, scale)


def test_the_task_refuses_what_it_cannot_learn(listed: Callable[[str], type]) -> None:
    task = listed("tasks/amount")("cost")
    with pytest.raises(DataError, match=r"(?s)row 2.*above 0"):
        task.fit(pl.DataFrame({"cost": [1.0, 0.0]}))
    for labels in ([None, None], [2.0, 2.0]):
        with pytest.raises(TaskError):
            task.fit(pl.DataFrame({"cost": pl.Series(labels, dtype=pl.Float64)}))


def test_the_task_is_learned_saved_and_loaded(listed: Callable[[str], type], tmp_path: Path) -> None:
    listed("tasks/amount")
    rng = np.random.default_rng(0)
    size = rng.normal(size=600)
    frame = pl.DataFrame({"size": size, "cost": np.exp(1 + 0.5 * size + 0.1 * rng.normal(size=600))})
    learner = Learner([{"kind": "amount", "name": "cost"}], training={"epochs": 60, "lr": 0.01}).fit(frame)
    predicted = learner.predict(frame)["cost"].to_numpy()
    assert np.corrcoef(np.log(predicted), np.log(frame["cost"]))[0, 1] > 0.95
    again = load(learner.save(tmp_path / "model")).predict(frame)
    np.testing.assert_array_equal(again["cost"].to_numpy(), predicted)


def test_the_encoder_passes_the_laws_of_models(
    listed: Callable[[str], type], generic: Callable[[str], ModuleType]
) -> None:
    encoder = listed("nets/encoders/gated_mlp")()
    laws = generic("nets/test_model_laws.py")
    kind, ran = laws.spec_for(encoder), 0
    for way in (cls() for cls in laws.WAYS.values()):
        for test in every_test(laws, {"encoder", "way", "kind", "model"}):
            laws.torch.manual_seed(0)
            model = laws.Model(kind, laws.TARGETS, encoder, way).eval()
            laws.randomise_heads(model)
            given = {"encoder": encoder, "way": way, "kind": kind, "model": model}
            test(**{name: given[name] for name in inspect.signature(test).parameters})
            ran += 1
    assert ran >= 20


def test_the_encoder_works_under_every_way_of_sharing(
    listed: Callable[[str], type], generic: Callable[[str], ModuleType]
) -> None:
    listed("nets/encoders/gated_mlp")
    laws = generic("laws/test_sharing_laws.py")
    for way in SHARING:
        for test in every_test(laws, {"encoder", "way"}):
            if test is laws.test_it_learns_from_maps_and_sequences:  # the example reads columns
                continue
            with contextlib.suppress(pytest.skip.Exception):
                test(way=way, encoder="gated_mlp")


def every_test(module: ModuleType, known: set[str]) -> Iterator[Callable[..., None]]:
    """The tests of a module that take some of these parameters and no others."""
    for name, test in inspect.getmembers(module, inspect.isfunction):
        wanted = set(inspect.signature(test).parameters)
        if name.startswith("test_") and wanted and wanted <= known:
            yield test


def test_the_method_keeps_its_promises(listed: Callable[[str], type]) -> None:
    cls = listed("balancing/methods/worst_first")
    check_method("worst_first")
    check_method({"name": "worst_first", "tau": 0.05})
    np.testing.assert_allclose(
        weigh(cls(tau=0.5), losses=[1.0, 3.0]), [2 / (1 + np.e**2), 2 / (1 + np.e**-2)], rtol=1e-6
    )


def test_the_page_is_right_about_a_promise_that_is_not_kept(
    listed: Callable[[str], type], monkeypatch: pytest.MonkeyPatch
) -> None:
    cls = listed("balancing/methods/worst_first")
    positive = next(law for law in type(next(iter(cls.laws))) if law.name == "POSITIVE")
    monkeypatch.setattr(cls, "laws", cls.laws | {positive})
    with pytest.raises(BrokenPromiseError, match="POSITIVE"):
        check_method(cls(tau=0.01))


def test_the_sampler_passes_the_laws_of_samplers(
    listed: Callable[[str], type], generic: Callable[[str], ModuleType]
) -> None:
    cls = listed("data/sampling/limited")
    laws = generic("data/test_samplers.py")
    ran = list(generic_tests(laws, "name"))
    assert len(ran) >= 3
    for test in ran:
        test("limited")
    np.testing.assert_allclose(cls(limit=1000).probabilities(laws.SIZES, 0, 1), [100 / 2100, 1000 / 2100, 1000 / 2100])


@pytest.mark.parametrize(
    ("place", "key"),
    [
        ("nets/encoders/gated_mlp", "encoder"),
        ("balancing/methods/worst_first", "balancer"),
        ("data/sampling/limited", "sampler"),
    ],
)
def test_a_learner_takes_the_name(place: str, key: str, listed: Callable[[str], type]) -> None:
    listed(place)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 3))
    frame = pl.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "y": x[:, 0] + x[:, 1], "z": x[:, 0] > 0})
    tasks = [{"kind": "regression", "name": "y"}, {"kind": "binary", "name": "z"}]
    choice: dict[str, Any] = {key: place.rsplit("/", 1)[1]}
    learner = Learner(tasks, training={"epochs": 30, "lr": 0.01}, **choice).fit(
        {"one": frame[:300], "two": frame[300:]}
    )
    scores = learner.evaluate(frame)
    assert scores["y"]["r2"] > 0.9
    assert scores["z"]["auc"] > 0.95
