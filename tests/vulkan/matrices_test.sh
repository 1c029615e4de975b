#!/bin/sh
# matrices_test.sh SOURCE_FOLDER [ROOT_FOLDER]: tests Vulkan's kernels with cooperative matrices in a root file system of Debian 14
# (forky). Mesa 26's driver for CPUs has cooperative matrices; those of Debian 12 and 13 lack them, and Debian 12's glslc cannot
# compile the kernels.
#
# Builds the suite, the backend and its tests there, with that distribution's compiler and libraries. Runs the families of attention, and
# in every shape of tiles those whose products have more than four rows, and searches for the bugs of MATRIX_BUGS (planted_bugs.py).
# ROOT_FOLDER keeps the root and the build for the next call; without it both are made in a temporary folder. Ends with status 77 and a
# reason if no root can be made.
set -eu
source=$(readlink -f "$1")
skip() { printf 'skipped: %s\n' "$*"; exit 77; }

if [ $# -gt 1 ]; then
  mkdir -p "$2"
  root=$(readlink -f "$2")
else
  root=$(mktemp -d)
  trap 'rm -rf --one-file-system "$root"' EXIT
fi
[ "$(id -u)" -eq 0 ] || skip "needs root to make a root file system"
command -v mmdebstrap >/dev/null || skip "mmdebstrap is not installed"
unshare --mount --pid --fork true 2>/dev/null || skip "namespaces cannot be made here"

packages=g++,cmake,ninja-build,pkg-config,libcli11-dev,libyaml-cpp-dev,libfmt-dev,nlohmann-json3-dev,libpcre2-dev,libutf8proc-dev
packages=$packages,libzip-dev,libssl-dev,libcurl4-openssl-dev,libsqlite3-dev,zlib1g-dev,catch2,libvulkan-dev,glslc,mesa-vulkan-drivers
packages=$packages,python3-minimal
if [ ! -x "$root/usr/bin/glslc" ] || [ ! -x "$root/usr/bin/python3" ]; then
  # Device files are left out because not every environment can create them. A mirror may be a snapshot that is past its Valid-Until.
  mmdebstrap --quiet --variant=minbase --include="$packages" --aptopt='Acquire::Languages "none"' \
    --aptopt='Acquire::Check-Valid-Until "false"' forky "$root/root.tar" >"$root/root.log" 2>&1 ||
    skip "no root of Debian 14 could be made: $(tail -n 1 "$root/root.log")"
  tar -xf "$root/root.tar" -C "$root" --exclude='./dev/*' --no-same-owner
  rm "$root/root.tar"
fi

inside() {
  unshare --mount --pid --fork sh -c '
    mount --make-rprivate /
    mkdir -p "$0/dev" "$0/proc" "$0/source" "$0/build"
    mount -t tmpfs none "$0/dev"
    for file in null zero random urandom; do touch "$0/dev/$file"; mount --bind "/dev/$file" "$0/dev/$file"; done
    mkdir "$0/dev/shm"
    mount -t proc none "$0/proc"
    mount --bind "$1" "$0/source"
    shift
    exec chroot "$0" env PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 SECONDSOURCE_VULKAN_SOFTWARE=1 "$@"' "$root" "$source" "$@"
}

inside cmake -S /source -B /build -G Ninja -DCMAKE_BUILD_TYPE=Release -DSECONDSOURCE_WITH_VULKAN=ON -DSECONDSOURCE_WITH_CUDA=OFF \
  -DSECONDSOURCE_WITH_HIP=OFF -DSECONDSOURCE_WITH_ONEDNN=OFF >"$root/configure.log"
if grep 'without cooperative matrices' "$root/configure.log"; then exit 1; fi
inside ninja -C /build conformance secondsource_backend_vulkan test_unit_vulkan secondsource_replaced_kernels >"$root/build.log" || { tail -n 40 "$root/build.log"; exit 1; }
inside /build/bin/test_unit_vulkan
families=matmul,matmul_w8a8,matmul_g32_w8a8,matmul_gelu,matmul_gated_bias,matmul_long,matmul_fp8,matmul_fp8_g128,matmul_nvfp4,matmul_gguf
families=$families,grouped_matmul,grouped_matmul_bias,grouped_matmul_w8a8,grouped_matmul_g32_w8a8,grouped_matmul_fp8,grouped_matmul_fp8_g128,shared_expert
families=$families,head_matmul,model
families=$families,not_finite,not_finite_fp8,not_finite_nvfp4,not_finite_int8_static,not_finite_fp8_g128
# With matrices=1 the backend refuses a device without cooperative matrices.
inside /build/bin/conformance --backend vulkan --modules /build/bin --require --guards --option matrices=1 \
  --each tiles=auto,16x64,64x64,128x128 --family "$families"
attention=attention,attention_wide,attention_long,attention_chunks,attention_sinks,attention_values_apart,attention_latent
attention=$attention,attention_latent_wide,not_finite_context
inside /build/bin/conformance --backend vulkan --modules /build/bin --require --guards --option matrices=1 --family "$attention,layer"
flags=$(sed -n 's/^set(glslc_flags \(.*\))$/\1/p' "$source/backends/vulkan/CMakeLists.txt")
inside python3 /source/tests/vulkan/mutants_test.py /source/backends/vulkan/kernels glslc /build/bin/libsecondsource_replaced_kernels.so \
  /build/bin/conformance /build/bin /build/bin/test_unit_vulkan --matrices $(for flag in $flags; do printf ' --flag=%s' "$flag"; done)
