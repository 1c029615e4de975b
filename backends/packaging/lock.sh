#!/usr/bin/env bash
# lock.sh LIST: what installing the packages that the file LIST names brings, with nothing installed before, as
# name=version a line, sorted. Resolved from the archive of this machine, which has to be Debian 12; installs nothing.
set -euo pipefail
names=$(grep -v '^#' "$1" | tr '\n' ' ')
# shellcheck disable=SC2086  # a list of names
apt-get -o Dir::State::status=/dev/null install --simulate --no-install-recommends $names |
  sed -n 's/^Inst \([^ ]*\) (\([^ ]*\) .*/\1=\2/p' | LC_ALL=C sort
