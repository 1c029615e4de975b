// conformance --backend NAME [--modules FOLDER] [--require] [--seed N] [--scale N] [--family NAME [--case-seed N]]
//             [--option KEY=VALUE]... [--guards] [--list]
// Holds one backend module against the reference. Ends 0 when every supported case passed, 1 when one failed, 77 when
// the backend is not there (1 with --require), 2 on bad usage. --guards sets the option guards=1 where the backend has
// one: it then checks its own workspace for writes outside an operation's output.

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "backend/module.h"
#include "conformance/cases.h"
#include "conformance/suite.h"
#include "core/clock.h"

namespace secondsource::conformance {
namespace {

struct Options {
  std::string backend;
  std::string modules;
  bool require = false;
  bool list = false;
  bool guards = false;
  BackendOptions backend_options;
  SuiteOptions suite;
};

bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--require") {
      options.require = true;
      continue;
    }
    if (flag == "--guards") {
      options.guards = true;
      continue;
    }
    if (flag == "--list") {
      options.list = true;
      continue;
    }
    if (i + 1 == argc) return false;
    const std::string value = argv[++i];
    if (flag == "--backend") {
      options.backend = value;
    } else if (flag == "--modules") {
      options.modules = value;
    } else if (flag == "--family") {
      options.suite.family = value;
    } else if (flag == "--seed") {
      options.suite.seed = std::strtoull(value.c_str(), nullptr, 10);
    } else if (flag == "--case-seed") {
      options.suite.case_seed = std::strtoll(value.c_str(), nullptr, 10);
    } else if (flag == "--scale") {
      options.suite.scale = std::atoi(value.c_str());
    } else if (flag == "--option" && value.find('=') != std::string::npos) {
      const std::size_t equals = value.find('=');
      options.backend_options.extra.emplace_back(value.substr(0, equals), value.substr(equals + 1));
    } else {
      return false;
    }
  }
  return options.list || !options.backend.empty();
}

int run(const Options& options, const std::filesystem::path& program) {
  std::vector<std::filesystem::path> folders;
  if (!options.modules.empty()) folders.emplace_back(options.modules);
  if (folders.empty()) folders = module_folders(program);
  const std::vector<Module> modules = load_modules(folders);
  BackendOptions backend_options = options.backend_options;
  if (options.guards) {
    backend_options.extra.emplace_back("guards", "1");
    const auto guarded = create_backend(modules, options.backend, backend_options);
    if (!guarded && guarded.error().code == ErrorCode::kInvalidInput) {
      fmt::print("guards: {}\n", guarded.error().message);
      backend_options.extra.pop_back();
    }
  }
  const MakeBackend make = [&] { return create_backend(modules, options.backend, backend_options); };
  if (auto first = make(); !first) {
    const bool absent = first.error().code == ErrorCode::kUnavailable;
    fmt::print("{}: {}\n", absent && !options.require ? "skipped" : "FAILED", first.error().message);
    return absent && !options.require ? 77 : 1;
  }
  std::map<std::string, std::int64_t> unsupported;
  std::map<std::string, std::pair<std::int64_t, std::int64_t>> passed;  // cases, nanoseconds
  std::int64_t n_failed = 0;
  std::int64_t started_at_ns = now_ns();
  run_suite(make, options.suite, [&](const CaseReport& report) {
    const std::int64_t finished_at_ns = now_ns();
    passed[report.family].second += finished_at_ns - started_at_ns;
    started_at_ns = finished_at_ns;
    if (report.verdict == Verdict::kPassed) ++passed[report.family].first;
    if (report.verdict == Verdict::kUnsupported) ++unsupported[report.family + ": " + report.text];
    if (report.verdict == Verdict::kFailed) {
      ++n_failed;
      fmt::print("FAILED {}: {}\n  {}\n  again with: conformance --backend {} --family {}{}\n", report.family,
                 report.name, report.text, options.backend, report.family,
                 report.family == "protocol" ? "" : fmt::format(" --case-seed {}", report.seed));
      std::fflush(stdout);
    }
  });
  std::int64_t n_passed = 0;
  for (const auto& [family, result] : passed) {
    fmt::print("{:16} {:4} passed in {:.2f} s\n", family, result.first, static_cast<double>(result.second) * 1e-9);
    n_passed += result.first;
  }
  std::int64_t n_unsupported = 0;
  for (const auto& [reason, count] : unsupported) {
    fmt::print("not supported ({} cases): {}\n", count, reason);
    n_unsupported += count;
  }
  fmt::print("{}: {} passed, {} failed, {} not supported; suite seed {}\n", options.backend, n_passed, n_failed,
             n_unsupported, options.suite.seed);
  return n_failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace secondsource::conformance

int main(int argc, char** argv) {
  using namespace secondsource::conformance;
  Options options;
  if (!parse(argc, argv, options)) {
    fmt::print(stderr,
               "usage: conformance --backend NAME [--modules FOLDER] [--require] [--seed N] [--scale N] [--family NAME "
               "[--case-seed N]] [--option KEY=VALUE] [--guards] [--list]\n");
    return 2;
  }
  if (options.list) {
    for (const Family& family : families()) fmt::print("{} ({} cases)\n", family.name, family.n_cases);
    return 0;
  }
  return run(options, std::filesystem::canonical("/proc/self/exe"));
}
