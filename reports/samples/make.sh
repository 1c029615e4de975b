#!/usr/bin/env bash
# Makes the sample briefs again: reports/samples/make.sh [PROGRAM [FOLDER]]. tests/cli compares what it makes with what is here.
set -euo pipefail
cd "$(dirname "$0")"
program=${1:-../../build/release/bin/secondsource}
folder=${2:-.}
for sample in second-gpu-supplier cpu-serving; do
  "$program" brief runs/cpu --prices ../prices.yaml --quoted ../quoted.yaml --demand "$sample/demand.yaml" \
    --date 2026-11-22 --out "$folder/$sample"
done
