// Tests `secondsource bundle` create, info, synth and verify.

#include <filesystem>
#include <fstream>

#include "core/file.h"
#include "reference_record.h"
#include "support/assets.h"
#include "support/result.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

ProgramRun verify(const std::filesystem::path& bundle) {
  return run_program({"bundle", "verify", bundle.string()});
}

/// Makes a copy of the committed tiny bundle for a test to damage.
std::filesystem::path tiny_copy(const ScratchFolder& scratch) {
  const std::filesystem::path copy = scratch.path() / "b";
  std::filesystem::copy(source_path("bundles/tiny-gqa8-hd64"), copy, std::filesystem::copy_options::recursive);
  return copy;
}

}  // namespace

TEST_CASE("a file that is no bundle is named for what it is, with what to do") {
  const ScratchFolder scratch;
  struct Case {
    const char* name;
    std::string content;
    std::string says;
  };
  const std::vector<Case> cases = {
      {"m.gguf", std::string("GGUF\3\0\0\0", 8),
       "a GGUF file: make a bundle of it (`secondsource bundle create --from-gguf"},
      {"m.safetensors", std::string("\x40\0\0\0\0\0\0\0{\"a\":", 13),
       "a safetensors file, the weights alone: name the folder"},
      {"tokenizer.json", "{\"version\": \"1.0\"}", "a JSON file: name its folder"},
      {"manifest.yaml", "bundle_format: 1\n", "a manifest, which lists the files of a bundle: name its folder"},
      {"plan.yaml", "version: 1\n", "a YAML file: name the folder of a bundle"},
      {"m.tar.gz", "\x1f\x8b\x08", "a gzip archive: unpack it"}};
  for (const auto& [name, content, says] : cases) {
    const std::string file = (scratch.path() / name).string();
    std::ofstream(file, std::ios::binary) << content;
    CAPTURE(name);
    check_refused(run_program({"generate", file, "--prompt", "Once"}), says);
    check_refused(run_program({"run", file}), says);
    const std::string out = (scratch.path() / "out").string();
    check_refused(run_program({"bundle", "create", "--from-hf", file, "--out", out}), says);
    CHECK_FALSE(std::filesystem::exists(out));
  }
  const std::string text = (scratch.path() / "notes.txt").string();
  std::ofstream(text) << "hello";
  check_refused(run_program({"run", text}), "a zip of one, or a Hugging Face folder; found another kind of file");
  check_refused(run_program({"bundle", "create", "--from-hf", text, "--out", text + ".out"}),
                "expected a Hugging Face folder, with config.json and *.safetensors; found a file");
}

TEST_CASE("an empty folder is called empty, and a bundle's manifest is not taken for a zip") {
  const ScratchFolder scratch;
  const std::string folder = scratch.path().string();
  check_refused(run_program({"bundle", "info", folder}), "or a Hugging Face folder; found an empty folder");
  check_refused(run_program({"check", folder}), "or a Hugging Face folder; found an empty folder");
  const std::string bundle = source_path("bundles/tiny-gqa8-hd64");
  check_refused(run_program({"fit", bundle + "/manifest.yaml"}), "name its folder (" + bundle + ")");
}

TEST_CASE("bundle verify: the committed bundles are whole") {
  const char* name = GENERATE("default", "tiny-gqa8-hd64", "tiny-gqa8-hd128");
  const ProgramRun run = verify(source_path(std::string("bundles/") + name));
  CAPTURE(run.err);
  CHECK(run.status == 0);
  CHECK(run.out == std::string(name) + ": whole\n");
}

TEST_CASE("bundle verify says of each damage which file it is and what was expected, and ends with 2") {
  const ScratchFolder scratch;
  const std::filesystem::path bundle = tiny_copy(scratch);
  SECTION("one bit of a weight") {
    std::string bytes = *read_file(bundle / "model.safetensors");
    bytes.back() = static_cast<char>(bytes.back() ^ 1);
    REQUIRE_OK(write_file(bundle / "model.safetensors", bytes));
    const ProgramRun run = verify(bundle);
    CHECK(run.status == 2);
    CHECK(contains(run.out, "fault: model.safetensors: expected SHA-256 "));
    CHECK(contains(run.out, "tiny-gqa8-hd64: not whole"));
  }
  SECTION("a file that the manifest does not list") {
    REQUIRE_OK(write_file(bundle / "surplus", "x"));
    const ProgramRun run = verify(bundle);
    CHECK(run.status == 2);
    CHECK(contains(run.out, "fault: surplus: expected every file in the manifest"));
  }
  SECTION("a file of another size") {
    REQUIRE_OK(write_file(bundle / "config.json", "{}"));
    check_refused(verify(bundle), "config.json: expected");
  }
  SECTION("a file that is gone") {
    std::filesystem::remove(bundle / "expected" / "bf16.jsonl");
    check_refused(verify(bundle), "expected/bf16.jsonl");
  }
  SECTION("no manifest: a model folder, not a bundle") {
    std::filesystem::remove(bundle / "manifest.yaml");
    const ProgramRun run = verify(bundle);
    CHECK(run.status == 2);
    CHECK(contains(run.out, "expected manifest.yaml, found none"));
  }
  SECTION("nothing there") {
    check_refused(verify(scratch.path() / "absent"), "found nothing");
  }
}

