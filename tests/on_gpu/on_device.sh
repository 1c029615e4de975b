#!/usr/bin/env bash
# Runs everything that needs a GPU. ./dev gpu calls it after building the release.
#
#     on_device.sh VENDOR [STEP...]     vendor: cuda or hip; all steps that have not passed, or the named ones
#     on_device.sh --check [STEP...]    ends with 1 if one of these is no step; --list prints all steps
#
# A step is a function below. Its output goes to <step>.log and its verdict to <step>.verdict in a folder whose name holds
# a hash of the programs and of the device: a step that passed is not repeated unless it is named, and a changed program
# measures everything again. build/gpu/results.md has all verdicts, figures and aims. A failed step does not stop the
# others; the exit status is then 1.
set -uo pipefail

readonly steps=(
  "get-pytorch|PyTorch and transformers, where there are none that see this GPU; its wheels bring the vendor's library"
  "get-sanitizer|NVIDIA's compute-sanitizer, where it is not there"
  "conformance|own kernels: every shape of tiles, and every attention"
  "conformance-library|products by cuBLASLt or hipBLASLt"
  "golden-smoke|the default bundle's first prompts, judged against PyTorch's tokens"
  "golden-all|all of its prompts"
  "sanitizer-memcheck|conformance under it: addresses"
  "sanitizer-racecheck|the same: shared memory without a barrier"
  "sanitizer-synccheck|the same: barriers"
  "sanitizer-initcheck|the same: memory that was never written"
  "limits|what the device's memory can be read at, by an own kernel"
  "run-1B|secondsource run on the shape of Llama-3.2-1B"
  "run-8B|the same of Llama-3.1-8B"
  "kernels|kernel_bench at the shapes of Llama-3.1-8B, own kernels"
  "kernels-library|its products by the library"
  "tiles|its products by each shape of tiles"
  "attention|its attention by each way"
  "pytorch|PyTorch's products and attention at the shapes of kernels"
  "models-beside-pytorch|whole models beside PyTorch's, interleaved")

names() { printf '%s\n' "${steps[@]%%|*}"; }

# Not grep -q: it ends at the first match, so that the writer fails with SIGPIPE, which pipefail reports.
check_names() {
  local name
  for name in "$@"; do
    [ "$name" = --list ] || names | grep -xF -- "$name" >/dev/null ||
      { printf 'gpu: there is no step %s; --list prints them\n' "$name" >&2; exit 1; }
  done
}

if [ "${1:-}" = --check ]; then
  shift
  check_names "$@"
  [ "${1:-}" != --list ] || printf '%s\n' "${steps[@]}" | sed 's/|/: /'
  exit 0
fi

vendor=$1
shift
check_names "$@"
bin=build/release/bin
toolchains=build/toolchains

say() { printf '\n== %s\n' "$*" >&2; }

# Adds the folders of the vendor's matmul library to LD_LIBRARY_PATH: those of toolkits and of the wheels of PyTorch.
readonly given_libraries=${LD_LIBRARY_PATH:-}
find_libraries() {
  local folder
  LD_LIBRARY_PATH=$given_libraries
  for folder in "$toolchains"/pytorch/lib/python3*/site-packages/nvidia/{cu13,cublas}/lib ${CUDA_HOME:-/usr/local/cuda*}/lib64 \
    ${ROCM_PATH:+"$ROCM_PATH/lib"} /opt/rocm/lib \
    $(python3 -c 'import site; print(*(f + "/nvidia/cu13/lib" for f in site.getsitepackages()))' 2>/dev/null); do
    [ ! -d "$folder" ] || LD_LIBRARY_PATH="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$(realpath "$folder")"
  done
  export LD_LIBRARY_PATH
}

described() { "$bin/secondsource" backends | sed -n "/^$vendor /,/^[^ ]/{/^$vendor /p;/^ /p}"; }

# Sets `out`, the folder of results of these programs on this device, and `device`, its description.
find_folder() {
  find_libraries
  device=$(described)
  case "$(head -n 1 <<<"$device")" in
    "" | *" unavailable" | *" unavailable "*) printf 'gpu: %s cannot be used here:\n%s\n' "$vendor" "$device" >&2; exit 1 ;;
  esac
  out=build/gpu/$vendor-$programs-$(sha256sum <<<"$device" | cut -c 1-8)
  mkdir -p "$out"
}
programs=$(cat "$bin"/* 2>/dev/null | sha256sum | cut -c 1-8)
find_folder

is_sm_90() { [ "$vendor" = cuda ] && nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | grep -x 9.0 >/dev/null; }
tiles="auto 16x64 64x64 128x128"
attentions="auto mma"
if is_sm_90; then
  tiles+=" wgmma128x128 wgmma128x256"
  attentions+=" wgmma"
fi
comma() { tr ' ' , <<<"$*"; }

skip() { printf '%s\n' "$*"; return 77; }  # as a step's last command

shown() { printf '+ %s\n' "$*"; "$@"; }

synthesize() {  # shape
  [ -f "build/gpu/$1/manifest.yaml" ] ||
    { rm -rf "build/gpu/$1" && "$bin/secondsource" bundle synth --like "$1" --out "build/gpu/$1"; }
}

conformance() { shown "$bin/conformance" --backend "$vendor" "$@"; }

# Asks for each tile and attention kernel by name: the planner never chooses large tiles for the small sizes of the suite,
# and on sm_90 it never chooses `mma` for attention.
step_conformance() {
  conformance --require-one --option matmul=own --each "tiles=$(comma "$tiles")" &&
    conformance --require-one --option matmul=own --each "attention=$(comma "$attentions")" \
      --family attention,attention_wide,attention_long,attention_chunks,layer,model
}

step_conformance_library() { conformance --option matmul=library; }

golden() { shown "$bin/secondsource" check bundles/default --backend "$vendor" --suite "$1"; }
step_golden_smoke() { golden smoke; }
step_golden_all() { golden all; }

find_sanitizer() {
  command -v compute-sanitizer || compgen -G "${CUDA_HOME:-/usr/local/cuda*}/bin/compute-sanitizer" ||
    compgen -G "$toolchains/sanitizer/nvidia/*/bin/compute-sanitizer"
}

