# Commands of this repository. `make demo` and `make test` set up everything they need by themselves.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
BASE := .venv/base.stamp
DEV := .venv/dev.stamp
HOME_DIR ?= demo
RULES ?= src/custodes/rules

.DEFAULT_GOAL := list
.PHONY: list demo demo-guard test dev lint fix rule docs bench bench-ledger hammer every-byte kills conformance-go gates check clean

list:           ## print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 16

$(BASE): requirements/base.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "custodes needs Python 3.11 or newer; set PYTHON=python3.x"; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "the venv module is missing; on Debian: apt-get install python3-venv"; exit 2; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/base.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(DEV): $(BASE) requirements/dev.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@touch $@

demo: $(BASE)   ## a simulated company, the whole street, a report (first use: start here)
	@rm -rf "$(HOME_DIR)"
	$(BIN)/custodes demo --home "$(HOME_DIR)"

demo-guard: $(DEV) ## an auditor asks for a journalist's address and tries tricks; a ticket gets what it covers (needs PostgreSQL)
	@$(BIN)/python docs/demo_guard.py

test: $(DEV)    ## the tests of the gate
	$(BIN)/pytest -q -n auto --dist loadgroup -m "not slow"

dev: $(DEV)     ## environment with all development tools

lint: $(DEV)    ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(DEV)     ## format and repair what can be repaired
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

rule: $(DEV)    ## a new rule with its tests: make rule NAME=D23_exports_at_night
	@$(BIN)/custodes rules new $(firstword $(subst _, ,$(NAME))) "$(wordlist 2,20,$(subst _, ,$(NAME)))" --into $(RULES)
	@echo "now: write what it looks for, then custodes rules test $(firstword $(subst _, ,$(NAME))), then make docs"

docs: $(DEV)    ## generate the reference pages
	$(BIN)/custodes rules docs
	$(BIN)/python docs/generate.py

bench: $(DEV)   ## short benchmarks: ratios against a named baseline in the same run, as JSON
	$(BIN)/python bench/run.py

bench-ledger: $(DEV) .venv-bench/stamp ## the record at full length, beside pymerkle (an environment of its own)
	$(BIN)/python bench/ledger.py --full --pymerkle .venv-bench/bin/python

# GPL: it never shares an environment with the product, and no test imports it.
.venv-bench/stamp: requirements/bench-ledger.lock
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bench-ledger.lock
	@touch $@

hammer: $(BASE) ## ten minutes of kills of a writer, with readers beside it
	$(BIN)/custodes ledger hammer --seconds 600

every-byte: $(DEV) ## each byte of a log changed once (long; part of gates)
	$(BIN)/pytest -q -n auto -m slow --timeout 3600 tests/conformance/test_ledger_every_byte.py

kills: $(DEV)   ## 500 kills, and each call of the writer failed and cut (part of gates)
	$(BIN)/pytest -q -n auto -m slow --timeout 3600 tests/crash

conformance-go: $(DEV) ## foreign judges of exported logs; says why it skips (tests/conformance_go/README.md)
	$(BIN)/pytest -q tests/conformance/test_ledger_go.py

gates: $(DEV)   ## many seeds, kills and sizes (long)
	$(BIN)/pytest -q -n auto --dist loadgroup -m slow --timeout 3600

check: lint test ## everything the gate runs

clean:          ## remove the environment and what was built
	rm -rf .venv .venv-bench build dist demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
