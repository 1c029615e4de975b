// Tests `secondsource eval`: log-probabilities of given ids. The expected values are PyTorch's in FP32, stored in the
// committed bundles. The reference backend sums in FP64, so that both agree up to rounding.

#include "reference_record.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

TEST_CASE("eval gives the log-probabilities and best tokens that PyTorch gives, without needing a tokenizer") {
  const ScratchFolder scratch;
  const ReferenceRecord record = reference_record("bundles/tiny-gqa8-hd64", "bf16", "ids-031");
  std::vector<std::int32_t> ids = record.prompt_ids;
  ids.insert(ids.end(), record.ids.begin(), record.ids.end());
  const ProgramRun run = run_program({"eval", tiny_model_folder(scratch.path(), false), "--backend", "reference",
                                      "--variant", "bf16", "--ids", joined(ids), "--top", "3"});
  CAPTURE(run.err);
  REQUIRE(run.status == 0);
  CHECK(is_one_line(run.out));
  const auto line = nlohmann::json::parse(run.out);
  CHECK(line["ids"] == ids);
  CHECK(line["logprobs"].size() == ids.size());
  CHECK(line["logprobs"][0].is_null());
  double nll = 0;
  for (std::size_t position = 1; position < ids.size(); ++position) nll -= line["logprobs"][position].get<double>();
  CHECK(line["nll"].get<double>() == Approx(nll));
  for (std::size_t i = 0; i < record.ids.size(); ++i) {
    const std::size_t position = record.prompt_ids.size() + i;
    CAPTURE(i);
    CHECK(line["logprobs"][position].get<double>() == Approx(record.top[i][0].second).margin(1e-3));
    CHECK(line["top"][position].size() == 3);
    for (std::size_t rank = 0; rank < 3; ++rank) {
      CHECK(line["top"][position][rank][0] == record.top[i][rank].first);
      CHECK(line["top"][position][rank][1].get<double>() == Approx(record.top[i][rank].second).margin(1e-3));
    }
  }
}

TEST_CASE("eval answers each line of its input with a line, and writes whole logits") {
  const ScratchFolder scratch;
  const std::string bundle = source_path("bundles/tiny-gqa8-hd64");
  const std::string logits = (scratch.path() / "logits.safetensors").string();
  const std::string input = "{\"ids\": [1, 2, 3]}\n\n[4, 5]\n";
  const ProgramRun run = run_program({"eval", bundle, "--logits", logits}, {.input = input});
  CAPTURE(run.err);
  REQUIRE(run.status == 0);
  CHECK(std::count(run.out.begin(), run.out.end(), '\n') == 2);
  CHECK(contains(run.out, "\"ids\":[4,5]"));
  const ProgramRun inspected = run_program({"inspect", logits});
  CHECK(contains(inspected.out, "logits.0 F32 [3, 512]"));
  CHECK(contains(inspected.out, "logits.1 F32 [2, 512]"));
  // --logits is given here as well, because it adds a row to the LM head's matmul, whose rounding depends on its row count.
  REQUIRE_OK(write_file(scratch.path() / "ids.jsonl", input));
  const ProgramRun from_file = run_program(
      {"eval", bundle, "--input", (scratch.path() / "ids.jsonl").string(), "--logits", logits + ".from_file"});
  CHECK(from_file.out == run.out);
}

TEST_CASE("eval refuses in one line what it cannot do") {
  const std::string bundle = source_path("bundles/tiny-gqa8-hd64");
  check_refused(run_program({"eval", "/nowhere", "--ids", "1"}), "/nowhere");
  check_refused(run_program({"eval", bundle}, {.input = ""}), "stdin: expected lines of ids, found none");
  check_refused(run_program({"eval", bundle}, {.input = "[1]\n[1, -2]\n"}), "stdin: line 2: expected");
  check_refused(run_program({"eval", bundle}, {.input = "{\"ids\": [1\n"}), "stdin: line 1: expected JSON");
  check_refused(run_program({"eval", bundle, "--ids", "1,512"}), "expected an id in [0, 512), found 512");
  check_refused(run_program({"eval", bundle, "--ids", "one"}), "--ids");
  check_refused(run_program({"eval", bundle, "--ids", ""}), "--ids: expected a value, found \"\"");
  check_refused(run_program({"eval", bundle, "--ids", "1,,2"}), "--ids: expected values that are not empty");
  check_refused(run_program({"eval", bundle, "--ids", "1", "--input", "x"}), "expected --ids or --input, found both");
  check_refused(run_program({"eval", bundle, "--input", "/nowhere.jsonl"}), "/nowhere.jsonl");
}
