#include "backend_kit/host_memory.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <system_error>
#include <utility>

#include "core/checked.h"
#include "core/units.h"

namespace secondsource {

void MemoryAccount::add(MemoryPurpose purpose, std::int64_t bytes) {
  bytes_[static_cast<std::size_t>(purpose)] += bytes;
  const std::int64_t total = total_ += bytes;
  std::int64_t peak = peak_.load();
  while (total > peak && !peak_.compare_exchange_weak(peak, total)) {
  }
}

void MemoryAccount::remove(MemoryPurpose purpose, std::int64_t bytes) {
  bytes_[static_cast<std::size_t>(purpose)] -= bytes;
  total_ -= bytes;
}

MemoryUse MemoryAccount::use() const {
  const auto of = [this](MemoryPurpose purpose) { return bytes_[static_cast<std::size_t>(purpose)].load(); };
  return {.weights_bytes = of(MemoryPurpose::kWeights),
          .kv_bytes = of(MemoryPurpose::kKv),
          .workspace_bytes = of(MemoryPurpose::kWorkspace),
          .runtime_bytes = of(MemoryPurpose::kRuntime),
          .peak_bytes = peak_.load()};
}

std::int64_t huge_page_bytes(std::string_view smaps, std::span<const std::byte> range) {
  constexpr std::string_view kField = "AnonHugePages:";
  const auto first = reinterpret_cast<std::uintptr_t>(range.data());
  std::int64_t total_bytes = 0;
  bool is_inside = false;
  while (!smaps.empty()) {
    const std::size_t end = std::min(smaps.find('\n'), smaps.size());
    std::string_view line = smaps.substr(0, end);
    smaps.remove_prefix(std::min(end + 1, smaps.size()));
    // A mapping starts with a line such as "7f1200000000-7f1200400000 rw-p ...".
    std::uintptr_t mapping_first = 0;
    std::uintptr_t mapping_end = 0;
    const auto parsed_first = std::from_chars(line.data(), line.data() + line.size(), mapping_first, 16);
    if (parsed_first.ec == std::errc() && parsed_first.ptr != line.data() + line.size() && *parsed_first.ptr == '-') {
      std::from_chars(parsed_first.ptr + 1, line.data() + line.size(), mapping_end, 16);
      is_inside = mapping_first >= first && mapping_end <= first + range.size();
    } else if (is_inside && line.starts_with(kField)) {
      line.remove_prefix(std::min(line.find_first_not_of(' ', kField.size()), line.size()));
      std::int64_t kib = 0;
      std::from_chars(line.data(), line.data() + line.size(), kib);
      total_bytes += kib * 1024;
    }
  }
  return total_bytes;
}

Result<HostBuffer> HostBuffer::allocate(MemoryAccount& account, MemoryPurpose purpose, std::size_t bytes,
                                        HugePages huge_pages) {
  HostBuffer buffer;
  if (bytes == 0) return buffer;
  const auto page_bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const bool advise = huge_pages == HugePages::kAdvise && bytes >= kHugePageBytes;
  const std::size_t rounded = round_up(bytes, advise ? kHugePageBytes : page_bytes);
  if (rounded < bytes || rounded > static_cast<std::size_t>(INT64_MAX)) {
    return Error{ErrorCode::kOutOfMemory, fmt::format("host memory: {} bytes do not fit the address space", bytes)};
  }
  // A mapping instead of the heap: freed memory returns to the system at once, so that the allocator does not distort
  // the peak of a run.
  void* const address = mmap(nullptr, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) {
    return Error{ErrorCode::kOutOfMemory,
                 fmt::format("host memory: {} could not be allocated", format_bytes(static_cast<std::int64_t>(bytes)))};
  }
  if (advise) (void)madvise(address, rounded, MADV_HUGEPAGE);  // a hint; everything works without it
  buffer.account_ = &account;
  buffer.purpose_ = purpose;
  buffer.data_ = static_cast<std::byte*>(address);
  buffer.size_bytes_ = bytes;
  buffer.mapped_bytes_ = rounded;
  account.add(purpose, static_cast<std::int64_t>(rounded));
  return buffer;
}

HostBuffer::~HostBuffer() {
  if (data_ == nullptr) return;
  munmap(data_, mapped_bytes_);
  account_->remove(purpose_, static_cast<std::int64_t>(mapped_bytes_));
}

HostBuffer::HostBuffer(HostBuffer&& other) noexcept
    : account_(std::exchange(other.account_, nullptr)),
      purpose_(other.purpose_),
      data_(std::exchange(other.data_, nullptr)),
      size_bytes_(std::exchange(other.size_bytes_, 0)),
      mapped_bytes_(std::exchange(other.mapped_bytes_, 0)) {}

HostBuffer& HostBuffer::operator=(HostBuffer&& other) noexcept {
  if (this != &other) {
    HostBuffer discarded(std::move(*this));
    account_ = std::exchange(other.account_, nullptr);
    purpose_ = other.purpose_;
    data_ = std::exchange(other.data_, nullptr);
    size_bytes_ = std::exchange(other.size_bytes_, 0);
    mapped_bytes_ = std::exchange(other.mapped_bytes_, 0);
  }
  return *this;
}

}  // namespace secondsource
