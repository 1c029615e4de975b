// numa_placement: checks on which memory nodes the packed weights and the cache of the cpu backend are. Packs weights of a
// model's shapes with a thread on every CPU and asks the system for the node of each page in the part that each thread
// multiplies. The exit status is 0 if every page that lies inside one thread's part is on that thread's node and the cache
// is spread evenly over all nodes, otherwise 1, and 77 on a machine with one node. As process 1 of a virtual machine
// (run.sh) the program turns the machine off instead of exiting.

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cpu/kv_pool.h"
#include "cpu/memory_nodes.h"
#include "cpu/packed_weight.h"

namespace secondsource::cpu {
namespace {

constexpr std::uintptr_t kPageBytes = 4096;

/// Rows of ones.
class Ones final : public WeightSource {
 public:
  Result<void> read_rows(std::int64_t, std::int64_t, std::span<std::byte> values,
                         std::span<float> scales) const override {
    std::ranges::fill(values, std::byte{1});
    std::ranges::fill(scales, 1.0F);
    return {};
  }
};

WeightSpec matrix(std::string name, std::int64_t n_rows, std::int64_t n_cols, WeightEncoding encoding, Join join) {
  const std::int64_t n_parts = join == Join::kInterleaveGateUp ? 2 : 1;
  WeightSpec spec{.name = std::move(name), .n_rows = n_rows, .n_cols = n_cols, .encoding = encoding, .parts = {}};
  spec.join = join;
  for (std::int64_t part = 0; part < n_parts; ++part)
    spec.parts.push_back({n_rows / n_parts, std::make_shared<Ones>()});
  return spec;
}

std::vector<std::int32_t> cpus_of_process() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<std::int32_t> cpus;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
  for (std::int32_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) cpus.push_back(cpu);
  }
  return cpus;
}

int node_of_cpu(std::int32_t cpu) {
  unsigned node = 0;
  std::thread([&] {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<std::size_t>(cpu), &set);
    if (pthread_setaffinity_np(pthread_self(), sizeof set, &set) == 0) getcpu(nullptr, &node);
  }).join();
  return static_cast<int>(node);
}

/// The node of each page in [begin, end); negative if the page is on no node or its node is unknown.
std::vector<int> nodes_of_pages(std::uintptr_t begin, std::uintptr_t end) {
  std::vector<void*> pages;
  for (std::uintptr_t page = begin / kPageBytes * kPageBytes; page < end; page += kPageBytes) {
    pages.push_back(reinterpret_cast<void*>(page));
  }
  std::vector<int> nodes(pages.size(), -1);
  // Without target nodes, move_pages() moves nothing and only reports where the pages are.
  (void)syscall(SYS_move_pages, 0, pages.size(), pages.data(), nullptr, nodes.data(), 0);
  return nodes;
}

/// Counts of pages of 4 KiB.
struct Placement {
  std::int64_t n_pages = 0;
  std::int64_t n_elsewhere = 0;
  std::int64_t n_wrong = 0;  ///< pages elsewhere that belong to one thread only
};

/// Counts the pages of the bytes [begin, end), which one thread on the node `node` multiplies.
Placement placement_of(std::uintptr_t begin, std::uintptr_t end, int node) {
  Placement placement;
  std::uintptr_t page = begin / kPageBytes * kPageBytes;
  for (const int found : nodes_of_pages(begin, end)) {
    ++placement.n_pages;
    placement.n_elsewhere += found != node ? 1 : 0;
    placement.n_wrong += found != node && page >= begin && page + kPageBytes <= end ? 1 : 0;
    page += kPageBytes;
  }
  return placement;
}

