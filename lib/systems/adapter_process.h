#pragma once
// Starts the process of an adapter, asks for its properties, lets it load its model and exchanges lines with it
// (serving/adapter_protocol.h). Every wait has a deadline, and everything that the adapter does wrong becomes an error.
//
//   SS_TRY(AdapterProcess adapter, AdapterProcess::start(system, {.log = log}, wait));
//   SS_TRY_VOID(adapter.load(model_folder, wait));
//   SS_TRY_VOID(adapter.send(AdapterGenerateRequest{...}));
//   SS_TRY(const std::optional<AdapterAnswer> answer, adapter.receive(until_ns));

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "core/child_process.h"
#include "core/result.h"
#include "host/child_watch.h"
#include "record/adapter_system.h"
#include "serving/adapter_protocol.h"

namespace secondsource {

/// Called a few times a second during a wait. An error ends the wait.
using AdapterWait = std::function<Result<void>()>;

/// Where an adapter runs.
struct AdapterPlace {
  std::filesystem::path log;  ///< its standard error is appended to this file
  ChildLimits limits{};
};

/// Copies the properties that an adapter reported into the record.
void take_hello(AdapterSystem& system, const AdapterHello& hello);

class AdapterProcess {
 public:
  /// Starts the adapter and asks for its properties. Errors: kInvalidInput for an option that it refuses; kUnavailable
  /// or kUnsupported if it reports this; kIo if it violates the protocol; kDeviceLost or kOutOfMemory if it ends;
  /// kDeadline.
  static Result<AdapterProcess> start(const AdapterSystem& system, const AdapterPlace& place, const AdapterWait& wait);

  [[nodiscard]] const AdapterHello& hello() const noexcept { return hello_; }
  /// Makes it load the model in `folder`. Errors: as start().
  Result<void> load(const std::string& folder, const AdapterWait& wait);
  Result<void> send(const AdapterRequest& request);
  /// The next answer; nullopt if `until_ns` passes first. Errors: as start().
  Result<std::optional<AdapterAnswer>> receive(std::int64_t until_ns);
  /// Asks the adapter to end, and kills it if it does not.
  void stop();
  /// The id of its first process.
  [[nodiscard]] pid_t id() const noexcept { return process_.group(); }

 private:
  AdapterProcess(ChildProcess process, ChildWatch watch, double start_deadline_s)
      : process_(std::move(process)), watch_(std::move(watch)), start_deadline_s_(start_deadline_s) {}
  template <typename Answer>
  Result<Answer> await(std::string_view what, const AdapterWait& wait);
  Error ended();

  ChildProcess process_;
  ChildWatch watch_;
  double start_deadline_s_;
  AdapterHello hello_;
};

}  // namespace secondsource