# Runs an installation. If it fails, for example without a network, the step is skipped: the GPU has not failed.
fetch() { shown "$@" || skip "could not be installed: $(tail -n 1 "$log")"; }

step_get_sanitizer() {
  [ "$vendor" = cuda ] || { skip "for NVIDIA alone"; return; }
  find_sanitizer && return
  # Use a separate folder: pip --target installs nothing, and succeeds, where a folder nvidia exists already.
  fetch python3 -m pip install --quiet --no-deps --target "$toolchains/sanitizer" nvidia-cuda-sanitizer-api==13.0.85 ||
    return
  find_sanitizer || skip "pip succeeded, but there is no compute-sanitizer in $toolchains/sanitizer"
}

sanitizer() {
  local tool
  tool=$(find_sanitizer | head -n 1)
  [ "$vendor" = cuda ] || { skip "for NVIDIA alone"; return; }
  [ -n "$tool" ] || { skip "compute-sanitizer was not found (step get-sanitizer)"; return; }
  under() {
    shown "$tool" --tool "$1" --error-exitcode 9 "$bin/conformance" --backend cuda --require-one --option matmul=own "${@:2}"
  }
  under "$1" &&
    under "$1" --family matmul,matmul_w8a8,grouped_matmul_wide --each "tiles=$(comma "$tiles")" &&
    under "$1" --family attention,attention_wide --each "attention=$(comma "$attentions")"
}
step_sanitizer_memcheck() { sanitizer memcheck; }
step_sanitizer_racecheck() { sanitizer racecheck; }
step_sanitizer_synccheck() { sanitizer synccheck; }
step_sanitizer_initcheck() { sanitizer initcheck; }

step_limits() { shown "$bin/kernel_bench" --machine --backend "$vendor" --save-limits "$out/limits.json"; }

# `run` refuses a folder that holds a run.
run_model() {  # shape folder
  synthesize "$1" && rm -rf "$2" &&
    shown "$bin/secondsource" run "build/gpu/$1" --backend "$vendor" --require "$vendor" --variant bf16,int8,int4 \
      --scenario single-stream@512/128,offline:16@512/128 --out "$2"
}
step_run_1B() { run_model Llama-3.2-1B "$out/run-1B"; }
step_run_8B() { run_model Llama-3.1-8B "$out/run-8B"; }

kernel_bench() {  # name argument...
  local name=$1
  shift
  shown "$bin/kernel_bench" --backend "$vendor" --benchmark_out="$out/$name.json" --benchmark_out_format=json "$@"
}

step_kernels() {
  kernel_bench kernels --model Llama-3.1-8B --variant bf16,int8,int4 --rows 1,16,64,512 \
    --backend-option "$vendor:matmul=own"
}

step_kernels_library() {
  conformance --option matmul=library --family rms_norm || return  # 77 where there is none
  kernel_bench kernels-library --model Llama-3.1-8B --variant bf16,int8-w8a8 --rows 64,512 \
    --backend-option "$vendor:matmul=library" --benchmark_filter=BM_matmul
}

# Measures every block shape and the planner's choice, without the library, to find the fastest for each size.
step_tiles() {
  local shape compared=()
  for shape in $tiles; do
    kernel_bench "tiles-$shape" --model Llama-3.1-8B --variant bf16,int8,int4,int8-w8a8 --rows 8,16,64,128,512 \
      --backend-option "$vendor:tiles=$shape" --backend-option "$vendor:matmul=own" --benchmark_filter=BM_matmul || return
    compared+=("$shape=$out/tiles-$shape.json")
  done
  python3 tests/on_gpu/compare_choices.py BM_matmul "$out/tiles.md" "${compared[@]}"
}

step_attention() {
  local way compared=()
  for way in $attentions; do
    kernel_bench "attention-$way" --model Llama-3.2-1B,Llama-3.1-8B --backend-option "$vendor:attention=$way" \
      --benchmark_filter=BM_attention || return
    compared+=("$way=$out/attention-$way.json")
  done
  python3 tests/on_gpu/compare_choices.py BM_attention "$out/attention.md" "${compared[@]}"
}

