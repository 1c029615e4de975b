#include "serving/managed_start.h"

#include "support/catch.h"
#include "support/result.h"

namespace secondsource {
namespace {

const std::string kDigest(64, '0');

ManagedStart process_of(std::vector<std::string> words) {
  ManagedStart managed;
  managed.start = std::move(words);
  return managed;
}

}  // namespace

TEST_CASE("a command is split at blanks, and what a shell would interpret is refused") {
  const auto words = command_words("  vllm serve {model}\t--port  {port} ");
  REQUIRE_OK(words);
  CHECK(*words == std::vector<std::string>{"vllm", "serve", "{model}", "--port", "{port}"});
  CHECK(command_words("")->empty());
  for (const char* text : {"a 'b c'", "a \"b\"", "a $B", "a `b`", "a | b", "a & b", "a; b", "a > b", "a b*", "a ~/b"}) {
    CAPTURE(text);
    CHECK_FALSE(command_words(text));
  }
}

TEST_CASE("{model} and {port} are filled in wherever they stand; other braces stay") {
  const StartPlaces places{"/models/a b", 8000};
  CHECK(filled(std::string_view("--port={port}"), places) == "--port=8000");
  CHECK(filled(std::string_view("{model}:{port}:{model}"), places) == "/models/a b:8000:/models/a b");
  CHECK(filled(std::string_view("{\"port\": 1}"), places) == "{\"port\": 1}");
}

TEST_CASE("what a plan leaves out comes from the preset") {
  ManagedStart managed = process_of({"vllm", "--port", "{port}"});
  REQUIRE_OK(complete_managed_start(managed, ServerPreset::kVllm, false));
  CHECK(managed.health == "/health");
  CHECK(managed.engine.empty());
  ManagedStart image;
  image.image = "vllm/vllm-openai@sha256:" + kDigest;
  REQUIRE_OK(complete_managed_start(image, ServerPreset::kAny, true));
  CHECK(image.engine == "podman");
  CHECK(image.health == "/v1/models");
}

TEST_CASE("the port may be told by an environment variable, or not at all beside a URL") {
  ManagedStart managed = process_of({"server"});
  CHECK_FALSE(complete_managed_start(managed, ServerPreset::kAny, false));
  CHECK(complete_managed_start(managed, ServerPreset::kAny, true));
  managed.env = {{"PORT", "{port}"}};
  CHECK(complete_managed_start(managed, ServerPreset::kAny, false));
}

TEST_CASE("an image needs its digest") {
  for (const std::string& image :
       {std::string("vllm/vllm-openai"), std::string("vllm/vllm-openai:v1"), "vllm@sha256:" + kDigest.substr(1),
        "vllm-sha256:" + kDigest, "vllm@sha256:" + std::string(64, 'G'), "-sha256:" + kDigest}) {
    CAPTURE(image);
    ManagedStart managed;
    managed.image = image;
    CHECK_FALSE(complete_managed_start(managed, ServerPreset::kAny, true));
  }
  ManagedStart built;
  built.image = "sha256:" + kDigest;
  CHECK(complete_managed_start(built, ServerPreset::kAny, true));
}

}  // namespace secondsource
