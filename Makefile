# Everything is installed into .venv beside this file, at the versions of constraints.txt. Nothing outside this
# folder changes, and every target is safe to repeat.

PYTHON ?= python3
RACE ?= --data digits --model mlp --candidates 48 --repeats 3
ARGS ?=
# Processes that run tests side by side; WORKERS=0 runs them in one, as a debugger needs.
WORKERS ?= 2
# Instructions that torch and Inductor keep to in `make test-exactness`: others than those of `make test`.
CAPABILITY ?= $(shell grep -qw avx512f /proc/cpuinfo 2>/dev/null && echo avx2 || echo default)

BIN := .venv/bin
PARALLEL = -n $(WORKERS) --dist loadfile
EXACTNESS := $(addprefix tests/, lanes/test_exactness.py lanes/test_isolation.py lanes/test_places.py \
  parts/test_table_lanes.py parts/test_table_resume.py parts/test_table_timed.py verdict/test_verdict.py)
INSTALL := $(BIN)/python -m pip install --quiet --constraint constraints.txt

# An activated environment, PYTHONPATH or a personal `pip --user` setting must not reach into .venv.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV PIP_TARGET PIP_PREFIX
export PIP_USER := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
# Two targets at once would run two installations into the same .venv.
.NOTPARALLEL:
.PHONY: help setup race test test-exactness check bench bench-peers

help:
	@echo "make race    install, then race 48 training recipes on handwritten digits; RACE='...' gives other arguments"
	@echo "make test    install what the tests need, then run them all; ARGS='-k cosine' picks some"
	@echo "make test-exactness   the tests of exactness once more, with fewer of the processor's instructions"
	@echo "make check   style and types: ruff and mypy"
	@echo "make bench   measure what a training step costs, beside a plain PyTorch loop"
	@echo "make bench-peers   the same beside JAX, Lightning, ModelBatch, Ray Tune and Keras Tuner, installed into .venv-peers"
	@echo "make setup   install only"
	@echo "The first installation needs Python 3.11 or newer: make race PYTHON=python3.12 names another than python3."

setup: .venv/.setup
	@echo "Lanewise is installed in .venv: .venv/bin/lanewise --help"

race: .venv/.setup
	@echo "Racing training recipes: lanewise race $(RACE)"
	@$(BIN)/lanewise race $(RACE)

test: .venv/.test
	@echo "Running all tests and the examples in the docstrings."
	@# Status 5 says that ARGS picked no test; one of the two parts may have none, not both.
	@$(BIN)/python -m pytest $(PARALLEL) --doctest-modules src/lanewise tests --oracles without $(ARGS); first=$$?; \
	  case $$first in 0|5) ;; *) exit $$first ;; esac; \
	  echo "Running those that compare with JAX, Keras and others."; \
	  $(BIN)/python -m pytest tests --oracles only $(ARGS); second=$$?; \
	  [ $$first -eq 0 ] && [ $$second -eq 5 ] && exit 0; exit $$second

test-exactness: .venv/.test
	@echo "Running the tests of exactness with the instructions '$(CAPABILITY)'."
	@ATEN_CPU_CAPABILITY=$(CAPABILITY) MKL_ENABLE_INSTRUCTIONS=AVX2 \
	  $(BIN)/python -m pytest $(PARALLEL) $(EXACTNESS) $(ARGS)

check: .venv/.check
	@echo "Checking style (ruff) and types (mypy)."
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: .venv/.setup
	@echo "Measuring; close other programs for steady figures."
	@$(BIN)/python -m bench $(ARGS)

bench-peers: .venv/.setup .venv-peers/.setup
	@echo "Measuring beside peers; close other programs for steady figures."
	@$(BIN)/python -m bench peers
	@$(BIN)/python -m bench time-to-answer --peers $(ARGS)

# The stamp comes last, so an installation that failed or was stopped is done again.
.venv/.setup: pyproject.toml constraints.txt
	@if [ ! -e .venv ]; then \
	  $(PYTHON) -c '' 2>/dev/null || \
	    { echo "'$(PYTHON)' does not run. Lanewise needs Python 3.11 or newer: make race PYTHON=/path/to/python3" >&2; exit 1; }; \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "Lanewise needs Python 3.11 or newer and '$(PYTHON)' is $$($(PYTHON) --version): make race PYTHON=python3.12 names another." >&2; exit 1; }; \
	  $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	    { echo "'$(PYTHON)' lacks its venv module; on Debian and Ubuntu install it with: sudo apt install python3-venv" >&2; exit 1; }; \
	  echo "Creating .venv with $$($(PYTHON) --version)."; \
	  $(PYTHON) -m venv .venv; \
	fi
	@$(BIN)/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo ".venv holds no working Python 3.11 or newer with pip. Remove it (rm -r .venv) and run make again." >&2; exit 1; }
	@echo "Installing Lanewise into .venv; PyTorch is large, so the first time takes a few minutes."
	@$(INSTALL) hatchling
	@$(INSTALL) --no-build-isolation --editable .
	@touch $@

.venv/.test: .venv/.setup
	@echo "Installing what the tests compare with (JAX, Keras, Optax, Transformers) into .venv."
	@$(INSTALL) --no-build-isolation --editable '.[plot,test,oracles]'
	@touch $@

.venv/.check: .venv/.setup
	@echo "Installing ruff and mypy into .venv."
	@$(INSTALL) --no-build-isolation --editable '.[dev]'
	@touch $@

.venv-peers/.setup: bench/peers-requirements.txt .venv/.setup
	@echo "Installing the libraries to compare with into .venv-peers; this takes a few minutes."
	@$(BIN)/python -m venv .venv-peers
	@.venv-peers/bin/python -m pip install --quiet --requirement bench/peers-requirements.txt
	@touch $@