TEST_CASE("bundle info says what is in a bundle") {
  const ProgramRun run = run_program({"bundle", "info", source_path("bundles/tiny-gqa8-hd64")});
  CHECK(run.status == 0);
  for (const char* part : {"tiny-gqa8-hd64: llama, ", "16 query and 2 KV heads of 64", "licence Apache-2.0",
                           "variant bf16: blessed, stored, with expected outputs", "golden prompts"}) {
    CAPTURE(part, run.out);
    CHECK(contains(run.out, part));
  }
  check_refused(run_program({"bundle", "info", "/nowhere"}), "/nowhere");
}

TEST_CASE("bundle synth writes a whole bundle in a named shape or in that of a config.json") {
  const ScratchFolder scratch;
  const std::string bundle = (scratch.path() / "b").string();
  const ProgramRun made = run_program({"bundle", "synth", "--like", "small-gqa8-hd64", "--out", bundle});
  CAPTURE(made.err);
  REQUIRE(made.status == 0);
  CHECK(contains(made.err, "unverified"));
  CHECK(contains(run_program({"bundle", "info", bundle}).out, "2 layers, width 256, 8 query and 1 KV heads of 64"));
  const ProgramRun whole = verify(bundle);
  CHECK(whole.status == 0);
  CHECK(contains(whole.out, "small-gqa8-hd64: whole"));
  // The seed determines the weights.
  const auto made_of = [&](const char* name, const char* seed) {
    const std::string out = (scratch.path() / name).string();
    REQUIRE(run_program({"bundle", "synth", "--config", source_path("bundles/tiny-gqa8-hd64/config.json"), "--seed",
                         seed, "--name", "n", "--out", out})
                .status == 0);
    return *read_file(std::filesystem::path(out) / "manifest.yaml");
  };
  const std::string first = made_of("c1", "1");
  CHECK(first == made_of("c2", "1"));
  CHECK(first != made_of("c3", "2"));

  CHECK(contains(run_program({"bundle", "synth", "--list"}).out, "small-gqa8-hd64\n"));
  check_refused(run_program({"bundle", "synth", "--like", "small-gqa8-hd64", "--out", bundle}),
                "found something there already");
  check_refused(run_program({"bundle", "synth", "--like", "GPT-5", "--out", bundle + "2"}),
                "expected the name of a built-in shape");
  check_refused(run_program({"bundle", "synth", "--out", bundle + "2"}), "--like");
  check_refused(run_program({"bundle", "synth", "--list", "--out", bundle + "2"}), ", found both");
  const std::string broken = (scratch.path() / "ff.json").string();
  REQUIRE_OK(write_file(broken, "{"));
  check_refused(run_program({"bundle", "synth", "--config", broken, "--out", bundle + "2"}), broken + ": ");
  REQUIRE_OK(write_file(broken, "[]"));
  check_refused(run_program({"bundle", "synth", "--config", broken, "--out", bundle + "2"}),
                broken + ": expected an object");
  CHECK_FALSE(std::filesystem::exists(bundle + "2"));
}

TEST_CASE("bundle create makes a whole bundle of a Hugging Face folder, unverified until there are expected outputs") {
  const ScratchFolder scratch;
  const std::string model = tiny_model_folder(scratch.path(), true);
  const std::string bundle = (scratch.path() / "b").string();
  const std::vector<std::string> arguments = {
      "bundle", "create", "--from-hf", model, "--prompts", source_path("bundles/tiny-gqa8-hd64/prompts"),
      "--name", "mine",   "--license", "MIT", "--out",     bundle};
  const ProgramRun made = run_program(arguments);
  CAPTURE(made.err);
  REQUIRE(made.status == 0);
  CHECK(contains(made.err, "expect.py --model " + bundle));
  const ProgramRun info = run_program({"bundle", "info", bundle});
  CHECK(contains(info.out, "mine: llama"));
  CHECK(contains(info.out, "licence MIT"));
  CHECK(contains(info.out, "variant bf16: blessed, stored, unverified"));
  const ProgramRun whole = verify(bundle);
  CHECK(whole.status == 0);
  CHECK(contains(whole.out, "note: variant bf16: blessed, without expected outputs: unverified"));
  check_refused(run_program(arguments), "found something there already");
  const ProgramRun without_prompts = run_program({"bundle", "create", "--from-hf", model, "--out", bundle + "1"});
  CHECK(without_prompts.status == 0);
  CHECK(contains(without_prompts.err, "It has no golden prompts"));
  CHECK(contains(without_prompts.err, "expect.py --model " + bundle + "1 --prompts SUITES"));
  check_refused(run_program({"bundle", "create", "--from-hf", "/nowhere", "--out", bundle + "2"}), "/nowhere");
  check_refused(run_program({"bundle", "create", "--out", bundle + "2"}), "expected one of --from-hf and --from-gguf");
}

