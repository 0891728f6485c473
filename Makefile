# Every target works from a fresh clone: it sets up what it needs by itself.
.DEFAULT_GOAL := help
.PHONY: help demo test check integration e2e e2e-real chaos conformance charts bench clean setup binaries real-binaries

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt
	@echo "setting up $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1' --constraint constraints.txt
	@$(BIN)/python -m pip install --quiet --editable . --group dev --constraint constraints.txt
	@touch $@

setup: $(STAMP)

binaries: $(STAMP)
	@$(BIN)/vc binaries get

real-binaries: $(STAMP)
	@$(BIN)/vc binaries get --real-nodes

demo: binaries ## Bring up the local super cluster with two tenants that run pods, and show both sides
	@$(BIN)/python examples/demo.py

check: $(STAMP) ## Lint, format, types, import layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

test: $(if $(filter 0,$(shell id -u)),real-binaries,binaries) ## All tests but the long faults: unit, integration, e2e, real nodes, chaos
	@$(BIN)/pytest tests/chaos
	@$(BIN)/python -m tests.together tests/e2e_real tests/e2e tests/hostile tests/integration tests/unit

integration: binaries ## Tests against real etcd and kube-apiservers
	@$(BIN)/pytest tests/integration

e2e: binaries ## Tests of the whole local system, as started by vc up
	@$(BIN)/pytest tests/e2e

e2e-real: real-binaries ## Tests with real nodes: kubelet and containers; needs root on Linux
	@$(BIN)/pytest tests/e2e_real

chaos: binaries ## Tests under faults, the long ones too (some 25 minutes); docs/reliability.md gets their table
	@rm -rf build/chaos
	@$(BIN)/pytest tests/chaos
	@$(BIN)/pytest tests/faults
	@$(BIN)/python -m tests.faults

conformance: real-binaries ## Upstream's conformance tests, in a tenant and on the bare super cluster; root, Linux
	@$(BIN)/python -m tests.conformance

charts: real-binaries ## Stock charts and operators in a tenant: installed, used, removed; root, Linux, Go
	@$(BIN)/python -m tests.charts

bench: binaries ## Measure: the tenants' path against the direct path, in one run
	@$(BIN)/python -m tests.bench

clean: ## Stop the local super cluster and remove all that was made
	@if [ -x $(BIN)/vc ]; then $(BIN)/vc down --purge; fi
	@rm -rf build dist $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
