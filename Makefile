# Two commands: `make run` and `make test`. Both set up everything they need.
.PHONY: setup run test test-postgres check test-setup chaos pictures bench-loop bench-start bench-segments bench-sync bench-routing bench-ingest bench-define bench-script bench-page soak lock audit

PYTHON ?= python3
BIN := .venv/bin

setup: .venv/.setup-done browser/node_modules/.setup-done cairn/collect/static/manifest.json cairn/web/static/built/app.js

# Every package is the one whose hash stands in the lock; the project itself is linked, and built by what is locked too.
.venv/.setup-done: pyproject.toml requirements.lock package.json package-lock.json
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	npm ci --silent --no-audit --no-fund
	$(BIN)/python -m cairn.web.assets
	touch $@

browser/node_modules/.setup-done: browser/package-lock.json
	cd browser && npm ci --silent --no-audit --no-fund
	touch $@

cairn/collect/static/manifest.json: browser/node_modules/.setup-done browser/build.mjs browser/build-segment.mjs $(shell find browser/capture browser/labeller browser/segment -name '*.ts')
	cd browser && npm run --silent build

cairn/web/static/built/app.js: browser/node_modules/.setup-done browser/build-islands.mjs $(shell find browser/islands -name '*.ts')
	cd browser && npm run --silent build-islands
	touch $@

run: setup
	$(BIN)/cairn serve --demo

# The vendors' clients from npm and a browser: only tests need them.
test-setup: setup tests/clients/node_modules/.setup-done tests/clients/python/.older/.setup-done
	@sh tests/browser_setup.sh

tests/clients/node_modules/.setup-done: tests/clients/package-lock.json
	cd tests/clients && npm ci --silent --no-audit --no-fund
	touch $@

# Beside the release that the lock installs, so in a folder of its own, which tests are not looked for in.
tests/clients/python/.older/.setup-done: tests/clients/python/older.txt .venv/.setup-done
	rm -rf $(@D)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --require-hashes --target $(@D) -r $<
	touch $@

# Browsers and servers share the machine's cores here, and much of a test is waiting for them: so three at once on two
# cores. Nothing is run twice: a test that fails beside the others has a race, or the product has.
test: test-setup check
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

# A second, shorter run: what touches the metadata database, on PostgreSQL. `make test-postgres WHOLE=1`: every test.
ON_POSTGRES := tests/db tests/jobs tests/identity tests/workspace tests/flags tests/api

test-postgres: $(if $(WHOLE),test-setup,setup)
	@sh tests/postgresql_setup.sh
	CAIRN_TEST_DATABASE=postgresql $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder $(if $(WHOLE),,$(ON_POSTGRES))

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cd browser && npm run --silent check && npm run --silent test

# After a change of dependencies in pyproject.toml: the lock for every Python and machine we run on.
lock: .tools/.setup-done
	.tools/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --extra dev --extra postgres \
		--no-header --no-annotate --no-emit-index-url --output-file requirements.lock pyproject.toml

# Known weaknesses of what we depend on. Asks the registries, so it needs the network.
audit: .tools/.setup-done
	.tools/bin/pip-audit --requirement requirements.lock --require-hashes --disable-pip
	npm audit
	cd browser && npm audit
	cd tests/clients && npm audit

.tools/.setup-done:
	$(PYTHON) -m venv .tools
	.tools/bin/pip install --quiet --disable-pip-version-check uv==0.13.9 pip-audit==2.10.1
	touch $@

chaos: test-setup
	$(BIN)/python -m tests.chaos

bench-loop: test-setup
	$(BIN)/python -m bench.loop

bench-ingest: setup
	$(BIN)/python -m bench.ingest

bench-sync: setup
	$(BIN)/python -m bench.sync

bench-routing: setup
	$(BIN)/python -m bench.routing

bench-segments: setup
	$(BIN)/python -m bench.segments

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
