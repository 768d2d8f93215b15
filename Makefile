# Two commands for a newcomer: `make quickstart` and `make test`. Each sets up what it needs, once.
PYTHON ?= python3
VENV := .venv
SGLANG_VENV := .venv-sglang
OPENAI_2 := .venv-openai-2.8
TEXTWORLD := .venv-textworld
VERIFIERS := .venv-verifiers
GATEWAYS_VENV := .venv-gateways
BROWSER := .browser
AXE := axe-core@4.14.1
S3 := .venv-s3
DOCS_VENV := .venv-docs
INTEGRATIONS := .venv-integrations
PACKAGE_VENV := .venv-package
PYTHONS ?= python3.11 python3.12 python3.13
PIP_FLAGS := --quiet --disable-pip-version-check
PYTEST := $(VENV)/bin/pytest --durations=25 --durations-min=2 --cov --cov-report= --cov-fail-under=0
REAL := tests/integration tests/trainers tests/iterate tests/export

# The environments are independent of each other: two at a time.
MAKEFLAGS += --jobs=2

.PHONY: help setup browser quickstart test test-rest test-real chaos chaos-cluster check docs package clean

help:
	@echo "make quickstart   run RRO end to end on this machine: real server, real databases, real training"
	@echo "make test         lint, types, every test, coverage"
	@echo "make chaos        kill runs at every instant and compare what is left (20 minutes)"
	@echo "make chaos-cluster   the same on a Ray cluster of this machine, with its servers"
	@echo "make setup        the virtual environments alone"
	@echo "make check        lint and types alone"
	@echo "make docs         the documentation as a site, in site/; links that lead nowhere fail"
	@echo "make package      wheel and sdist, checked; the tests against the wheel, under every Python of PYTHONS"

setup: $(VENV)/.ready $(SGLANG_VENV)/.ready $(GATEWAYS_VENV)/.ready

# The SDK, the trainers and the tests.
$(VENV)/.ready: pyproject.toml requirements/sdk.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install $(PIP_FLAGS) -c requirements/sdk.txt torch
	$(VENV)/bin/pip install $(PIP_FLAGS) -c requirements/sdk.txt -e ".[envs,train,dev]"
	@touch $@

# The inference server: its own environment, because sglang pins openai 2.8 and its own transformers.
# torch comes with what it needs: a build of it for GPUs does not load without its libraries even on a CPU.
$(SGLANG_VENV)/.ready: requirements/sglang-cpu.txt
	$(PYTHON) -m venv $(SGLANG_VENV)
	@if command -v nvidia-smi >/dev/null 2>&1; then \
	  $(SGLANG_VENV)/bin/pip install $(PIP_FLAGS) sglang==0.5.23; \
	else \
	  $(SGLANG_VENV)/bin/pip install $(PIP_FLAGS) $$(grep "^torch==" requirements/sglang-cpu.txt) && \
	  $(SGLANG_VENV)/bin/pip install $(PIP_FLAGS) --no-deps -r requirements/sglang-cpu.txt; \
	fi
	@touch $@

# The gateways that tests run in front of servers: two programs, in seconds.
$(GATEWAYS_VENV)/.ready: requirements/gateways.txt
	$(PYTHON) -m venv $(GATEWAYS_VENV)
	$(GATEWAYS_VENV)/bin/pip install $(PIP_FLAGS) --no-deps -r requirements/gateways.txt
	@touch $@

# openai 2.8 beside the environment's own 3.x: a folder that a test puts first on the path.
$(OPENAI_2)/.ready: requirements/openai-2.8.txt $(VENV)/.ready
	rm -rf $(OPENAI_2)
	$(VENV)/bin/pip install $(PIP_FLAGS) --no-deps --target $(OPENAI_2) -r requirements/openai-2.8.txt
	@touch $@

# TextWorld and verifiers, in the same way: one is compiled here and asks for spaCy, one pins openai 2.
# Without a compiler there is no folder, and TextWorld's tests skip.
$(TEXTWORLD)/.ready: requirements/textworld.txt $(VENV)/.ready
	rm -rf $(TEXTWORLD)
	@if command -v cc >/dev/null 2>&1 || command -v gcc >/dev/null 2>&1; then \
	  $(VENV)/bin/pip install $(PIP_FLAGS) --no-deps --target $(TEXTWORLD) -r requirements/textworld.txt \
	    && touch $@; \
	else \
	  echo "no C compiler (cc or gcc): TextWorld is not installed and its tests are skipped"; \
	fi

$(VERIFIERS)/.ready: requirements/verifiers.txt $(VENV)/.ready
	rm -rf $(VERIFIERS)
	$(VENV)/bin/pip install $(PIP_FLAGS) --no-deps --target $(VERIFIERS) -r requirements/verifiers.txt
	@touch $@

