#include "serving/feature_settings.h"

#include <cstdlib>
#include <string>

#include "support/catch.h"
#include "support/result.h"

using namespace secondsource;

namespace {

std::string text_of(const FeatureSetting& setting) {
  return setting.value + "/" + std::string(to_string(setting.source));
}

ServedFeatures features_of(ServerPreset preset, const ToldFeatures& told, const std::vector<std::string>& start,
                           const PlannedFeatures& planned = {}) {
  const auto features = settled_features(preset, told, {.words = start}, planned);
  REQUIRE_OK(features);
  return *features;
}

}  // namespace

TEST_CASE("a setting is the server's word, else the command's, else the plan's, else unknown") {
  const PlannedFeatures planned{.speculative = "ngram", .prefix_cache = "on", .kv_cache = "fp8"};
  const ServedFeatures none = features_of(ServerPreset::kAny, {}, {});
  CHECK(text_of(none.speculative) == "/unknown");
  CHECK(text_of(features_of(ServerPreset::kAny, {}, {}, planned).kv_cache) == "fp8/plan");
  const std::vector<std::string> start = {
      "vllm", "serve", "m", "--kv-cache-dtype=fp8", "--enable-prefix-caching", "--speculative-config", "ngram"};
  const ServedFeatures commanded = features_of(ServerPreset::kVllm, {}, start, planned);
  CHECK(text_of(commanded.speculative) == "ngram/command");
  CHECK(text_of(commanded.prefix_cache) == "on/command");
  CHECK(text_of(commanded.kv_cache) == "fp8/command");
  const ServedFeatures told =
      features_of(ServerPreset::kVllm, {.speculative = {}, .prefix_cache = "on", .kv_cache = "fp8"}, start);
  CHECK(text_of(told.prefix_cache) == "on/server");
  CHECK(text_of(told.kv_cache) == "fp8/server");
}

TEST_CASE("the absence of a flag says something only where the whole command is known") {
  const ServedFeatures whole = features_of(ServerPreset::kVllm, {}, {"/opt/bin/vllm", "serve", "m"});
  CHECK(text_of(whole.speculative) == "off/command");
  CHECK(text_of(whole.kv_cache) == "auto/command");
  CHECK(text_of(whole.prefix_cache) == "/unknown");  // depends on the version and the model
  const ServedFeatures from_file = features_of(ServerPreset::kVllm, {}, {"vllm", "serve", "m", "--config", "a.yaml"});
  CHECK(text_of(from_file.speculative) == "/unknown");
  const ServedFeatures script = features_of(ServerPreset::kVllm, {}, {"./serve.sh"});
  CHECK(text_of(script.kv_cache) == "/unknown");
  const ServedFeatures sglang = features_of(ServerPreset::kSglang, {}, {"python3", "-m", "sglang.launch_server"});
  CHECK(text_of(sglang.prefix_cache) == "on/command");
  const ServedFeatures without =
      features_of(ServerPreset::kSglang, {}, {"python3", "-m", "sglang.launch_server", "--disable-radix-cache"});
  CHECK(text_of(without.prefix_cache) == "off/command");
}

TEST_CASE("llama-server is told in every request to share no work, and names both halves of its cache") {
  const ServedFeatures plain = features_of(ServerPreset::kLlamaServer, {}, {"llama-server", "--model", "m"});
  CHECK(text_of(plain.prefix_cache) == "off/request");
  CHECK(text_of(plain.kv_cache) == "f16/command");
  CHECK(text_of(plain.speculative) == "off/command");
  const ServedFeatures halves = features_of(
      ServerPreset::kLlamaServer, {}, {"llama-server", "-ctk", "q8_0", "--cache-type-v", "q4_0", "-md", "draft.gguf"});
  CHECK(text_of(halves.kv_cache) == "q8_0, q4_0/command");
  CHECK(text_of(halves.speculative) == "draft.gguf/command");
  const ServedFeatures keys = features_of(ServerPreset::kLlamaServer, {}, {"llama-server", "--cache-type-k", "q8_0"});
  CHECK(text_of(keys.kv_cache) == "q8_0, f16/command");
  const ServedFeatures both =
      features_of(ServerPreset::kLlamaServer, {}, {"llama-server", "-ctk", "q8_0", "-ctv", "q8_0"});
  CHECK(text_of(both.kv_cache) == "q8_0/command");
  const ServedFeatures script = features_of(ServerPreset::kLlamaServer, {}, {"./serve.sh", "-ctv", "q4_0"});
  CHECK(text_of(script.kv_cache) == "/unknown");
}

