// conformance --backend NAME [--modules FOLDER] [--require] [--require-one] [--seed N|FIRST-LAST]
//             [--family NAME[,NAME...] [--case-seed N]] [--option KEY=VALUE]... [--each KEY=VALUE,VALUE...]...
//             [--guards] [--stop-at-first]
//             [--json FILE] [--list]
//
// Compares one backend module with the reference. The exit status is 0 when every supported case passed, 1 when one
// failed, 77 when the backend is not available (1 with --require), and 2 on bad usage.
//
// --seed FIRST-LAST runs the suite once for each seed of the range.
// --each runs every case once for each value of that option; given twice, once for each pair of values. Values that
// this machine cannot run are skipped. With --require, every value has to be available; otherwise the available
// ones are run nevertheless, and the exit status is 1. With --require-one, one available value is enough.
// --guards sets the option guards=1 if the backend has one: it then checks its own workspace for writes outside an
// operation's output.
// --stop-at-first ends at the first case that fails.
// --json also writes the results to a file, for `secondsource report --conformance`.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "backend/module.h"
#include "conformance/cases.h"
#include "conformance/suite.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/hash.h"
#include "record/record_json.h"

namespace secondsource::conformance {
namespace {

using Setting = std::pair<std::string, std::string>;  ///< an entry of BackendOptions::extra

struct Options {
  std::string backend;
  std::string modules;
  bool require = false;      ///< fail unless the backend and all values of --each are available
  bool require_one = false;  ///< fail unless at least one combination of --each is available
  bool list = false;
  bool guards = false;
  std::string json;
  std::vector<Setting> settings;
  std::vector<std::pair<std::string, std::vector<std::string>>> each;
  SuiteOptions suite;
};

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--require") {
      options.require = true;
      continue;
    }
    if (flag == "--require-one") {
      options.require_one = true;
      continue;
    }
    if (flag == "--guards") {
      options.guards = true;
      continue;
    }
    if (flag == "--stop-at-first") {
      options.suite.stop_at_first = true;
      continue;
    }
    if (flag == "--list") {
      options.list = true;
      continue;
    }
    if (i + 1 == argc) return false;
    const std::string value = argv[++i];
    const std::size_t equals = value.find('=');
    const auto number = [](const std::string& text) { return std::strtoull(text.c_str(), nullptr, 10); };
    if (flag == "--backend") {
      options.backend = value;
    } else if (flag == "--modules") {
      options.modules = value;
    } else if (flag == "--json") {
      options.json = value;
    } else if (flag == "--family") {
      options.suite.families = split(value, ',');
    } else if (flag == "--seed") {
      options.suite.first_seed = number(value);
      const std::size_t dash = value.find('-');
      options.suite.last_seed = dash == std::string::npos ? options.suite.first_seed : number(value.substr(dash + 1));
    } else if (flag == "--case-seed") {
      options.suite.case_seed = static_cast<std::int64_t>(number(value));
    } else if (flag == "--option" && equals != std::string::npos) {
      options.settings.emplace_back(value.substr(0, equals), value.substr(equals + 1));
    } else if (flag == "--each" && equals != std::string::npos) {
      options.each.emplace_back(value.substr(0, equals), split(value.substr(equals + 1), ','));
    } else {
      return false;
    }
  }
  return options.list || !options.backend.empty();
}

/// Returns every combination of the values of --each, each together with the settings of --option.
std::vector<std::vector<Setting>> combinations(const Options& options) {
  std::vector<std::vector<Setting>> all = {options.settings};
  for (const auto& [key, values] : options.each) {
    std::vector<std::vector<Setting>> longer;
    for (const std::vector<Setting>& settings : all) {
      for (const std::string& value : values) {
        longer.push_back(settings);
        longer.back().emplace_back(key, value);
      }
    }
    all = std::move(longer);
  }
  return all;
}

std::string text_of(const std::vector<Setting>& settings) {
  std::string text;
  for (const auto& [key, value] : settings) text += fmt::format(" --option {}={}", key, value);
  return text;
}

/// The requested configurations that can be run.
struct Configurations {
  std::vector<Tested> tested;
  /// One backend per configuration that has a device. It is kept so that NVML does not search for devices again in every case.
  std::vector<std::unique_ptr<Backend>> kept;
  int n_absent = 0;  ///< configurations whose library, instructions or device this machine lacks
};

/// Creates the configurations and prints why one is left out. Returns nullopt when one fails for any other reason.
std::optional<Configurations> make_tested(const Options& options, const std::vector<Module>& modules) {
  Configurations found;
  for (const std::vector<Setting>& settings : combinations(options)) {
    BackendOptions backend_options{.device_id = "", .extra = settings};
    if (options.guards) backend_options.extra.emplace_back("guards", "1");
    auto first = create_backend(modules, options.backend, backend_options);
    if (!first && options.guards && first.error().code == ErrorCode::kInvalidInput) {
      fmt::print("guards: {}\n", first.error().message);
      backend_options.extra.pop_back();
      first = create_backend(modules, options.backend, backend_options);
    }
    const std::string text = text_of(settings);
    if (first) {
      found.tested.push_back({text, [&modules, name = options.backend, backend_options] {
                                return create_backend(modules, name, backend_options);
                              }});
      if (!(*first)->device().is_host) found.kept.push_back(std::move(first).value());
      continue;
    }
    const bool absent = first.error().code == ErrorCode::kUnavailable;
    fmt::print("{}{}: {}\n", absent && !options.require ? "skipped" : "FAILED", text, first.error().message);
    if (!absent) return std::nullopt;
    ++found.n_absent;
  }
  return found;
}

