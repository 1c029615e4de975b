#!/bin/sh
# Runs `conformance` when this machine lacks one value of --each: gpu-shim has no matmul library. The other values must be tested,
# the missing one must be named, and the exit status tells whether that is enough.
#
#     one_absent.sh CONFORMANCE MODULES
conformance=$1
modules=$2

# expect STATUS TEXT ARGUMENT...: with these arguments, the program ends with this status and prints a line with this text.
expect() {
  status=$1
  text=$2
  shift 2
  printed=$("$conformance" --backend gpu-shim --modules "$modules" --family rms_norm,embed "$@" 2>&1)
  found=$?
  [ "$found" -eq "$status" ] && printf '%s\n' "$printed" | grep -qF -- "$text" && return
  printf '%s: expected status %s and "%s", found status %s and:\n%s\n' "$*" "$status" "$text" "$found" "$printed"
  exit 1
}

library='--option matmul=library: backend gpu-shim: matmul=library: gpu-shim has no library of products'
expect 0 "skipped $library" --each matmul=library,own
expect 0 "0 failed, 0 not supported; 1 configurations, 1 not there" --each matmul=library,own --require-one
expect 1 "FAILED $library" --each matmul=library,own --require
expect 1 "0 failed, 0 not supported; 1 configurations, 1 not there" --each matmul=library,own --require
expect 77 "skipped $library" --option matmul=library
expect 1 "skipped $library" --option matmul=library --require-one
expect 2 "--family no_such_family: there is none" --family no_such_family
