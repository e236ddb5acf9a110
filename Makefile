# XSTILTs. `make` lists the targets; `make bench` and `make test` need no other step before them.

VENV ?= .venv
LOCK ?= dev
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# PyTorch's own index of CPU builds: asked only when the index that pip is set up with has none.
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
TORCH := $(shell sed -n 's/^torch==//p' requirements/torch.txt)
# The first Python here that is new enough and can make virtual environments.
PYTHON ?= $(shell for p in python3.11 python3.12 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' \
	2>/dev/null && echo $$p && break; done)
# Tests run one process per core; a second thread inside each would only slow the others down.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n logical --maxprocesses 8 --dist loadfile
NANO := harness/data/world/nano

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help setup deps bench test check lint types format benchmarks kill-test world-test slow-test \
	nano wheel clean lock

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(VENV)/.setup ## make .venv: the locked packages, PyTorch for this machine, xstilts itself

deps: $(VENV)/.torch ## the same without xstilts itself (VENV=folder, LOCK=runtime|dev)

bench: setup ## run the default suite, in Docker where an engine answers; ARGS="--seeds 1" goes to xstilts bench
	XSTILTS_DOCKER=auto $(BIN)/xstilts bench $(ARGS)

test: setup ## the quick tests; ARGS="tests/cli -k help" goes to pytest
	$(PYTEST) $(ARGS)

check: lint types test ## format, lint, import contract, types, quick tests

lint: setup ## format, lint and import contract; changes nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: setup ## mypy, strict
	$(BIN)/mypy

format: setup ## rewrite the code in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

slow-test: setup ## the tests that take minutes
	$(PYTEST) -m slow $(ARGS)

world-test: setup ## the tests that train on the synthetic world, the slow ones too
	$(PYTEST) -m world $(ARGS)

kill-test: setup ## the tests that kill a run and continue it
	$(PYTEST) -m kill $(ARGS)

# Mining at its full size (100,000 rows a side) takes as long as all others together.
benchmarks: setup ## speed and memory beside what one would use instead; ARGS=--quick goes to each
	@mkdir -p build/benchmarks
	@ran=; for file in benchmarks/bench_*.py; do \
		[ -f "$$file" ] || continue; ran=1; name=$$(basename "$$file" .py); more=; \
		[ "$$name" = bench_mining ] && more="--rows 30000"; \
		echo "== $$name"; \
		$(BIN)/python "$$file" --json "build/benchmarks/$$name.json" $$more $(ARGS) || exit 1; \
	done; [ "$$ran" ] || { echo "make: benchmarks/bench_*.py: no such file" >&2; exit 1; }

nano: setup ## train the built-in backbone again (replaces harness/data/world/nano)
	$(BIN)/python -m harness.train.nano --seed 0 --out $(NANO)
	cd $(NANO) && rm -f SHA256SUMS && sha256sum *.* > SHA256SUMS

wheel: setup ## build dist/xstilts-*.whl
	rm -rf dist
	$(PIP) wheel -q --no-deps --no-build-isolation -w dist .
	@ls dist/*.whl

clean: ## remove what make made, except results
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find harness tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# -- the environment: four stamps, each remade only when what it depends on changed ---------------

$(VENV)/.created:
	@[ -n "$(PYTHON)" ] || { echo "make: no Python 3.11 or 3.12 with venv found; install one" \
		"(Debian: apt-get install python3 python3-venv) or name it: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "$(VENV): $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV)
	@touch $@

$(VENV)/.lock-$(LOCK): $(VENV)/.created requirements/$(LOCK).lock
	@echo "$(VENV): requirements/$(LOCK).lock"
	@$(PIP) install -q --no-deps --require-hashes -r requirements/$(LOCK).lock
	@touch $@

# The build of PyTorch that fits: CUDA where an NVIDIA GPU answers, the small CPU build on any other
# Linux machine, and elsewhere the only one there is.
$(VENV)/.torch: $(VENV)/.lock-$(LOCK) requirements/torch.txt
	@if nvidia-smi >/dev/null 2>&1 || [ "$$(uname -s)" != Linux ]; then \
		echo "$(VENV): torch $(TORCH)"; \
		$(PIP) install -q "torch==$(TORCH)"; \
	else \
		echo "$(VENV): torch $(TORCH)+cpu (no NVIDIA GPU found)"; \
		$(PIP) install -q --no-deps "torch==$(TORCH)+cpu" 2>/dev/null || \
		$(PIP) install -q --no-deps --index-url $(TORCH_CPU_INDEX) "torch==$(TORCH)+cpu"; \
	fi
	@touch $@

$(VENV)/.setup: $(VENV)/.torch pyproject.toml harness/__init__.py
	@$(PIP) install -q --no-deps --no-build-isolation -e .
	@$(PIP) check
	@touch $@

# -- the locks: hashes of every build of every package, no index addresses; PyTorch by version only --

LOCK_TOOLS := build/lock
PIP_COMPILE := $(LOCK_TOOLS)/venv/bin/pip-compile -q --generate-hashes --strip-extras \
	--no-emit-find-links --no-emit-index-url --no-emit-trusted-host --no-emit-options \
	--unsafe-package torch --find-links $(LOCK_TOOLS) $(ARGS)

lock: $(VENV)/.created ## remake all locks from pyproject.toml; ARGS=--upgrade for newer versions
	$(BIN)/python -m venv --clear $(LOCK_TOOLS)/venv
	$(LOCK_TOOLS)/venv/bin/pip install -q pip-tools
	@# The CPU build: its requirements are those that all builds share.
	$(PIP) download -q --no-deps -d $(LOCK_TOOLS) "torch==$(TORCH)+cpu" 2>/dev/null || \
		$(PIP) download -q --no-deps -d $(LOCK_TOOLS) --index-url $(TORCH_CPU_INDEX) "torch==$(TORCH)+cpu"
	echo "torch==$(TORCH)+cpu" > $(LOCK_TOOLS)/torch.txt
	CUSTOM_COMPILE_COMMAND="make lock" $(PIP_COMPILE) -c $(LOCK_TOOLS)/torch.txt \
		-o requirements/runtime.lock pyproject.toml
	CUSTOM_COMPILE_COMMAND="make lock" $(PIP_COMPILE) -c $(LOCK_TOOLS)/torch.txt \
		-c requirements/runtime.lock --extra dev -o requirements/dev.lock pyproject.toml
	PYTHONPATH=. $(LOCK_TOOLS)/venv/bin/python docker/make_locks.py $(ARGS)
