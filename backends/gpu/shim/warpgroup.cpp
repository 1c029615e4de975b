#include "gpu/shim/warpgroup.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "gpu/shim/block_runner.h"

namespace secondsource::gpu::shim {
namespace {

constexpr int kPoison = 0xff;
constexpr int kWarpsOfGroup = 4;
constexpr std::size_t kVecBytes = 16;  ///< bytes of a vector, the unit of swizzling
constexpr std::size_t kAtomLine = 128;
constexpr std::size_t kAtom = 8 * kAtomLine;

/// GmmaDescriptor of cute/arch/mma_sm90_desc.hpp; addresses and offsets in bytes.
struct Descriptor {
  std::size_t start = 0;
  std::size_t leading = 0;
  std::size_t stride = 0;
  std::uint64_t layout = 0;
  std::uint64_t other_bits = 0;  ///< base offset and reserved bits, zero in all descriptors that kernels use
};

Descriptor decode(std::uint64_t bits) {
  constexpr std::uint64_t kField = 0x3fff;  // 14 bits: an address or offset divided by 16
  return {.start = static_cast<std::size_t>(bits & kField) << 4,
          .leading = static_cast<std::size_t>(bits >> 16 & kField) << 4,
          .stride = static_cast<std::size_t>(bits >> 32 & kField) << 4,
          .layout = bits >> 62,
          .other_bits = bits & ~(kField | kField << 16 | kField << 32 | std::uint64_t{3} << 62)};
}

std::string check(const Descriptor& d, std::size_t start_step) {
  constexpr std::uint64_t kSwizzle128 = 1;
  if (d.layout == kSwizzle128 && d.other_bits == 0 && d.stride % kAtom == 0 && d.start % kAtom % start_step == 0 &&
      d.start % kAtom < kAtomLine) {
    return {};
  }
  return fmt::format(
      "a matrix descriptor that no kernel should make: start {}, leading {}, stride {}, swizzling mode {}, other bits "
      "{:x}",
      d.start, d.leading, d.stride, d.layout, d.other_bits);
}

/// Swizzle<3, 4, 3> of cute/swizzle.hpp on an address in bytes.
constexpr std::size_t swizzle(std::size_t address) {
  return address ^ (address >> 7 & 7) << 4;
}

/// Position of a lane's value in the 64 x N sums, for the first warp, which has 16 rows.
/// CLayout_64xN = Layout<Shape<Shape<4, 8, 4>, Shape<2, 2, N / 8>>, Stride<Stride<128, 1, 16>, Stride<64, 8, 512>>> maps
/// (thread, value) to an index into a column-major matrix of 64 rows. ALayout_64x16, of A in registers, is the same with
/// 16 columns.
struct Place {
  std::size_t row, col;
};
constexpr Place register_place(int lane, int value) {
  const int at = lane % 4 * 128 + lane / 4 * 1 + value % 2 * 64 + value / 2 % 2 * 8 + value / 4 * 512;
  return {static_cast<std::size_t>(at % 64), static_cast<std::size_t>(at / 64)};
}
constexpr int kFragmentValues = 8;

template <typename Number>
Number number_at(const std::byte* bytes) {
  Number number;
  std::memcpy(&number, bytes, sizeof(number));
  return number;
}
float exact(Bf16 value) {
  return to_float(value);
}
std::int32_t exact(std::int8_t value) {
  return value;
}

/// sums[row][col] += sum_k a[row][k] b[col][k]; a and b have lines of 32 bytes.
template <typename Input, typename Sum>
void accumulate(const std::byte* a, const std::byte* b, std::size_t n_rows, std::size_t n_cols, std::uint32_t* sums) {
  constexpr std::size_t kDepth = 32 / sizeof(Input);
  std::array<std::array<Sum, 256>, kDepth> columns;  // [k][col], so that the inner loop vectorizes
  for (std::size_t col = 0; col < n_cols; ++col) {
    for (std::size_t k = 0; k < kDepth; ++k) {
      columns[k][col] = exact(number_at<Input>(b + (col * kDepth + k) * sizeof(Input)));
    }
  }
  std::array<Sum, 256> line;
  for (std::size_t row = 0; row < n_rows; ++row) {
    std::memcpy(line.data(), sums + row * n_cols, n_cols * sizeof(Sum));
    for (std::size_t k = 0; k < kDepth; ++k) {
      const Sum x = exact(number_at<Input>(a + (row * kDepth + k) * sizeof(Input)));
      for (std::size_t col = 0; col < n_cols; ++col) line[col] += x * columns[k][col];
    }
    std::memcpy(sums + row * n_cols, line.data(), n_cols * sizeof(Sum));
  }
}

bool is_poisoned(const void* values, std::size_t bytes) {
  const auto* const begin = static_cast<const unsigned char*>(values);
  return std::all_of(begin, begin + bytes, [](unsigned char byte) { return byte == kPoison; });
}

}  // namespace

void Warpgroups::begin(std::byte* shared, std::size_t shared_bytes, int n_threads) {
  shared_ = shared;
  shared_bytes_ = shared_bytes;
  is_used_ = false;
  incoming_.clear();
  written_.assign(static_cast<std::size_t>(n_threads), {});
  warps_.assign(static_cast<std::size_t>(n_threads / kLanes), {});
  arrivals_.assign(warps_.size() / kWarpsOfGroup, {});
  issued_.assign(warps_.size() / kWarpsOfGroup, {});
}

void Warpgroups::use_async_view() {
  if (!is_used_) async_view_.assign(shared_bytes_, std::byte{kPoison});
  is_used_ = true;
}

void Warpgroups::record_write(int thread, const void* to, std::size_t bytes) {
  const auto at = reinterpret_cast<std::uintptr_t>(to) - reinterpret_cast<std::uintptr_t>(shared_);
  if (at >= shared_bytes_) return;  // not in shared memory
  use_async_view();
  std::fill_n(async_view_.begin() + static_cast<std::ptrdiff_t>(at), bytes, std::byte{kPoison});
  written_[static_cast<std::size_t>(thread)].push_back({at, bytes});
}

void Warpgroups::fence_proxy(int thread) {
  std::vector<Span>& written = written_[static_cast<std::size_t>(thread)];
  for (const Span& span : written) std::memcpy(async_view_.data() + span.begin, shared_ + span.begin, span.bytes);
  written.clear();
}

std::optional<std::size_t> Warpgroups::find_incoming(std::size_t at, std::size_t bytes) const {
  for (const Span& span : incoming_) {
    if (at < span.begin + span.bytes && span.begin < at + bytes) return std::max(at, span.begin);
  }
  return std::nullopt;
}

std::string Warpgroups::begin_copy(std::size_t at, std::size_t bytes) {
  use_async_view();
  if (const auto incoming = find_incoming(at, bytes)) {
    return fmt::format("two copies at the same time to byte {} of shared memory", *incoming);
  }
  incoming_.push_back({at, bytes});
  if (std::memcmp(shared_ + at, async_view_.data() + at, bytes) != 0) {
    return fmt::format("a copy to byte {} of shared memory, which was written and not shown to copies", at);
  }
  return {};
}

void Warpgroups::finish_copy(std::size_t at, std::size_t bytes) {
  std::erase_if(incoming_, [&](const Span& span) { return span.begin == at; });
  std::memcpy(async_view_.data() + at, shared_ + at, bytes);
}

std::string Warpgroups::arrive(int warp, std::string_view what, const std::source_location* const* lanes) {
  Warp& own = warps_[static_cast<std::size_t>(warp)];
  const auto group = static_cast<std::size_t>(warp / kWarpsOfGroup);
  const std::source_location& where = *lanes[0];
  for (int lane = 1; lane < kLanes; ++lane) {
    if (is_same_place(*lanes[lane], where)) continue;
    return fmt::format("divergent warp: lane 0 comes to a {} at {}, lane {} at {}", what, describe(where), lane,
                       describe(*lanes[lane]));
  }
  if (group >= arrivals_.size()) return fmt::format("a {} in warps that make no whole warpgroup", what);
  if (own.n_arrivals == arrivals_[group].size()) arrivals_[group].push_back({what, where});
  const Instruction& first = arrivals_[group][own.n_arrivals++];
  if (first.what == what && is_same_place(first.where, where)) return {};
  return fmt::format("divergent warpgroup: warp {} comes to a {} at {}, another one to a {} at {}", warp, what,
                     describe(where), first.what, describe(first.where));
}

void Warpgroups::fence(int warp) {
  warps_[static_cast<std::size_t>(warp)].is_fenced = true;
}

void Warpgroups::commit(int warp) {
  ++warps_[static_cast<std::size_t>(warp)].n_groups;
}

std::string Warpgroups::read(std::size_t at, std::size_t bytes, Operation& operation, std::byte* to) const {
  if (at > shared_bytes_ || bytes > shared_bytes_ - at) {
    return fmt::format("a product reads byte {} of a block's {} of shared memory", at, shared_bytes_);
  }
  if (const auto incoming = find_incoming(at, bytes)) {
    return fmt::format("a product reads byte {} of shared memory, to which a copy is under way", *incoming);
  }
  if (std::memcmp(shared_ + at, async_view_.data() + at, bytes) != 0) {
    return fmt::format("a product reads byte {} of shared memory, which was written and not shown to warpgroups", at);
  }
  std::memcpy(to, shared_ + at, bytes);
  operation.read.push_back({at, bytes});
  return {};
}

/// K-major, in vectors of 16 bytes: Swizzle<3, 4, 3> o ((8, n), 2) : ((8, SBO), 1).
std::string Warpgroups::load_lines(std::uint64_t descriptor, int first, int n_lines, Operation& operation,
                                   std::byte* to) const {
  const Descriptor d = decode(descriptor);
  if (std::string wrong = check(d, kLineBytes); !wrong.empty()) return wrong;
  for (int line = first; line < first + n_lines; ++line) {
    const auto i = static_cast<std::size_t>(line);
    for (std::size_t vec = 0; vec < 2; ++vec) {
      const std::size_t at = swizzle(d.start + i % 8 * kAtomLine + i / 8 * d.stride + vec * kVecBytes);
      if (std::string wrong = read(at, kVecBytes, operation, to); !wrong.empty()) return wrong;
      to += kVecBytes;
    }
  }
  return {};
}

/// MN-major, in vectors of 16 bytes: Swizzle<3, 4, 3> o ((8, n), (8, k)) : ((1, LBO), (8, SBO)). Line i of `to` receives
/// column i.
std::string Warpgroups::load_transposed(std::uint64_t descriptor, int n_cols, Operation& operation,
                                        std::byte* to) const {
  const Descriptor d = decode(descriptor);
  if (std::string wrong = check(d, kAtom); !wrong.empty()) return wrong;
  if (n_cols > 64 && (d.leading == 0 || d.leading % kAtom != 0))
    return fmt::format("a leading offset of {}", d.leading);
  constexpr std::size_t kValues = kVecBytes / sizeof(Bf16);
  for (std::size_t col = 0; col < static_cast<std::size_t>(n_cols); col += kValues) {
    for (std::size_t k = 0; k < kLineBytes / sizeof(Bf16); ++k) {
      const std::size_t at =
          swizzle(d.start + col % 64 * sizeof(Bf16) + col / 64 * d.leading + k % 8 * kAtomLine + k / 8 * d.stride);
      std::array<std::byte, kVecBytes> vec;
      if (std::string wrong = read(at, kVecBytes, operation, vec.data()); !wrong.empty()) return wrong;
      for (std::size_t i = 0; i < kValues; ++i) {
        std::memcpy(to + (col + i) * kLineBytes + k * sizeof(Bf16), vec.data() + i * sizeof(Bf16), sizeof(Bf16));
      }
    }
  }
  return {};
}

std::string Warpgroups::multiply(int warp, const WarpgroupProduct* const* lanes) {
  Warp& own = warps_[static_cast<std::size_t>(warp)];
  const auto group = static_cast<std::size_t>(warp / kWarpsOfGroup);
  const WarpgroupProduct& product = *lanes[0];
  for (int lane = 1; lane < kLanes; ++lane) {
    if (!lanes[lane]->same_operands(product)) return "the lanes of a warp bring different operands of a product";
  }
  if (own.n_products == issued_[group].size()) issued_[group].push_back(product);
  if (!issued_[group][own.n_products++].same_operands(product)) {
    return "the warps of a warpgroup bring different operands of a product";
  }
  if (!own.is_fenced) return "a product without a fence since the block began, or since the last wait";
  use_async_view();

  Operation operation;
  operation.group = own.n_groups;
  std::array<std::byte, kRows * kLineBytes> a;
  std::array<std::byte, kMaxCols * kLineBytes> b;
  std::string wrong;
  if (product.fragment == nullptr) {
    wrong = load_lines(product.a, warp % kWarpsOfGroup * kRows, kRows, operation, a.data());
  } else {
    for (int lane = 0; lane < kLanes; ++lane) {
      operation.fragments.of_lane[lane] = const_cast<void*>(lanes[lane]->fragment);
      const auto* const bytes = static_cast<const std::byte*>(lanes[lane]->fragment);
      for (std::size_t i = 0; i < kFragmentValues; ++i) {
        const Place place = register_place(lane, static_cast<int>(i));
        std::memcpy(a.data() + place.row * kLineBytes + place.col * sizeof(Bf16), bytes + i * sizeof(Bf16),
                    sizeof(Bf16));
      }
      operation.fragment_bytes.insert(operation.fragment_bytes.end(), bytes, bytes + kFragmentValues * sizeof(Bf16));
    }
  }
  if (wrong.empty() && product.b_transposed) wrong = load_transposed(product.b, product.n_cols, operation, b.data());
  if (wrong.empty() && !product.b_transposed) wrong = load_lines(product.b, 0, product.n_cols, operation, b.data());
  if (!wrong.empty()) return wrong;
  for (const Span& span : operation.read) {
    operation.bytes.insert(operation.bytes.end(), shared_ + span.begin, shared_ + span.begin + span.bytes);
  }

  const auto n_cols = static_cast<std::size_t>(product.n_cols);
  auto sums =
      std::ranges::find_if(own.sums, [&](const Sums& each) { return each.registers.of_lane[0] == lanes[0]->sums; });
  if (sums == own.sums.end()) {
    sums = own.sums.emplace(own.sums.end());
    sums->n_values = product.n_cols / 2;
    sums->is_int8 = product.is_int8;
    sums->element.resize(kRows * n_cols);
    for (int lane = 0; lane < kLanes; ++lane) {
      sums->registers.of_lane[lane] = lanes[lane]->sums;
      for (int i = 0; i < sums->n_values; ++i) {
        const Place place = register_place(lane, i);
        std::memcpy(&sums->element[place.row * n_cols + place.col], static_cast<std::uint32_t*>(lanes[lane]->sums) + i,
                    sizeof(std::uint32_t));
      }
      std::memset(lanes[lane]->sums, kPoison, static_cast<std::size_t>(sums->n_values) * sizeof(std::uint32_t));
    }
  } else if (sums->n_values != product.n_cols / 2 || sums->is_int8 != product.is_int8) {
    return "products of different shapes add to the same sums";
  }
  if (!product.adds) std::ranges::fill(sums->element, 0U);  // of f32 and of int32
  sums->last_group = own.n_groups;
  if (product.is_int8) {
    accumulate<std::int8_t, std::int32_t>(a.data(), b.data(), kRows, n_cols, sums->element.data());
  } else {
    accumulate<Bf16, float>(a.data(), b.data(), kRows, n_cols, sums->element.data());
  }
  own.operations.push_back(std::move(operation));
  return {};
}

std::string Warpgroups::check_operation(const Operation& operation) const {
  const std::byte* was = operation.bytes.data();
  for (const Span& span : operation.read) {
    if (std::memcmp(shared_ + span.begin, was, span.bytes) != 0) {
      return fmt::format("byte {} of shared memory was written while a product could still read it", span.begin);
    }
    was += span.bytes;
  }
  if (operation.fragment_bytes.empty()) return {};
  constexpr std::size_t kBytes = kFragmentValues * sizeof(Bf16);
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    if (std::memcmp(operation.fragments.of_lane[lane], operation.fragment_bytes.data() + lane * kBytes, kBytes) != 0) {
      return "a fragment was written while a product could still read it";
    }
  }
  return {};
}

