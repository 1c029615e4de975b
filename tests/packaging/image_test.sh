#!/usr/bin/env bash
# image_test.sh SOURCE_FOLDER: builds the image of backends/cpu/Containerfile as its comment describes, and checks a bundle's tokens
# in a container of it. Skipped (77) if container.sh cannot run a container.
set -euo pipefail
source_folder=$(cd "$1" && pwd)
source "$source_folder/tests/packaging/container.sh"

mkdir "$scratch/source"
git -C "$source_folder" ls-files -z | tar -C "$source_folder" --null -T - -c | tar -x -C "$scratch/source"
image=localhost/secondsource-test
podman build --isolation=chroot --network=host --pull=never --file "$scratch/source/backends/cpu/Containerfile" \
  --build-arg BASE="$base" --tag "$image" "$scratch/source" >"$scratch/log" 2>&1 || { tail -n 40 "$scratch/log"; exit 1; }
podman image inspect --format '{{.Size}} bytes, the base included' "$image"

run_container --network=none "$image" --version
run_container --network=none "$image" backends
run_container --network=none --volume "$source_folder/bundles/tiny-gqa8-hd64:/bundle:ro" "$image" check /bundle --backend cpu,onednn --variant bf16,int8
# The program also finds the bundle that is part of the image.
run_container --network=none "$image" check installed:default --backend cpu --variant bf16
