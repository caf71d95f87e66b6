# Every target installs what it needs. PYTHON selects the interpreter (3.11 or newer).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.9
SAM_VERSION := 1.170.0
STAGE ?= dev
ROUNDS ?= 10
ARCH ?= x86_64
SAM ?= .aws-sam

export ORT_DISABLE_TELEMETRY := 1
export SAM_CLI_TELEMETRY := 0

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-down test fuzz test-browser test-built test-clients test-wheel test-sam-local test-localstack audit mutation proof lint bench bench-peers foreign-models build deploy lock lock-audit lock-clients lock-localstack lock-localemu clean

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  \033[36m%-14s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready ## make the virtual environment from the hash-pinned lock

$(VENV)/.ready: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Quintet needs Python 3.11 or newer; this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv==$(UV_VERSION)
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements/dev.txt
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps -e .
	@touch $@

# Each worker starts a local AWS of its own, so a file's tests stay on one of them, but for long ones
# that share nothing: APART in tests/kits/order.py. Tests wait a third of their time for what other
# processes do: one worker more than there are cores.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min(4, 1 + (os.cpu_count() or 1)))')
TESTS ?=
# Many tests start processes, which compile every module that they import unless it is kept compiled.
test: export PYTHONDONTWRITEBYTECODE :=
test: setup ## run every test, or those of TESTS, on WORKERS processes (default: one a core and one, at most 4)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(TESTS)

fuzz: setup ## run the property tests ROUNDS times, with other examples each time
	for round in $$(seq $(ROUNDS)); do \
		HYPOTHESIS_PROFILE=random $(BIN)/python -m pytest -q -m hypothesis || exit 1; \
	done

test-browser: setup ## test the pages in Chromium, which must be installed
	$(BIN)/python -m pytest -m browser tests/browser

test-built: setup .venv-sam/.ready .venv-lambda/.ready ## build for both architectures, then check and run the result
	.venv-sam/bin/sam validate --lint
	$(MAKE) build ARCH=x86_64 SAM=.aws-sam/x86_64
	$(MAKE) build ARCH=arm64 SAM=.aws-sam/arm64
	$(BIN)/python -m pytest -m built tests/built

test-wheel: setup ## build the wheel, install it into an empty environment, and run the demo from it
	rm -rf dist .venv-wheel
	$(BIN)/uv build --quiet --wheel -o dist .
	$(BIN)/uv venv --quiet --python $(BIN)/python .venv-wheel
	VIRTUAL_ENV=.venv-wheel $(BIN)/uv pip install --quiet -c requirements/dev.txt dist/*.whl
	$(BIN)/python -m pytest -m wheel tests/wheel

test-clients: setup .venv-clients-sagemaker2/.ready .venv-clients-sagemaker3/.ready ## run other servers' own clients, unmodified
	$(BIN)/python -m pytest -m clients tests/clients

test-sam-local: setup ## run sam local invoke and start-api in containers, by Podman (as root)
	tests/sam_local/install.sh
	$(MAKE) build ARCH=x86_64 SAM=.aws-sam/x86_64
	$(BIN)/python -m pytest -m sam_local tests/sam_local

QUICK ?=
proof: setup ## show what is claimed from seeds, in half an hour, and write docs/proof.md (QUICK=1: three minutes)
	$(BIN)/python -m tests.proof $(if $(QUICK),--quick,--write)

SUBJECTS ?=
mutation: setup ## change each line of the core and see that a fast test fails (SUBJECTS: some only)
	nice -n 10 $(BIN)/python -m tests.mutation $(if $(SUBJECTS),--only $(SUBJECTS))

audit: setup .venv-audit/.ready ## read code, template and locks with bandit, checkov, pip-audit; write SBOMs
	$(BIN)/python -m tests.audit .venv-audit/bin

ENGINE ?= localstack
test-localstack: setup .venv-lambda/.ready .venv-$(ENGINE)/.ready ## deploy to LocalStack, or to ENGINE=localemu, by sam deploy, and test it
	$(MAKE) build ARCH=x86_64 SAM=.aws-sam/x86_64
	QUINTET_ENGINE=$(ENGINE) $(BIN)/python -m pytest -m localstack tests/localstack

lint: setup ## run ruff, mypy, cfn-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/cfn-lint template.yaml

PORT ?= 4566
API_PORT ?= 4567
demo: setup ## run the main job on the local AWS (PORT, API_PORT): online, rollouts, jobs, stream, a file, recommendations
	$(BIN)/quintet demo --fresh --port $(PORT) --api-port $(API_PORT)

demo-down: setup ## stop what `make demo` left running
	$(BIN)/quintet down

bench: setup ## run every benchmark (WRITE=--write stores the results, and writes their page)
	$(BIN)/python -m benchmarks $(WRITE)
	$(BIN)/python -m benchmarks.page $(WRITE)

bench-peers: setup ## compare with other servers and tools, each installed into an environment of its own
	$(BIN)/python -m benchmarks.peers $(WRITE)
	$(BIN)/python -m benchmarks.page $(WRITE)

foreign-models: setup ## export models with torch, CatBoost and others, and serve them and packages' own by every path
	$(BIN)/python -m benchmarks.foreign --export

# SAM pins its own boto3: it has its own environment.
.venv-sam/.ready: Makefile
	$(PYTHON) -m venv .venv-sam
	.venv-sam/bin/python -m pip install --quiet uv==$(UV_VERSION)
	VIRTUAL_ENV=.venv-sam .venv-sam/bin/uv pip install --quiet aws-sam-cli==$(SAM_VERSION)
	@touch $@

# The packages of Lambda's runtime, to run built functions here.
.venv-lambda/.ready: requirements/lambda.txt $(VENV)/.ready
	$(BIN)/uv venv --quiet --clear --python python3.13 .venv-lambda
	VIRTUAL_ENV=.venv-lambda $(BIN)/uv pip install --quiet --require-hashes -r $<
	@touch $@

# checkov pins packages of its own.
.venv-audit/.ready: requirements/audit.txt $(VENV)/.ready
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python .venv-audit
	VIRTUAL_ENV=.venv-audit $(BIN)/uv pip install --quiet --require-hashes -r $<
	@touch $@

# LocalStack's or localemu's package, with the plugin that replaces Docker and downloads.
.venv-localstack/.ready .venv-localemu/.ready: .venv-%/.ready: requirements/%.txt tests/localstack/plugin/pyproject.toml $(VENV)/.ready
	$(BIN)/uv venv --quiet --clear --python python3.13 .venv-$*
	VIRTUAL_ENV=.venv-$* $(BIN)/uv pip install --quiet --require-hashes -r $<
	VIRTUAL_ENV=.venv-$* $(BIN)/uv pip install --quiet --no-deps -e tests/localstack/plugin
	@touch $@

# Clients whose packages exclude each other, or ours.
.venv-clients-%/.ready: requirements/clients-%.txt $(VENV)/.ready
	$(BIN)/uv venv --quiet --clear --python '>=3.11,<3.13' .venv-clients-$*
	VIRTUAL_ENV=.venv-clients-$* $(BIN)/uv pip install --quiet --require-hashes -r $<
	@touch $@

# In the layers' makefiles PYTHON is the runtime's Python; here it is the development one.
SAM_BUILD := env -u MAKEFLAGS -u PYTHON .venv-sam/bin/sam build --cached --parallel

build: .venv-sam/.ready ## sam build for ARCH (x86_64, arm64); needs python3.13 on PATH
	$(SAM_BUILD) --parameter-overrides Architecture=$(ARCH) \
		--build-dir $(SAM)/build --cache-dir $(SAM)/cache

deploy: setup .venv-sam/.ready ## sam build and sam deploy, with the settings of STAGE (localstack, dev, prod)
	@mkdir -p .aws-sam
	@$(BIN)/python -m quintet_cli.preflight $(STAGE) > .aws-sam/deploy.args
	$(SAM_BUILD) --config-env $(STAGE)
	$(if $(filter localstack,$(STAGE)),$(BIN)/python tests/localstack/adapt.py)
	eval ".venv-sam/bin/sam deploy --config-env $(STAGE) $$(cat .aws-sam/deploy.args)"

lock: ## resolve the locks from pyproject.toml and the .in files
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
		--no-annotate --no-header --upgrade pyproject.toml --group dev --extra train --extra captures \
		-o requirements/dev.txt
	$(BIN)/uv pip compile --quiet --python-version 3.13 --generate-hashes --no-annotate --no-header \
		--upgrade requirements/lambda.in -o requirements/lambda.txt
	# exclude what onnxruntime needs only for its tools, and cffi for parsing: nothing imports it
	for layer in runtime columnar sealing callers; do \
		grep -E '^[a-z].*==' requirements/dev.txt | sed 's/ \\$$//' | grep -v "< '3.12'" > $(VENV)/dev.pins; \
		$(BIN)/uv pip compile --quiet --python-version 3.13 --python-platform x86_64-manylinux_2_28 \
			--generate-hashes --no-annotate --no-header -c $(VENV)/dev.pins \
			--no-emit-package flatbuffers --no-emit-package packaging --no-emit-package protobuf \
			--no-emit-package pycparser \
			layers/wheels/$$layer.in -o layers/wheels/$$layer.txt; \
	done

lock-clients: ## resolve requirements/clients-*.txt
	for name in sagemaker2 sagemaker3; do \
		$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
			--no-header --upgrade requirements/clients-$$name.in -o requirements/clients-$$name.txt || exit 1; \
	done

lock-audit: ## resolve requirements/audit.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
		--no-header --upgrade requirements/audit.in -o requirements/audit.txt

# resolved as of LocalStack's last release: newer packages break it
lock-localstack: ## resolve requirements/localstack.txt
	$(BIN)/uv pip compile --quiet --python-version 3.13 --exclude-newer 2026-03-28 --generate-hashes \
		--no-annotate --no-header requirements/localstack.in -o requirements/localstack.txt

lock-localemu: ## resolve requirements/localemu.txt
	$(BIN)/uv pip compile --quiet --python-version 3.13 --generate-hashes --no-annotate --no-header \
		--upgrade requirements/localemu.in -o requirements/localemu.txt

clean: ## remove what the other targets created
	rm -rf $(VENV) .venv-sam .venv-lambda .venv-audit .venv-clients-* .venv-localstack .venv-localemu .venv313 .aws-sam .quintet build dist .mypy_cache .ruff_cache .pytest_cache
