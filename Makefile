# Everything goes through .venv, which `make` makes by itself. ARGS are passed on: make demo ARGS=--once

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SETTINGS := pyproject.toml

# The first interpreter that is new enough; a shim may exist and still not run.
PYTHON ?= $(shell for p in python3.11 python3 python3.14 python3.13 python3.12; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; done)

.DEFAULT_GOAL := help
.PHONY: help demo run test lint bench clean lock peers

help:
	@echo 'make demo    install, play every channel on this machine  (ARGS=--once: to the end, then exit)'
	@echo 'make run     install, start the hub on huiliu.yaml'
	@echo 'make test    install the test tools, lint, then all tests'
	@echo 'make lint    ruff, mypy, import contracts'
	@echo 'make bench   measure intake and flow'
	@echo 'make lock    resolve the dependencies anew'
	@echo 'make clean   remove .venv, caches and builds'

demo: $(VENV)/.run
	@$(BIN)/huiliu demo $(ARGS)

run: $(VENV)/.run
	@$(BIN)/huiliu run $(ARGS)

test: $(VENV)/.test peers
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'not chaos' $(ARGS)
	$(BIN)/python -m pytest -m chaos $(ARGS)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'store and not chaos and not once' --store=redis $(ARGS)
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'store and not chaos and not once' --store=cluster $(ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports

bench: $(VENV)/.test
	@set -e; for script in bench/[a-z]*.py; do echo "== $$script"; $(BIN)/python "$$script" $(ARGS); done

peers:
	@.ci/peers

clean:
	rm -rf $(VENV) build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The build tool is locked with the rest, so nothing is installed that no hash vouches for.
# The second lock takes the versions of the first.
lock: $(VENV)/.test
	@command -v uv >/dev/null || test -x $(BIN)/uv || { echo 'make lock needs uv: $(BIN)/pip install uv'; exit 1; }
	@PATH="$(CURDIR)/$(BIN):$$PATH"; options='--quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header'; \
	set -e; echo 'setuptools>=77' | uv pip compile $$options --extra test $(SETTINGS) - -o requirements.lock; \
	echo 'setuptools>=77' | uv pip compile $$options --constraint requirements.lock $(SETTINGS) - -o requirements-run.lock

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo 'make needs Python 3.11 or newer; name it: make PYTHON=/path/to/python3'; exit 1; }
	@echo 'making $(VENV) with $(PYTHON)'
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { \
	  echo 'this Python has no ensurepip (on Debian that is python3-venv); using its pip'; \
	  $(PYTHON) -m venv --clear --without-pip $(VENV) && \
	  $(PYTHON) -m pip --quiet --disable-pip-version-check --python $(BIN)/python install pip; }
	@touch $@

$(VENV)/.run: requirements-run.lock $(SETTINGS) | $(VENV)/.made
	@echo 'installing what the hub needs (the first time takes a minute)'
	@$(PIP) install --require-hashes -r requirements-run.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.test: requirements.lock $(SETTINGS) | $(VENV)/.made
	@echo 'installing what the hub and its tests need (the first time takes a few minutes)'
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.run
