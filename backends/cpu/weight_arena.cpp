#include "cpu/weight_arena.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>

#include "core/checked.h"
#include "core/units.h"

namespace secondsource::cpu {
namespace {

constexpr std::size_t kRegionBytes = std::size_t{64} << 20;
constexpr std::size_t kAlignmentBytes = 64;

}  // namespace

WeightArena::~WeightArena() {
  for (const Region& region : regions_) munmap(region.mapping, region.mapped_bytes);
  account_->remove(MemoryPurpose::kWeights, static_cast<std::int64_t>(handed_out_bytes_));
}

Result<void> WeightArena::add_region(std::size_t bytes) {
  Region region;
  region.size_bytes = round_up(std::max(bytes, kRegionBytes), kHugePageBytes);
  // A margin without the advice stays before and after the region. Otherwise the kernel might merge it with a neighbour
  // into one mapping, and huge_bytes() could not tell their pages apart.
  region.mapped_bytes = region.size_bytes + 2 * kHugePageBytes;
  if (region.mapped_bytes < bytes) return Error{ErrorCode::kOutOfMemory, "weights: do not fit the address space"};
  void* const address =
      mmap(nullptr, region.mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) {
    return Error{ErrorCode::kOutOfMemory,
                 fmt::format("weights: {} could not be allocated", format_bytes(static_cast<std::int64_t>(bytes)))};
  }
  region.mapping = static_cast<std::byte*>(address);
  const auto start = reinterpret_cast<std::uintptr_t>(address);
  region.begin = region.mapping + (round_up(start + 1, kHugePageBytes) - start);
  (void)madvise(region.begin, region.size_bytes, MADV_HUGEPAGE);  // a hint
  regions_.push_back(region);
  return {};
}

Result<std::span<std::byte>> WeightArena::allocate(std::size_t bytes) {
  const std::size_t rounded = round_up(bytes, kAlignmentBytes);
  if (rounded < bytes) return Error{ErrorCode::kOutOfMemory, "weights: do not fit the address space"};
  auto region = std::ranges::find_if(
      regions_, [rounded](const Region& candidate) { return candidate.size_bytes - candidate.used_bytes >= rounded; });
  if (region == regions_.end()) {
    SS_TRY_VOID(add_region(rounded));
    region = regions_.end() - 1;
  }
  std::byte* const begin = region->begin + region->used_bytes;
  region->used_bytes += rounded;
  handed_out_bytes_ += rounded;
  account_->add(MemoryPurpose::kWeights, static_cast<std::int64_t>(rounded));
  return std::span(begin, bytes);
}

std::optional<std::int64_t> WeightArena::huge_bytes() const {
  std::ifstream file("/proc/self/smaps");
  const std::string smaps((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (smaps.empty()) return std::nullopt;
  std::int64_t bytes = 0;
  for (const Region& region : regions_) {
    // The last huge page may be allocated only in part.
    const auto used = static_cast<std::int64_t>(region.used_bytes);
    bytes += std::min(used, huge_page_bytes(smaps, {region.begin, region.size_bytes}));
  }
  return bytes;
}

}  // namespace secondsource::cpu