std::string Warpgroups::wait(int warp, int n_pending_groups) {
  Warp& own = warps_[static_cast<std::size_t>(warp)];
  own.is_fenced = false;
  const int n_done = own.n_groups - n_pending_groups;
  for (const Operation& operation : own.operations) {
    if (operation.group >= n_done) continue;
    if (std::string wrong = check_operation(operation); !wrong.empty()) return wrong;
  }
  std::erase_if(own.operations, [&](const Operation& operation) { return operation.group < n_done; });
  for (const Sums& sums : own.sums) {
    const std::size_t n_cols = static_cast<std::size_t>(sums.n_values) * 2;
    for (int lane = 0; lane < kLanes; ++lane) {
      auto* const registers = static_cast<std::uint32_t*>(sums.registers.of_lane[lane]);
      if (!is_poisoned(registers, static_cast<std::size_t>(sums.n_values) * sizeof(std::uint32_t))) {
        return "sums were written while a product adds to them";
      }
      if (sums.last_group >= n_done) continue;
      for (int i = 0; i < sums.n_values; ++i) {
        const Place place = register_place(lane, i);
        std::memcpy(registers + i, &sums.element[place.row * n_cols + place.col], sizeof(std::uint32_t));
      }
    }
  }
  std::erase_if(own.sums, [&](const Sums& sums) { return sums.last_group < n_done; });
  return {};
}

