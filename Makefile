# Everything a newcomer needs. The first call makes .venv and installs into it, once.
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow simtest check format bench study build clean

BIN := .venv/bin
READY := .venv/.installed

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv and install the package with its tools (runs by itself when needed)

$(READY): pyproject.toml constraints.txt scripts/setup.sh
	@bash scripts/setup.sh
	@touch $@

demo: $(READY) ## Serve a real model through a burst and check that it holds its objective (about a minute)
	@$(BIN)/sojourn demo

PROMETHEUS := .tools/prometheus/.tried

$(PROMETHEUS): scripts/install_prometheus.sh
	@bash scripts/install_prometheus.sh

CHROMIUM := .tools/chromium/.tried

$(CHROMIUM): scripts/install_chromium.sh
	@bash scripts/install_chromium.sh

# Tests that measure, or that need a server to be quick, mind another one beside them; all others run two at a time.
ALONE := $(addprefix tests/integration/test_,demo.py deploy_mishaps.py overload_spot.py profile.py robust_server.py)

test: $(READY) $(PROMETHEUS) $(CHROMIUM) ## Run the tests
	@$(BIN)/pytest -n 2 --dist loadfile $(addprefix --ignore=,$(ALONE))
	@$(BIN)/pytest $(ALONE)

test-slow: $(READY) $(PROMETHEUS) $(CHROMIUM) ## Run the tests that `make test` leaves out
	@$(BIN)/pytest -m slow

SEEDS ?= 1000
FIRST ?= 0

simtest: $(READY) ## Play SEEDS seeded worlds full of faults in virtual time, from FIRST on, and check every step
	@$(BIN)/python tests/simulation/run_seeds.py --seeds $(SEEDS) --first $(FIRST)

check: $(READY) ## Check format, lint, types and import layers
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(READY) ## Rewrite the sources in the house format
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

bench: $(READY) ## Measure overhead, goodput, overload, policies, cold starts and idle cost (about forty minutes; needs two cores)
	@$(BIN)/python benchmarks/overhead.py
	@$(BIN)/python benchmarks/goodput.py
	@$(BIN)/python benchmarks/overload.py
	@$(BIN)/python benchmarks/policies.py --live
	@$(BIN)/python benchmarks/limits.py
	@$(BIN)/python benchmarks/connections.py
	@$(BIN)/python benchmarks/scaling.py --live
	@$(BIN)/python benchmarks/sharing.py
	@$(BIN)/python benchmarks/allocation.py
	@$(BIN)/python benchmarks/batching_cost.py
	@$(BIN)/python benchmarks/simspeed.py --many
	@$(BIN)/python benchmarks/fidelity.py
	@$(BIN)/python benchmarks/coldstart.py
	@$(BIN)/python benchmarks/monitoring.py
	@$(BIN)/python benchmarks/idle.py

study: $(READY) ## Compare all batching and scaling policies in virtual time and write docs/study (about a quarter of an hour on two cores)
	@$(BIN)/python benchmarks/study.py --jobs 2

build: $(READY) ## Build the wheel into dist/
	@$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .
	@ls dist/*.whl

clean: ## Remove everything the other targets made, .venv included
	@rm -rf .venv .tools build dist out .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@rm -rf benchmarks/results/local src/*.egg-info
	@find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
