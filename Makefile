# Every target works in a fresh clone; `make help` lists them.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
TEST_WORKERS ?= 2
PROTOS := $(wildcard protos/rsq/v1/*.proto)
KSERVE_PROTOS := $(wildcard protos/kserve/*.proto)
# The first makes protos/kserve generate rsq.kserve.
PROTO_PATHS := -Irsq/kserve=protos/kserve -Iprotos

.DEFAULT_GOAL := help
.PHONY: help install demo test lint scan dependencies sbom audit format types arch protos protos-check bench bench-gpu demo-model clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

install: $(VENV)/.installed  ## Make .venv with both commands and the development tools

# torch goes first and by exact version: any other request would fetch a CUDA build.
$(VENV)/.installed: constraints.txt requirements-dev.txt core/pyproject.toml registry/pyproject.toml server/pyproject.toml agent/pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -r requirements-dev.txt \
		-e core -e 'registry[postgresql,s3]' -e server -e 'agent[cpu]'
	@touch $@

demo: install  ## Publish, serve, pull, index and search with the demo model
	@$(BIN)/python examples/demo.py

test: install  ## Run the tests
	$(BIN)/python -m pytest --numprocesses $(TEST_WORKERS) --dist loadfile

lint: install scan dependencies  ## Check style, formatting, secrets and declared dependencies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# High entropy alone is no finding: digests and test data have it too.
scan: install  ## Look for keys, passwords and tokens in tracked files
	@git ls-files -z ':!tests/corpus' | xargs -0 $(BIN)/detect-secrets-hook --no-verify -p tools/rsq_token_detector.py \
		--disable-plugin HexHighEntropyString --disable-plugin Base64HighEntropyString

dependencies: install  ## Check that each package declares what it imports, and nothing else
	@for package in core registry server agent; do \
		(cd $$package && ../$(BIN)/deptry . 2>&1) || exit 1; done

sbom: install  ## Write build/sbom.json: what the two programs install, in CycloneDX
	@$(PYTHON) tools/make_sbom.py build

audit: install  ## Ask for known vulnerabilities of the pinned versions (needs a network)
	@$(BIN)/pip-audit --strict --requirement constraints.txt --disable-pip --no-deps --progress-spinner off \
		|| { echo "Vulnerabilities are known, or not every package could be looked up." >&2; exit 1; }

format: install  ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: install  ## Check types (mypy, strict)
	$(BIN)/mypy

arch: install  ## Check which package may import which
	$(BIN)/lint-imports

protos: install  ## Regenerate core/rsq/v1 and core/rsq/kserve from protos/
	$(BIN)/python -m grpc_tools.protoc $(PROTO_PATHS) --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
		--python_out=core --pyi_out=core --grpc_python_out=core --mypy_grpc_out=core $(PROTOS) $(KSERVE_PROTOS)

protos-check: install  ## Fail if the generated code differs from what protos/ generate
	@out=$$(mktemp -d) && trap 'rm -rf "$$out"' EXIT && \
	$(BIN)/python -m grpc_tools.protoc $(PROTO_PATHS) --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
		--python_out=$$out --pyi_out=$$out --grpc_python_out=$$out --mypy_grpc_out=$$out $(PROTOS) $(KSERVE_PROTOS) && \
	for package in v1 kserve; do \
		diff -r -x __init__.py -x __pycache__ $$out/rsq/$$package core/rsq/$$package || exit 1; done && \
	echo "Generated code is up to date."

bench: install  ## Run the benchmarks; each prints a table and writes JSON to bench/results
	@for script in bench/bench_*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

bench-gpu: install  ## Measure on this machine's GPU; CHECKPOINT=FOLDER for a model of yours
	$(BIN)/python bench/bench_gpu.py $(CHECKPOINT)

demo-model: install  ## Train the demo model again (about fifteen minutes)
	$(BIN)/python -m rsq_server.demo.train --out server/rsq_server/demo/model

clean:  ## Remove the environment and caches
	rm -rf $(VENV) .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
