#!/usr/bin/env bash
# stranger_test.sh SOURCE_FOLDER: from nothing to a first report and to red and green checks, in fresh containers of Debian 12,
# with the packages of a release ($SECONDSOURCE_RELEASE, default build/release-files of the source folder) and with minutes.
# stranger.py is what is done in each. Skipped (77) without a release, or where container.sh cannot have a container.
set -euo pipefail
source_folder=$(cd "$1" && pwd)
release=${SECONDSOURCE_RELEASE:-$source_folder/build/release-files}
compgen -G "$release/secondsource-*.whl" >/dev/null || { echo "skipped: no wheel in $release: ./dev release makes it"; exit 77; }
source "$source_folder/tests/packaging/container.sh"

# The hosts' stand-ins are a Python program; everything else is installed by the stranger or by the files of `secondsource init`.
printf 'FROM %s\nRUN apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-yaml\n' "$base" >"$scratch/Containerfile"
podman build --quiet --isolation=chroot --network=host --pull=never --tag localhost/secondsource-test-host --file "$scratch/Containerfile" \
  "$scratch" >/dev/null 2>&1
for where in laptop github gitlab; do
  run_container --network=host --volume "$source_folder:/source:ro" --volume "$release:/release:ro" localhost/secondsource-test-host \
    python3 -B /source/tests/ci/stranger.py "$where"
done
