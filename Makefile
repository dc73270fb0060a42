# Two commands: `make demo` answers the founding question on simulated patients, `make test` runs the whole test suite.
.DEFAULT_GOAL := demo
.PHONY: demo test check slow clean

VENV := .venv
BIN := $(VENV)/bin
# Exact versions that were tested together; remove `-c requirements.lock` below to take the newest.
LOCK := requirements.lock

demo: $(VENV)/.installed
	$(BIN)/python examples/alemtuzumab_cohort.py

test: $(VENV)/.test-tools
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

# Long simulations: parameter recovery and calibration (see tests/recovery/RESULTS.md).
slow: $(VENV)/.test-tools
	$(BIN)/python -m pytest -m slow

check: $(VENV)/.dev-tools
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(VENV)/.installed: pyproject.toml $(LOCK) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(LOCK) -e .
	touch $@

$(VENV)/.test-tools: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(LOCK) -e '.[test]'
	touch $@

$(VENV)/.dev-tools: $(VENV)/.test-tools
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(LOCK) -e '.[test,dev]'
	touch $@

# The first interpreter that runs and is new enough: version managers leave names on the path that do not run.
$(VENV)/bin/python:
	@for python in python3 python3.13 python3.12 python3.14 python; do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; then \
	    echo "making $(VENV) with $$($$python --version)"; $$python -m venv $(VENV) && exit 0; exit 1; \
	  fi; \
	done; \
	echo "trajectories needs Python 3.12 or newer, and none of python3, python3.13, python3.12, python3.14 is." >&2; \
	echo "Install one, or make the environment yourself: /path/to/python3.13 -m venv $(VENV)" >&2; exit 1

clean:
	rm -rf $(VENV) examples/output build dist