TEST_CASE("bundle create: a name and prompts that no bundle can have are refused before any work") {
  const ScratchFolder scratch;
  const std::string model = tiny_model_folder(scratch.path(), true);
  const std::string out = (scratch.path() / "b").string();
  const auto create = [&](const std::string& from, const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"bundle", "create", "--from-hf", from, "--out", out};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_program(arguments);
  };
  constexpr std::string_view kName =
      "--name: expected a word of letters, digits, '.', '_' and '-' as the name of a bundle, found \"my model\"";
  check_refused(create(model, {"--name", "my model"}), kName);
  check_refused(run_program({"bundle", "synth", "--like", "small-gqa8-hd64", "--name", "my model", "--out", out}),
                kName);
  const std::filesystem::path spaced = scratch.path() / "my model";
  std::filesystem::copy(model, spaced);
  check_refused(create(spaced.string(), {}),
                "my model: this folder's name cannot be the name of a bundle; give one with --name: expected a word");
  // For a path that is no model folder, the message says so, and does not complain about the bundle's name.
  check_refused(create((scratch.path() / "no folder").string(), {}), "no folder/config.json: cannot open");
  const std::string file = (scratch.path() / "empty.yaml").string();
  REQUIRE_OK(write_file(file, ""));
  check_refused(create(model, {"--prompts", file}),
                "--prompts " + file + ": expected a folder of golden prompt suites");
  check_refused(create(model, {"--prompts", file}), "found a file: name the folder");
  check_refused(create(model, {"--prompts", model}), "(*.yaml), found no prompts in it");
  check_refused(create(model, {"--prompts", "/nowhere"}), "(*.yaml), found nothing");
  check_refused(create(model, {"--chat-date", "2024-13-45"}),
                "--chat-date: expected a day YYYY-MM-DD, found \"2024-13-45\"");
  CHECK_FALSE(std::filesystem::exists(out));
}

TEST_CASE("bundle create takes a GGUF file, and refuses a damaged one in one line") {
  const auto model = asset("models/stories260K/stories260K.gguf");
  if (!model) return;
  const ScratchFolder scratch;
  const std::string bundle = (scratch.path() / "b").string();
  const ProgramRun made =
      run_program({"bundle", "create", "--from-gguf", model->string(), "--out", bundle, "--license", "MIT"});
  CAPTURE(made.err);
  REQUIRE(made.status == 0);
  CHECK(verify(bundle).status == 0);
  const ProgramRun info = run_program({"bundle", "info", bundle});
  CHECK(contains(info.out, "stories260K: llama, "));
  CHECK(contains(info.out, "the GGUF file stories260K.gguf"));

  const std::string cut = (scratch.path() / "cut.gguf").string();
  std::filesystem::copy_file(*model, cut);
  std::filesystem::permissions(cut, std::filesystem::perms::owner_write, std::filesystem::perm_options::add);
  std::filesystem::resize_file(cut, std::filesystem::file_size(cut) / 2);
  const std::string out = (scratch.path() / "out").string();
  check_refused(run_program({"bundle", "create", "--from-gguf", cut, "--out", out}), "cut.gguf: GGUF: tensor ");
  check_refused(run_program({"bundle", "create", "--from-gguf", source_path("README.md"), "--out", out}),
                "expected the magic GGUF");
  check_refused(run_program({"bundle", "create", "--from-gguf", "/nowhere.gguf", "--out", out}), "/nowhere.gguf");
  check_refused(run_program({"bundle", "create", "--from-gguf", cut, "--from-hf", cut, "--out", out}),
                "expected one of");
  CHECK_FALSE(std::filesystem::exists(out));
}

TEST_CASE("bundle create reads real weights, and refuses other architectures by name") {
  const auto model = asset("models/stories260K-hf");
  if (!model) return;
  const ScratchFolder scratch;
  const std::string bundle = (scratch.path() / "b").string();
  const ProgramRun made =
      run_program({"bundle", "create", "--from-hf", model->string(), "--out", bundle, "--license", "MIT"});
  CAPTURE(made.err);
  REQUIRE(made.status == 0);
  CHECK(verify(bundle).status == 0);

  std::filesystem::create_directory(scratch.path() / "other");
  REQUIRE_OK(write_file(scratch.path() / "other" / "config.json",
                        R"({"architectures": ["MambaForCausalLM"], "model_type": "mamba"})"));
  check_refused(
      run_program({"bundle", "create", "--from-hf", (scratch.path() / "other").string(), "--out", bundle + "2"}),
      "found MambaForCausalLM");
  CHECK_FALSE(std::filesystem::exists(bundle + "2"));
}
