#!/usr/bin/env bash
# stranger_test.sh SOURCE_FOLDER: goes through a new user's first steps in fresh containers of Debian 12, up to a first report and to
# passing and failing checks, with the packages of a release ($SECONDSOURCE_RELEASE, default: build/release-files in the source folder).
# stranger.py has the steps. Skipped (77) without a release, or where container.sh cannot run a container.
set -euo pipefail
source_folder=$(cd "$1" && pwd)
release=${SECONDSOURCE_RELEASE:-$source_folder/build/release-files}
compgen -G "$release/secondsource-*.whl" >/dev/null || { echo "skipped: no wheel in $release: ./dev release makes it"; exit 77; }
source "$source_folder/tests/packaging/container.sh"

# The stand-ins for the code hosts need Python's yaml. Everything else is installed by stranger.py or by the files of `secondsource init`.
printf 'FROM %s\nRUN apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-yaml\n' "$base" >"$scratch/Containerfile"
podman build --quiet --isolation=chroot --network=host --pull=never --tag localhost/secondsource-test-host --file "$scratch/Containerfile" \
  "$scratch" >/dev/null 2>&1
for where in laptop github gitlab; do
  run_container --network=host --volume "$source_folder:/source:ro" --volume "$release:/release:ro" localhost/secondsource-test-host \
    python3 -B /source/tests/ci/stranger.py "$where"
done
