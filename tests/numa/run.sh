#!/bin/sh
# run.sh PROGRAM BUILD_FOLDER KERNEL_FOLDER: runs PROGRAM (numa_placement) as the only process of an emulated machine with
# two memory nodes of two CPUs each. KERNEL_FOLDER has boot/vmlinuz-* (./dev test-long unpacks the distribution's package
# there). Ends with 77 if something is missing.
set -eu
program=$1
build=$2
kernels=$3
for tool in qemu-system-x86_64 cpio; do
  command -v $tool > /dev/null && continue
  echo "skipped: $tool is not installed (packages qemu-system-x86, cpio)"
  exit 77
done
if [ "$(uname -m)" != x86_64 ]; then
  echo "skipped: the emulated machine is an x86-64 one, and this program is not for it"
  exit 77
fi
kernel=$(ls "$kernels"/boot/vmlinuz-* 2> /dev/null | tail -n 1)
if [ -z "$kernel" ]; then
  echo "skipped: no Linux kernel in $kernels (./dev test-long unpacks one there)"
  exit 77
fi

# The initramfs has the program as /init, and the libraries that it is linked to.
root=$build/root
rm -rf "$root"
mkdir -p "$root"
for library in $(ldd "$program" | grep -o '/[^ ]*'); do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done
cp "$program" "$root/init"
(cd "$root" && find . | cpio -o -H newc 2> /dev/null) > "$build/initramfs"

# NUMA balancing is off, so that pages stay on the node on which they were first touched.
timeout 600 qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 4 -m 2G \
  -object memory-backend-ram,id=first,size=1G -object memory-backend-ram,id=second,size=1G \
  -numa node,nodeid=0,cpus=0-1,memdev=first -numa node,nodeid=1,cpus=2-3,memdev=second \
  -kernel "$kernel" -initrd "$build/initramfs" \
  -append "console=ttyS0 quiet panic=-1 numa_balancing=disable" \
  -nodefaults -display none -no-reboot -serial stdio < /dev/null > "$build/output"
cat "$build/output"
tr -d '\r' < "$build/output" | grep -q '^passed$'
