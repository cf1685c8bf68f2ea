# Every command of this repository. `make` alone lists them.
# Each one sets up what it needs: an environment in .venv, from the hashed lock, once per change of the lock.

PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
WORKERS ?= auto
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo test dev bench mutants lint format coverage lock man clean
.DELETE_ON_ERROR:

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  ARGS=... is handed on, as in: make test ARGS='tests/trust -k rollback'"

demo: $(READY) ## Show the whole product on real TLS connections, on this machine alone (40 s)
	@$(BIN)/pinwarden demo $(ARGS)

test: $(READY) ## Run every test; NO_SKIP=1 turns skipped tests into failures
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup $(ARGS)

dev: $(READY) ## Start a server with a throw-away authority, and keep it running
	@$(BIN)/pinwarden dev $(ARGS)

bench: $(READY) ## Print the measured ratios
	@$(BIN)/python -m bench $(ARGS)

lint: $(READY) ## Check style, types, layers and what is not Python
	@echo "ruff";        $(BIN)/ruff check --quiet .
	@echo "ruff format"; $(BIN)/ruff format --quiet --check . || { echo "  make format does it"; exit 1; }
	@echo "mypy";        $(BIN)/mypy --no-error-summary
	@echo "layers";      $(BIN)/lint-imports --no-logo > $(VENV)/layers.log || { cat $(VENV)/layers.log; exit 1; }
	@echo "shell";       $(BIN)/shellcheck .ci/run
	@echo "YAML";        $(BIN)/yamllint --strict deploy
	@echo "Dockerfile";  $(BIN)/hadolint Dockerfile
	@echo "compose";     $(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec deploy/compose.yaml
	@echo "nginx";       $(BIN)/gixy --disable-includes --skips try_files_is_evil_too deploy/nginx/pinwarden.conf > $(VENV)/gixy.log || { cat $(VENV)/gixy.log; exit 1; }

format: $(READY) ## Format the Python code
	@$(BIN)/ruff check --quiet --fix-only . && $(BIN)/ruff format .

mutants: $(READY) ## Remove every check of the verifier in turn; some test must fail for each
	@$(BIN)/python -m tests.mutants $(ARGS)

coverage: $(READY) ## Run every test and print the lines and branches that none reaches
	@$(BIN)/coverage erase
	@COVERAGE_PROCESS_START=pyproject.toml $(BIN)/coverage run -m pytest $(ARGS)
	@$(BIN)/coverage combine --quiet && $(BIN)/coverage report

# The locks name versions and hashes, never an index: whoever installs chooses where from.
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	--no-header --no-emit-package pinwarden pyproject.toml

lock: ## Resolve the locks again (needs uv); ARGS=--upgrade takes newer versions
	@command -v uv > /dev/null || { echo "make lock needs uv: pipx install uv, or pip install uv" >&2; exit 1; }
	@$(LOCK) --extra server --extra ops --extra postgres --extra oidc --output-file requirements/server.txt $(ARGS)
	@$(LOCK) --extra dev --constraint requirements/server.txt --output-file requirements/dev.txt $(ARGS)

man: $(READY) ## Write a man page of every command into build/man
	@$(BIN)/python -m pinwarden_ops.manual build/man

clean: ## Remove the environment and everything that tools left
	rm -rf $(VENV) .coverage* .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist

$(READY): requirements/dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Pinwarden needs Python 3.11 or newer; name one with make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "Setting up $(VENV) with $$($(PYTHON) --version); this happens once and takes a minute or two."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "The venv module is missing; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@echo "  1/2 dependencies, each checked against its hash in requirements/dev.txt"
	@$(PIP) install --require-hashes --requirement requirements/dev.txt
	@echo "  2/2 Pinwarden itself"
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@
	@echo "Ready."
