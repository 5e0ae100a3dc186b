#!/usr/bin/env bash
# Makes .venv from the lock file. Says at once everything of the system that is missing, with the line that installs it.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

missing=()
command -v git >/dev/null || missing+=(git)
command -v curl >/dev/null || missing+=(curl)
command -v tar >/dev/null || missing+=(tar)
if ! command -v "$python" >/dev/null; then
  missing+=(python3 python3-venv)
else
  "$python" -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
  "$python" -c 'import ctypes.util, sys; sys.exit(ctypes.util.find_library("seccomp") is None)' || missing+=(libseccomp2)
fi
if [ ${#missing[@]} -gt 0 ]; then
  echo "Missing on this machine: ${missing[*]}" >&2
  echo "  apt-get install -y ${missing[*]}" >&2
  exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
  echo "Towpath needs Python 3.11; $python is $("$python" -V). Name another: make setup PYTHON=/path/to/python3.11" >&2
  exit 1
fi

echo "Setting up .venv ..."
if [ ! -x .venv/bin/python ]; then
  "$python" -m venv .venv
fi
.venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip --upgrade >/dev/null
if [ ! -x .venv/bin/uv ]; then
  awk '/^[^ ]/ {ours = /^uv==/} ours && !/^ *#/' requirements.lock > .venv/uv.lock
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.lock
fi
export VIRTUAL_ENV="$PWD/.venv" UV_PYTHON_DOWNLOADS=never
# As pip does, trust what the machine trusts: a company's proxy has a certificate of its own.
export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}"
.venv/bin/uv pip sync --quiet --compile-bytecode --require-hashes requirements.lock
.venv/bin/uv pip install --quiet --no-deps --no-build-isolation --editable .
mkdir -p build
touch .venv/.ready