/// Counts of the cases of one family.
struct Count {
  std::int64_t passed = 0;
  std::int64_t failed = 0;
  std::int64_t elapsed_ns = 0;
  std::int64_t unsupported = 0;
  std::set<std::string> findings{};
};

/// Returns false if the file could not be written.
bool write_json(const Options& options, const std::vector<Module>& modules,
                const std::map<std::string, Count>& counts) {
  const auto module = std::ranges::find(modules, options.backend, &Module::name);
  const auto hash = sha256_of_file(module->path);
  ConformanceRecord record{.backend = options.backend,
                           .module_sha256 = hash ? *hash : "",
                           .device = module->devices.empty() ? "" : module->devices.front().name,
                           .families = {}};
  for (const auto& [name, count] : counts) {
    record.families.push_back({.name = name,
                               .n_passed = count.passed,
                               .n_failed = count.failed,
                               .n_unsupported = count.unsupported,
                               .findings = {count.findings.begin(), count.findings.end()}});
  }
  const auto written = write_file(options.json, to_json(record));
  if (!written) fmt::print("FAILED: {}\n", written.error().message);
  return written.has_value();
}

int run(const Options& options, const std::filesystem::path& program) {
  std::vector<std::filesystem::path> folders;
  if (!options.modules.empty()) folders.emplace_back(options.modules);
  if (folders.empty()) folders = module_folders(program);
  const std::vector<Module> modules = load_modules(folders);
  const auto found = make_tested(options, modules);
  if (!found) return 1;
  const std::vector<Tested>& tested = found->tested;
  if (tested.empty()) return options.require || options.require_one ? 1 : 77;
  std::map<std::string, std::int64_t> unsupported;
  std::map<std::string, Count> counts;
  std::int64_t started_at_ns = now_ns();
  const std::int64_t n_failed = run_suite(tested, options.suite, [&](const CaseReport& report) {
    const std::int64_t finished_at_ns = now_ns();
    Count& count = counts[report.family];
    count.elapsed_ns += finished_at_ns - started_at_ns;
    started_at_ns = finished_at_ns;
    if (report.verdict == Verdict::kPassed) ++count.passed;
    if (report.verdict != Verdict::kPassed) count.findings.insert(report.text);
    if (report.verdict == Verdict::kUnsupported) {
      ++count.unsupported;
      ++unsupported[report.family + ": " + report.text];
    }
    if (report.verdict == Verdict::kFailed) {
      ++count.failed;
      fmt::print("FAILED {}: {}\n  {}\n  again with: conformance --backend {}{} --family {}{}\n", report.family,
                 report.name, report.text, options.backend, report.options, report.family,
                 report.family == "protocol" ? "" : fmt::format(" --case-seed {}", report.seed));
      std::fflush(stdout);
    }
  });
  std::int64_t n_passed = 0;
  for (const auto& [family, count] : counts) {
    fmt::print("{:16} {:5} passed {:3} failed in {:.2f} s\n", family, count.passed, count.failed,
               static_cast<double>(count.elapsed_ns) * 1e-9);
    n_passed += count.passed;
  }
  std::int64_t n_unsupported = 0;
  for (const auto& [reason, count] : unsupported) {
    fmt::print("not supported ({} cases): {}\n", count, reason);
    n_unsupported += count;
  }
  fmt::print("{}: {} passed, {} failed, {} not supported; {} configurations, {} not there, suite seeds {} to {}\n",
             options.backend, n_passed, n_failed, n_unsupported, tested.size(), found->n_absent,
             options.suite.first_seed, options.suite.last_seed);
  if (!options.json.empty() && !write_json(options, modules, counts)) return 1;
  const bool lacks_required = options.require && found->n_absent > 0;
  return n_failed == 0 && !lacks_required ? 0 : 1;
}

/// Returns the first unknown name of --family; empty when all are known.
std::string unknown_family(const Options& options) {
  for (const std::string& name : options.suite.families) {
    if (name != "protocol" && std::ranges::find(families(), name, &Family::name) == families().end()) return name;
  }
  return "";
}

}  // namespace
}  // namespace secondsource::conformance

int main(int argc, char** argv) {
  using namespace secondsource::conformance;
  Options options;
  if (!parse(argc, argv, options)) {
    fmt::print(stderr,
               "usage: conformance --backend NAME [--modules FOLDER] [--require] [--require-one] [--seed N|FIRST-LAST] "
               "[--family NAME,NAME [--case-seed N]] [--option KEY=VALUE] [--each KEY=VALUE,VALUE] [--guards] "
               "[--stop-at-first] [--json FILE] [--list]\n");
    return 2;
  }
  if (const std::string unknown = unknown_family(options); !unknown.empty()) {
    fmt::print(stderr, "conformance: --family {}: there is none (--list has their names)\n", unknown);
    return 2;
  }
  if (options.list) {
    for (const Family& family : families()) fmt::print("{} ({} cases)\n", family.name, family.n_cases);
    return 0;
  }
  return run(options, std::filesystem::canonical("/proc/self/exe"));
}
