"""The shell of every page: one file, nothing loaded from anywhere."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from polytask.errors import MissingExtraError
from polytask.report.charts.chart import Chart, altair


@dataclass
class Gallery:
    """The charts of one page, packed: charts of one shape share their specification, and rows are kept as columns.

    ``place`` hands out the number under which the script of the page finds the chart again.
    """

    shapes: dict[str, int] = field(default_factory=dict)
    charts: list[dict[str, Any]] = field(default_factory=list)

    def place(self, chart: Chart) -> int:
        """Keep a chart, and say under which number."""
        shape = json.dumps(chart.spec, separators=(",", ":"), sort_keys=True)
        tables = {name: _columns(rows) for name, rows in chart.tables.items()}
        self.charts.append({"shape": self.shapes.setdefault(shape, len(self.shapes)), "tables": tables})
        return len(self.charts) - 1

    def json(self) -> str:
        """Everything as JSON that can stand inside a ``<script>`` element."""
        packed = {"shapes": [json.loads(shape) for shape in self.shapes], "charts": self.charts}
        text = json.dumps(packed, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {key: [row.get(key) for row in rows] for key in dict.fromkeys(key for row in rows for key in row)}


def page(template: str, gallery: Gallery, **context: Any) -> str:
    """Fill a template of this package; everything from ``context`` is escaped.

    :raises MissingExtraError: the extra ``[report]`` is not installed.
    """
    try:
        import jinja2  # optional extra
        from markupsafe import Markup
    except ImportError as error:
        raise MissingExtraError("jinja2", "report", "The report") from error
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_asset),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["typo"] = minus
    # The three texts below are the package's own or were escaped by Gallery.json.
    own = {"style": _asset("style.css"), "script": _asset("page.js"), "bundle": bundle() if gallery.charts else ""}
    safe = {name: Markup(text) for name, text in (own | {"specs": gallery.json()}).items()}
    return environment.get_template(template).render(**context, **safe)


def minus(text: str) -> str:
    """Hyphens before digits as minus signs.

    >>> minus("-0.1 [-0.2, 0.1], 2017-2018")
    '−0.1 [−0.2, 0.1], 2017-2018'
    """
    return re.sub(r"(?<![\w-])-(?=\d)", "−", text)


@cache
def bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, from the wheel of vl-convert.

    :raises MissingExtraError: it is not installed.
    """
    try:
        import vl_convert  # optional extra
    except ImportError as error:
        raise MissingExtraError("vl-convert-python", "report", "The report") from error
    version = ".".join(altair().SCHEMA_VERSION.lstrip("v").split(".")[:2])
    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version)
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _asset(name: str) -> str:
    return files("polytask.report").joinpath("templates", name).read_text(encoding="utf-8")
