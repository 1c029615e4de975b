#!/bin/sh
# run.sh BUILD_FOLDER FMT_HEADERS: builds the cpu backend and the conformance suite for AArch64 and runs them under
# qemu-user, on a CPU with every extension and on one that has Advanced SIMD alone. Ends 77 where a tool is missing.
set -eu
build=$1
headers=$2
compiler=aarch64-linux-gnu-g++
for tool in $compiler qemu-aarch64 ninja; do
  command -v $tool > /dev/null && continue
  echo "skipped: $tool is not installed (packages g++-aarch64-linux-gnu, qemu-user, ninja-build)"
  exit 77
done
here=$(dirname "$(readlink -f "$0")")
cmake -S "$here/../.." -B "$build" -G Ninja -DSECONDSOURCE_AARCH64_CHECK=ON -DSECONDSOURCE_WARNINGS_AS_ERRORS=ON \
  -DCMAKE_BUILD_TYPE=Release -DCMAKE_SYSTEM_NAME=Linux \
  -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=$compiler -DFMT_HEADERS="$headers" > "$build.log"
ninja -C "$build" conformance_aarch64

run() {  # CPU ISA: prints what the program prints, ends as it ends
  QEMU_LD_PREFIX=/usr/aarch64-linux-gnu qemu-aarch64 -cpu "$1" "$build/bin/conformance_aarch64" "$2"
}
# Vectors of 32 bytes; without the option qemu's are of 64.
run max,sve-default-vector-length=32 sve256
run max neon_bf16
run cortex-a57 neon
run cortex-a57 scalar
# A CPU without the instructions refuses them by name and does not run into them.
if refusal=$(run cortex-a57 neon_bf16); then
  echo "FAILED: cortex-a57 accepted neon_bf16"
  exit 1
fi
echo "$refusal" | grep -q "cannot run neon_bf16; it can run scalar, neon" || { echo "FAILED: $refusal"; exit 1; }
if refusal=$(run max sve256); then
  echo "FAILED: vectors of 64 bytes accepted sve256"
  exit 1
fi
echo "$refusal" | grep -q "cannot run sve256; it can run scalar, neon, neon_bf16" || { echo "FAILED: $refusal"; exit 1; }
