# Two commands do everything: `make bench` and `make test`. Each makes its own environment in .venv.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
# Python compiles what it imports; to compile all files of all packages takes longer. It must keep what it compiled:
# every process of a run would take ten seconds of its own to compile TensorFlow and Keras.
export PYTHONDONTWRITEBYTECODE :=
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile

# The folder of the clone is on the path. An import hook, the other way, is passed over by Python that starts where the
# clone lies, because the folder `steelbench` there looks like a package.
EDITABLE := --config-settings editable_mode=compat

.PHONY: bench test fast lint parity clean

# The four main backbones and efficientnet_lite0 on the embedded demo data; the report is results/demo/report.html.
bench: .venv/bench
	$(BIN)/python benchmarks/compare_backbones.py --data demo --results results/demo

# Two at a time: most tests wait for one core. A file stays in one process, which makes its fixtures once. Files start in
# the order of tests/conftest.py; by their numbers of tests, the longest would be among the last.
PYTEST := $(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

# Lint, types and every test.
test: lint
	$(PYTEST)

# The tests that take seconds.
fast: lint
	$(PYTEST) -m "not slow"

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The losses against tensorflow-addons and pytorch-metric-learning, EfficientNet-Lite against its PyTorch port, activation
# maps against grad-cam, scores of unfamiliarity against pytorch-ood (both in one), models that Keras 2 saved against
# TensorFlow 2.15; each in an environment of its own.
# PARITY_PIP_ARGS is handed to pip, such as an index with builds of torch for the CPU alone.
PARITY_PYTHON ?= python3.11
PARITY_PIP_ARGS ?=

parity: .venv/parity-tfa/made .venv/parity-pml/made .venv/parity-lite/made .venv/parity-cam/made \
		.venv/parity-keras2/made .venv/dev
	.venv/parity-tfa/bin/python tests/parity/write_tfa.py
	.venv/parity-pml/bin/python tests/parity/write_pml.py
	.venv/parity-lite/bin/python tests/parity/write_lite.py
	.venv/parity-cam/bin/python tests/parity/write_cam.py
	.venv/parity-cam/bin/python tests/parity/write_ood.py
	.venv/parity-keras2/bin/python tests/parity/write_keras2.py tests/parity/fixtures
	$(BIN)/python -m pytest -q tests/models/losses/test_parity.py tests/models/test_efficientnet_lite.py \
		tests/models/test_activation_map.py tests/evaluation/test_unknown_parity.py tests/models/test_keras2.py

.venv/parity-%/made: tests/parity/requirements-%.txt
	$(PARITY_PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check $(PARITY_PIP_ARGS) -r $<
	touch $@

.venv/bench: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) -e '.[fast,noisy,lite]' $(EDITABLE)
	touch $@

.venv/dev: setup.cfg pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) -e '.[dev]' $(EDITABLE)
	touch $@

clean:
	rm -rf .venv build *.egg-info