# What the run page is tested in. Where it cannot be installed its tests are skipped, and fail in CI.
browser: $(BROWSER)/.ready
$(BROWSER)/.ready:
	@mkdir -p $(BROWSER)
	@if ! command -v chromium >/dev/null 2>&1 && command -v apt-get >/dev/null 2>&1 && [ "$$(id -u)" = 0 ]; then \
	  apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium \
	    >$(BROWSER)/apt.log 2>&1; \
	fi; true
	@if ! command -v npm >/dev/null 2>&1; then \
	  echo "no npm: axe-core is not fetched and the page's accessibility is not tested"; \
	else \
	  cd $(BROWSER) && npm pack --silent $(AXE) && tar -xzf axe-core-*.tgz package/axe.min.js && rm axe-core-*.tgz; \
	fi; true
	@if command -v chromium >/dev/null 2>&1 && [ -f $(BROWSER)/package/axe.min.js ]; then touch $@; fi

quickstart: $(VENV)/.ready $(SGLANG_VENV)/.ready
	$(VENV)/bin/rro quickstart --force

check: $(VENV)/.ready
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

# Two at a time, like all else here: what takes real servers and real training beside what does not.
test: test-real test-rest docs
	$(VENV)/bin/coverage combine --quiet .coverage.real .coverage.rest
	$(VENV)/bin/coverage report

test-rest: setup check $(OPENAI_2)/.ready $(TEXTWORLD)/.ready $(VERIFIERS)/.ready $(BROWSER)/.ready $(INTEGRATIONS)/.ready
	COVERAGE_FILE=.coverage.rest $(PYTEST) $(REAL:%=--ignore=%)

test-real: setup
	@COVERAGE_FILE=.coverage.real $(PYTEST) $(REAL) > .test-real.log 2>&1; \
	  code=$$?; cat .test-real.log; exit $$code

# The documentation's generator: small, and of no use to anything else.
$(DOCS_VENV)/.ready: requirements/docs.txt
	$(PYTHON) -m venv $(DOCS_VENV)
	$(DOCS_VENV)/bin/pip install $(PIP_FLAGS) --no-deps -r requirements/docs.txt
	@touch $@

docs: $(DOCS_VENV)/.ready
	rm -rf site
	$(DOCS_VENV)/bin/zensical build --strict
	$(DOCS_VENV)/bin/python tests/docs/check_site.py site

# s3fs and a moto server, in the same way: botocore asks for python-dateutil 2.
$(S3)/.ready: requirements/s3.txt $(VENV)/.ready
	rm -rf $(S3)
	$(VENV)/bin/pip install $(PIP_FLAGS) --no-deps --target $(S3) -r requirements/s3.txt
	@touch $@

# Where metrics go and what runs notebooks, in the same way.
$(INTEGRATIONS)/.ready: requirements/integrations.txt $(VENV)/.ready
	rm -rf $(INTEGRATIONS)
	$(VENV)/bin/pip install $(PIP_FLAGS) --no-deps --target $(INTEGRATIONS) -r requirements/integrations.txt
	@touch $@

# What builds and checks a release.
$(PACKAGE_VENV)/.ready: requirements/package.txt
	$(PYTHON) -m venv $(PACKAGE_VENV)
	$(PACKAGE_VENV)/bin/pip install $(PIP_FLAGS) --no-deps -r requirements/package.txt
	@touch $@

package: $(PACKAGE_VENV)/.ready
	rm -rf dist
	$(PACKAGE_VENV)/bin/python -m build --no-isolation --outdir dist
	$(PACKAGE_VENV)/bin/twine check --strict dist/*
	$(PACKAGE_VENV)/bin/check-wheel-contents dist/*.whl
	$(PACKAGE_VENV)/bin/hadolint Containerfile
	$(PACKAGE_VENV)/bin/python tests/packaging/wheel.py dist/*.whl $(PYTHONS)

chaos: $(VENV)/.ready
	$(VENV)/bin/python -m tests.chaos
	RRO_CHAOS=full $(VENV)/bin/pytest -q -s tests/chaos tests/methods/test_race.py tests/iterate/test_kills.py

# Apart from the other, which has 20 minutes for itself.
chaos-cluster: setup $(S3)/.ready
	RRO_CHAOS=full $(VENV)/bin/pytest -q -s tests/cluster tests/servers/test_cluster_ray.py tests/integration/test_cluster.py

clean:
	rm -rf $(VENV) $(SGLANG_VENV) $(GATEWAYS_VENV) $(DOCS_VENV) $(INTEGRATIONS) $(PACKAGE_VENV) dist $(OPENAI_2) $(TEXTWORLD) $(VERIFIERS) $(BROWSER) $(S3) site .cache .mypy_cache .ruff_cache .pytest_cache .coverage* .test-real.log
