#pragma once
// The products of the warpgroups of one block (portable/warpgroup.h), executed as late and read as early as PTX allows:
// operands are read when a warp issues the product, sums arrive when it waits, and what changed in between is an error.
//
// The tensor cores read shared memory as another proxy than the threads do. Here they read a second copy of it, into
// which a thread's writes come when it shows them; a place that was written since is NaN there, and to read it an
// error. Layouts are CuTe's (CUTLASS 4, cute/atom/mma_traits_sm90_gmma.hpp) and come from nowhere else; kernels have
// them as arithmetic after the PTX ISA.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

#include "gpu/shim/thread.h"

namespace secondsource::gpu::shim {

class Warpgroups {
 public:
  /// A new block, whose shared memory is poisoned.
  void begin(std::byte* shared, std::size_t shared_bytes, int n_threads);

  /// What threads did. The strings say what was wrong with it, and are empty when nothing was.
  void wrote(int thread, const void* to, std::size_t bytes);
  void show(int thread);
  /// A warp comes to an instruction that all four execute together: `what` of "fence", "product", "commit", "wait", and
  /// where each lane's call is.
  [[nodiscard]] std::string come(int warp, std::string_view what, const std::source_location* const* lanes);
  void fence(int warp);
  void commit(int warp);
  [[nodiscard]] std::string wait(int warp, int n_pending_groups);
  [[nodiscard]] std::string multiply(int warp, const WarpgroupProduct* const* lanes);
  /// After the last thread has ended.
  [[nodiscard]] std::string end() const;

 private:
  static constexpr int kLanes = 32;
  static constexpr int kRows = 16;       ///< of a warp
  static constexpr int kLineBytes = 32;  ///< of k in one product
  static constexpr int kMaxCols = 256;

  struct Span {
    std::size_t begin = 0;
    std::size_t bytes = 0;
  };
  /// Registers of the warp's lanes.
  struct Registers {
    void* of_lane[kLanes] = {};
  };
  struct Operation {
    int group = 0;
    std::vector<Span> read;        ///< of shared memory
    std::vector<std::byte> bytes;  ///< that were there, one span after the other
    Registers fragments;           ///< null: A was in shared memory
    std::vector<std::byte> fragment_bytes;
  };
  /// Sums that are in no register until their last product was waited for.
  struct Sums {
    Registers registers;
    int n_values = 0;  ///< a lane
    bool is_int8 = false;
    int last_group = 0;
    std::vector<std::uint32_t> element;  ///< [row][column], bits of f32 or int32
  };
  /// An instruction of a warpgroup, as the first of its warps came to it.
  struct Instruction {
    std::string_view what;
    std::source_location where;
  };
  struct Warp {
    bool is_fenced = false;
    std::size_t n_came = 0;
    int n_groups = 0;  ///< that were committed
    std::size_t n_products = 0;
    std::vector<Operation> operations;
    std::vector<Sums> sums;
  };

  [[nodiscard]] std::string read(std::size_t at, std::size_t bytes, Operation& operation, std::byte* to) const;
  [[nodiscard]] std::string load_lines(std::uint64_t descriptor, int first, int n_lines, Operation& operation,
                                       std::byte* to) const;
  [[nodiscard]] std::string load_transposed(std::uint64_t descriptor, int n_cols, Operation& operation,
                                            std::byte* to) const;
  [[nodiscard]] std::string check_operation(const Operation& operation) const;

  std::byte* shared_ = nullptr;
  std::size_t shared_bytes_ = 0;
  bool is_used_ = false;                    ///< by this block: most kernels have no products of warpgroups
  std::vector<std::byte> shown_;            ///< shared memory as the tensor cores see it
  std::vector<std::vector<Span>> written_;  ///< and not shown yet, by thread
  std::vector<Warp> warps_;
  std::vector<std::vector<Instruction>> came_;         ///< of each warpgroup
  std::vector<std::vector<WarpgroupProduct>> issued_;  ///< of each warpgroup, by its first warp that came
};

}  // namespace secondsource::gpu::shim
