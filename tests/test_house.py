"""The rules of the house, measured on the code."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest

import polytask
from polytask.catalogue import Catalogue

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "polytask"
FILES = sorted(SOURCE.rglob("*.py"))
PYTHON = sorted(path for folder in ("src", "tests", "benchmarks", "examples") for path in (ROOT / folder).rglob("*.py"))
TEXTS = {".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".json", ".j2", ".js", ".css", ".svg", ".html", ".cfg", ""}

MOST_LINES, MOST_CLASS_LINES, MOST_METHODS = 400, 300, 15
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

LAZY = {
    "app": "help must come at once, so a command imports what it needs when it runs",
    "studies": "polytask.linear is an optional extra, and only comparisons that ask for it need it",
}
"""Rooms that may import the package inside a function, and why."""

PROBE = "has" + "attr("
FORBIDDEN = ("/wo" + "rk/", "../sha" + "red", "/tmp/" + "w/", "devpi" + ".", "/root" + "/", "this workp" + "lace")
"""Traces of the machines and folders that the project was built on."""


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def classes(path: Path) -> Iterator[ast.ClassDef]:
    return (node for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef))


def modules() -> Iterator[str]:
    yield "polytask"
    for found in pkgutil.walk_packages(polytask.__path__, "polytask."):
        if not found.name.endswith("__main__"):
            yield found.name


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(node: ast.AST) -> set[str]:
    """The modules of the package that the import statements below a node name."""
    found: set[str] = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.Import):
            found |= {alias.name for alias in inner.names}
        elif isinstance(inner, ast.ImportFrom) and inner.module:
            found.add(inner.module)
    return {module for module in found if module.split(".")[0] == "polytask"}


def test_there_is_something_to_measure() -> None:
    assert len(FILES) > 100
    assert len(list(modules())) == len([path for path in FILES if path.name != "__main__.py"])


def test_files_are_short() -> None:
    lengths = {name(path): len(path.read_text("utf-8").splitlines()) for path in PYTHON}
    long = [f"{file} has {lines} lines" for file, lines in lengths.items() if lines > MOST_LINES]
    assert not long, f"{MOST_LINES} lines are the most; split by what the code knows: {long}"


def test_classes_are_small() -> None:
    wrong = []
    for path, found in ((file, found) for file in FILES for found in classes(file)):
        lines = (found.end_lineno or found.lineno) - found.lineno + 1
        methods = [node for node in found.body if isinstance(node, FUNCTIONS) and not _is_dunder(node.name)]
        if lines >= MOST_CLASS_LINES or len(methods) > MOST_METHODS:
            wrong.append(f"{name(path)}: {found.name} has {lines} lines and {len(methods)} methods")
    assert not wrong, f"below {MOST_CLASS_LINES} lines and at most {MOST_METHODS} methods: {wrong}"


def test_modules_are_named_by_what_they_know() -> None:
    vague = [name(path) for path in FILES if re.search(r"util|helper|misc|common", path.stem)]
    assert not vague, f"name the file by what it knows: {vague}"


def test_no_object_is_asked_what_it_has() -> None:
    wrong = [name(path) for path in FILES if PROBE in path.read_text("utf-8")]
    assert not wrong, f"give the object a contract instead of probing it: {wrong}"


def test_nobody_inside_goes_through_the_front_door() -> None:
    inside = [path for path in FILES if path != SOURCE / "__init__.py"]
    wrong = [name(path) for path in inside if "polytask" in imports(tree(path))]
    assert not wrong, f"import from the defining module: {wrong}"


def test_imports_of_the_package_stand_at_the_top() -> None:
    wrong = [
        f"{name(path)}: {node.name} imports {sorted(inner)}"
        for path in FILES
        if path.relative_to(SOURCE).parts[0] not in LAZY
        for node in ast.walk(tree(path))
        if isinstance(node, FUNCTIONS) and (inner := imports(node))
    ]
    assert not wrong, f"a cycle means that something lies in the wrong room: {wrong}"


def test_the_linter_knows_every_room() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"][0]
    floors = [room.strip() for layer in contract["layers"] for room in layer.split("|")]
    rooms = {path.stem for path in SOURCE.iterdir() if path.is_dir() or path.suffix == ".py"}
    assert set(floors) == rooms - {"__init__", "__pycache__", "py"}


def test_the_architecture_page_shows_the_floors_of_the_linter() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    plan = page.split("```")[1]
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"][0]
    places = []
    for layer in contract["layers"]:
        for room in (part.strip() for part in layer.split("|")):
            found = re.search(rf"\b{room}(?:/|\.py)", plan)
            assert found, f"docs/architecture.md does not show {room}"
            places.append((contract["layers"].index(layer), plan[: found.start()].count("\n")))
    for (upper, above), (lower, below) in pairwise(places):
        assert above < below or upper == lower, "docs/architecture.md has the floors in another order"


def test_every_catalogue_lists_every_variant_that_its_package_defines() -> None:
    catalogues = {
        (module, key): value
        for module in modules()
        for key, value in vars(importlib.import_module(module)).items()
        if isinstance(value, Catalogue)
    }
    assert len({id(catalogue) for catalogue in catalogues.values()}) >= 6
    for (module, key), catalogue in catalogues.items():
        listed = {cls for _, cls in catalogue.items()}
        homes = {cls.__module__.rpartition(".")[0] for cls in listed}
        if module not in homes:  # a face that passes the catalogue on
            continue
        defined = {
            cls
            for found in modules()
            if found.startswith(f"{module}.")
            for cls in vars(importlib.import_module(found)).values()
            if inspect.isclass(cls) and issubclass(cls, catalogue.base) and not inspect.isabstract(cls)
            if cls.__module__.startswith(module)
        }
        assert defined - {catalogue.base} == listed, f"{module}.{key} and its folder disagree"


def test_every_variant_says_in_one_sentence_what_it_does() -> None:
    for module in modules():
        for value in vars(importlib.import_module(module)).values():
            if isinstance(value, Catalogue):
                for row in value.rows():
                    assert row.summary, f"{value.noun} {row.name} has no docstring"
                    assert not row.summary.startswith(f"{row.name}("), f"{value.noun} {row.name} has no docstring"


def test_the_front_door_only_points_to_the_rooms() -> None:
    face = tree(SOURCE / "__init__.py")
    functions = [node.name for node in face.body if isinstance(node, FUNCTIONS)]
    assert functions == ["__getattr__"]
    typed = {alias.name for node in ast.walk(face) if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert set(polytask.HOMES) <= typed, "what type checkers see is not what is there"
    assert set(polytask.HOMES) <= set(polytask.__all__)
    assert set(polytask.__all__) <= set(polytask.HOMES) | typed | {"__version__"}
    for public in polytask.__all__:
        value = getattr(polytask, public)
        assert isinstance(value, str) or inspect.getdoc(value), f"polytask.{public} has no docstring"
    with pytest.raises(AttributeError, match="no_such_name"):
        polytask.no_such_name  # noqa: B018  # the access is the test


def test_everything_public_is_explained() -> None:
    bare = [name(path) for path in FILES if not ast.get_docstring(tree(path))]
    bare += [
        f"{name(path)}:{node.lineno}: {inside}{node.name}"
        for path in FILES
        for node, inside in _definitions(tree(path))
        if not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert not bare, f"without a docstring: {bare}"


def test_the_changelog_knows_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert re.search(rf"^## \[{re.escape(version)}\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)


def test_nothing_speaks_of_the_place_where_it_was_built() -> None:
    for path in _tracked():
        text = path.read_text("utf-8", errors="replace")
        for word in FORBIDDEN:
            assert word not in text, f"{name(path)} mentions {word}"


def test_links_in_the_documents_lead_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{name(page)} links to {target}"


def test_examples_and_benchmarks_say_how_to_run_them() -> None:
    for path in [*(ROOT / "examples").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")]:
        assert ast.get_docstring(tree(path)), f"{name(path)} has no docstring"


def _tracked() -> list[Path]:
    """Text files that git knows; without git, those below the folders of the project."""
    try:
        listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
        found = [ROOT / part for part in listing.decode().split("\0") if part]
    except (OSError, subprocess.CalledProcessError):
        found = [*PYTHON, *ROOT.glob("*"), *(ROOT / "docs").rglob("*")]
    return [path for path in found if path.suffix in TEXTS and path.is_file()]


def _is_dunder(method: str) -> bool:
    return method.startswith("__") and method.endswith("__")


def _definitions(
    node: ast.AST, inside: str = ""
) -> Iterator[tuple[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef, str]]:
    """Classes and functions of a module and of its public classes; not those inside functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield child, inside
            if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
                yield from _definitions(child, f"{inside}{child.name}.")
