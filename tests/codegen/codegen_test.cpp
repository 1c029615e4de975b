// Checks the compiled code per kernel: the matrix instructions are present, nothing is spilled, arrays stay in registers
// (almost no stack is used), and a block's shared memory fits its targets. The input is nvcc's log and PTX, and clang's
// assembly with metadata, from the build of the modules. This shows what the compiler chose. The shim tests that the code
// is right; only a GPU can show that it is fast.

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <set>

#include "backend/weights.h"
#include "codegen/kernel_code.h"
#include "core/file.h"
#include "support/catch.h"
#include "support/result.h"

using namespace secondsource;
using namespace secondsource::test;
namespace fs = std::filesystem;

namespace {

const fs::path kCode = SS_GPU_CODE;

std::string text_of(const fs::path& path) {
  auto text = read_file(path);
  REQUIRE_OK(text);
  return *std::move(text);
}

std::vector<fs::path> files_of(const std::string& folder, const std::string& ending) {
  std::vector<fs::path> files;
  std::error_code absent;
  for (const auto& entry : fs::directory_iterator(kCode / folder, absent)) {
    if (entry.path().string().ends_with(ending)) files.push_back(entry.path());
  }
  std::ranges::sort(files);
  return files;
}

/// Every kernel of every target that nvcc compiled, with its PTX.
std::vector<KernelCode> cuda_kernels() {
  std::vector<KernelCode> kernels;
  for (const fs::path& log : files_of("cuda", ".log")) {
    std::map<std::string, std::map<std::string, std::string>> bodies;  // by target
    const std::string said = text_of(log);
    // ptxas logs this if it waits after each wgmma instead of keeping it asynchronous.
    CHECK(said.find("serialized") == std::string::npos);
    // ptxas logs this if it ignores setmaxnreg.
    CHECK(said.find("setmaxnreg") == std::string::npos);
    // ptxas logs this if registers are written between the wgmma instructions that read them.
    CHECK(said.find("warpgroup.arrive is injected") == std::string::npos);
    for (KernelCode& kernel : read_ptxas_log(said)) {
      const fs::path named = kCode / "cuda" / (log.stem().string() + ".compute_" + kernel.target.substr(3) + ".ptx");
      // The file name contains the target if nvcc compiles for several targets.
      const fs::path ptx = fs::exists(named) ? named : kCode / "cuda" / (log.stem().string() + ".ptx");
      if (!bodies.contains(kernel.target)) bodies[kernel.target] = read_ptx(text_of(ptx));
      kernel.body = bodies[kernel.target][kernel.symbol];
      kernel.asked_bytes = asked_shared_bytes(kernel.body);
      kernels.push_back(std::move(kernel));
    }
  }
  return kernels;
}

/// Every kernel of every target that hipcc linked or clang assembled.
std::vector<KernelCode> hip_kernels() {
  std::vector<KernelCode> kernels;
  const auto add = [&](const fs::path& path, const std::string& target) {
    auto read = read_amd_assembly(text_of(path), target);
    std::move(read.begin(), read.end(), std::back_inserter(kernels));
  };
  for (const fs::path& path : files_of("hip", ".s")) {
    const std::string stem = path.stem().string();  // "rows-hip-amdgcn-amd-amdhsa-gfx90a"
    add(path, stem.substr(stem.rfind('-') + 1));
  }
  for (const char* target : {"gfx942", "gfx950", "gfx1100"}) {
    for (const fs::path& path : files_of(target, ".s")) add(path, target);
  }
  return kernels;
}

/// The target's matrix instruction for int8.
std::string int8_matrix_instruction(const std::string& target) {
  if (target.starts_with("sm_")) return "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32";
  if (target == "gfx90a") return "v_mfma_i32_16x16x16i8";
  if (target.starts_with("gfx11")) return "v_wmma_i32_16x16x16_iu8";
  return "v_mfma_i32_16x16x32_i8";
}

/// The target's matrix instruction for BF16.
std::string matrix_instruction(const std::string& target) {
  if (target.starts_with("sm_")) return "mma.sync.aligned.m16n8k16";
  if (target == "gfx90a") return "v_mfma_f32_16x16x16bf16_1k";
  if (target.starts_with("gfx11")) return "v_wmma_f32_16x16x16_bf16";
  return "v_mfma_f32_16x16x16_bf16";  // gfx942 and newer dropped the suffix
}

/// Kernels whose inner loop consists of matrix instructions, by name without template arguments.
const std::set<std::string> kOnMatrixCores = {"tiled_matmul_kernel",      "grouped_tiles_kernel",
                                              "prefill_attention_kernel", "head_tiles_kernel",
                                              "latent_prefill_kernel",    "latent_decode_kernel"};

/// Kernels whose threads exchange data through shared memory.
const std::set<std::string> kSharing = {
    "tiled_matmul_kernel",    "grouped_tiles_kernel",   "prefill_attention_kernel", "warpgroup_attention_kernel",
    "split_attention_kernel", "rms_norm_kernel",        "head_tiles_kernel",        "latent_prefill_kernel",
    "latent_decode_kernel",   "combine_latents_kernel", "stream_k_matmul_kernel",   "cluster_matmul_kernel"};

/// Whether a kernel is for weights of this encoding: "(WeightEncoding)2" is among its template arguments.
bool is_for(const KernelCode& kernel, WeightEncoding encoding) {
  const std::string argument = "(WeightEncoding)" + std::to_string(static_cast<int>(encoding));
  const std::size_t at = kernel.name.find(argument);
  return at != std::string::npos &&
         std::string_view(",>").find(kernel.name.at(at + argument.size())) != std::string::npos;
}

/// kAnyBlocks of backends/gpu/kernels/block_code.h: the argument of the kernel for all encodings in blocks.
constexpr WeightEncoding kAnyBlocks = WeightEncoding::kIq4Nl;

/// Whether a tile kernel streams its weights (streamed_tile.h). Those with small tiles do, except for f32, blocks of GGUF, and int8 in
/// groups multiplied by int8.
bool streams_weights(const KernelCode& kernel) {
  const auto has = [&](std::string_view text) { return kernel.name.find(text) != std::string::npos; };
  const bool is_small = has("(gpu::MatmulTiles)0") || has("(gpu::MatmulTiles)1");
  const bool has_quantized_groups = is_for(kernel, WeightEncoding::kInt8Group32) && kernel.name.ends_with(", true>");
  return is_small && !is_for(kernel, WeightEncoding::kF32) && !is_for(kernel, kAnyBlocks) && !has_quantized_groups;
}

/// True for tiled matmuls, of one weight or of a mixture's experts.
bool is_by_tiles(const KernelCode& kernel) {
  return kernel.name.starts_with("tiled_matmul_kernel<") || kernel.name.starts_with("grouped_tiles_kernel<");
}

/// Kernels that use wgmma on sm_90a; they are empty on other targets.
bool is_attention_by_warpgroups(const KernelCode& kernel) {
  return kernel.name.starts_with("warpgroup_attention_kernel<");
}
bool is_peak_by_warpgroups(const KernelCode& kernel) {
  return kernel.name.starts_with("compute_together_kernel<");
}
bool is_stream_k(const KernelCode& kernel) {
  return kernel.name.starts_with("stream_k_matmul_kernel<");
}
bool is_in_clusters(const KernelCode& kernel) {
  return kernel.name.starts_with("cluster_matmul_kernel<");
}
bool is_by_warpgroups(const KernelCode& kernel) {
  return is_stream_k(kernel) || is_in_clusters(kernel) || is_attention_by_warpgroups(kernel) ||
         is_peak_by_warpgroups(kernel) ||
         (is_by_tiles(kernel) && (kernel.name.find("_kernel<(gpu::MatmulTiles)3,") != std::string::npos ||
                                  kernel.name.find("_kernel<(gpu::MatmulTiles)4,") != std::string::npos));
}

/// Attention over latents.
bool is_of_latents(const KernelCode& kernel) {
  return kernel.name.starts_with("latent_prefill_kernel<") || kernel.name.starts_with("latent_decode_kernel<");
}

std::string without_arguments(const std::string& name) {
  return name.substr(0, std::min(name.find('<'), name.size()));
}

void check_kernels(const std::vector<KernelCode>& kernels, const std::set<std::string>& targets) {
  std::cout << table_of(kernels);
  std::set<std::string> seen;
  std::set<std::string> matrix_kernels;
  for (const KernelCode& kernel : kernels) {
    CAPTURE(kernel.target, kernel.name, kernel.symbol);
    seen.insert(kernel.target);
    CHECK(kernel.registers > 0);
    CHECK_FALSE(kernel.body.empty());
    CHECK(kernel.spilled_bytes == 0);
    // On AMD some kernels keep a selected pointer on the stack, once per block of a mixture, or reserve slots that no
    // instruction accesses (48 bytes in sample_kernel). Every array of a tile is larger, so none of them is on the stack.
    CHECK(kernel.stack_bytes <= (kernel.target.starts_with("gfx") ? 48 : 0));
    CHECK(kernel.shared_bytes == 0);
    const bool is_sm_90a =
        kernel.target == "sm_90a";  // here wgmma kernels use the most shared memory; on other targets they are empty
    // On NVIDIA these kernels hold two tiles of latent keys, for which the shared memory of sm_89 just suffices.
    const bool holds_latents = is_of_latents(kernel) && kernel.target.starts_with("sm_");
    CHECK(kernel.asked_bytes <= (is_by_warpgroups(kernel) && is_sm_90a ? 227 : holds_latents ? 99 : 64) << 10);
    CHECK((kernel.asked_bytes > 0 || !kSharing.contains(without_arguments(kernel.name)) ||
           (is_by_warpgroups(kernel) && !is_sm_90a)));
    if (kernel.name.starts_with("compute_tiles_kernel<")) {  // measures peak rates, with operands in registers
      const bool multiplies_int8 = kernel.name.ends_with("<signed char>");
      CHECK((count_instruction(kernel, matrix_instruction(kernel.target)) > 0) == !multiplies_int8);
      CHECK((count_instruction(kernel, int8_matrix_instruction(kernel.target)) > 0) == multiplies_int8);
    }
    if (!kOnMatrixCores.contains(without_arguments(kernel.name)) || is_by_warpgroups(kernel)) continue;
    matrix_kernels.insert(kernel.target + " " + without_arguments(kernel.name));
    // The last template argument of a tiled matmul is true if it multiplies int8 by int8.
    const bool is_int8 = is_by_tiles(kernel) && kernel.name.ends_with(", true>");
    CHECK((count_instruction(kernel, matrix_instruction(kernel.target)) > 0) == !is_int8);
    CHECK((count_instruction(kernel, int8_matrix_instruction(kernel.target)) > 0) == is_int8);
  }
  CHECK(seen == targets);
  CHECK(matrix_kernels.size() == targets.size() * kOnMatrixCores.size());
}

}  // namespace

