"""The generated pages of the linear estimators: objective, arguments, sources, advice and an example of each."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from polytask.app.facts import parameter_words, summary

DATA = """rng = np.random.default_rng(0)
tasks = np.repeat(["a", "b", "c", "d"], 25)
X = rng.normal(size=(100, 6))
y = np.where(tasks == "d", X[:, 2] - X[:, 3], X[:, 0] + X[:, 1])  # the last task is unlike the others
y += 0.5 * rng.normal(size=100)
"""
"""What every example is fitted on."""

EXTRAS = {"task_gaussian_process": "gp"}
"""The extra that an estimator needs, if not ``linear``."""


def linear_pages(made: str) -> dict[str, str]:
    """Path below ``docs`` -> text, for every regressor with its classifier.

    :param made: the line that says who made the page.
    :raises polytask.errors.MissingExtraError: scikit-learn is not installed.
    """
    from polytask.linear import ESTIMATORS
    from polytask.linear.guide import GUIDE

    found = {}
    for name, advice in GUIDE.items():
        classifier = ESTIMATORS.get(f"{name}_classifier")
        found[f"linear/{name}.md"] = "\n".join(_page(name, ESTIMATORS[name], classifier, advice, made))
    return found


def _page(name: str, cls: type[Any], classifier: type[Any] | None, advice: Any, made: str) -> Iterator[str]:
    before, after = _words(cls)
    yield from (made, "", f"# {cls.__name__}", "", _markdown(summary(cls)), "")
    yield from (f'`pip install "polytask[{EXTRAS.get(name, "linear")}]"` · [all estimators](../linear.md)', "")
    yield from ("## Objective", "", *_paragraphs([*before, *_loss(cls)]))
    yield from ("## When", "", advice.when, "", f"**Otherwise.** {advice.rather}", "")
    yield from ("## Example", "", "```python", *_example(cls, advice), "```", "")
    yield from ("## Arguments", "", *_arguments(cls), "")
    told = [words for words in (*after, *_inherited(cls)) if words.startswith("Fitted:")]
    if told:
        yield from ("## Learned", "", *_paragraphs([words.removeprefix("Fitted:").strip() for words in told]))
    if classifier is not None:
        yield from (f"## {classifier.__name__}", "", _markdown(summary(classifier)), "")
        yield from _paragraphs([words for part in (_words(classifier)[0], _loss(classifier)) for words in part])
        yield from (*_arguments(classifier, besides=_signature(cls)), "")
    sources = [words for words in after if not words.startswith("Fitted:")]
    if sources:
        yield from ("## Sources", "", *_paragraphs(sources))


def _words(cls: type[Any]) -> tuple[list[str], list[str]]:
    """The paragraphs of a docstring after the first sentence: before the parameters, and after them."""
    paragraphs = re.split(r"\n\s*\n", inspect.getdoc(cls) or "")[1:]
    fields = [i for i, words in enumerate(paragraphs) if words.startswith(":")]
    first, last = (fields[0], fields[-1] + 1) if fields else (len(paragraphs), len(paragraphs))
    return [_joined(words) for words in paragraphs[:first]], [_joined(words) for words in paragraphs[last:]]


def _loss(cls: type[Any]) -> list[str]:
    """What the base says that is minimised."""
    return [summary(base) for base in cls.__mro__[1:] if "loss" in summary(base) and base.__name__.startswith("Multi")]


def _inherited(cls: type[Any]) -> list[str]:
    """What the bases say was learned."""
    return [words for base in cls.__mro__[1:] if base.__module__.startswith("polytask") for words in _words(base)[1]]


def _example(cls: type[Any], advice: Any) -> Iterator[str]:
    yield from ("import numpy as np", "", f"from polytask.linear import {cls.__name__}", "", DATA)
    yield f"model = {advice.call}.fit(X, y, tasks=tasks)"
    yield 'model.predict(X[:2], tasks=["a", "b"])'
    yield from (f"{code}  # {words}" for code, words in advice.look)


def _arguments(cls: type[Any], besides: Mapping[str, Any] | None = None) -> Iterator[str]:
    """A table of the arguments, without those that ``besides`` has with the same default."""
    words = parameter_words(cls)
    yield from ("| argument | default | meaning |", "|---|---|---|")
    for name, default in _signature(cls).items():
        if besides is None or name not in besides or besides[name] != default:
            yield f"| `{name}` | `{default!r}` | {_markdown(words.get(name, '')).replace('|', '&#124;')} |"


def _signature(cls: type[Any]) -> dict[str, Any]:
    return {name: parameter.default for name, parameter in inspect.signature(cls).parameters.items()}


def _joined(words: str) -> str:
    return " ".join(words.split())


def _paragraphs(words: list[str]) -> Iterator[str]:
    for paragraph in words:
        yield from (_markdown(paragraph), "")


def _markdown(words: str) -> str:
    return words.replace("``", "`")
