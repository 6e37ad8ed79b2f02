# Two commands: `make run` and `make test`. Both set up everything they need.
.PHONY: setup run test check test-setup chaos pictures bench-loop bench-start bench-ingest bench-define bench-script bench-page soak

PYTHON ?= python3
BIN := .venv/bin

setup: .venv/.setup-done browser/node_modules/.setup-done cairn/collect/static/manifest.json

.venv/.setup-done: pyproject.toml package.json package-lock.json
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	npm ci --silent --no-audit --no-fund
	$(BIN)/python -m cairn.web.assets
	touch $@

browser/node_modules/.setup-done: browser/package-lock.json
	cd browser && npm install --silent --no-save --no-audit --no-fund
	touch $@

cairn/collect/static/manifest.json: browser/node_modules/.setup-done browser/build.mjs $(shell find browser/capture browser/labeller -name '*.ts')
	cd browser && npm run --silent build

run: setup
	$(BIN)/cairn serve --demo

# The vendors' clients from npm and a browser: only tests need them.
test-setup: setup tests/clients/node_modules/.setup-done
	@sh tests/browser_setup.sh

tests/clients/node_modules/.setup-done: tests/clients/package-lock.json
	cd tests/clients && npm ci --silent --no-audit --no-fund
	touch $@

# Browsers and servers share the machine's cores here. What failed beside the others is run once more, alone:
# a real failure fails again.
test: test-setup check
	$(BIN)/pytest -n 2 --dist loadfile || $(BIN)/pytest --last-failed --last-failed-no-failures none

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd browser && npm run --silent check && npm run --silent test

chaos: test-setup
	$(BIN)/python -m tests.chaos

bench-loop: test-setup
	$(BIN)/python -m bench.loop

bench-ingest: setup
	$(BIN)/python -m bench.ingest

soak: setup
	$(BIN)/python -m bench.soak

bench-define: setup
	$(BIN)/python -m bench.define

bench-script: setup
	$(BIN)/python -m bench.script

bench-page: test-setup
	$(BIN)/python -m bench.page

bench-start: setup
	$(BIN)/python -m bench.start

pictures: test-setup
	$(BIN)/python -m bench.pictures
