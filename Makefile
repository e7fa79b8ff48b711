# What a checkout can do. Every target makes the virtual environment it needs; nothing is installed outside the checkout.
#
#   make demo                  save in TensorFlow, read without it, restore in a new session
#   make test                  every test, with TensorFlow installed
#   make PYTHON=python3.12 VENV=.venv-3.12 test
#
# Variables: PYTHON (3.10 to 3.13), VENV, TENSORFLOW and TORCH (pip's requirements), PYTEST_ARGS, JOBS, BENCH_ARGS,
# EVIDENCE_ARGS.

PYTHON ?= python3
VENV ?= .venv
TENSORFLOW ?= tensorflow==2.21.*
# Named exactly, so that pip takes a build that is at hand; `make TORCH= test` goes without, and its tests skip.
TORCH ?= torch==2.13.0
JOBS ?= 2
PYTEST_ARGS ?=
# All that is measured, into the pages; anything else is a look.
BENCH_ARGS ?= --publish docs
# Every point; `--sample 10` for some of each scenario, `--publish docs/evidence.md` to put the tables there.
EVIDENCE_ARGS ?=

# TensorFlow 1.15 exists for Python 3.7 and nothing newer; only tests use it.
PYTHON37 ?= python3.7
INTEROP_VENV ?= .venv-tf115

# tf2onnx and onnxruntime, which only tests/interop_saved_model uses.
ONNX_VENV ?= .venv-onnx

# mkdocs, which only the documentation site uses; it is built into build/site.
DOCS_VENV ?= .venv-docs

# atheris, which only tests/fuzz uses: `make fuzz` gives each target some seconds, FUZZ_ARGS='table --runs 1000000' one its due.
FUZZ_PYTHON ?= python3.11
FUZZ_VENV ?= .venv-fuzz
FUZZ_ARGS ?= --all --seconds 5 --jobs $(JOBS)

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check

# An environment is stale when what describes the package, or what its schemas are compiled from, has changed.
PACKAGING := setup.cfg pyproject.toml $(wildcard setup.py) $(shell find protos -name '*.proto')

.PHONY: help demo test lint docs screenshots bench evidence fuzz interop-env onnx-env clean
.DEFAULT_GOAL := help

help:
	@echo "make demo         train, save, read without TensorFlow, restore: three small processes"
	@echo "make test         every test, with TensorFlow (PYTEST_ARGS='-k table' narrows them)"
	@echo "make lint         ruff, mypy, import-linter, the phrases of .ci/style.py"
	@echo "make docs         the documentation site, into build/site"
	@echo "make screenshots  the pictures of the documentation, by Chromium (SCREENSHOT_ARGS='--axe axe.min.js' checks the pages too)"
	@echo "make bench        how fast it is, beside others, into docs/speed.md (BENCH_ARGS='--only save' prints a part)"
	@echo "make evidence     saves that are stopped and refused at every system call: the tables of docs/evidence.md"
	@echo "make fuzz         every reader fuzzed for some seconds (FUZZ_ARGS='table --runs 1000000' one of them for long)"
	@echo "make interop-env  TensorFlow 1.15 under Python 3.7, which tests then use too"
	@echo "make onnx-env     tf2onnx and onnxruntime, which tests then use too"
	@echo "make clean        remove the environments and everything generated"
	@echo
	@echo "PYTHON=$(PYTHON)  VENV=$(VENV)  TENSORFLOW='$(TENSORFLOW)'"

demo: $(VENV)/.stamp-demo
	@sh docs/demo/run.sh $(BIN)/python

test: $(VENV)/.stamp-test
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(PYTEST_ARGS)

lint: $(VENV)/.stamp-test
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/style.py

docs: $(DOCS_VENV)/.stamp
	NO_MKDOCS_2_WARNING=1 $(DOCS_VENV)/bin/mkdocs build --quiet --clean --strict

screenshots: $(VENV)/.stamp-test
	PYTHONPATH=. $(BIN)/python .ci/screenshots.py $(SCREENSHOT_ARGS)

bench: $(VENV)/.stamp-test
	$(BIN)/python -m benchmarks $(BENCH_ARGS)
	$(BIN)/python -m benchmarks.inspect_process
	$(BIN)/python -m benchmarks.export_process --runs 3

evidence: $(VENV)/.stamp-test
	$(BIN)/python -m tests.faults --jobs $(JOBS) $(EVIDENCE_ARGS)

fuzz: $(FUZZ_VENV)/.stamp
	$(FUZZ_VENV)/bin/python -m tests.fuzz $(FUZZ_ARGS)

interop-env: $(INTEROP_VENV)/.stamp

onnx-env: $(ONNX_VENV)/.stamp

clean:
	rm -rf .venv .venv-* build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .mutation_cache
	rm -f tfsaver/schemas/tensorflow.binpb tfsaver/schemas/__init__.pyi tfsaver/schemas/sources.sha256
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@sh .ci/check_python.sh $(PYTHON)
	$(PYTHON) -m venv $(VENV)
	@$(PIP) --upgrade pip

# What a user of the Saver has: the package, its command line, TensorFlow.
$(VENV)/.stamp-demo: $(PACKAGING) | $(BIN)/python
	$(PIP) --editable '.[cli]' '$(TENSORFLOW)'
	@touch $@

$(VENV)/.stamp-test: $(PACKAGING) | $(BIN)/python
	$(if $(TORCH),$(PIP) $(TORCH))
	$(PIP) --editable '.[test,cli,remote,s3,notebooks,safetensors,keras,orbax,pandas]' 'moto[server]>=5' 'playwright>=1.45' 'gguf>=0.10' 'ray>=2.9' '$(TENSORFLOW)'
	@touch $@ $(VENV)/.stamp-demo

$(INTEROP_VENV)/.stamp: .ci/tensorflow-1.15.txt
	$(PYTHON37) -m venv --clear $(INTEROP_VENV)
	$(INTEROP_VENV)/bin/python -m pip install --quiet --quiet --disable-pip-version-check --upgrade pip
	$(INTEROP_VENV)/bin/python -m pip install --quiet --quiet --disable-pip-version-check --requirement .ci/tensorflow-1.15.txt
	@touch $@

$(ONNX_VENV)/.stamp: .ci/onnx.txt
	$(PYTHON) -m venv --clear $(ONNX_VENV)
	$(ONNX_VENV)/bin/python -m pip install --quiet --quiet --disable-pip-version-check --upgrade pip
	$(ONNX_VENV)/bin/python -m pip install --quiet --quiet --disable-pip-version-check --requirement .ci/onnx.txt
	@touch $@

$(DOCS_VENV)/.stamp: $(PACKAGING)
	@sh .ci/check_python.sh $(PYTHON)
	$(PYTHON) -m venv --clear $(DOCS_VENV)
	$(DOCS_VENV)/bin/python -m pip install --quiet --quiet --disable-pip-version-check --upgrade pip
	$(DOCS_VENV)/bin/python -m pip install --quiet --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@

$(FUZZ_VENV)/.stamp: .ci/fuzz.txt $(PACKAGING)
	$(FUZZ_PYTHON) -m venv --clear $(FUZZ_VENV)
	$(FUZZ_VENV)/bin/python -m pip install --quiet --quiet --disable-pip-version-check --upgrade pip
	$(FUZZ_VENV)/bin/python -m pip install --quiet --quiet --disable-pip-version-check --requirement .ci/fuzz.txt --editable .
	@touch $@
