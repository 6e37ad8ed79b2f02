# Two commands: `make run` and `make test`. Both set up everything they need.
.PHONY: setup run test check test-setup chaos pictures bench-loop bench-start

PYTHON ?= python3
BIN := .venv/bin

setup: .venv/.setup-done

.venv/.setup-done: pyproject.toml package.json package-lock.json
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	npm ci --silent --no-audit --no-fund
	$(BIN)/python -m cairn.web.assets
	touch $@

run: setup
	$(BIN)/cairn serve --demo

# The vendors' clients from npm and a browser: only tests need them.
test-setup: setup tests/clients/node_modules/.setup-done
	@sh tests/browser_setup.sh

tests/clients/node_modules/.setup-done: tests/clients/package-lock.json
	cd tests/clients && npm ci --silent --no-audit --no-fund
	touch $@

test: test-setup check
	$(BIN)/pytest

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

chaos: test-setup
	$(BIN)/python -m tests.chaos

bench-loop: test-setup
	$(BIN)/python -m bench.loop

bench-start: setup
	$(BIN)/python -m bench.start

pictures: test-setup
	$(BIN)/python -m bench.pictures
