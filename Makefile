# `make demo` and `make test` do all their own set-up, in .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
VLLM_VENV := .venv-vllm
DOCS_VENV := .venv-docs
# Deterministic and without telemetry: nothing here talks to other machines.
export HF_HUB_OFFLINE := 1
export TOKENIZERS_PARALLELISM := false

.PHONY: demo test test-plugin test-rest test-older test-slow test-vllm release-check docs lint format clean

## Measure the shipped LangChain agent on the customer-support scenarios, train the model
## behind it on them, and measure it again.
demo: $(VENV)/demo.stamp
	$(BIN)/pytest --agentgym --train -rN scenarios/customer_support

## Check style and types, run all tests but the slow ones with coverage, prove Python 3.11
## and the oldest frameworks. Most tests use one core, so two parts run side by side.
test: lint
	$(BIN)/coverage erase
	@$(MAKE) --no-print-directory --jobs 2 test-plugin test-rest test-older
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

test-plugin: $(VENV)/test.stamp
	$(BIN)/coverage run -m pytest -p no:randomly -m "not slow" tests/plugin

test-rest: $(VENV)/test.stamp
	$(BIN)/coverage run -m pytest -p no:randomly -m "not slow" --ignore=tests/plugin

test-older: $(VENV)/test.stamp
	@.ci/test-py311
	@.ci/test-oldest

## Run the slow tests: whole trainings, killed processes, local models in
## frameworks. They take an hour.
test-slow: $(VENV)/test.stamp
	$(BIN)/python -m pytest -p no:randomly -m slow

## Measure, train and compare with a real vLLM on CPUs, in an environment of its own, or
## with the one that AGENTGYM_VLLM names. It takes about ten minutes.
test-vllm: $(VENV)/test.stamp
	@test -n "$(AGENTGYM_VLLM)" || .ci/vllm-environment $(VLLM_VENV)
	AGENTGYM_VLLM="$(or $(AGENTGYM_VLLM),$(CURDIR)/$(VLLM_VENV)/bin/vllm)" \
	  $(BIN)/python -m pytest -p no:randomly -s tests/integration/test_real_vllm.py

## Build what is published, and try the wheel in empty folders on each Python.
release-check: | $(BIN)/uv
	@.ci/release-check

## Build the site of the documentation into build/site; a link that leads nowhere fails it.
docs: $(DOCS_VENV)/docs.stamp
	@.ci/docs $(DOCS_VENV)

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/test.stamp
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) $(VLLM_VENV) $(DOCS_VENV) build .venv311 .venv-oldest .coverage* .mypy_cache .pytest_cache .ruff_cache

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "agentgym needs Python 3.11 or newer, and $(PYTHON) is older: install one, or run make PYTHON=/path/to/python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv

$(VENV)/demo.stamp: pyproject.toml constraints.txt | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[langchain,train]'
	@touch $@

$(VENV)/test.stamp: pyproject.toml constraints.txt | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[completion,frameworks,train,hypothesis]' --group dev
	@touch $@

# Without the line of tomli: CrewAI keeps it older than Zensical takes it.
$(DOCS_VENV)/docs.stamp: pyproject.toml constraints.txt | $(BIN)/uv
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(DOCS_VENV)
	grep -v '^tomli==' constraints.txt | \
	  $(BIN)/uv pip install --quiet --python $(DOCS_VENV)/bin/python -c - --group docs
	@touch $@
