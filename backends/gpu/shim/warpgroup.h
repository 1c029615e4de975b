#pragma once
// Emulates the wgmma products of one block (portable/warpgroup.h) at the extremes of what PTX allows: operands are read
// when a warp issues the product, sums arrive when it waits, and an operand or sum changed in between is an error.
//
// wgmma reads shared memory through the async proxy. Here it reads a second copy, which receives a thread's writes when the
// thread fences (fence_proxy_async). A byte written since is NaN in the copy, and reading it is an error. Layouts are
// taken from CuTe only (CUTLASS 4, cute/atom/mma_traits_sm90_gmma.hpp); kernels have them as arithmetic after the PTX
// ISA.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

#include "gpu/shim/thread.h"

namespace secondsource::gpu::shim {

class Warpgroups {
 public:
  /// Starts a new block, whose shared memory is poisoned.
  void begin(std::byte* shared, std::size_t shared_bytes, int n_threads);

  // Events of threads and warps. A returned string describes what was wrong with the event; it is empty if nothing was.
  void record_write(int thread, const void* to, std::size_t bytes);
  void fence_proxy(int thread);
  /// A copy of a tile through the async proxy begins to write bytes of shared memory, which are poisoned, and has written them.
  [[nodiscard]] std::string begin_copy(std::size_t at, std::size_t bytes);
  void finish_copy(std::size_t at, std::size_t bytes);
  /// A warp arrives at an instruction that all four warps execute together. `what`: "fence", "product", "commit" or "wait";
  /// `lanes`: the call site of each lane.
  [[nodiscard]] std::string arrive(int warp, std::string_view what, const std::source_location* const* lanes);
  void fence(int warp);
  void commit(int warp);
  [[nodiscard]] std::string wait(int warp, int n_pending_groups);
  [[nodiscard]] std::string multiply(int warp, const WarpgroupProduct* const* lanes);
  /// After the last thread has ended.
  [[nodiscard]] std::string end() const;

 private:
  static constexpr int kLanes = 32;
  static constexpr int kRows = 16;       ///< rows of a warp
  static constexpr int kLineBytes = 32;  ///< extent of K of one product, in bytes
  static constexpr int kMaxCols = 256;

  struct Span {
    std::size_t begin = 0;
    std::size_t bytes = 0;
  };
  /// Addresses of the same registers in each lane of a warp.
  struct Registers {
    void* of_lane[kLanes] = {};
  };
  struct Operation {
    int group = 0;
    std::vector<Span> read;        ///< spans of shared memory that it reads
    std::vector<std::byte> bytes;  ///< their content at issue, one span after the other
    Registers fragments;           ///< null: A is in shared memory
    std::vector<std::byte> fragment_bytes;
  };
  /// Accumulators of pending products. The lanes' registers hold poison until the last product has been waited for.
  struct Sums {
    Registers registers;
    int n_values = 0;  ///< values per lane
    bool is_int8 = false;
    int last_group = 0;
    std::vector<std::uint32_t> element;  ///< [row][column], bits of f32 or int32
  };
  /// An instruction of a warpgroup, as the first of its warps executed it.
  struct Instruction {
    std::string_view what;
    std::source_location where;
  };
  struct Warp {
    bool is_fenced = false;
    std::size_t n_arrivals = 0;
    int n_groups = 0;  ///< committed groups
    std::size_t n_products = 0;
    std::vector<Operation> operations;
    std::vector<Sums> sums;
  };

  /// The first of these bytes of shared memory to which a copy is under way.
  [[nodiscard]] std::optional<std::size_t> find_incoming(std::size_t at, std::size_t bytes) const;
  /// Creates the second copy of shared memory when it is needed first.
  void use_async_view();
  [[nodiscard]] std::string read(std::size_t at, std::size_t bytes, Operation& operation, std::byte* to) const;
  [[nodiscard]] std::string load_lines(std::uint64_t descriptor, int first, int n_lines, Operation& operation,
                                       std::byte* to) const;
  [[nodiscard]] std::string load_transposed(std::uint64_t descriptor, int n_cols, Operation& operation,
                                            std::byte* to) const;
  [[nodiscard]] std::string check_operation(const Operation& operation) const;

  std::byte* shared_ = nullptr;
  std::size_t shared_bytes_ = 0;
  bool is_used_ = false;                    ///< this block uses shared memory or wgmma; async_view_ is then valid
  std::vector<std::byte> async_view_;       ///< shared memory as the tensor cores see it
  std::vector<std::vector<Span>> written_;  ///< writes that are not fenced yet, per thread
  std::vector<Span> incoming_;              ///< copies under way
  std::vector<Warp> warps_;
  std::vector<std::vector<Instruction>> arrivals_;     ///< instructions per warpgroup, in order
  std::vector<std::vector<WarpgroupProduct>> issued_;  ///< products per warpgroup, as its first warp issued them
};

}  // namespace secondsource::gpu::shim
