.PHONY: setup run test check

PYTHON ?= python3

setup: .venv/.setup-done

.venv/.setup-done: pyproject.toml
	test -d .venv || $(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

run: setup
	.venv/bin/cairn serve --demo

test: setup
	.venv/bin/pytest
