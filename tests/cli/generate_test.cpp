// Tests `secondsource generate`. The expected ids are PyTorch's in FP32, stored in the committed bundles.

#include <fmt/format.h>

#include <algorithm>

#include "reference_record.h"
#include "support/bundles.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

ProgramRun generate(std::vector<std::string> flags) {
  flags.insert(flags.begin(), {"generate", kDefaultBundle, "--backend", "reference", "--max-new-tokens", "12"});
  return run_program(flags);
}

}  // namespace

TEST_CASE("generate without a tokenizer prints the ids that PyTorch gives") {
  const ScratchFolder scratch;
  const ReferenceRecord record = reference_record("bundles/tiny-gqa8-hd64", "bf16", "ids-031");
  const ProgramRun run =
      run_program({"generate", tiny_model_folder(scratch.path(), false), "--backend", "reference", "--variant", "bf16",
                   "--ids", joined(record.prompt_ids), "--max-new-tokens", std::to_string(record.ids.size())});
  CAPTURE(run.err);
  CHECK(run.status == 0);
  CHECK(run.out == joined(record.ids, ' ') + " \n");
  CHECK(contains(run.err, "31 prompt tokens"));
  CHECK(contains(run.err, "12 tokens"));
  check_refused(
      run_program({"generate", tiny_model_folder(scratch.path() / "stop", false), "--ids", "1", "--stop", "a"}),
      "--stop: expected a tokenizer in");
}

TEST_CASE("generate continues a lookup with the value that PyTorch gives, on every backend") {
  // The logit margins of these five tokens are between 5 and 9, so that no correct backend can generate others.
  const ReferenceRecord record = reference_record("bundles/default", "bf16", "scripts-001");
  const ProgramRun decoded =
      run_program({"tokenize", kDefaultBundle}, {.input = "{\"ids\": [" + joined(record.ids) + "]}\n"});
  const std::string expected = nlohmann::json::parse(decoded.out)["text"];
  for (const std::string& backend : available_backends()) {
    const ProgramRun run =
        run_program({"generate", kDefaultBundle, "--backend", backend, "--ids", joined(record.prompt_ids),
                     "--max-new-tokens", std::to_string(record.ids.size())});
    CAPTURE(backend, run.err);
    CHECK(run.status == 0);
    CHECK(run.out == expected + "\n");
  }
}

TEST_CASE("a prompt comes from a flag or a file, plain or as a chat, and a stop string ends the text before it") {
  const ScratchFolder scratch;
  REQUIRE_OK(write_file(scratch.path() / "prompt.txt", "counting: 1, 2, 3,"));
  const ProgramRun flag = generate({"--prompt", "counting: 1, 2, 3,"});
  CHECK(flag.status == 0);
  CHECK(flag.out.size() > 4);
  CHECK(generate({"--prompt-file", (scratch.path() / "prompt.txt").string()}).out == flag.out);
  const ProgramRun chat = generate({"--chat", "--system", "Be brief.", "--prompt", "counting: 1, 2, 3,"});
  CHECK(chat.status == 0);
  CHECK(chat.out != flag.out);
  const std::string stop = flag.out.substr(flag.out.size() / 2, 1);
  const ProgramRun stopped = generate({"--prompt", "counting: 1, 2, 3,", "--stop", stop});
  CHECK(stopped.out == flag.out.substr(0, flag.out.find(stop)) + "\n");
  CHECK(contains(stopped.err, "ended: stop string"));
}

TEST_CASE("--ignore-eos goes on after the end of the text and changes nothing before it") {
  const ReferenceRecord record = reference_record("bundles/default", "bf16", "short-chat-015");
  REQUIRE(record.ids.back() == 2);  // the bundle's end-of-text id, which has no text of its own
  const auto text = [&](std::size_t n_tokens, bool ignores) {
    std::vector<std::string> flags = {
        "generate",         kDefaultBundle,          "--backend", "reference", "--ids", joined(record.prompt_ids),
        "--max-new-tokens", std::to_string(n_tokens)};
    if (ignores) flags.emplace_back("--ignore-eos");
    const ProgramRun run = run_program(flags);
    CAPTURE(run.err);
    CHECK(run.status == 0);
    CHECK(contains(run.err, fmt::format("{} tokens, ", ignores ? n_tokens : record.ids.size())));
    return run.out;
  };
  const std::string answer = text(record.ids.size(), false);
  CHECK(text(record.ids.size(), true) == answer);
  const std::string longer = text(record.ids.size() + 4, true);
  CHECK(longer.starts_with(answer.substr(0, answer.size() - 1)));
  CHECK(text(record.ids.size() + 4, false) == answer);
}

TEST_CASE("sampling depends on the seed alone") {
  const auto sampled = [](const char* seed) {
    return generate({"--prompt", "The", "--temperature", "2", "--top-k", "50", "--seed", seed}).out;
  };
  CHECK(sampled("1") == sampled("1"));
  CHECK(sampled("1") != sampled("2"));
  // At temperature 0, the seed has no effect.
  CHECK(generate({"--prompt", "The", "--seed", "1"}).out == generate({"--prompt", "The", "--seed", "2"}).out);
}

TEST_CASE("generate refuses in one line what it cannot do") {
  check_refused(run_program({"generate", "/nowhere", "--prompt", "x"}), "/nowhere");
  check_refused(run_program({"generate", kDefaultBundle}), "expected one of --prompt, --prompt-file and --ids");
  check_refused(generate({"--prompt", "x", "--variant", "int3"}), "int3");
  check_refused(generate({"--ids", "1,99999"}), "found 99999");
  check_refused(generate({"--ids", ""}), "--ids: expected a value, found \"\"");
  check_refused(generate({"--prompt", "x", "--temperature", "-1"}), "temperature");
  check_refused(generate({"--prompt", "x", "--temperature", "1e999"}), "expected a finite temperature >= 0");
  check_refused(generate({"--prompt", "x", "--backend-option", "threads"}), "KEY=VALUE");
  check_refused(run_program({"generate", source_path("bundles/tiny-gqa8-hd64"), "--chat", "--prompt", "x"}),
                "chat template");
  const ScratchFolder scratch;
  const auto folder_with = [&](const std::string& file) {
    const std::filesystem::path folder = scratch.path() / file;
    std::filesystem::create_directories(folder);
    REQUIRE_OK(write_file(folder / file, "x"));
    return folder.string();
  };
  check_refused(run_program({"generate", folder_with("pytorch_model.bin"), "--prompt", "x"}),
                "expected config.json, found pytorch_model.bin: weights as pickled Python objects, which are not read");
  check_refused(run_program({"generate", folder_with("model-q4.gguf"), "--prompt", "x"}),
                "expected config.json, found model-q4.gguf: a GGUF file; make a bundle of it with");
  const std::string quantized = data_file("quantized/fp8-blocks");
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {"generate", quantized, "--ids", "1"}, {"check", quantized}, {"run", quantized}}) {
    check_refused(run_program(words),
                  "found a quantized checkpoint: make a bundle of it (`secondsource bundle create "
                  "--from-hf " +
                      quantized + " --out BUNDLE`)");
  }
  check_refused(run_program({"tokenize", folder_with("sentencepiece.bpe.model")}),
                "expected tokenizer.json, found sentencepiece.bpe.model: the SentencePiece model of a class that");
  check_refused(run_program({"tokenize", folder_with("spiece.model")}), "spiece.model: SentencePiece model: byte");
  const ProgramRun absent = run_program({"generate", kDefaultBundle, "--prompt", "x", "--backend", "tpu"});
  CHECK(absent.status == 4);
  CHECK(contains(absent.err, "this program has "));
}
