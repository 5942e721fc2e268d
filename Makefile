# `make demo` and `make test` need Python 3.11 or newer and nothing else: each makes .venv first.
# `make help` lists the rest. Another interpreter: make PYTHON=/path/to/python3.12 demo

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python)

NEWEST_PYTHON ?= $(shell python3.13 -c "" 2>/dev/null && command -v python3.13 || echo $(PYTHON))

VENV ?= .venv
CONSTRAINTS ?= constraints.txt
PY := $(VENV)/bin/python
# Errors only; `make PIP_QUIET= demo` shows all that pip does.
PIP_QUIET ?= -qq
PIP_INSTALL = $(PY) -m pip install $(PIP_QUIET) --disable-pip-version-check -c $(CONSTRAINTS)

# An environment is made again only when one of these is newer than its stamp.
REQUIREMENTS := pyproject.toml $(CONSTRAINTS)
DEMO_ENV := $(VENV)/.installed-demo
TEST_ENV := $(VENV)/.installed-test
DOCS_ENV := $(VENV)/.installed-docs

# Small networks and matrices are fastest on one thread, and the test workers are processes already.
PYTEST := OMP_NUM_THREADS=1 MPLBACKEND=Agg $(PY) -m pytest
WORKERS ?= auto

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo demo-readmission test pytest matrix matrix-oldest matrix-newest coverage lint types docs format bench clean distclean

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | while IFS="$$(printf '\t')" read -r name text; do \
	    printf '  make %-18s %s\n' "$$name" "$$text"; done

demo: $(DEMO_ENV) ## rank the features of the breast-cancer data, into demo-output/
	@$(PY) -m sknninterp.cli demo --out demo-output

demo-readmission: $(DEMO_ENV) ## the same on 99,343 hospital encounters, into demo-readmission-output/
	@$(PY) -m sknninterp.cli demo --data readmission --out demo-readmission-output

test: lint ## lint, tests, doctests, examples
	@$(PYTEST) -n $(WORKERS)

pytest: $(TEST_ENV) ## the tests alone
	@$(PYTEST) -n $(WORKERS) $(PYTEST_ARGS)

# Not a part of `make test`: torch of another version comes with gigabytes of CUDA libraries. The
# benchmarks ask for newer libraries than the package, and scikit-learn before 1.8 makes checks that
# fail by rounding alone strict.
matrix: matrix-oldest matrix-newest ## the tests with the oldest and with the newest libraries

matrix-oldest:
	@$(MAKE) --no-print-directory VENV=.venv-oldest CONSTRAINTS=constraints-oldest.txt \
	    PYTEST_ARGS="--ignore tests/benchmarks -o xfail_strict=false" pytest

matrix-newest:
	@$(MAKE) --no-print-directory VENV=.venv-newest CONSTRAINTS=constraints-newest.txt \
	    PYTHON=$(NEWEST_PYTHON) pytest

coverage: $(TEST_ENV) ## the tests again, half as long again, with the lines and branches they miss
	@$(PYTEST) -n $(WORKERS) --cov

lint: $(TEST_ENV) ## style, formatting and the direction of imports
	@$(PY) -m ruff check --quiet
	@$(PY) -m ruff format --check --quiet
	@$(VENV)/bin/lint-imports --no-logo

types: $(TEST_ENV) ## mypy
	@$(PY) -m mypy

docs: $(DOCS_ENV) ## the documentation, into docs/_build/html; the examples are run
	@OMP_NUM_THREADS=1 MPLBACKEND=Agg $(PY) -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@$(PY) docs/check_links.py docs/_build/html

format: $(TEST_ENV) ## rewrite the code in the house style
	@$(PY) -m ruff check --fix --quiet
	@$(PY) -m ruff format

bench: $(TEST_ENV) ## how to run the benchmarks
	@echo "Each benchmark is a script that prints a table and writes JSON; --help lists its options:"
	@for script in benchmarks/[!_]*.py; do \
	    echo "  SKNNINTERP_DATA=... $(PY) -m benchmarks.$$(basename "$$script" .py)"; done

clean: ## remove what the other targets wrote, but keep .venv
	rm -rf build dist *.egg-info demo-output demo-readmission-output htmlcov .coverage .coverage.* \
	    .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache \
	    docs/_build docs/auto_examples docs/generated docs/sg_execution_times.rst
	find benchmarks docs examples sknninterp tests -type d -name __pycache__ -prune \
	    -exec rm -rf {} + 2>/dev/null || true

distclean: clean ## remove .venv too
	rm -rf $(VENV)

$(PY):
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	    "sknninterp needs Python 3.11 or newer; this is %s. Set PYTHON=..." % sys.version.split()[0])'
	"$(PYTHON)" -m venv $(VENV)

$(DEMO_ENV): $(REQUIREMENTS) | $(PY)
	@echo "Installing sknninterp and what it needs into $(VENV) (PyTorch is large: about a minute) ..."
	@$(PIP_INSTALL) -e '.[plots,report]'
	@touch $@

# After the demo's, since two pips must not write to one environment at once (make -j).
$(TEST_ENV): $(REQUIREMENTS) $(DEMO_ENV)
	@echo "Installing the development tools into $(VENV) ..."
	@$(PIP_INSTALL) -e '.[dev,plots,report,compare]'
	@touch $@

$(DOCS_ENV): $(REQUIREMENTS) $(TEST_ENV)
	@echo "Installing Sphinx into $(VENV) ..."
	@$(PIP_INSTALL) -e '.[docs]'
	@touch $@