std::string Warpgroups::end() const {
  for (std::size_t warp = 0; warp < warps_.size(); ++warp) {
    if (!warps_[warp].operations.empty()) return fmt::format("warp {} ends while its products are under way", warp);
    const std::size_t group = warp / kWarpsOfGroup;
    if (group < issued_.size() && warps_[warp].n_products != issued_[group].size()) {
      return fmt::format("warp {} takes part in {} products of its warpgroup's {}", warp, warps_[warp].n_products,
                         issued_[group].size());
    }
    if (group < arrivals_.size() && warps_[warp].n_arrivals != arrivals_[group].size()) {
      const Instruction& missed = arrivals_[group][warps_[warp].n_arrivals];
      return fmt::format("divergent warpgroup: warp {} does not come to the {} at {}", warp, missed.what,
                         describe(missed.where));
    }
  }
  return {};
}

namespace {

void fail_unless_empty(std::string wrong) {
  if (!wrong.empty()) BlockRunner::current().fail(std::move(wrong));
}

int running_warp() {
  return BlockRunner::current().thread_index() / 32;
}

/// `lanes`: the call site of each lane.
void arrive(std::string_view what, void* const* lanes) {
  std::array<const std::source_location*, 32> places{};
  for (std::size_t lane = 0; lane < places.size(); ++lane) {
    places[lane] = static_cast<const std::source_location*>(lanes[lane]);
  }
  fail_unless_empty(BlockRunner::current().warpgroups().arrive(running_warp(), what, places.data()));
}

}  // namespace