/// Prints one line per weight. Returns the number of pages that are on the wrong node although they are not shared by two threads.
std::int64_t look_at_weights(const std::string& title, std::int64_t hidden, std::int64_t qkv, std::int64_t inner,
                             int n_layers, WeightEncoding encoding, const std::vector<std::int32_t>& cpus,
                             const std::vector<int>& nodes) {
  MemoryAccount account;
  const auto n_threads = static_cast<int>(cpus.size());
  ThreadPool pool({.n_threads = n_threads, .cpus = cpus});
  MemoryNodes memory_nodes(pool);
  PackedWeights weights(account, pool, memory_nodes, std::nullopt);
  std::vector<WeightSpec> specs;
  for (int layer = 0; layer < n_layers; ++layer) {
    specs.push_back(matrix("qkv", qkv, hidden, encoding, Join::kNone));
    specs.push_back(matrix("out", hidden, hidden, encoding, Join::kNone));
    specs.push_back(matrix("gate_up", 2 * inner, hidden, encoding, Join::kInterleaveGateUp));
    specs.push_back(matrix("down", hidden, inner, encoding, Join::kNone));
  }
  Placement sum;
  for (const WeightSpec& spec : specs) {
    const PackedWeight& weight = weights.at(weights.prepare(spec).value());
    std::string line = fmt::format("{} {} {:8}", title, to_string(encoding), spec.name);
    // Each thread's part of the weight in a decode step, as in matmul.cpp.
    const std::int64_t unit_tiles = weight.tiles_per_column();
    for (int thread = 0; thread < n_threads; ++thread) {
      const ItemRange units = range_of_thread(weight.n_tiles / unit_tiles, thread, n_threads);
      const auto tiles = reinterpret_cast<std::uintptr_t>(weight.tiles);
      const auto at = [&](std::int64_t unit) {
        return tiles + static_cast<std::uintptr_t>(unit * unit_tiles * weight.tile_bytes);
      };
      const Placement part = placement_of(at(units.first), at(units.end), nodes[static_cast<std::size_t>(thread)]);
      line += fmt::format(" {:5.1f} %",
                          100.0 - 100.0 * double(part.n_elsewhere) / double(std::max<std::int64_t>(1, part.n_pages)));
      sum.n_pages += part.n_pages;
      sum.n_elsewhere += part.n_elsewhere;
      sum.n_wrong += part.n_wrong;
    }
    fmt::print("{}\n", line);
  }
  fmt::print(
      "{} {}: {:.1f} MB, {:.1f} % local, {} of {} pages elsewhere, {} of them at no border; {:.1f} MB in huge pages\n",
      title, to_string(encoding), double(sum.n_pages) * kPageBytes / 1e6,
      100.0 - 100.0 * double(sum.n_elsewhere) / double(sum.n_pages), sum.n_elsewhere, sum.n_pages, sum.n_wrong,
      double(weights.huge_bytes().value_or(0)) / 1e6);
  return sum.n_wrong;
}

/// Prints the share of each node in a cache that one thread wrote. Returns true if the shares differ by at most a tenth.
bool look_at_cache(const std::vector<std::int32_t>& cpus, const std::vector<int>& nodes) {
  MemoryAccount account;
  ThreadPool pool({.n_threads = static_cast<int>(cpus.size()), .cpus = cpus});
  MemoryNodes memory_nodes(pool);
  const KvSpec spec{.n_layers = 2, .n_kv_heads = 4, .head_dim = 64, .page_tokens = 32, .dtype = DType::kBf16};
  constexpr std::int64_t kPages = 2048;  // 64K tokens
  KvPool cache = KvPool::create(account, spec, kPages).value();
  memory_nodes.interleave(cache.memory());
  std::ranges::fill(cache.memory(), std::byte{1});
  const auto begin = reinterpret_cast<std::uintptr_t>(cache.memory().data());
  const std::vector<int> found = nodes_of_pages(begin, begin + cache.memory().size());
  std::string line = "the cache, written by one thread:";
  double least = 1.0;
  double most = 0.0;
  for (const int node : std::set<int>(nodes.begin(), nodes.end())) {
    const double share = double(std::ranges::count(found, node)) / double(found.size());
    line += fmt::format(" {:.1f} % on node {}", 100.0 * share, node);
    least = std::min(least, share);
    most = std::max(most, share);
  }
  fmt::print("{}\n", line);
  return most - least <= 0.1;
}

int run() {
  const std::vector<std::int32_t> cpus = cpus_of_process();
  std::vector<int> nodes;
  for (const std::int32_t cpu : cpus) nodes.push_back(node_of_cpu(cpu));
  if (std::set<int>(nodes.begin(), nodes.end()).size() < 2) {
    fmt::print("skipped: the CPUs of this process are on one memory node\n");
    return 77;
  }
  fmt::print("nodes of the threads: {}; the share of each thread's part that is on its node:\n", fmt::join(nodes, " "));
  std::int64_t n_wrong = 0;
  for (const WeightEncoding encoding :
       {WeightEncoding::kBf16, WeightEncoding::kInt8PerRow, WeightEncoding::kInt4Group32}) {
    n_wrong += look_at_weights("2048 wide,", 2048, 3072, 8192, 2, encoding, cpus, nodes);
  }
  n_wrong += look_at_weights("576 wide, ", 576, 960, 1536, 4, WeightEncoding::kBf16, cpus, nodes);
  if (n_wrong > 0) fmt::print("FAILED: pages inside one thread's part lie on another node\n");
  const bool is_spread = look_at_cache(cpus, nodes);
  if (!is_spread) fmt::print("FAILED: the cache is not spread over the nodes\n");
  if (n_wrong > 0 || !is_spread) return 1;
  fmt::print("passed\n");
  return 0;
}

}  // namespace
}  // namespace secondsource::cpu

int main() {
  if (getpid() == 1) {
    (void)mkdir("/proc", 0555);
    (void)mount("proc", "/proc", "proc", 0, nullptr);
  }
  const int status = secondsource::cpu::run();
  (void)std::fflush(stdout);
  if (getpid() == 1) (void)reboot(RB_POWER_OFF);
  return status;
}
