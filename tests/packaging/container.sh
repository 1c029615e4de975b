# Sourced by tests that need a fresh Debian 12. Makes an image with the minimal set of packages from the archives that this
# machine uses, because a registry of images may not be available, and finds out how podman can run a container of it here.
#
# Afterwards $base is the image's name, `run_container` calls `podman run` with the options that this machine needs, and
# $scratch is a folder. At the end, this folder and all images whose names begin with localhost/secondsource-test are
# removed. Ends with 77 and a reason if no container can be run.

skip() { printf 'skipped: %s\n' "$*"; exit 77; }
[ "$(id -u)" -eq 0 ] || skip "needs root to make a root file system"
for program in podman mmdebstrap; do command -v $program >/dev/null || skip "$program is not installed"; done

scratch=$(mktemp -d)
base=localhost/secondsource-test-base
remove_containers() {
  podman images --quiet --filter 'reference=localhost/secondsource-test*' | sort -u | xargs -r podman rmi --force >/dev/null 2>&1 || true
  rm -rf --one-file-system "$scratch"
}
trap remove_containers EXIT

apt-get indextargets --format 'deb $(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
  grep '^deb [^ ]* bookworm' >"$scratch/sources.list" || skip "this machine has no archive of Debian 12"
mmdebstrap --quiet --variant=minbase bookworm "$scratch/base.tar" "$scratch/sources.list"
podman import --quiet "$scratch/base.tar" "$base" >/dev/null
rm "$scratch/base.tar"

# On machines with cgroup version 1, crun may fail where runc works.
container_runtime=()
run_container() {
  podman "${container_runtime[@]}" run --rm --pull=never --ulimit nofile=1024:1024 --ulimit nproc=4096:4096 "$@"
}
run_container "$base" true 2>/dev/null || container_runtime=(--runtime=runc)
run_container "$base" true 2>"$scratch/why" || skip "podman runs no container here: $(tail -n 1 "$scratch/why")"