std::uint32_t shared_address(const void* address) {
  BlockRunner& runner = BlockRunner::current();
  runner.check_in_shared(address, 1);
  return static_cast<std::uint32_t>(static_cast<const std::byte*>(address) -
                                    static_cast<const std::byte*>(runner.shared_memory(0)));
}

void note_store(const void* address, std::size_t bytes) {
  BlockRunner::current().note_store(address, bytes);
}

void fence_proxy_async() {
  BlockRunner& runner = BlockRunner::current();
  runner.warpgroups().fence_proxy(runner.thread_index());
}

void fence_products(int warp_size, std::source_location where) {
  meet_warp(
      warp_size, &where,
      [](void* const* lanes, int, int) {
        arrive("fence", lanes);
        BlockRunner::current().warpgroups().fence(running_warp());
      },
      0);
}

void commit_products(int warp_size, std::source_location where) {
  meet_warp(
      warp_size, &where,
      [](void* const* lanes, int, int) {
        arrive("commit", lanes);
        BlockRunner::current().warpgroups().commit(running_warp());
      },
      0);
}

void wait_for_products(int warp_size, int n_pending_groups, std::source_location where) {
  meet_warp(
      warp_size, &where,
      [](void* const* lanes, int, int n_pending) {
        arrive("wait", lanes);
        fail_unless_empty(BlockRunner::current().warpgroups().wait(running_warp(), n_pending));
      },
      n_pending_groups);
}

void multiply_warpgroup(int warp_size, const WarpgroupProduct& product) {
  WarpgroupProduct mine = product;
  meet_warp(
      warp_size, &mine,
      [](void* const* lanes, int n_lanes, int) {
        std::array<const WarpgroupProduct*, 32> products{};
        std::array<void*, 32> places{};
        for (int lane = 0; lane < n_lanes; ++lane) {
          auto* const brought = static_cast<WarpgroupProduct*>(lanes[lane]);
          products[static_cast<std::size_t>(lane)] = brought;
          places[static_cast<std::size_t>(lane)] = &brought->where;
        }
        arrive("product", places.data());
        fail_unless_empty(BlockRunner::current().warpgroups().multiply(running_warp(), products.data()));
      },
      0);
}

}  // namespace secondsource::gpu::shim
