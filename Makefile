# `make demo` to watch it, `make test` to check it; both set up what they need.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
RUN := $(VENV)/bin/python
STAMP := $(VENV)/.installed
MAKEFLAGS += --no-print-directory

.PHONY: setup demo test test-fast check audit lint format clean screenshots chromium

setup: $(STAMP)
	@echo "Everything is set up: \`. $(VENV)/bin/activate\` makes the command snaplabel yours."

$(STAMP): pyproject.toml requirements/constraints.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "snaplabel needs Python 3.11 or newer."; exit 1; }
	@echo "Setting up $(VENV): a few minutes the first time, since torch and OpenVINO are large."
	@test -x $(RUN) || { echo "  an environment of its own"; "$(PYTHON)" -m venv $(VENV); }
	@echo "  torch, torchvision and OpenVINO, the large ones"
	@$(RUN) -m pip install --quiet --disable-pip-version-check -c requirements/constraints.txt torch torchvision openvino
	@echo "  everything else, and snaplabel itself"
	@$(RUN) -m pip install --quiet --disable-pip-version-check -c requirements/constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP)
	@$(VENV)/bin/snaplabel demo

test: $(STAMP) chromium
	@$(RUN) -m pytest

test-fast: $(STAMP)
	@$(RUN) -m pytest -m "not real"

check: lint
	@$(RUN) requirements/audit.py --only-warn
	@$(MAKE) test

# A vulnerability that became known overnight is no fault of a change: `check` warns of it, this fails.
audit: $(STAMP)
	@$(RUN) requirements/audit.py

lint: $(STAMP)
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .
	@$(RUN) -m mypy

format: $(STAMP)
	@$(RUN) -m ruff check --fix --quiet . || true
	@$(RUN) -m ruff format .

screenshots: $(STAMP) chromium
	@$(RUN) -m tests.screenshots

# The browser tests need a Chromium; where it can't be had they skip, saying so.
chromium:
	@for name in chromium chromium-browser google-chrome; do command -v $$name >/dev/null && exit 0; done; \
	[ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null || exit 0; \
	echo "Installing Chromium for the browser tests: a minute or two."; \
	export DEBIAN_FRONTEND=noninteractive; \
	{ timeout 300 apt-get install -qq -y --no-install-recommends chromium || \
	  { timeout 120 apt-get update -qq && timeout 300 apt-get install -qq -y --no-install-recommends chromium; }; } \
	  >/dev/null 2>&1 || echo "Chromium could not be installed; the browser tests will skip."

clean:
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .demo build dist *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
