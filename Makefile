# Every target sets up what it needs: nothing but python3, git, make, curl and libseccomp has to be there.
PYTHON ?= python3
BIN := .venv/bin
HEROKU := heroku@11.10.0
OCTOKIT := @octokit/openapi-webhooks@12.1.0 @octokit/webhooks-examples@7.6.1 @octokit/webhooks-types@7.6.1
AXE := axe-core@4.11.0

.PHONY: setup demo test check bench day screenshots lock npm
.DEFAULT_GOAL := setup

setup: .venv/.ready

.venv/.ready: requirements.lock pyproject.toml deploy/setup.sh
	@PYTHON="$(PYTHON)" bash deploy/setup.sh

demo: setup
	@$(BIN)/towpath demo

test: setup npm
	@bash .ci/test.sh

npm: build/npm/.ready build/heroku/.ready

# GitHub's own examples and descriptions of webhooks, and what looks whether pages are for everybody; tests that need
# them say so when npm is missing. Node does not look at the system's certificates by itself.
build/npm/.ready: deploy/setup.sh Makefile
	@mkdir -p build/npm
	@if command -v npm >/dev/null; then \
	  NODE_EXTRA_CA_CERTS="$${NODE_EXTRA_CA_CERTS:-$(wildcard /etc/ssl/certs/ca-certificates.crt)}" \
	  npm install --loglevel=error --no-fund --no-audit --no-save --prefix build/npm $(OCTOKIT) $(AXE) >/dev/null && touch $@; \
	else echo "npm is missing: tests against GitHub's own examples are skipped (apt-get install npm)"; fi

# Heroku's own command line, which the tests drive against Towpath; its install scripts are not needed.
build/heroku/.ready: Makefile
	@mkdir -p build/heroku
	@if command -v npm >/dev/null; then \
	  NODE_EXTRA_CA_CERTS="$${NODE_EXTRA_CA_CERTS:-$(wildcard /etc/ssl/certs/ca-certificates.crt)}" \
	  npm install --loglevel=error --no-fund --no-audit --no-save --ignore-scripts --prefix build/heroku $(HEROKU) >/dev/null && touch $@; \
	else echo "npm is missing: tests with Heroku's command line are skipped (apt-get install npm)"; fi

check: setup
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet . && echo "style: ok"
	@$(BIN)/mypy --no-error-summary && echo "types: ok"
	@$(BIN)/lint-imports --no-cache > build/imports.txt || (cat build/imports.txt; false) && echo "imports: ok"
	@$(BIN)/python deploy/third_party.py --check && echo "licenses: ok"
	@mkdir -p build && $(BIN)/pytest --collect-only -q -p no:cacheprovider > build/collected.txt || (tail -30 build/collected.txt; false) && echo "tests: importable"

bench: setup npm
	@$(BIN)/python -m tests.bench

day: setup
	@$(BIN)/python -m tests.day $(DAY)

# Not in `make test`: four pictures of each page take a minute.
screenshots: setup npm
	@rm -rf build/screenshots && mkdir -p build/screenshots
	@TOWPATH_TEST_SHOTS=$(CURDIR)/build/screenshots $(BIN)/pytest -q -rs tests/browser
	@echo "$$(ls build/screenshots | wc -l) pictures are in build/screenshots"

lock:
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --group dev --generate-hashes --no-header --no-emit-index-url pyproject.toml -o requirements.lock
