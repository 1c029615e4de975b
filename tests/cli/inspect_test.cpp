// inspect, bundle and cache at the command line: what is refused gets one line and status 2. The lists of what to
// accept are those of assets/hostile.

#include <nlohmann/json.hpp>

#include "core/file.h"
#include "support/assets.h"
#include "support/catch.h"
#include "support/program.h"
#include "support/result.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// The program's answer to a file that it should refuse: status 2, one line on stderr that names the file.
void check_refused(const ProgramRun& run, std::string_view name) {
  CAPTURE(run.out, run.err);
  CHECK(run.status == 2);
  CHECK(is_one_line(run.err));
  CHECK(contains(run.err, name));
  CHECK(run.out.empty());
}

}  // namespace

TEST_CASE("inspect ends with 0 or 2 on every hostile file as its list says, and with one line where it refuses") {
  const std::string format = GENERATE("json", "gguf", "safetensors");
  const auto folder = asset("hostile/" + format);
  if (!folder) return;
  const auto list = read_file(*folder / "expected.json");
  REQUIRE_OK(list);
  const nlohmann::json expected = nlohmann::json::parse(*list);
  for (const auto& entry : expected["cases"]) {
    const auto file = entry["file"].get<std::string>();
    if (entry["accept"].is_null()) continue;
    CAPTURE(file);
    const ProgramRun run = run_program({"inspect", "--as", format, (*folder / file).string()});
    if (entry["accept"].get<bool>()) {
      CHECK(run.status == 0);
    } else {
      check_refused(run, file);
    }
  }
}

TEST_CASE("inspect reads hostile YAML and zips rightly or refuses them with one line, and writes nothing") {
  const std::string format = GENERATE("yaml", "zip");
  const auto folder = asset("hostile/" + format);
  if (!folder) return;
  int n_accepted = 0;
  for (const auto& item : std::filesystem::directory_iterator(*folder)) {
    if (item.path().extension() != "." + format) continue;
    CAPTURE(item.path().string());
    const ProgramRun run = run_program({"inspect", "--as", format, item.path().string()});
    if (run.status == 0) {
      ++n_accepted;
    } else {
      check_refused(run, item.path().filename().string());
    }
  }
  CHECK(n_accepted >= 1);
  CHECK_FALSE(std::filesystem::exists("/tmp/zip_slip_owned.txt"));
}

TEST_CASE("inspect says what is in a file of each format") {
  const auto [file, part] = GENERATE(table<std::string, std::string>({
      {"bundles/default/model.safetensors", "model.embed_tokens.weight BF16 ["},
      {"bundles/default/manifest.yaml", "manifest of default"},
      {"bundles/default/config.json", "model configuration: llama"},
      {"bundles/default/tokenizer.json", "tokenizer: "},
      {"prompts/rag.yaml", "golden prompts: "},
  }));
  const ProgramRun run = run_program({"inspect", (std::filesystem::path(SS_SOURCE_FOLDER) / file).string()});
  CAPTURE(file, run.out, run.err);
  CHECK(run.status == 0);
  CHECK(contains(run.out, part));
}

TEST_CASE("inspect refuses what is not there, what it does not know, and an unknown format") {
  const ScratchFolder scratch;
  check_refused(run_program({"inspect", (scratch.path() / "absent.json").string()}), "absent.json");
  check_refused(run_program({"inspect", scratch.path().string()}), scratch.path().filename().string());
  REQUIRE_OK(write_file(scratch.path() / "noname", "x"));
  check_refused(run_program({"inspect", (scratch.path() / "noname").string()}), "noname");
  CHECK(run_program({"inspect", "--as", "toml", "x"}).status == 2);
}

TEST_CASE("bundle synth, info and verify work together, and a damaged bundle is not whole") {
  const ScratchFolder scratch;
  const std::string bundle = (scratch.path() / "b").string();
  const ProgramRun made = run_program({"bundle", "synth", "--like", "small-gqa8-hd64", "--out", bundle});
  CAPTURE(made.err);
  REQUIRE(made.status == 0);
  CHECK(contains(made.err, "unverified"));
  CHECK(contains(run_program({"bundle", "info", bundle}).out, "2 layers, width 256, 8 query and 1 KV heads of 64"));
  const ProgramRun whole = run_program({"bundle", "verify", bundle});
  CHECK(whole.status == 0);
  CHECK(contains(whole.out, "small-gqa8-hd64: whole"));

  check_refused(run_program({"bundle", "synth", "--like", "small-gqa8-hd64", "--out", bundle}), "found it taken");
  check_refused(run_program({"bundle", "synth", "--like", "GPT-5", "--out", bundle + "2"}), "expected one of");
  check_refused(run_program({"bundle", "synth", "--out", bundle + "2"}), "--like");

  REQUIRE_OK(write_file(scratch.path() / "b" / "surplus", "x"));
  const ProgramRun damaged = run_program({"bundle", "verify", bundle});
  CHECK(damaged.status == 2);
  CHECK(contains(damaged.out, "fault: surplus: expected every file in the manifest"));
  REQUIRE_OK(write_file(scratch.path() / "b" / "config.json", "{}"));
  check_refused(run_program({"bundle", "verify", bundle}), "config.json: expected");
}

TEST_CASE("bundle create makes a bundle of a Hugging Face folder, and refuses other architectures by name") {
  const auto model = asset("models/stories260K-hf");
  const auto other = asset("model-configs/deepseek-ai--DeepSeek-V3_config.json");
  if (!model || !other) return;
  const ScratchFolder scratch;
  const std::string bundle = (scratch.path() / "b").string();
  const ProgramRun made =
      run_program({"bundle", "create", "--from-hf", model->string(), "--out", bundle, "--license", "MIT"});
  CAPTURE(made.err);
  REQUIRE(made.status == 0);
  CHECK(run_program({"bundle", "verify", bundle}).status == 0);

  std::filesystem::create_directory(scratch.path() / "other");
  std::filesystem::copy_file(*other, scratch.path() / "other" / "config.json");
  check_refused(
      run_program({"bundle", "create", "--from-hf", (scratch.path() / "other").string(), "--out", bundle + "2"}),
      "found DeepseekV3ForCausalLM");
  CHECK_FALSE(std::filesystem::exists(bundle + "2"));
}

TEST_CASE("cache list and clean work on an empty cache") {
  const ScratchFolder scratch;
  const ProgramOptions options{
      .input = "", .environment = {{"XDG_CACHE_HOME", scratch.path().string()}}, .out_path = ""};
  const ProgramRun list = run_program({"cache", "list"}, options);
  CHECK(list.status == 0);
  CHECK(contains(list.out, "0 entries"));
  const ProgramRun clean = run_program({"cache", "clean"}, options);
  CHECK(clean.status == 0);
  CHECK(contains(clean.out, "0 entries removed"));
}
