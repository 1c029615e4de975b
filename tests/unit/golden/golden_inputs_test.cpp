// Tests which inputs the golden pass loads from a folder whose prompts the model cannot encode.
#include <fmt/format.h>

#include <filesystem>
#include <string>

#include "core/file.h"
#include "golden/golden_pass.h"
#include "support/bundles.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/scratch_folder.h"

namespace secondsource {
namespace {

TEST_CASE("prompts that cannot be encoded are counted and named where there are no expected outputs") {
  const test::ScratchFolder scratch;
  for (const char* const file : {"config.json", "model.safetensors", "tokenizer.json"}) {
    std::filesystem::copy(std::filesystem::path(test::kTinyBundle) / file, scratch.path() / file);
  }
  std::filesystem::create_directory(scratch.path() / "prompts");
  std::string suite = "suite_format: 1\nname: talk\nlicense: MIT\nprompts:\n";
  for (int i = 1; i <= 7; ++i) {
    suite += fmt::format(
        "  - {{id: talk-{}, tags: [smoke], kind: short-chat, max_new_tokens: 1, messages: [{{role: user, content: Hi}}]}}\n",
        i);
  }
  suite += "  - {id: ids-1, tags: [smoke], kind: short-chat, max_new_tokens: 1, ids: [1, 2]}\n";
  REQUIRE_OK(write_file(scratch.path() / "prompts/talk.yaml", suite));
  SilentProgress progress;
  const auto bundle = Bundle::open(scratch.path(), progress, InterruptFlag());
  REQUIRE_OK(bundle);
  const auto text = BundleText::load(*bundle);
  REQUIRE_OK(text);
  const auto inputs = load_golden_inputs(*bundle, *text, "smoke", "bf16");
  REQUIRE_OK(inputs);
  CHECK(inputs->cases.empty());
  CHECK(inputs->unverified.find("no independent expected outputs for bf16") != std::string::npos);
  CHECK(inputs->n_left_out == 7);
  REQUIRE(inputs->left_out.size() == 1);
  CAPTURE(inputs->left_out[0]);
  CHECK(inputs->left_out[0].starts_with("7 prompts (talk-1, ...) are skipped: "));
  CHECK(inputs->left_out[0].find("template") != std::string::npos);
}

TEST_CASE("prompts without a record of the reference count as left out") {
  SilentProgress progress;
  const auto bundle = Bundle::open(test::kTinyBundle, progress, InterruptFlag());
  REQUIRE_OK(bundle);
  const auto text = BundleText::load(*bundle);
  REQUIRE_OK(text);
  auto suite = load_prompt_suite(*bundle, *text, "all", "bf16");
  REQUIRE_OK(suite);
  const std::size_t n_prompts = suite->prompts.size();
  REQUIRE(suite->expected->size() > 1);
  suite->expected->resize(1);
  const auto inputs = golden_inputs_of(*bundle, *text, *suite, "bf16");
  REQUIRE_OK(inputs);
  CHECK(inputs->cases.size() == 1);
  CHECK(inputs->n_left_out == static_cast<std::int64_t>(n_prompts - 1));
  REQUIRE(inputs->left_out.size() == 1);
  CHECK(inputs->left_out[0].ends_with("no record of the reference"));
}

}  // namespace
}  // namespace secondsource
