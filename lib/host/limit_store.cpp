#include "host/limit_store.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <string_view>

#include "core/file.h"
#include "core/hash.h"
#include "core/json.h"
#include "core/shared_lines.h"
#include "host/limit_looks.h"
#include "record/json_codec.h"

namespace secondsource {
namespace {

/// Increase it when the loops or their buffers change, so that new looks are not compared with old ones.
constexpr int kLoopsVersion = 4;
constexpr std::int64_t kMostFileBytes = std::int64_t{16} << 20;
/// The facts that decide how fast a host is.
constexpr std::array kFacts = {"cpu_model",    "cpu_flags",      "logical_cpus",    "physical_cores", "sockets",
                               "memory_bytes", "thp_mode",       "numa_nodes",      "governor",       "turbo",
                               "smt",          "virtualization", "cgroup_cpu_limit"};

std::string key_of(const std::vector<HostFact>& host, std::int32_t n_threads, const std::vector<std::int32_t>& cpus) {
  std::string text = fmt::format("{}\n{}\n{}\n", kLoopsVersion, n_threads, fmt::join(cpus, ","));
  for (const char* const name : kFacts) text += fmt::format("{}={}\n", name, fact(host, name).value_or(""));
  return sha256_hex(text).substr(0, 16);
}

bool is_plausible(const MachineLimits& look) {
  const auto is_rate = [](double rate) { return std::isfinite(rate) && rate >= 0; };
  return look.n_threads > 0 && is_rate(look.f32_flops) && is_rate(look.bf16_flops.value_or(0)) &&
         is_rate(look.int8_ops.value_or(0)) && is_rate(look.int4_ops.value_or(0)) &&
         std::ranges::all_of(look.reads, is_rate, &ReadLimit::bytes_per_s) &&
         std::ranges::is_sorted(look.reads, {}, &ReadLimit::buffer_bytes);
}

LimitLooks read_looks(const std::filesystem::path& file) {
  LimitLooks looks;
  const Result<std::string> text = read_file(file, kMostFileBytes);
  if (!text) return looks;
  std::string_view rest = *text;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const auto tree = parse_json(rest.substr(0, end), file.string());
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (!tree) continue;
    const Result<MachineLimits> look = json_codec::from_tree<MachineLimits>(*tree, file.string());
    if (look && is_plausible(*look)) looks = add_look(std::move(looks), *look);
  }
  return looks;
}

}  // namespace

LimitStore LimitStore::for_host(const Result<std::filesystem::path>& cache, const std::vector<HostFact>& host,
                                std::int32_t n_threads, const std::vector<std::int32_t>& cpus,
                                const LimitLooks& known) {
  LimitStore store;
  if (cache) {
    store.file_ = limits_folder(*cache) / (key_of(host, n_threads, cpus) + ".jsonl");
    store.looks_ = read_looks(store.file_);
  }
  for (const MachineLimits& look : {known.best, known.second}) {
    if (look.n_threads > 0) store.looks_ = add_look(std::move(store.looks_), look);
  }
  return store;
}

Result<void> LimitStore::add(const MachineLimits& look) {
  const bool is_news = adds_to(looks_, look);
  looks_ = add_look(std::move(looks_), look);
  if (!is_news || file_.empty()) return {};
  return append_shared_line(file_, json_codec::to_text(json_codec::to_tree(look), -1));
}

std::filesystem::path limits_folder(const std::filesystem::path& cache) {
  return cache / "limits";
}

}  // namespace secondsource
