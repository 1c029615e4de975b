#!/usr/bin/env bash
# Everything that only a GPU can show, in one sitting: ./dev gpu calls it with cuda or hip, after it built the release.
# Each step's output goes into build/gpu/<step>.log; build/gpu/results.md says what was run, on what, and how it ended.
# It goes on after a step that fails, and ends with 1 if one did.
set -uo pipefail
vendor=$1
out=build/gpu
bin=build/release/bin
results=$out/results.md
failed=0
mkdir -p "$out"

say() { printf '\n== %s\n' "$*" >&2; }

# step NAME COMMAND...: runs it, keeps its output, writes a line of the results.
step() {
  local name=$1 began=$SECONDS verdict=passed
  shift
  say "$name: $*"
  "$@" >"$out/$name.log" 2>&1 || { verdict="FAILED with status $?"; failed=1; tail -n 20 "$out/$name.log" >&2; }
  printf '| %s | `%s` | %s | %d s |\n' "$name" "$*" "$verdict" "$((SECONDS - began))" >>"$results"
}

skip() { printf '| %s | - | skipped: %s | - |\n' "$1" "$2" >>"$results"; }

# PyTorch's wheels bring cuBLASLt along; a toolkit's is found without help.
if [ "$vendor" = cuda ]; then
  for folder in $(python3 -c 'import site; print(*(f + "/nvidia/cu13/lib" for f in site.getsitepackages()))' 2>/dev/null); do
    [ ! -d "$folder" ] || export LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder"
  done
fi

synthesize() {  # shape folder
  [ -f "$2/manifest.yaml" ] || { rm -rf "$2" && "$bin/secondsource" bundle synth --like "$1" --out "$2"; }
}

{
  printf '# %s on %s\n\n' "$vendor" "$(date -u +%F)"
  printf 'Commit %s. Compilers, device, driver and libraries:\n\n' "$(git rev-parse --short HEAD)"
  "$bin/secondsource" backends | sed -n "/^$vendor /,/^[^ ]/{/^$vendor /p;/^ /p}" | sed 's/^/    /'
  printf '\n| step | command | verdict | time |\n| --- | --- | --- | --- |\n'
} >"$results"

step conformance "$bin/conformance" --backend "$vendor" --require --each matmul=own,library
step golden-smoke "$bin/secondsource" check bundles/default --backend "$vendor" --suite smoke
step golden-all "$bin/secondsource" check bundles/default --backend "$vendor" --suite all

if [ "$vendor" = cuda ]; then
  if command -v compute-sanitizer >/dev/null; then
    for tool in memcheck racecheck synccheck initcheck; do
      step "sanitizer-$tool" compute-sanitizer --tool "$tool" --error-exitcode 9 "$bin/conformance" --backend cuda --require
    done
  else
    skip sanitizer "compute-sanitizer was not found"
  fi
fi

for shape in Llama-3.2-1B Llama-3.1-8B; do
  synthesize "$shape" "$out/$shape"
  step "run-$shape" "$bin/secondsource" run "$out/$shape" --backend "$vendor" --require "$vendor" --variant bf16,int8,int4 \
    --scenario single-stream@512/128,offline:16@512/128 --out "$out/runs/$shape-$(date -u +%Y%m%dT%H%M%S)"
done

step kernels "$bin/kernel_bench" --backend "$vendor" --model Llama-3.1-8B --variant bf16,int8,int4 --rows 1,16,64,512 \
  --benchmark_out="$out/kernels.json" --benchmark_out_format=json
# Nobody knows yet which block shape is the fastest where: each of them, and what the planner takes, without the library.
compared=()
shapes="auto 16x64 64x64 128x128"
attentions="auto mma"
if [ "$vendor" = cuda ] && nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | grep -qx 9.0; then
  shapes+=" wgmma128x128 wgmma128x256"
  attentions+=" wgmma"
fi
for tiles in $shapes; do
  step "tiles-$tiles" "$bin/kernel_bench" --backend "$vendor" --model Llama-3.1-8B --variant bf16,int8,int4,int8-w8a8 \
    --rows 8,16,64,128,512 --backend-option "$vendor:tiles=$tiles" --backend-option "$vendor:matmul=own" \
    --benchmark_filter=BM_matmul \
    --benchmark_out="$out/tiles-$tiles.json" --benchmark_out_format=json
  [ -f "$out/tiles-$tiles.json" ] && compared+=("$tiles=$out/tiles-$tiles.json")
done
step tiles python3 tests/on_gpu/compare_choices.py BM_matmul "$out/tiles.md" "${compared[@]}"
[ -f "$out/tiles.md" ] && { echo; cat "$out/tiles.md"; } >>"$results"
# The same of attention.
compared=()
for attention in $attentions; do
  step "attention-$attention" "$bin/kernel_bench" --backend "$vendor" --model Llama-3.2-1B,Llama-3.1-8B \
    --backend-option "$vendor:attention=$attention" --benchmark_filter=BM_attention \
    --benchmark_out="$out/attention-$attention.json" --benchmark_out_format=json
  [ -f "$out/attention-$attention.json" ] && compared+=("$attention=$out/attention-$attention.json")
done
step attention python3 tests/on_gpu/compare_choices.py BM_attention "$out/attention.md" "${compared[@]}"
[ -f "$out/attention.md" ] && { echo; cat "$out/attention.md"; } >>"$results"

if python3 -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null; then
  step pytorch python3 tests/on_gpu/side_by_side.py "$out/kernels.json" "$out/side-by-side.md"
  [ -f "$out/side-by-side.md" ] && { echo; cat "$out/side-by-side.md"; } >>"$results"
else
  skip pytorch "no PyTorch that sees this GPU: without it there are neither the device's measured limits nor a comparison"
fi

step models-beside-pytorch python3 apps/peer_bench/peer_bench.py --program "$bin/secondsource" --backend "$vendor" \
  --shape Llama-3.2-1B,Llama-3.1-8B --precision bf16 --batch 1,16 --context 0 --work "$out" --out "$out/peers.json"
{ echo; cat "$out/models-beside-pytorch.log"; } >>"$results"

say "the results: $results"
exit "$failed"
