"""Every method of the catalogue against the contract, and against each law that it promises."""

from __future__ import annotations

import dataclasses
import inspect
import pkgutil
import re

import pytest

import polytask.balancing.methods as folder
from polytask.balancing.cases import cases
from polytask.balancing.check import CONTRACT, check_method, declared
from polytask.balancing.contract import Law, Method
from polytask.balancing.laws import LAWS, BrokenPromiseError
from polytask.balancing.methods import METHODS

# Methods whose hyperparameters have no default, with some that are allowed.
EXAMPLES = {
    "fixed": {"weights": {"a": 1.0, "b": 0.25, "c": 0.0, "d": 3.0}},
    "gcs": {"main": ["a"]},
    "ol_aux": {"main": ["a"]},
    "cr_mogm": {"method": {"name": "imtl_l", "lr": 0.1}},
}


def build(name: str) -> Method:
    return METHODS.build({"name": name, **EXAMPLES.get(name, {})})


def obey(method: Method, law: Law) -> None:
    for case in cases(method):
        LAWS[law](method, case)


def promised() -> list[tuple[str, Law]]:
    return [(name, law) for name, cls in METHODS.items() for law in sorted(cls.laws, key=lambda law: law.name)]


@pytest.mark.parametrize("name", list(METHODS))
def test_declares_itself(name):
    declared(build(name))


@pytest.mark.parametrize("clause", CONTRACT, ids=lambda clause: clause.__name__)
@pytest.mark.parametrize("name", list(METHODS))
def test_contract(name, clause):
    method = build(name)
    for case in cases(method):
        clause(method, case)


@pytest.mark.parametrize(("name", "law"), promised(), ids=lambda value: getattr(value, "name", value))
def test_law(name, law):
    obey(build(name), law)


@pytest.mark.parametrize("law", [Law.SIMPLEX, Law.SUM_T, Law.SCALE_FREE, Law.TASK_SCALE_FREE, Law.EQUIVARIANT])
@pytest.mark.parametrize("name", list(METHODS))
def test_promises_every_law_that_it_obeys(name, law):
    """A law that holds in all cases and is not promised is a forgotten line in ``laws``."""
    method = build(name)
    if law in method.laws:
        return
    with pytest.raises(BrokenPromiseError):
        obey(method, law)


def test_every_law_has_a_check():
    assert set(LAWS) == set(Law)


@pytest.mark.parametrize("name", list(METHODS))
def test_the_shipped_check_passes(name):
    check_method(build(name))


def test_every_file_of_the_folder_is_in_the_catalogue():
    listed = {cls.__module__.rsplit(".", 1)[1] for _, cls in METHODS.items()}
    found = {module.name for module in pkgutil.iter_modules(folder.__path__)}
    assert found == listed, f"add to METHODS in balancing/methods/__init__.py: {sorted(found ^ listed)}"


@pytest.mark.parametrize(("name", "cls"), list(METHODS.items()))
def test_name_and_file_agree(name, cls):
    assert cls.__module__ == f"polytask.balancing.methods.{name}"


@pytest.mark.parametrize(("name", "cls"), list(METHODS.items()))
def test_docstring_has_one_sentence_formula_fields_and_source(name, cls):
    doc = inspect.getdoc(cls)
    assert re.fullmatch(r"[A-Z].*\.", doc.split("\n", 1)[0])
    assert "``" in doc, "the formula"
    for field in dataclasses.fields(cls):
        assert f":param {field.name}:" in doc
    if cls.paper is not None:
        assert f"{cls.paper.venue} {cls.paper.year}" in doc
