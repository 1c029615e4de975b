// Computes logits of a model folder on one backend: architectures_test.py and long_context_test.py compare them with
// transformers.
//
//   model_logits FOLDER BACKEND VARIANT [OPTION=VALUE...]
//
// Each line of stdin is a job: {"max_tokens_per_step": 7, "sequences": [{"ids": [5, 9, 2], "n_prompt": 2}]}. Its sequences
// run together. The first n_prompt ids are the prompt, and the others are forced one by one. With "scores": true, the ids of
// the prompts are scored too. "cache_tokens" is the capacity of the cache in tokens; without it, the engine chooses. Each line
// of stdout is an object:
//
//   logits  for every sequence, the logits after n_prompt ids, after n_prompt + 1, ..., after all: [[[...], ...], ...]
//   scores  for every sequence, the log-probabilities of its prompt's second id, third id, ...: [[...], ...]
//   memory  bytes: what the backend counts at the end, the most that it counted, and by how much the peak resident set of
//           the process during the job exceeds what was resident before
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
#include "core/checked.h"
#include "core/progress.h"
#include "engine/model_session.h"
#include "host/host_usage.h"

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
                    .want_logits = true,
                    .score_prompt = job.value("scores", false)};
    request.forced_ids.push_back(0);  // an additional id, so that logits are computed after the last one
    request.max_new_tokens = static_cast<std::int32_t>(request.forced_ids.size());
    SS_TRY(const RequestId id, engine.submit(std::move(request)));
    sequence_of.emplace(id, sequence_of.size());
  }
  std::vector<std::vector<std::vector<float>>> logits(sequence_of.size());
  std::vector<std::vector<float>> scores(sequence_of.size());
  while (engine.has_work()) {
    SS_TRY(std::vector<TokenEvent> events, engine.step());
    for (TokenEvent& event : events) {
      const std::size_t sequence = sequence_of.at(event.request);
      if (event.of_prompt) {
        scores[sequence].push_back(event.logprob);
      } else {
        logits[sequence].push_back(std::move(event.logits));
      }
    }
  }
  return Json::object({{"logits", logits}, {"scores", scores}});
}

Json memory_of(const Backend& backend, std::int64_t resident_before, std::int64_t largest_resident) {
  const MemoryUse use = backend.memory();
  return {{"weights_bytes", use.weights_bytes},
          {"kv_bytes", use.kv_bytes},
          {"workspace_bytes", use.workspace_bytes},
          {"peak_bytes", use.peak_bytes},
          {"resident_bytes", largest_resident - resident_before}};
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
    engine.max_context = job.value("cache_tokens", std::int64_t{0});
    reset_peak_rss();
    SS_TRY(const std::int64_t resident_before, rss_bytes(HostFiles{}));
    SS_TRY(auto backend, create_backend(modules, arguments.at(1), options));
    engine.kv_pages = ceil_divide<std::int64_t>(engine.max_context, backend->device().page_tokens);
    SilentProgress progress;
    SS_TRY(const auto session, ModelSession::open(std::move(backend), bundle.config(), bundle.tensors(),
                                                  arguments.at(2), engine, progress, InterruptFlag()));
    SS_TRY(Json done, run_job(session->engine(), job));
    SS_TRY(const std::int64_t largest_resident, peak_rss_bytes(HostFiles{}));
    done["memory"] = memory_of(session->backend(), resident_before, largest_resident);
    std::cout << done.dump() << "\n" << std::flush;
  }
  return {};
}

}  // namespace

int main(int n_arguments, char** arguments) {
  const auto done = run_jobs({arguments + 1, arguments + n_arguments});
  if (!done) std::cerr << done.error().message << "\n";
  return done ? 0 : 2;
}
