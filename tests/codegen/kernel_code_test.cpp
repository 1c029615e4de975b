// The parsers of compiler output, on excerpts from nvcc 13.0 and clang 15.

#include "codegen/kernel_code.h"

#include "support/catch.h"

using namespace secondsource::test;

namespace {

constexpr const char* kSymbol =
    "_ZN12secondsource3gpu10hip_target12_GLOBAL__N_119tiled_matmul_kernelILNS_14WeightEncodingE1ELb0EEEvNS0_"
    "15MatmulArgumentsE";

}  // namespace

TEST_CASE("a kernel's name is what stands in its source, with its template arguments") {
  CHECK(short_kernel_name(kSymbol) == "tiled_matmul_kernel<(WeightEncoding)1, false>");
  CHECK(short_kernel_name("_ZN12secondsource3gpu11cuda_target13sample_kernelENS0_15SampleArgumentsE") ==
        "sample_kernel");
  CHECK(short_kernel_name("not_mangled") == "not_mangled");
}

TEST_CASE("nvcc's log gives registers, spills and stack by kernel and target") {
  const auto kernels = read_ptxas_log(
      "ptxas info    : 0 bytes gmem\n"
      "ptxas info    : Compiling entry function '_Z11axpy_kernelIiEvT_PS0_' for 'sm_80'\n"
      "ptxas info    : Function properties for _Z11axpy_kernelIiEvT_PS0_\n"
      "    512 bytes stack frame, 28 bytes spill stores, 44 bytes spill loads\n"
      "ptxas info    : Used 58 registers, used 1 barriers, 2048 bytes smem, 472 bytes cmem[0]\n"
      "ptxas info    : Compiling entry function '_Z11axpy_kernelIiEvT_PS0_' for 'sm_90a'\n"
      "ptxas info    : Function properties for _Z11axpy_kernelIiEvT_PS0_\n"
      "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
      "ptxas info    : Used 8 registers, used 0 barriers\n");
  REQUIRE(kernels.size() == 2);
  CHECK(kernels[0].name == "axpy_kernel<int>");
  CHECK(kernels[0].target == "sm_80");
  CHECK(kernels[0].registers == 58);
  CHECK(kernels[0].spilled_bytes == 28);
  CHECK(kernels[0].stack_bytes == 512);
  CHECK(kernels[0].shared_bytes == 2048);
  CHECK(kernels[1].target == "sm_90a");
  CHECK(kernels[1].spilled_bytes == 0);
  CHECK(read_ptxas_log("").empty());
}

TEST_CASE("PTX is cut into kernels") {
  const auto bodies = read_ptx(
      ".version 9.0\n.visible .entry one(\n\t.param .u64 one_param_0\n)\n{\n\t{\n.reg .pred "
      "p;\n}\n\tmma.sync.aligned.m16n8k16 a;\n\tret;\n}\n"
      ".visible .entry two(\n\t.param .u64 two_param_0\n)\n{\n\tret;\n}\n");
  REQUIRE(bodies.size() == 2);
  KernelCode kernel;
  kernel.body = bodies.at("one");
  CHECK(count_instruction(kernel, "mma.sync.aligned.m16n8k16") == 1);
  kernel.body = bodies.at("two");
  CHECK(count_instruction(kernel, "mma.sync.aligned.m16n8k16") == 0);
}

TEST_CASE("AMD's assembly is cut into kernels, and its metadata read") {
  const std::string symbol = kSymbol;
  const std::string assembly = symbol + ": ; @" + symbol +
                               "\n\tv_mfma_f32_16x16x16bf16_1k a[0:3], v[0:1], v[2:3], a[0:3]\n"
                               "\tbuffer_store_dword v9, off, s[0:3], 0 offset:28\n\ts_endpgm\n.Lfunc_end0:\n"
                               "\tv_mfma_f32_16x16x16bf16_1k of nobody\n"
                               "\t.amdgpu_metadata\n---\namdhsa.kernels:\n  - .agpr_count:     16\n    .args:\n"
                               "      - .offset:         0\n        .name:           x\n"
                               "    .group_segment_fixed_size: 64\n    .name:           " +
                               symbol +
                               "\n    .private_segment_fixed_size: 272\n    .sgpr_count:     62\n"
                               "    .sgpr_spill_count: 21\n    .symbol:         " +
                               symbol +
                               ".kd\n    .vgpr_count:     72\n    .vgpr_spill_count: 3\n    .wavefront_size: 64\n"
                               "amdhsa.target:   amdgcn-amd-amdhsa--gfx90a\n";
  const auto kernels = read_amd_assembly(assembly, "gfx90a");
  REQUIRE(kernels.size() == 1);
  const KernelCode& kernel = kernels.front();
  CHECK(kernel.name == "tiled_matmul_kernel<(WeightEncoding)1, false>");
  CHECK(kernel.registers == 72);
  CHECK(kernel.spilled_bytes == 12);  // three vector registers; scalar ones are kept in vector registers
  CHECK(kernel.stack_bytes == 272);
  CHECK(kernel.shared_bytes == 64);
  CHECK(count_instruction(kernel, "v_mfma_f32_16x16x16bf16_1k") == 1);
}

TEST_CASE("the table has a line a kernel") {
  KernelCode kernel;
  kernel.name = "rms_norm_kernel";
  kernel.target = "sm_80";
  kernel.registers = 32;
  CHECK(table_of({kernel}) ==
        "target   registers spilled  stack  shared  kernel\n"
        "sm_80           32       0      0       0  rms_norm_kernel\n");
}

TEST_CASE("what a launch adds of shared memory is the largest that the code names, in either notation") {
  CHECK(asked_shared_bytes("\t// shared_memory 128 bytes\n\tmov.u32 %r1, 0;\n\t// shared_memory 66560 bytes\n") ==
        66560);
  CHECK(asked_shared_bytes("\t; shared_memory 0x10400 bytes\n\t; shared_memory 64 bytes\n") == 66560);
  CHECK(asked_shared_bytes("\tret;\n") == 0);
}
