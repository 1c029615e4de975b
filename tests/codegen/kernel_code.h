#pragma once
// What a vendor's compiler made of the kernels, read from its log and its machine code: registers, spills, and how
// often an instruction occurs in a kernel's body.

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace secondsource::test {

struct KernelCode {
  std::string symbol;     ///< as the linker has it
  std::string name;       ///< "tiled_matmul_kernel<(WeightEncoding)2, false>"
  std::string target;     ///< "sm_80", "gfx90a"
  int registers = 0;      ///< of a thread (NVIDIA), vector registers of a lane with the accumulation ones (AMD)
  int spilled_bytes = 0;  ///< to memory. NVIDIA: bytes stored; AMD: four for each vector register
  int stack_bytes = 0;    ///< of a thread: arrays that could not be kept in registers
  int shared_bytes = 0;   ///< static, of a block, as the compiler says it
  int asked_bytes = 0;    ///< of a block, that its launch adds: from the body
  std::string body;       ///< PTX or assembly, where it was read
};

/// "_ZN...tiled_matmul_kernelI...": the kernel's own name and template arguments.
[[nodiscard]] std::string short_kernel_name(const std::string& symbol);

/// What `nvcc -Xptxas -v` printed: a record a kernel and target, without bodies.
[[nodiscard]] std::vector<KernelCode> read_ptxas_log(std::string_view log);

/// Kernels of a PTX file, symbol -> body.
[[nodiscard]] std::map<std::string, std::string> read_ptx(std::string_view ptx);

/// Kernels of an assembly file of clang's AMDGPU target, with the numbers of its metadata.
[[nodiscard]] std::vector<KernelCode> read_amd_assembly(std::string_view assembly, const std::string& target);

/// Bytes of shared memory that the kernel's source lays out over what its launch adds: the largest of the comments that
/// gpu/portable/target.h puts into the code; 0 where there are none.
[[nodiscard]] int asked_shared_bytes(std::string_view body);

/// Lines of the body that have the instruction.
[[nodiscard]] int count_instruction(const KernelCode& kernel, std::string_view instruction);

/// A line a kernel: target, registers, spills, stack, shared memory of a block, name.
[[nodiscard]] std::string table_of(const std::vector<KernelCode>& kernels);

}  // namespace secondsource::test
