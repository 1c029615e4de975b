#!/bin/sh
# amx_instructions.sh OBJDUMP ARCHIVE: checks that the object of the AMX kernels has the tile instructions and that no other
# object of the cpu backend has one, because the others also run on CPUs without AMX.
"$1" -d "$2" | awk '
  /file format/ { object = $1; sub(/:$/, "", object) }
  /\t(tdpbf16ps|tdpbssd|tdpbusd|tileloadd|tileloaddt1|tilestored|tilezero|ldtilecfg|tilerelease)/ {
    match($0, /(tdpbf16ps|tdpbssd|tdpbusd|tileloadd|tileloaddt1|tilestored|tilezero|ldtilecfg|tilerelease)/)
    name = substr($0, RSTART, RLENGTH)
    if (object ~ /isa_amx/) { found[name] = 1 } else { print "FAILED: " object " has " name; bad = 1 }
  }
  END {
    n = split("tdpbf16ps tdpbssd tdpbusd tileloadd tileloaddt1 tilestored tilezero ldtilecfg tilerelease", wanted, " ")
    for (i = 1; i <= n; ++i) if (!(wanted[i] in found)) { print "FAILED: isa_amx has no " wanted[i]; bad = 1 }
    exit bad
  }'
