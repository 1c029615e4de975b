#!/bin/sh
# compile_kernel.sh LOG COMPILER ARGUMENTS...: what the compiler says goes into LOG, where tests read registers and
# spills; warnings and errors are shown, too. Big intermediate files that --keep and -save-temps leave are removed.
set -u
log=$1
shift
if "$@" >"$log" 2>&1; then
  grep -iE -A3 'warning|error' "$log" >&2
else
  status=$?
  cat "$log" >&2
  exit "$status"
fi
stem=${log%.log}
rm -f "$stem".*cudafe1* "$stem".*.ii "$stem".cubin "$stem".*.cubin "$stem".fatbin* "$stem".module_id "$stem".reg.c \
  "$stem".cpp-*.hipfb "$stem"-*.resolution.txt "$stem"-*.bc "$stem"-*.hipi "$stem"-*.cui "$stem"-*.hipfb "$stem"-*.out "$stem"-*.o "$stem"-host-*
exit 0
