# Two commands do everything: `make bench` and `make test`. Each makes its own environment in .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: bench test fast lint clean

# The four main backbones on the embedded demo data; the report is results/demo/report.html.
bench: .venv/bench
	$(BIN)/python benchmarks/compare_backbones.py --data demo --results results/demo

# Lint, types and every test.
test: lint
	$(BIN)/python -m pytest -q

# The tests that take seconds.
fast: lint
	$(BIN)/python -m pytest -q -m "not slow"

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

.venv/bench: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) -e '.[fast,noisy]'
	touch $@

.venv/dev: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) -e '.[dev]'
	touch $@

clean:
	rm -rf .venv build *.egg-info
