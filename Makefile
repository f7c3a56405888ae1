# run: the main job on real input    test: the suite    check: lint, types, laws    bench: the figures
# Each sets up all it needs in this tree, from a machine that has python3 and pip.
#
#   make run URLS=file          fetch your own URLs
#   make test PYTHONS=3.12      these Pythons (default: python3's, and those of 3.11 3.12 3.13 that pyenv has)
#   make test EVERYWHERE=1      all of it on each of them
#   make test ARGS="-k stream"  arguments for pytest; with -n0 (or "-p no:xdist") it runs in one process, for pdb

PYTHON  ?= python3
MAIN    := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
PYENVS  := $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions
pyenv    = $(lastword $(wildcard $(PYENVS)/$(1).*/bin/python))
PYTHONS ?= $(MAIN) $(filter-out $(MAIN),$(foreach v,3.11 3.12 3.13,$(if $(call pyenv,$(v)),$(v))))
venv     = $(if $(filter $(MAIN),$(1)),.venv,.venv-$(1))
BIN     := .venv/bin
# One more at a time than there are cores, as tests wait now and then; many more would make those of real time late.
SPREAD   = $(if $(findstring no:xdist,$(ARGS)),,-n $(shell $(PYTHON) -c 'import os; print(min(4, 1 + os.cpu_count()))') --dist worksteal)
# What is about the source, the reports and the examples, and not about the Python, is tested on one.
ONCE     = --ignore=tests/test_architecture.py --ignore=tests/report --ignore=tests/examples

# $(1): an interpreter, $(2): the venv's folder, $(3): the extra. The interpreter's own pip installs, so that a
# Python without ensurepip (Debian's) will do.
define install
@$(1) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("atonce needs Python 3.11 or newer; this is " + sys.version)'
@echo "== setting up $(2) with atonce[$(3)] for $$($(1) -V)"
@test -x $(2)/bin/python || $(1) -m venv --without-pip $(2)
@$(1) -m pip --python $(2)/bin/python install -qq --disable-pip-version-check --editable '.[$(3)]'
@touch $@
endef

.PHONY: run test check bench
.DELETE_ON_ERROR:
.NOTPARALLEL:

run: .venv/all.stamp
	@$(BIN)/python examples/stdlib_tour.py $(URLS)

# The whole suite on python3's Python, with all examples of its laws; on the others fewer, and not what is tested `ONCE`.
test: $(foreach v,$(PYTHONS),$(call venv,$(v))/test.stamp)
	@failed=; for venv in $(foreach v,$(PYTHONS),$(call venv,$(v))); do \
	    echo "== testing on $$($$venv/bin/python -V) ($$venv)"; \
	    profile= once=; test $$venv = .venv || { profile=brief once='$(if $(EVERYWHERE),,$(ONCE))'; }; \
	    HYPOTHESIS_PROFILE=$${HYPOTHESIS_PROFILE:-$$profile} $$venv/bin/python -m pytest $(SPREAD) $$once $(ARGS) || failed="$$failed $$venv"; \
	done; test -z "$$failed" || { echo "== failed in:$$failed" >&2; exit 1; }

# verifytypes finds the package through the `python` that is first in PATH; below 100 % it fails.
check: .venv/dev.stamp
	$(BIN)/ruff check --output-format concise
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict src $(wildcard tests/typing)
	$(BIN)/basedpyright --level error src $(wildcard tests/typing)
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/basedpyright --verifytypes atonce --ignoreexternal >.venv/verifytypes.txt || { cat .venv/verifytypes.txt; exit 1; }
	$(BIN)/python -m pytest -q -p no:randomly tests/test_architecture.py

bench: .venv/test.stamp
	@$(BIN)/python benchmarks/run_all.py $(ARGS)

.venv/%.stamp: pyproject.toml
	$(call install,$(PYTHON),.venv,$*)

.venv-%/test.stamp: pyproject.toml
	$(call install,$(or $(call pyenv,$*),python$*),.venv-$*,test)