TEST_CASE("variables of the server's environment are settings, and flags stand above them") {
  ManagedStart managed;
  managed.start = {"llama-server", "--model", "m"};
  managed.env = {{"LLAMA_ARG_CACHE_TYPE_K", "q8_0"}, {"LLAMA_ARG_CACHE_TYPE_V", "q4_0"}};
  const auto kv_cache = [&managed] {
    const auto command = server_command(managed, ServerPreset::kLlamaServer);
    const auto features = settled_features(ServerPreset::kLlamaServer, {}, command, {});
    REQUIRE_OK(features);
    return text_of(features->kv_cache);
  };
  CHECK(kv_cache() == "q8_0, q4_0/command");
  managed.start.insert(managed.start.end(), {"-ctk", "f32"});
  CHECK(kv_cache() == "f32, q4_0/command");

  // A variable of this program's environment is inherited, but not by a container.
  managed.env.clear();
  ::setenv("LLAMA_ARG_CACHE_TYPE_V", "q5_1", 1);
  CHECK(kv_cache() == "f32, q5_1/command");
  managed.image = "registry/llama@sha256:0";
  CHECK(kv_cache() == "f32, f16/command");
  ::unsetenv("LLAMA_ARG_CACHE_TYPE_V");

  managed.env = {{"LLAMA_ARG_MODELS_PRESET", "models.ini"}};
  CHECK(kv_cache() == "/unknown");
}

TEST_CASE("a plan may say how where the server says that, and may not contradict it") {
  const ServedFeatures how = features_of(ServerPreset::kSglang, {.speculative = "on"}, {}, {.speculative = "ngram 4"});
  CHECK(text_of(how.speculative) == "ngram 4/server");
  const auto denied = settled_features(ServerPreset::kVllm, {.prefix_cache = "on"}, {}, {.prefix_cache = "off"});
  REQUIRE_FALSE(denied);
  CHECK(denied.error().message ==
        "prefix_cache: expected the plan and the server to agree; the plan has off, the server has on");
  CHECK_FALSE(settled_features(ServerPreset::kLlamaServer, {}, {}, {.prefix_cache = "on"}));
  CHECK_FALSE(settled_features(ServerPreset::kVllm, {}, {.words = {"vllm", "serve"}}, {.speculative = "ngram"}));
}

TEST_CASE("what a command says is handed on with a plan's own words, which stand first") {
  const ServerCommand start{.words = {"vllm", "serve", "m", "--kv-cache-dtype", "fp8"}};
  CHECK(with_command(ServerPreset::kVllm, start, {.prefix_cache = "on", .kv_cache = "fp8_e4m3"}) ==
        PlannedFeatures{.speculative = "off", .prefix_cache = "on", .kv_cache = "fp8_e4m3"});
  CHECK(with_command(ServerPreset::kVllm, start, {}) == PlannedFeatures{.speculative = "off", .kv_cache = "fp8"});
  CHECK(with_command(ServerPreset::kAny, start, {}) == PlannedFeatures{});
}

TEST_CASE("switches have one spelling, and a setting is one short line") {
  CHECK(planned_feature("prefix_cache", "True").value() == "on");
  CHECK(planned_feature("prefix_cache", "disabled").value() == "off");
  CHECK(planned_feature("speculative", "no").value() == "off");
  CHECK(planned_feature("speculative", "EAGLE3, 4 tokens").value() == "EAGLE3, 4 tokens");
  CHECK(planned_feature("kv_cache", "fp8_e5m2").value() == "fp8_e5m2");
  CHECK_FALSE(planned_feature("prefix_cache", "maybe"));
  CHECK_FALSE(planned_feature("kv_cache", "a\nb"));
  CHECK_FALSE(planned_feature("kv_cache", std::string(101, 'x')));
}
