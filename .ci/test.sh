#!/usr/bin/env bash
# Every test; what fails is run once more with the machine to itself, as CPython's own suite does with --rerun.
#
# Three at a time share two cores and a disk with real servers, builds and browsers: a deadline that is generous for one
# may be missed for that alone. A fault of the program fails again. More than three files are no coincidence; all tests
# of one may fail together, where they share an installation.
set -uo pipefail
cd "$(dirname "$0")/.."
pytest=.venv/bin/pytest
last=.pytest_cache/v/cache/lastfailed
rm -f "$last"
"$pytest" -n 3 --dist loadfile "$@"
status=$?
[ "$status" = 1 ] || exit "$status"
failed=$(.venv/bin/python -c 'import json, sys; print("\n".join(json.load(open(sys.argv[1]))))' "$last") || exit 1
[ "$(cut -d: -f1 <<<"$failed" | sort -u | wc -l)" -le 3 ] || exit 1
echo
echo "run once more, alone:"
echo "$failed"
"$pytest" --last-failed --last-failed-no-failures none "$@" || exit 1
echo
echo "PASSED ONLY ALONE, see above why they failed beside others:"
echo "$failed"
