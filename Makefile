# From a fresh clone: `make compare` shows what the modes are worth here, `make test`
# checks everything. Both set up what they need first; the second time that is quick.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready

.DEFAULT_GOAL := help
.PHONY: help setup compare bench gallery model test docs settings compatibility \
	internals chaos lint clean

help:
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' $(MAKEFILE_LIST)

setup: $(READY) ## make an environment in .venv with the package and what tests need
	@$(BIN)/python -m compileall -q concurcrawl benchmarks tests # pip leaves that out

compare: setup ## run the spider in every mode and compare; options: ARGS="--work parse"
	$(BIN)/concurcrawl compare $(ARGS)

bench: setup ## measure the modes and their peers; options: ARGS="--workloads small"
	$(BIN)/python -m pip install --quiet --group bench
	@missing=; for tool in curl nginx redis-server; do \
		PATH="$$PATH:/usr/sbin" command -v $$tool >/dev/null || \
			missing="$$missing $$tool"; \
	done; [ -z "$$missing" ] || $(call debian,$$missing)
	$(BIN)/python -m benchmarks.runner $(ARGS)

gallery: setup ## take the pictures of docs/gallery from a comparison made here
	@command -v chromium >/dev/null || $(call debian,chromium)
	$(BIN)/concurcrawl compare --work save --pages 60 --rounds 3 --out build/gallery
	$(BIN)/python -m tests.support.compare.gallery build/gallery/report.html docs/gallery

model: setup ## lay what serial runs predict beside all modes (ten minutes, quiet machine)
	$(BIN)/python -m tests.support.compare.grid build/model

test: lint ## check format, types and tests; PYTHONS="3.11 3.13", ARGS="-k frontier"
	@command -v redis-server >/dev/null || $(call debian,redis-server)
	@command -v chromium >/dev/null || $(call debian,chromium)
	@PATH="$$PATH:/usr/sbin" command -v nginx >/dev/null || $(call debian,nginx)
	@PATH="$$PATH:/usr/sbin:/sbin" ldconfig -p | grep -q libmagic || $(call debian,libmagic1)
	PYTHONS="$(PYTHONS)" $(BIN)/nox -- $(ARGS)

docs: setup ## build the documentation site into build/docs; a warning is an error
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs build/docs
	@echo build/docs/index.html

settings: setup ## write the table in docs/settings.md from concurcrawl/config.py
	$(BIN)/python -m tests.support.settings_table

compatibility: setup ## write docs/compatibility.md from what tests/plugins expect
	$(BIN)/python -m tests.plugins

internals: setup ## write docs/scrapy-internals.md from the docstrings of compat
	$(BIN)/python -m tests.support.scrapy_internals

chaos: setup ## kill N=200 crawls at random, the ones of SEED=1, and see that none loses; CLUSTER=1 on Dask
	$(BIN)/python -m tests.chaos.$(if $(CLUSTER),cluster_)kills --runs $(or $(N),200) --seed $(or $(SEED),1) $(ARGS)

lint: setup ## check format, types and who imports whom only
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean: ## remove everything that the targets above have made
	rm -rf $(VENV) .nox build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "PYTHON=$(PYTHON): must be Python 3.11 or newer" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(call debian,python3-venv)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1' # the first with --group
	$(BIN)/python -m pip install --quiet --editable '.[compare,fast]' --group test --group lint \
		--group docs
	@touch $@

# Install Debian packages where we may, else say what to do.
define debian
{ \
	if [ "$$(id -u)" = 0 ]; then sudo=; else sudo='sudo -n'; fi; \
	$$sudo apt-get update -qq && $$sudo apt-get install -qq --yes $(1) || \
	{ echo "This needs the Debian package(s) $(1), which could not be installed here. \
	Ask an administrator for: apt-get install $(1)" >&2; exit 1; }; \
}
endef
