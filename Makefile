# `make demo` shows the main job; `make test` runs every check. Both set themselves up in .venv.
PYTHON := .venv/bin/python
RUN := .venv/bin

.PHONY: demo test unit lint bench site clean

demo: .venv/.runtime
	$(PYTHON) examples/demo.py $(if $(KEEP),--keep)

test: lint unit system

unit: .venv/.dev
	$(RUN)/pytest tests/unit tests/contract

.PHONY: system
system: .venv/.dev
	$(RUN)/pytest tests/crash tests/node tests/cluster tests/ovn tests/fabric tests/soak tests/kubeadm tests/monitoring tests/packages tests/image

lint: .venv/.dev
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports
	$(RUN)/deptry .
	$(RUN)/mkdocs build

site: .venv/.dev
	$(RUN)/mkdocs build

bench: .venv/.dev
	$(PYTHON) -m bench

.venv/.runtime: requirements/runtime.txt pyproject.toml
	scripts/setup runtime

.venv/.dev: requirements/dev.txt requirements/runtime.txt requirements/systemd.txt pyproject.toml
	scripts/setup dev

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
