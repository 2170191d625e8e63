# Two commands on a machine that has Python 3.11 and make: `make demo` and `make test`.
PYTHON ?= python3.11
VENV   ?= .venv
BIN     = $(VENV)/bin
PIP     = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help demo test test-slow lint format docs bench clean

help:            ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "pip>=25.1"

$(VENV)/.demo: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) --editable ".[report,boosting,datasets]"
	@touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(PIP) --group dev
	@touch $@

demo: $(VENV)/.demo  ## compare one wide, one narrow and nine single models on a health survey; writes runs/demo/report.html
	$(BIN)/polytask compare examples/nhanes.yaml --run runs/demo --overwrite

test: $(VENV)/.dev   ## the test suite (two processes)
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(VENV)/.dev  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.dev   ## ruff, mypy and the floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## put the code in shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.dev   ## write the generated pages of docs/ again
	$(BIN)/polytask list --markdown docs

bench: $(VENV)/.dev  ## the benchmarks of docs/benchmarks.md
	$(BIN)/python benchmarks/tabular_step.py
	$(BIN)/python benchmarks/big_table.py
	$(BIN)/python benchmarks/verdicts.py

clean:           ## remove what the targets made
	rm -rf $(VENV) runs .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
