#!/usr/bin/env bash
# The demo once more from a fresh clone, with an empty HOME, as an ordinary user without any privilege.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "$(id -u)" != 0 ]; then
  echo "not root: the demo has run as an ordinary user already"
  exit 0
fi
python=""
for candidate in /usr/bin/python3.11 /usr/bin/python3 /usr/local/bin/python3; do
  if [ -x "$candidate" ] && "$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
    python=$candidate
    break
  fi
done
if [ -z "$python" ]; then
  echo "no Python 3.11 that an ordinary user may run: the demo as an ordinary user was NOT run" >&2
  exit 1
fi
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
git clone --quiet . "$place/clone"
mkdir "$place/home"
chown -R 1500:1500 "$place"
cd "$place/clone"
setpriv --reuid=1500 --regid=1500 --clear-groups --no-new-privs \
  env HOME="$place/home" PATH=/usr/local/bin:/usr/bin:/bin make --silent PYTHON="$python" demo
