#!/usr/bin/env bash
# Runs buildpacks by the classic contract (bin/detect, bin/compile, bin/release) inside the sandbox.
#
#   driver.sh detect NAME=DIRECTORY ...   the first that says yes builds
#   driver.sh all NAME=DIRECTORY ...      every one builds, in order; the last one's process types win
#
# One run for the whole build, so that a worker that takes over finds either its end or nothing. What is learned goes
# to /out: the names in `buildpacks`, each bin/release answer in `release.N`, and `unlocked` if no lock file was used.
set -uo pipefail

readonly build=/app cache=/cache config=/env out=/out
mode=$1
shift
mkdir -p "$HOME"
unset SOURCE_VERSION

fail() {
  printf ' !     %s\n' "$1"
  exit 1
}

# A run that was lost in the middle (the machine went down) left half a tree; 75 asks for a fresh one.
mkdir "$out/started" 2>/dev/null || exit 75

# Packaging may lose the executable bit of scripts.
call() { if [ -x "$1" ]; then "$@"; else bash "$@"; fi; }

chosen=()
for entry in "$@"; do
  name=${entry%=*} directory=/tmp/buildpacks/${#chosen[@]}
  rm -rf "$directory" && mkdir -p /tmp/buildpacks
  # A copy, because a buildpack writes its `export` file beside itself.
  cp -R "${entry##*=}" "$directory" || fail "The buildpack $name cannot be read."
  if label=$(call "$directory/bin/detect" "$build"); then
    chosen+=("$name")
    printf -- '-----> %s app detected\n' "${label%%$'\n'*}"
    [ "$mode" = detect ] && break
  elif [ "$mode" = all ]; then
    fail "The app is not compatible with the buildpack $name: ${label:-its bin/detect says no}."
  fi
done
[ ${#chosen[@]} -gt 0 ] || fail "No buildpack fits: there is no package.json, requirements.txt, uv.lock, index.html or Procfile in the root directory."

printf '%s\n' "${chosen[@]}" >"$out/buildpacks"
for number in "${!chosen[@]}"; do
  directory=/tmp/buildpacks/$number
  call "$directory/bin/compile" "$build" "$cache" "$config" || exit 1
  if [ -f "$directory/export" ]; then
    set +u
    # shellcheck disable=SC1091
    source "$directory/export"
    set -u
  fi
  if [ -f "$directory/bin/release" ]; then
    call "$directory/bin/release" "$build" >"$out/release.$number" || fail "bin/release of ${chosen[$number]} failed."
  fi
done