TEST_CASE("the machine code for NVIDIA", "[cuda]") {
  const std::vector<KernelCode> kernels = cuda_kernels();
  if (kernels.empty()) {
    std::cout << "skipped: the cuda backend was not built here: `secondsource backends` says why\n";
    return;
  }
  std::set<std::string> targets;
  for (const KernelCode& kernel : kernels) targets.insert(kernel.target);
  // Unless SECONDSOURCE_CUDA_TARGETS selects targets, the oldest one is always built.
  const std::string chosen = SS_CHOSEN_CUDA_TARGETS;
  CHECK(targets.contains("sm_" + (chosen.empty() ? "80" : chosen.substr(0, chosen.find(' ')))));
  check_kernels(kernels, targets);
  int n_by_warpgroups = 0;
  for (const KernelCode& kernel : kernels) {
    CAPTURE(kernel.target, kernel.name);
    // One wgmma covers 128 columns. In clusters with tiles of 256 columns it covers all 256.
    const bool is_wide = kernel.name.starts_with("cluster_matmul_kernel<(gpu::MatmulTiles)7,");
    const std::string product = std::string("wgmma.mma_async.sync.aligned.m64n") + (is_wide ? "256" : "128");
    const int n_products = count_instruction(kernel, product + "k");
    CHECK((n_products > 0) == (is_by_warpgroups(kernel) && kernel.target == "sm_90a"));
    if (is_by_warpgroups(kernel)) {
      ++n_by_warpgroups;
      if (kernel.target != "sm_90a") continue;
      const bool is_int8 =
          kernel.name.ends_with(", true>") || kernel.name.ends_with("<true>") || kernel.name.ends_with("<signed char>");
      CHECK(count_instruction(kernel, product + (is_int8 ? "k32.s32.s8.s8" : "k16.f32.bf16")) == n_products);
      // The compiler must not have dropped the synchronisation that the shim requires.
      CHECK(count_instruction(kernel, "wgmma.fence.sync.aligned") > 0);
      CHECK(count_instruction(kernel, "wgmma.wait_group.sync.aligned") >= 2);
      CHECK(count_instruction(kernel, "fence.proxy.async.shared::cta") > 0);
      CHECK(count_instruction(kernel, "mma.sync") == 0);
      CHECK((count_instruction(kernel, "cp.async") > 0) == !is_peak_by_warpgroups(kernel));
      if (is_in_clusters(kernel)) {
        // The four wgmma instructions of a stage are issued together. Every copy exists twice in the code, for one block and for both.
        // Arrivals do not have cluster scope, which would make ptxas insert a device-wide fence into the main loop.
        CHECK(n_products == 4);
        CHECK(count_instruction(kernel, "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier") == 8);
        CHECK(count_instruction(kernel, "complete_tx::bytes.multicast::cluster") == 4);
        CHECK(count_instruction(kernel, "mbarrier.try_wait.parity.shared::cta.b64") == 2);
        CHECK(count_instruction(kernel, "mbarrier.arrive.expect_tx.shared::cta.b64") == 1);
        CHECK(count_instruction(kernel, "mbarrier.arrive.shared::cluster.b64") == 2);
        CHECK(count_instruction(kernel, "barrier.cluster.arrive.release.aligned") == 2);
        CHECK(count_instruction(kernel, "fence.mbarrier_init.release.cluster") == 1);
        CHECK(count_instruction(kernel, "setmaxnreg.dec.sync.aligned.u32 24") == 1);
        CHECK(count_instruction(kernel, "setmaxnreg.inc.sync.aligned.u32 240") == 1);
        CHECK(kernel.registers == 168);  // the share of each of 384 threads, before setmaxnreg redistributes registers
        // Tensor maps are used at their address among the kernel's arguments; copies of them would be invalid.
        CHECK(count_instruction(kernel, "cvta.param.u64") > 0);
        CHECK(count_instruction(kernel, "prefetch.tensormap") == 2);
        CHECK(count_instruction(kernel, "cp.async.cg.shared.global") == 0);
      }
      if (is_stream_k(kernel)) {
        // Two atomics find the block that finishes its part of a tile last: one before a fence, and one between two fences
        // (portable/last_block.h).
        CHECK(count_instruction(kernel, "atom.global.add.u32") == 2);
        CHECK(count_instruction(kernel, "membar.gl") == 3);
      }
      if (!is_attention_by_warpgroups(kernel)) continue;
      // Q K^T takes both operands from shared memory, and its first product overwrites the sums. P V takes P from registers
      // and V transposed. One wait leaves the younger group pending, so that the softmax runs meanwhile.
      CHECK(count_instruction(kernel, "added, 1, 1, 0, 0;") > 0);
      CHECK(count_instruction(kernel, "added, 1, 1, 1;") > 0);
      CHECK(count_instruction(kernel, "setp.ne.s32 added, 0, 0;") > 0);
      CHECK(count_instruction(kernel, "wgmma.wait_group.sync.aligned 1;") == 1);
      // Four waits: for the first Q K^T, the next Q K^T, P V and the last P V. A fifth would mean a copy in a branch that
      // not all warps of a warpgroup take. All probabilities are computed before the third wait; a branch to a trap keeps
      // ptxas from moving them.
      CHECK(count_instruction(kernel, "wgmma.wait_group.sync.aligned") == 4);
      CHECK(count_instruction(kernel, "trap;") == 1);
      CHECK(count_instruction(kernel, "ex2.approx.ftz.f32") > 0);
      continue;
    }
    // Weight tiles are copied asynchronously while the previous ones are multiplied.
    if (is_by_tiles(kernel)) CHECK(count_instruction(kernel, "cp.async") > 0);
    if (!kOnMatrixCores.contains(without_arguments(kernel.name))) continue;
    // ldmatrix loads four 8 x 8 matrices at a time, and transposes values of the cache, which have one token per row. Kernels that stream
    // weights do not use it: each lane loads 16 bytes of the weight directly into registers.
    CHECK((count_instruction(kernel, "ldmatrix.sync.aligned.m8n8.x4.shared") > 0) == !streams_weights(kernel));
    if (is_of_latents(kernel)) CHECK(count_instruction(kernel, "cp.async") > 0);
    if (is_of_latents(kernel) || without_arguments(kernel.name) == "prefill_attention_kernel") {
      CHECK(count_instruction(kernel, "ldmatrix.sync.aligned.m8n8.x4.trans.shared") > 0);
    }
  }
  // These kernels use wgmma, in the order of the sum below:
  // - matmuls of one weight and of experts. Each has two tile shapes, and for each shape one kernel for every encoding without blocks
  //   except f32, one for all encodings in blocks, and one that multiplies int8 by int8;
  // - attention, for six head widths;
  // - the measurements of two peaks, of BF16 and of int8;
  // - stream_k_matmul, for BF16 and for int8;
  // - cluster_matmul, in two shapes of tiles, for BF16 and for int8.
  constexpr int kEncodings = static_cast<int>(WeightEncoding::kQ2K) - 1;
  constexpr int kKernels = 2 * 2 * (kEncodings + 2) + 6 + 2 + 2 + 2 * 2;
  CHECK(n_by_warpgroups == static_cast<int>(targets.size()) * kKernels);
}

TEST_CASE("the machine code for AMD", "[hip]") {
  const std::vector<KernelCode> kernels = hip_kernels();
  if (kernels.empty()) {
    std::cout << "skipped: the hip backend was not built here: `secondsource backends` says why\n";
    return;
  }
  std::set<std::string> targets;
  for (const KernelCode& kernel : kernels) targets.insert(kernel.target);
  CHECK(targets.contains("gfx90a"));
  check_kernels(kernels, targets);
}