# Prints the first Python that has PyTorch, transformers and safetensors and sees a GPU; fails if none does.
find_pytorch() {
  local python
  for python in python3 "$toolchains/pytorch/bin/python"; do
    "$python" -c 'import torch, transformers, safetensors, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null &&
      { printf '%s\n' "$python"; return; }
  done
  return 1
}

# The wheels of PyPI are built for the newest CUDA. For ROCm and for older drivers, a person names PyTorch's index for them
# in PIP_INDEX_URL, which pip reads.
step_get_pytorch() {
  find_pytorch && return
  local pip=("$toolchains/pytorch/bin/python" -m pip install --quiet)
  fetch python3 -m venv "$toolchains/pytorch" || return
  fetch "${pip[@]}" torch || return
  fetch "${pip[@]}" transformers safetensors || return
  find_pytorch || skip "the PyTorch that was installed does not see this GPU; PIP_INDEX_URL can name an index with wheels for its driver"
}

with_pytorch() {
  local python
  python=$(find_pytorch) || { skip "no PyTorch and transformers that see this GPU (step get-pytorch)"; return; }
  shown "$python" "$@"
}

step_pytorch() {
  [ -f "$out/kernels.json" ] || { skip "nothing to compare with (step kernels)"; return; }
  [ -f "$out/limits.json" ] || { skip "the device's read rate is not known (step limits)"; return; }
  with_pytorch tests/on_gpu/side_by_side.py "$out/kernels.json" "$out/limits.json" "$out/side-by-side"
}

# Continues a step that was interrupted. A step that ended starts again, since --resume would take a peer that was absent
# then for measured.
step_models_beside_pytorch() {
  case $previous in
    passed* | skipped*) rm -f "$out/peers.json" ;;
  esac
  with_pytorch apps/peer_bench/peer_bench.py --program "$bin/secondsource" --backend "$vendor" \
    --shape Llama-3.2-1B,Llama-3.1-8B --precision bf16 --batch 1,16 --context 0 --work build/gpu --out "$out/peers.json" \
    --resume || return
  grep '^|.*| PyTorch' "$log" >/dev/null ||
    skip "PyTorch was not measured: $(sed -n 's/^left out: \(PyTorch.*\)/\1/p' "$log" | head -n 1)"
}

write_results() {
  local step name table run
  {
    printf '# %s on %s\n\n' "$vendor" "$(date -u +%F)"
    printf 'Commit %s. Compilers, device, driver and libraries:\n\n' "$(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
    sed 's/^/    /' <<<"$device"
    printf '\n'
    python3 tests/on_gpu/aims.py "$out"
    printf '\n| step | what | verdict | time |\n| --- | --- | --- | --- |\n'
    for step in "${steps[@]}"; do
      name=${step%%|*}
      printf '| %s | %s | %s |\n' "$name" "${step#*|}" "$(cat "$out/$name.verdict" 2>/dev/null || echo 'not done | -')"
    done
    for run in run-1B run-8B; do
      [ ! -f "$out/$run.log" ] || { printf '\n%s:\n\n' "$run"; sed -n '/^bundle /,/^$/s/^/    /p' "$out/$run.log"; }
    done
    [ ! -f "$out/kernels.json" ] || { echo; python3 tests/on_gpu/kernel_table.py "$out/kernels.json"; }
    for table in tiles attention side-by-side; do
      [ ! -f "$out/$table.md" ] || { echo; cat "$out/$table.md"; }
    done
    grep '^|\|^left out' "$out/models-beside-pytorch.log" 2>/dev/null | sed '1s/^/\n/'
    printf '\nCommands:\n\n'
    names | sed "s|.*|$out/&.log|" | xargs grep -hs '^+ ' | awk '!seen[$0]++' | sed 's/^+ /    /'
  } >build/gpu/results.md
}

failed=0
for name in $(names); do
  verdict_file=$out/$name.verdict
  log=$out/$name.log
  if [ $# -gt 0 ]; then
    printf '%s\n' "$@" | grep -xF -- "$name" >/dev/null || continue
  elif grep -q '^passed' "$verdict_file" 2>/dev/null; then
    continue
  fi
  say "$name"
  previous=$(cat "$verdict_file" 2>/dev/null)
  rm -f "$verdict_file"
  began=$SECONDS
  "step_${name//-/_}" >"$log" 2>&1
  status=$?
  case $status in
    0) verdict=passed ;;
    77) verdict="skipped: $(tail -n 1 "$log")" ;;
    *) verdict="FAILED with status $status" failed=1; tail -n 20 "$log" >&2 ;;
  esac
  if [ "$name" = get-pytorch ]; then  # it may have brought the library
    find_folder
    [ "$log" -ef "$out/$name.log" ] || mv "$log" "$out/$name.log"
    verdict_file=$out/$name.verdict
  fi
  say "$name: $verdict"
  printf '%s | %d s\n' "$verdict" "$((SECONDS - began))" >"$verdict_file"
  write_results
done
write_results
say "the results: build/gpu/results.md; all of it: $out"
exit "$failed"
