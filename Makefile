# Everything a fresh machine with Python 3.11 or newer needs: `make demo` runs the main job, `make test` the tests.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
FAST := -m "not slow and not gpu"
# the page is built when the package is installed, so its sources make an installation old
PAGE := hatch_build.py $(wildcard web/*.* web/src/*.* web/src/*/*.*)

.PHONY: demo test soak lint clean

demo: $(VENV)/.run
	$(BIN)/geofuse demo demo

test: $(VENV)/.test lint
	$(BIN)/python -m pytest $(FAST) -n 2 --dist loadfile --cov --cov-report=
	$(BIN)/python -m coverage report --include='geofuse/rasters/*,geofuse/scenes/*,geofuse/archive/*,geofuse/run/*,geofuse/quality/*,geofuse/clips/*,geofuse/line/*,geofuse/learn/*,geofuse/pages/*' --fail-under=95 --skip-covered

soak: $(VENV)/.test
	$(BIN)/python -m pytest -m slow --timeout=3600

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: pyproject.toml $(PAGE) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.test: pyproject.toml $(PAGE) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@ $(VENV)/.run

clean:
	rm -rf $(VENV) demo build dist .coverage* .pytest_cache .mypy_cache .ruff_cache
