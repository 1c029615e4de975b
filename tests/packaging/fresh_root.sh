#!/usr/bin/env bash
# fresh_root.sh SOURCE_FOLDER: what backends/cpu/Containerfile does, in fresh Debian 12 roots instead of a container engine:
# the locked build packages are installed and the program is built there; the locked packages it runs with are installed
# in another root, and it judges a bundle's tokens there. Skipped (77) without root or mmdebstrap.
set -euo pipefail
source_folder=$(cd "$1" && pwd)
skip() { printf 'skipped: %s\n' "$*"; exit 77; }
[ "$(id -u)" -eq 0 ] || skip "needs root for chroot"
command -v mmdebstrap >/dev/null || skip "mmdebstrap is not installed"

scratch=$(mktemp -d)
clean_up() {
  mountpoint -q "$scratch/run/proc" && umount "$scratch/run/proc"
  rm -rf --one-file-system "$scratch"
}
trap clean_up EXIT
# The archives of Debian 12 that this machine uses: the release, its updates, its security fixes.
apt-get indextargets --format 'deb $(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
  grep '^deb [^ ]* bookworm' >"$scratch/sources.list" || skip "this machine has no archive of Debian 12"

make_root() {  # LOCK ROOT
  mmdebstrap --quiet --variant=minbase --include="$(paste -sd, "$1")" bookworm "$2" "$scratch/sources.list"
  echo "a root with the $(wc -l <"$1") packages of ${1#"$source_folder"/}: $(du -sh "$2" | cut -f1)"
}

build=$scratch/build run=$scratch/run
make_root "$source_folder/backends/cpu/packages.build.lock" "$build"
mkdir "$build/source"
git -C "$source_folder" ls-files -z | tar -C "$source_folder" --null -T - -c | tar -x -C "$build/source"
# The very commands of the Containerfile.
sed -n '/^RUN cmake/,/--strip$/p' "$source_folder/backends/cpu/Containerfile" | sed 's/^RUN //' >"$build/build.sh"
[ -s "$build/build.sh" ] || { echo "found no RUN cmake in the Containerfile"; exit 1; }
chroot "$build" sh -e /build.sh >"$scratch/log" 2>&1 || { tail -n 40 "$scratch/log"; exit 1; }
echo "built: $(du -sh "$build/opt/secondsource" | cut -f1)"

make_root "$source_folder/backends/cpu/packages.run.lock" "$run"
cp -r "$build/opt/secondsource" "$run/opt/"
cp -r "$source_folder/bundles/tiny-gqa8-hd64" "$run/"
mount -t proc proc "$run/proc"  # as in a container: a worker is this program again, found in /proc
chroot "$run" /opt/secondsource/bin/secondsource backends
chroot "$run" /opt/secondsource/bin/secondsource check /tiny-gqa8-hd64 --backend cpu,onednn
