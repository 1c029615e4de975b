// Computes logits of a model folder on one backend: architectures_test.py compares them with transformers.
//
//   model_logits FOLDER BACKEND VARIANT [OPTION=VALUE...]
//
// Each line of stdin is a job: {"max_tokens_per_step": 7, "sequences": [{"ids": [5, 9, 2], "n_prompt": 2}]}. Its sequences
// are run together; the ids behind the first n_prompt are forced one by one. Each line of stdout has, for every sequence,
// the logits after n_prompt ids, after n_prompt + 1, ..., after all: [[[...], ...], ...].
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "backend/module.h"
#include "bundle/bundle.h"
#include "core/progress.h"
#include "engine/model_session.h"

using namespace secondsource;
using Json = nlohmann::json;

namespace {

Result<Json> run_job(Engine& engine, const Json& job) {
  std::map<RequestId, std::size_t> sequence_of;
  for (const Json& sequence : job.at("sequences")) {
    const auto ids = sequence.at("ids").get<std::vector<std::int32_t>>();
    const auto n_prompt = sequence.at("n_prompt").get<std::ptrdiff_t>();
    Request request{.prompt_ids = {ids.begin(), ids.begin() + n_prompt},
                    .forced_ids = {ids.begin() + n_prompt, ids.end()},
                    .want_logits = true};
    request.forced_ids.push_back(0);  // for the logits after the last id
    request.max_new_tokens = static_cast<std::int32_t>(request.forced_ids.size());
    SS_TRY(const RequestId id, engine.submit(std::move(request)));
    sequence_of.emplace(id, sequence_of.size());
  }
  std::vector<std::vector<std::vector<float>>> logits(sequence_of.size());
  while (engine.has_work()) {
    SS_TRY(std::vector<TokenEvent> events, engine.step());
    for (TokenEvent& event : events) logits[sequence_of.at(event.request)].push_back(std::move(event.logits));
  }
  return Json(logits);
}

Result<void> run_jobs(const std::vector<std::string>& arguments) {
  SS_TRY(const Bundle bundle, Bundle::open_model_folder(arguments.at(0)));
  BackendOptions options;
  options.n_threads = 1;
  for (std::size_t i = 3; i < arguments.size(); ++i) {
    const std::size_t equals = arguments[i].find('=');
    options.extra.emplace_back(arguments[i].substr(0, equals), arguments[i].substr(equals + 1));
  }
  const std::vector<Module> modules = load_modules(module_folders(std::filesystem::read_symlink("/proc/self/exe")));
  for (std::string line; std::getline(std::cin, line);) {
    const Json job = Json::parse(line);
    EngineOptions engine;
    engine.scheduler.max_tokens_per_step = job.value("max_tokens_per_step", 512);
    SS_TRY(auto backend, create_backend(modules, arguments.at(1), options));
    SilentProgress progress;
    SS_TRY(const auto session, ModelSession::open(std::move(backend), bundle.config(), bundle.tensors(),
                                                  arguments.at(2), engine, progress));
    SS_TRY(const Json logits, run_job(session->engine(), job));
    std::cout << logits.dump() << "\n";
  }
  return {};
}

}  // namespace

int main(int n_arguments, char** arguments) {
  const auto done = run_jobs({arguments + 1, arguments + n_arguments});
  if (!done) std::cerr << done.error().message << "\n";
  return done ? 0 : 2;
}
