#!/usr/bin/env bash
# What has no wheel: PostgreSQL's server binaries, npm, Chromium and AppArmor's parser for tests, nftables. On a user's machine tests without them are skipped by name.
set -euo pipefail
missing=()
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing+=(postgresql)
command -v npm >/dev/null || missing+=(npm)
command -v chromium >/dev/null || missing+=(chromium)
command -v setpriv >/dev/null || missing+=(util-linux)
[[ $(ldconfig -p) == *libseccomp* ]] || missing+=(libseccomp2)
command -v apparmor_parser >/dev/null || missing+=(apparmor)
[[ $(ldconfig -p) == *libnftables* ]] || missing+=(nftables)
if [ ${#missing[@]} -gt 0 ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi
