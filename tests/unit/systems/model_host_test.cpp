// Tests the calls to each kind of server with tests/serving/many_models.py, which behaves as the documentation of each server says.

#include "serving/model_host.h"

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

#include "core/child_process.h"
#include "core/clock.h"
#include "core/file.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/scratch_folder.h"
#include "support/source_path.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

class ManyModels {
 public:
  ManyModels(const ScratchFolder& folder, const std::string& control, const std::vector<std::string>& names,
             const std::vector<std::string>& more = {})
      : log_(folder.path() / (control + names.front() + ".log")), process_(started(log_, control, names, more)) {
    const auto line = process_.receive(now_ns() + 60'000'000'000);
    REQUIRE_OK(line);
    REQUIRE(line->has_value());
    url_ = "http://127.0.0.1:" + **line + "/v1";
  }
  [[nodiscard]] const std::string& url() const { return url_; }
  [[nodiscard]] std::vector<std::string> calls() const {
    std::vector<std::string> calls;
    std::ifstream file(log_);
    for (std::string line; std::getline(file, line);) calls.push_back(line);
    return calls;
  }

 private:
  static ChildProcess started(const std::filesystem::path& log, const std::string& control,
                              const std::vector<std::string>& names, const std::vector<std::string>& more) {
    ChildCommand command;
    command.program = "/usr/bin/env";
    command.arguments = {"python3",   source_path("tests/serving/many_models.py"), "--control", control, "--log",
                         log.string()};
    for (const std::string& name : names) {
      for (const std::string& word : {std::string("--model"), name + "=" + source_path("bundles/default"),
                                      std::string("--bytes"), name + "=123456"}) {
        command.arguments.push_back(word);
      }
    }
    command.arguments.insert(command.arguments.end(), more.begin(), more.end());
    auto process = ChildProcess::start(command);
    REQUIRE_OK(process);
    return std::move(process).value();
  }

  std::filesystem::path log_;
  ChildProcess process_;
  std::string url_;
};

ServedSystem system_of(ServerPreset preset, const std::string& url, const std::vector<std::string>& names) {
  ServedSystem system;
  system.preset = preset;
  system.url = url;
  system.timeout_s = 20;
  for (const std::string& name : names) system.models.push_back({name, name, ""});
  return system;
}

std::unique_ptr<ModelHost> host_of(const ServedSystem& system) {
  auto host = make_model_host(system, {}, {});
  REQUIRE_OK(host);
  return *std::move(host);
}

std::vector<std::int32_t> loaded_of(ModelHost& host) {
  const auto loaded = host.loaded();
  REQUIRE_OK(loaded);
  std::vector<std::int32_t> models;
  for (const LoadedModel& one : *loaded) models.push_back(one.model);
  std::ranges::sort(models);
  return models;
}

}  // namespace

TEST_CASE("llama-server's router loads and unloads a model, and says which file it is") {
  const ScratchFolder folder;
  const ManyModels server(folder, "llama-server", {"a", "b"}, {"--load-ms", "30"});
  const auto host = host_of(system_of(ServerPreset::kLlamaServer, server.url(), {"a", "b"}));
  CHECK(loaded_of(*host).empty());
  REQUIRE_OK(host->load(1));
  CHECK(loaded_of(*host) == std::vector<std::int32_t>{1});
  REQUIRE_OK(host->load(0));
  CHECK(loaded_of(*host) == std::vector<std::int32_t>{0, 1});
  REQUIRE_OK(host->unload(1, UnloadTo::kFiles));
  CHECK(loaded_of(*host) == std::vector<std::int32_t>{0});
  CHECK(server.calls() == std::vector<std::string>{"load b", "load a", "unload b"});
  const auto files = host->files(0);
  REQUIRE_OK(files);
  REQUIRE(files->size() == 1);
  CHECK(files->front() == source_path("bundles/default/model.safetensors"));
  CHECK_FALSE(host->unload(0, UnloadTo::kHostMemory));
  CHECK_FALSE(host->why_no_host_memory().empty());
  const auto twice = host->load(0);
  REQUIRE_FALSE(twice);
  CHECK(twice.error().message.find("model is already running") != std::string::npos);
}

TEST_CASE(
    "a router's model that cannot be loaded is an error with its exit code, an unknown one with the server's words") {
  const ScratchFolder folder;
  const ManyModels server(folder, "llama-server", {"a", "b"}, {"--fails", "b"});
  const auto host = host_of(system_of(ServerPreset::kLlamaServer, server.url(), {"a", "b"}));
  const auto failed = host->load(1);
  REQUIRE_FALSE(failed);
  CHECK(failed.error().code == ErrorCode::kUnavailable);
  CHECK(failed.error().message == "b: the server could not load it: exit code 1");
  const auto unknown = host_of(system_of(ServerPreset::kLlamaServer, server.url(), {"nope"}))->load(0);
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().message.find("File Not Found") != std::string::npos);
}

