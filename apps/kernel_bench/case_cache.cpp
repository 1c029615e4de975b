#include "case_cache.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "core/number.h"
#include "host/cgroup.h"

namespace secondsource::kernel_bench {
namespace {

/// 0 for a text that does not begin with a number, such as "max".
std::int64_t leading_number(std::string_view text) {
  const auto number = parse_number_prefix<std::int64_t>(text);
  return number ? number->value : 0;
}

}  // namespace

Result<PreparedCase*> CaseCache::find_or_prepare(const std::string& name, const Prepare& prepare) {
  if (const auto failure = failures_.find(name); failure != failures_.end()) return failure->second;
  const auto found = std::ranges::find(entries_, name, &Entry::name);
  if (found != entries_.end()) {
    entries_.splice(entries_.begin(), entries_, found);
    return entries_.front().prepared.get();
  }
  drop_excess(nullptr);
  if (!prepared_names_.insert(name).second) ++n_prepared_again_;
  Result<std::unique_ptr<PreparedCase>> prepared = prepare();
  if (!prepared) {
    failures_.emplace(name, prepared.error());
    return prepared.error();
  }
  entries_.push_front({name, std::move(prepared).value()});
  drop_excess(&entries_.front().prepared->backend());
  return entries_.front().prepared.get();
}

int CaseCache::n_wrong() const {
  return static_cast<int>(std::ranges::count_if(
      failures_, [](const auto& failure) { return failure.second.code == ErrorCode::kInternal; }));
}

std::int64_t CaseCache::used_bytes() const {
  std::set<const Backend*> counted;
  std::int64_t bytes = 0;
  for (const Entry& entry : entries_) {
    const Backend& backend = entry.prepared->backend();
    if (counted.insert(&backend).second) bytes += backend.memory().total_bytes();
  }
  return bytes;
}

const Backend* CaseCache::least_recently_used() const {
  std::set<const Backend*> seen;
  const Backend* last = nullptr;
  for (const Entry& entry : entries_) {
    const Backend* const backend = &entry.prepared->backend();
    if (seen.insert(backend).second) last = backend;
  }
  return last;
}

void CaseCache::drop_excess(const Backend* keep) {
  while (!entries_.empty() && used_bytes() > budget_bytes_) {
    const Backend* const oldest = least_recently_used();
    if (oldest == keep) return;
    entries_.remove_if([oldest](const Entry& entry) { return &entry.prepared->backend() == oldest; });
  }
}

std::int64_t default_case_budget(const DeviceInfo& device, const HostFiles& files) {
  std::int64_t bytes = device.memory_bytes;
  if (!device.is_host) return bytes / 2;
  if (const Result<std::string> meminfo = files.read("proc/meminfo")) {
    const std::int64_t available = 1024 * leading_number(value_of_line(*meminfo, "MemAvailable"));
    if (available > 0) bytes = available;
  }
  if (const auto text = read_cgroup_file(files, "memory", "memory.limit_in_bytes", "memory.max")) {
    const std::int64_t limit = leading_number(*text);
    if (limit > 0) bytes = std::min(bytes, limit);
  }
  return bytes / 2;
}

}  // namespace secondsource::kernel_bench
