// Tests `secondsource tokenize`, which reads and writes JSON lines. The expected ids are those of Hugging Face
// tokenizers 0.23.3.

#include "core/file.h"
#include "support/program.h"
#include "support/result.h"
#include "support/scratch_folder.h"
#include "support/source_path.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

const std::string& tokenizer_path() {
  static const std::string path = data_file("tokenizer/byte_level.json");
  return path;
}

}  // namespace

TEST_CASE("tokenize prints the ids of a text as one JSON line") {
  const ProgramRun run = run_program({"tokenize", tokenizer_path(), "--text", "Hello world<|end|>"});
  CHECK(run.status == 0);
  CHECK(run.out == "{\"ids\":[41,412,80,469,313,1]}\n");
  const ProgramRun with_tokens = run_program({"tokenize", tokenizer_path(), "--text", "Hello", "--tokens"});
  CHECK(with_tokens.out == "{\"ids\":[41,412,80],\"tokens\":[\"H\",\"ell\",\"o\"]}\n");
  const ProgramRun plain = run_program({"tokenize", tokenizer_path(), "--text", "<|end|>", "--no-parse-special"});
  CHECK(plain.out == "{\"ids\":[29,93,445,93,31]}\n");
}

TEST_CASE("tokenize answers each line of stdin with a line") {
  const ProgramRun run = run_program({"tokenize", tokenizer_path(), "--family", "chatml"},
                                     {.input = "{\"text\": \"Hello world\"}\n{\"ids\": [41, 412, 80, 469, 313, 1]}\n"
                                               "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}\n"});
  CAPTURE(run.err);
  CHECK(run.status == 0);
  CHECK(run.out.starts_with("{\"ids\":[41,412,80,469,313]}\n{\"text\":\"Hello world<|end|>\"}\n{\"ids\":["));
  CHECK(run.out.find("\"text\":\"<|im_start|>user\\nHi<|im_end|>\\n<|im_start|>assistant\\n\"}\n") !=
        std::string::npos);
}

TEST_CASE("tokenize reads a whole file, and leaves special tokens out where it is told to") {
  const ScratchFolder scratch;
  REQUIRE_OK(write_file(scratch.path() / "text.txt", "Hello world"));
  const ProgramRun run = run_program({"tokenize", tokenizer_path(), "--file", (scratch.path() / "text.txt").string()});
  CHECK(run.out == "{\"ids\":[41,412,80,469,313]}\n");
  const ProgramRun skipped =
      run_program({"tokenize", tokenizer_path(), "--skip-special"}, {.input = "{\"ids\": [0, 41, 1]}\n"});
  CHECK(skipped.out == "{\"text\":\"H\"}\n");
}

TEST_CASE("tokenize refuses with status 2 and one line that says where") {
  const struct {
    std::string input;
    std::string_view message;
  } cases[] = {
      {"{\"ids\": [41, 600]}\n", "stdin: line 1: ids[1]: expected an id in [0, 600), found 600"},
      {"{\"text\": \"a\"}\n{\n", "stdin: line 2: "},
      {"{\"tekst\": \"a\"}\n", "stdin: line 1: expected {\"text\": \"...\"}"},
      {"{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"}]}\n",
       "expected a model with a chat template, found none"},
      {"\xff\n", "stdin: line 1: "},
  };
  for (const auto& one : cases) {
    const ProgramRun run = run_program({"tokenize", tokenizer_path()}, {.input = one.input});
    CAPTURE(one.input, run.err);
    CHECK(run.status == 2);
    CHECK(is_one_line(run.err));
    CHECK(run.err.find(one.message) != std::string::npos);
  }
  const ProgramRun weights = run_program({"tokenize", source_path("bundles/default/model.safetensors"), "--text", "a"});
  CHECK(weights.status == 2);
  CHECK(is_one_line(weights.err));
  CHECK(weights.err.find("found a safetensors file, the weights alone: name the folder") != std::string::npos);
  const ProgramRun absent = run_program({"tokenize", "no-such-file", "--text", "a"});
  CHECK(absent.status == 2);
  CHECK(is_one_line(absent.err));
}
