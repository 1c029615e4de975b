// Tests `secondsource inspect`: the description of a file, and one line with status 2 for a file that is rejected. The
// expected results are listed in assets/hostile.

#include "core/file.h"
#include "expectations.h"
#include "support/assets.h"
#include "support/result.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

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
    // Upstream's reader accepts white space before the header, although the format requires that it begins with '{'.
    const bool breaks_format = file == "header_leading_whitespace.safetensors";
    if (entry["accept"].get<bool>() && !breaks_format) {
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
  const ProgramRun run = run_program({"inspect", source_path(file)});
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
