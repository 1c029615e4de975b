#pragma once
// What a worker process is told to load and to measure.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/enum_names.h"
#include "core/fields.h"
#include "record/adapter_system.h"
#include "record/load_client.h"
#include "record/scenario.h"
#include "record/served_system.h"
#include "serving/api_key.h"

namespace secondsource {

/// Key prefix of backend options that become environment variables of the worker: "env:CUDA_VISIBLE_DEVICES".
inline constexpr std::string_view kEnvironmentOption = "env:";

enum class SystemKind : std::uint8_t {
  kEngine,   ///< our engine over one of our backends
  kNull,     ///< no model, known times: for tests of the runner
  kServed,   ///< a server behind a URL
  kAdapter,  ///< a runtime behind an adapter
};
SS_ENUM_NAMES(SystemKind, "engine", "null", "served", "adapter")

/// A server, and the place of its key.
struct ServedJob {
  ServedSystem system;
  KeySource key;
  std::int64_t process =
      0;  ///< the first process of a server that this program started, or of its container; 0: unknown
  bool is_container = false;
};
SS_FIELDS(ServedJob, system, key, process, is_container)

/// An adapter, with its model and its log.
struct AdapterJob {
  AdapterSystem system;
  std::filesystem::path model;  ///< the folder with the bundle's model
  std::filesystem::path log;
};
SS_FIELDS(AdapterJob, system, model, log)

/// One of several models that take turns in a worker.
struct ModelJob {
  std::string name;
  std::filesystem::path bundle;
};
SS_FIELDS(ModelJob, name, bundle)

/// The system that one worker loads, and the limits of the cells that it will measure.
struct SystemJob {
  SystemKind system = SystemKind::kEngine;
  std::filesystem::path program;  ///< this executable; backend modules are searched for beside it
  std::filesystem::path bundle;
  std::string bundle_name;
  std::string variant;
  std::string backend;
  /// "threads", "cpus", "strict" and "device" are common to all backends; other keys are passed to the backend
  /// unchanged ("fault", "isa", ...). Each key occurs once; the order has no meaning.
  std::vector<std::pair<std::string, std::string>> options;
  std::string suite;
  std::uint64_t seed = 0;
  std::vector<Scenario> scenarios;  ///< of its cells; the system reserves room for each of them
  std::int64_t step_deadline_ns = 0;
  std::optional<ServedJob> served{};    ///< for kServed
  std::optional<AdapterJob> adapter{};  ///< for kAdapter
  std::vector<ModelJob> models{};       ///< of the scenario `swap`; empty: the one in `bundle`
  LoadClient client{};                  ///< whose share of the requests is sent; alone: all of them
};
SS_FIELDS(SystemJob, system, program, bundle, bundle_name, variant, backend, options, suite, seed, scenarios,
          step_deadline_ns, served, adapter, models, client)

/// Greedy answers of an oracle to short prompts. A bundle without expected outputs is compared with them.
struct OracleAnswers {
  std::string oracle;  ///< the backend that generated the answers
  std::vector<std::vector<std::int32_t>> prompts;
  std::vector<std::vector<std::int32_t>> answers;
};
SS_FIELDS(OracleAnswers, oracle, prompts, answers)

/// Asks for one pass over the first requests of a scenario, with a clock around every operation.
struct TimeOperationsCommand {
  std::string cell;
  Scenario scenario;
  std::uint64_t seed = 0;
  std::filesystem::path file;  ///< Chrome trace to append to
  std::int64_t process = 0;    ///< process id that stands for the cell in the trace file
  std::int64_t origin_ns = 0;
};
SS_FIELDS(TimeOperationsCommand, cell, scenario, seed, file, process, origin_ns)
}  // namespace secondsource
