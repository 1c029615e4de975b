#pragma once
// Parses a vendor compiler's log and assembly of the kernels: registers, spills, and how often an instruction occurs in a
// kernel's body.

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace secondsource::test {

struct KernelCode {
  std::string symbol;     ///< mangled name
  std::string name;       ///< "tiled_matmul_kernel<(WeightEncoding)2, false>"
  std::string target;     ///< "sm_80", "gfx90a"
  int registers = 0;      ///< per thread (NVIDIA); vector and accumulation registers per lane (AMD)
  int spilled_bytes = 0;  ///< spilled to memory. NVIDIA: bytes stored; AMD: four per vector register
  int stack_bytes = 0;    ///< per thread: arrays that are not in registers
  int shared_bytes = 0;   ///< static shared memory per block, as the compiler reports it
  int asked_bytes = 0;    ///< dynamic shared memory per block, from comments in the body
  std::string body;       ///< PTX or assembly, if it was read
};

/// The kernel's own name and template arguments, from a mangled name such as "_ZN...tiled_matmul_kernelI...".
[[nodiscard]] std::string short_kernel_name(const std::string& symbol);

/// Parses the output of `nvcc -Xptxas -v`: one record per kernel and target, without bodies.
[[nodiscard]] std::vector<KernelCode> read_ptxas_log(std::string_view log);

/// Kernels of a PTX file, symbol -> body.
[[nodiscard]] std::map<std::string, std::string> read_ptx(std::string_view ptx);

/// Kernels of an assembly file of clang's AMDGPU target, with the numbers of its metadata.
[[nodiscard]] std::vector<KernelCode> read_amd_assembly(std::string_view assembly, const std::string& target);

/// Dynamic shared memory of a kernel: the largest size in the comments that gpu/portable/target.h puts into the code; 0 if
/// there are none.
[[nodiscard]] int asked_shared_bytes(std::string_view body);

/// The number of lines of the body that contain the instruction.
[[nodiscard]] int count_instruction(const KernelCode& kernel, std::string_view instruction);

/// One line per kernel: target, registers, spills, stack, shared memory of a block, name.
[[nodiscard]] std::string table_of(const std::vector<KernelCode>& kernels);

}  // namespace secondsource::test