TEST_CASE("Ollama loads by a request without a prompt, unloads by keep_alive 0 and tells sizes") {
  const ScratchFolder folder;
  const ManyModels server(folder, "ollama", {"a", "b"});
  const auto host = host_of(system_of(ServerPreset::kOllama, server.url(), {"a", "b"}));
  REQUIRE_OK(host->load(0));
  REQUIRE_OK(host->load(1));
  const auto loaded = host->loaded();
  REQUIRE_OK(loaded);
  REQUIRE(loaded->size() == 2);
  CHECK(loaded->front().bytes == 123456);
  REQUIRE_OK(host->unload(0, UnloadTo::kFiles));
  CHECK(loaded_of(*host) == std::vector<std::int32_t>{1});
  CHECK(server.calls() == std::vector<std::string>{"load a", "load b", "unload a"});
  const auto files = host->files(1);
  REQUIRE_OK(files);
  CHECK(files->front() == source_path("bundles/default/model.safetensors"));
}

TEST_CASE("a load that Ollama answers with status 200 and an error, or that is not done, did not happen") {
  const auto [said, expected] = GENERATE(table<std::string, std::string>({
      {R"({"error": "model requires more system memory"})", "model requires more system memory"},
      {R"({"model": "a", "done": false, "done_reason": "busy"})", R"(answered "done": false, for the reason "busy")"},
  }));
  CAPTURE(said);
  const ScratchFolder folder;
  const ManyModels server(folder, "ollama", {"a"}, {"--load-says", said});
  const auto failed = host_of(system_of(ServerPreset::kOllama, server.url(), {"a"}))->load(0);
  REQUIRE_FALSE(failed);
  CHECK(failed.error().code == ErrorCode::kUnavailable);
  CAPTURE(failed.error().message);
  CHECK(failed.error().message.starts_with("a: the server did not load it: "));
  CHECK(failed.error().message.find(expected) != std::string::npos);
}

TEST_CASE("vLLM sleeps at level 1 to memory of the host, and at level 2 it reads its weights again") {
  const ScratchFolder folder;
  const ManyModels first(folder, "vllm", {"a"});
  const ManyModels second(folder, "vllm", {"b"});
  ServedSystem system = system_of(ServerPreset::kVllm, first.url(), {"a", "b"});
  system.models[0].url = first.url();
  system.models[1].url = second.url();
  const auto host = host_of(system);
  CHECK(host->why_no_host_memory().empty());
  CHECK(loaded_of(*host) == std::vector<std::int32_t>{0, 1});
  REQUIRE_OK(host->unload(1, UnloadTo::kHostMemory));
  CHECK(loaded_of(*host) == std::vector<std::int32_t>{0});
  REQUIRE_OK(host->load(1));
  REQUIRE_OK(host->unload(1, UnloadTo::kFiles));
  REQUIRE_OK(host->load(1));
  CHECK(second.calls() == std::vector<std::string>{"sleep 1 b", "wake weights,kv_cache b", "sleep 2 b",
                                                   "wake weights b", "reload_weights b", "wake kv_cache b"});
  CHECK(first.calls().empty());
  CHECK(loaded_of(*host) == std::vector<std::int32_t>{0, 1});
}

TEST_CASE(
    "a kind of server that holds one model, a server that is none and files elsewhere are refused with the reason") {
  const auto none = make_model_host(system_of(ServerPreset::kSglang, "http://127.0.0.1:9/v1", {"a"}), {}, {});
  REQUIRE_FALSE(none);
  CHECK(none.error().code == ErrorCode::kUnsupported);
  const ScratchFolder folder;
  const ManyModels server(folder, "ollama", {"a"});
  const auto router = host_of(system_of(ServerPreset::kLlamaServer, server.url(), {"a"}));
  const auto loaded = router->loaded();
  REQUIRE_FALSE(loaded);
  CHECK(loaded.error().message.find("as a router lists it") != std::string::npos);
  const auto gone = host_of(system_of(ServerPreset::kOllama, "http://127.0.0.1:9/v1", {"a"}))->load(0);
  REQUIRE_FALSE(gone);
  CHECK(gone.error().code == ErrorCode::kUnavailable);
}
