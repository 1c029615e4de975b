#include "ab/side_server.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "ab/ab_plan.h"
#include "core/enum_format.h"
#include "core/file.h"
#include "runner/plan_file.h"
#include "runner/run_directory.h"
#include "runner/system_plan.h"

namespace secondsource {

SideServer::SideServer(const AbDirectory& directory, Arm arm) : directory_(directory), name_(arm) {
  for (const ProcessLine& line : directory.lines()) {
    if (line.arm == arm && line.server_start) n_starts_ = std::max(n_starts_, *line.server_start + 1);
  }
}

Result<std::string> SideServer::start(Progress& progress, const InterruptFlag& interrupt) {
  const std::filesystem::path& folder = directory_.folder();
  progress.note(fmt::format("{}: starting its server", name_));
  ++n_starts_;
  Result<ServerProcess> started = ServerProcess::start({.program = arm().program,
                                                        .plan = folder / arm().system_plan,
                                                        .bundle = directory_.record().golden_bundle,
                                                        .log = folder / fmt::format("{}-server.log", name_),
                                                        .stderr_file = stderr_file(folder, arm())},
                                                       interrupt);
  if (!started) {
    if (started.error().code == ErrorCode::kUnavailable) return started.error().message;
    return started.error().with_context(fmt::format("{}", name_));
  }
  start_s_ = started->start_s();
  process_.emplace(std::move(*started));
  SS_TRY_VOID(write_plan_of_kept());
  return std::string();
}

Result<void> SideServer::write_plan_of_kept() {
  SS_TRY(const PlanFile planned, read_plan_file(directory_.folder() / arm().system_plan));
  SystemRequest system = kept_at(planned.request.systems.front(), process_->url());
  // The plan may name its model as {model}, so the name is taken from the run that judged the tokens.
  SS_TRY(const RunRecord golden, RunDirectory::read_record(golden_folder(directory_.folder(), name_)));
  for (const BackendRecord& backend : golden.backends) {
    if (backend.served) system.model = backend.served->model;
  }
  return write_file(plan(), system_plan_text(system, planned.request.settings));
}

std::filesystem::path SideServer::plan() const {
  return directory_.folder() / (process_ ? fmt::format("{}-kept.yaml", name_) : arm().system_plan);
}

std::string SideServer::failure() {
  return process_ ? process_->failure() : std::string();
}

std::optional<std::int64_t> SideServer::start_number() const {
  return process_ ? std::optional(n_starts_ - 1) : std::nullopt;
}

double SideServer::take_start_s() {
  return std::exchange(start_s_, 0.0);
}

}  // namespace secondsource
