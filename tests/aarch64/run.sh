#!/bin/sh
# run.sh BUILD_FOLDER FMT_HEADERS [OPTION]...: builds the cpu backend and the conformance suite for AArch64 and runs them
# under qemu-user, on a CPU with every extension and on one that has Advanced SIMD alone. The suite runs in shards, whose
# results are kept in BUILD_FOLDER/results; the options are those of shards.py. Ends 77 where a tool is missing or shards are
# left.
set -eu
build=$1
headers=$2
shift 2
compiler=aarch64-linux-gnu-g++
for tool in $compiler qemu-aarch64 ninja python3; do
  command -v $tool > /dev/null && continue
  echo "skipped: $tool is not installed (packages g++-aarch64-linux-gnu, qemu-user, ninja-build, python3)"
  exit 77
done
here=$(dirname "$(readlink -f "$0")")
program=$build/bin/conformance_aarch64
mkdir -p "$build"
# When several runs start at the same time, one of them builds and the others wait for it.
(
  flock 9
  cmake -S "$here/../.." -B "$build" -G Ninja -DSECONDSOURCE_AARCH64_CHECK=ON -DSECONDSOURCE_WARNINGS_AS_ERRORS=ON \
    -DCMAKE_BUILD_TYPE=Release -DCMAKE_SYSTEM_NAME=Linux \
    -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=$compiler -DFMT_HEADERS="$headers" > "$build.log"
  ninja -C "$build" conformance_aarch64
) 9> "$build.lock"

# On a CPU that lacks an instruction set, the program must refuse it with a message and not crash on an illegal instruction.
expect_refusal() {  # CPU ISA MESSAGE
  if refusal=$(qemu-aarch64 -L /usr/aarch64-linux-gnu -cpu "$1" "$program" "$2" embed); then
    echo "FAILED: $1 accepted $2"
    exit 1
  fi
  echo "$refusal" | grep -q "$3" || { echo "FAILED: $refusal"; exit 1; }
}
expect_refusal cortex-a57 neon_bf16 "cannot run neon_bf16; it can run scalar, neon"
# By default, this CPU's SVE vectors have 64 bytes, and the kernels of sve256 need 32.
expect_refusal max sve256 "cannot run sve256; it can run scalar, neon, neon_bf16"

exec python3 "$here/shards.py" "$program" "$build/results" "$@"
