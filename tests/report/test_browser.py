"""The page in a real browser that has no network: charts are drawn, names do no harm, the keys work."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from synthetic_comparison import comparison, hostile_names

pytest.importorskip("altair")
pytest.importorskip("jinja2")
pytest.importorskip("vl_convert")

from polytask.report.page import render

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = os.environ.get("POLYTASK_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--virtual-time-budget=30000",
)

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium; set POLYTASK_CHROMIUM to its path")


def opened(page: str, folder: Path) -> str:
    """The document without its scripts, after they have run; no name resolves, so any request would fail."""
    file = folder / "report.html"
    file.write_text(page, encoding="utf-8")
    offline = ["--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder / 'profile'}"]
    command = [BROWSER, *FLAGS, *offline, "--dump-dom", file.as_uri()]
    document = subprocess.run(command, capture_output=True, timeout=120, check=True).stdout.decode()
    return re.sub(r"<script.*?</script>", "", document, flags=re.DOTALL)


def with_script(page: str, script: str) -> str:
    """The page with a script of the test at its end (the policy of the page allows inline scripts)."""
    head, end, tail = page.rpartition("</body>")
    return f"{head}<script>{script}</script>{end}{tail}"


def test_every_chart_is_drawn(tmp_path):
    page = render(comparison())
    document = opened(page, tmp_path)
    assert 'data-charts="drawn"' in document
    places = len(re.findall(r'data-chart="\d+"', page))
    assert places == 24  # 2 forests, 9 curves, weights, conflicts, cosines, 3 calibrations, 6 residuals, costs
    assert document.count("<svg ") == places
    assert "could not be drawn" not in document
    assert len(re.findall(r'class="mark-(?:line|symbol|rule|area)', document)) > 3 * places


def test_hostile_names_do_nothing(tmp_path):
    page = render(hostile_names())
    alarm = "<head><script>window.alert = () => { document.documentElement.dataset.hurt = 'yes'; };</script>"
    document = opened(page.replace("<head>", alarm, 1), tmp_path)
    assert 'data-hurt="yes"' not in document
    assert 'data-charts="drawn"' in document
    assert "could not be drawn" not in document


def test_a_key_brings_out_one_contender_everywhere(tmp_path):
    press = """(function wait() {
      if (!document.documentElement.dataset.charts) return setTimeout(wait, 50);
      document.querySelector("[data-focus=narrow]").click();
    })();"""
    page = render(comparison())
    before, after = opened(page, tmp_path), opened(with_script(page, press), tmp_path)
    assert set(re.findall(r'data-focus="(\w+)" aria-pressed="true"', after)) == {"narrow"}
    faint = r'opacity="0\.06"'
    assert not re.findall(faint, before)
    assert len(re.findall(faint, after)) >= 2 * 9  # at least the two other contenders in every learning curve


def test_the_policy_lets_nothing_in(tmp_path):
    (tmp_path / "other.css").write_text("body { --reached: yes; }")
    lure = """const link = document.createElement("link"); link.rel = "stylesheet"; link.href = "other.css";
      link.onload = () => { document.documentElement.dataset.reached = "yes"; };
      link.onerror = () => { document.documentElement.dataset.reached = "no"; };
      document.head.append(link);"""
    assert 'data-reached="no"' in opened(with_script(render(comparison()), lure), tmp_path)
