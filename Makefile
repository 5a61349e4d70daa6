# Everything that a fresh machine needs besides this file is a Python 3.10 to 3.13 with pip and venv.
# Each target makes the environment `.venv` first; a stamp makes the second run instant.

# A name on the path may be a shim without an interpreter behind it, so each candidate is asked.
CANDIDATES := python3.11 python3.12 python3.10 python3.13 python3 python
FITS := import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for name in $(CANDIDATES); do \
	$$name -c '$(FITS)' >/dev/null 2>&1 && echo $$name && break; done)

VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/uv pip install --quiet --python $(BIN)/python
TF_VERSION := 2.21.*
# Two workers; the tests of one file run in one of them, so that what a module shares is made once.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile
# Modules that import the engine that they are for.
OF_ENGINES := beam dask
# CPU minutes that `make test` may take, on two cores that take half a second for the loop of .ci/timing.py.
TEST_MINUTES := 14

export UV_PYTHON_DOWNLOADS := never
# No accelerator is used, and TensorFlow says less while it finds none.
export CUDA_VISIBLE_DEVICES :=
export TF_CPP_MIN_LOG_LEVEL ?= 3
# Where byte-code is not kept, `import tensorflow` takes three times as long in every process.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help interpreter demo test slow lint format types imports examples docs docs-serve bench clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

interpreter:  ## print the Python that the environment is made with
	@echo $(PYTHON)

demo: $(VENV)/.installed  ## load a published SavedModel with stock and with fastload, and compare
	$(BIN)/python -m benchmarks.demo

test: $(VENV)/.installed  ## run the tests that go before every commit (PYTEST_ARGS="-k lazy")
	$(BIN)/python .ci/timing.py --budget $(TEST_MINUTES) "make test" $(PYTEST) $(PYTEST_ARGS)

slow: $(VENV)/.installed  ## run the tests that take long by themselves
	$(INSTALL) --group bench
	$(PYTEST) -m "slow and not full" $(PYTEST_ARGS)

lint: $(VENV)/.installed  ## check style, formatting and spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

format: $(VENV)/.installed  ## rewrite the code in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.installed  ## check the types
	$(BIN)/mypy

imports: $(VENV)/.installed  ## check the import contracts
	$(BIN)/lint-imports

examples: $(VENV)/.installed  ## run the examples in docstrings
	$(BIN)/python -m pytest --doctest-modules src/fastload $(OF_ENGINES:%=--ignore src/fastload/fleet/%.py)

docs: $(VENV)/.docs  ## build the site into build/site; any warning fails it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-serve: $(VENV)/.docs  ## show the site at http://127.0.0.1:8000, built anew with each change
	$(BIN)/mkdocs serve --watch src/fastload

bench: $(VENV)/.installed  ## measure and write docs/benchmarks.md (BENCH_ARGS="--cases resnet50 --rounds 5")
	$(INSTALL) --group bench
	$(BIN)/python -m benchmarks $(BENCH_ARGS)

clean:  ## remove the environment and what the tools left
	rm -rf $(VENV) build .nox .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/.made:
	@test -n "$(PYTHON)" || { \
	  echo "No Python 3.10 to 3.13 with venv and pip was found; name one: make PYTHON=/path/to/python" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.5"
	touch $@

# tf-keras asks for the distribution `tensorflow`, which would be installed over `tensorflow-cpu`, hence --no-deps.
$(VENV)/.installed: pyproject.toml $(VENV)/.made
	$(INSTALL) --group dev --editable . "tensorflow-cpu==$(TF_VERSION)" || \
	  $(INSTALL) --group dev --editable . "tensorflow==$(TF_VERSION)"
	$(INSTALL) --no-deps "tf-keras==$(TF_VERSION)"
	touch $@

$(VENV)/.docs: $(VENV)/.installed
	$(INSTALL) --group docs
	touch $@
