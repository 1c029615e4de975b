// Tests `verify`: the figures of a real run follow from its samples, and changed or damaged figures are named.

#include <nlohmann/json.hpp>

#include "core/file.h"
#include "core/seal.h"
#include "expectations.h"
#include "support/result.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

/// Replaces the first occurrence of `from` in a file.
void replace_in(const std::filesystem::path& path, std::string_view from, std::string_view to) {
  std::string text = read_file(path).value();
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  REQUIRE_OK(write_file(path, text.replace(at, from.size(), to)));
}

}  // namespace

TEST_CASE("verify: every figure of a run follows from its samples; damage and changed figures do not") {
  const ScratchFolder scratch;
  const std::filesystem::path folder = scratch.path() / "run";
  const ProgramRun run =
      run_program({"run", source_path("bundles/tiny-gqa8-hd64"), "--backend", "reference", "--variant", "bf16",
                   "--scenario", "single-stream+requests=6@/4,offline:2@/4,server:8@/4", "--repetitions", "2",
                   "--price", "1.20", "--slo", "ttft_ms=2000,tpot_ms=2000", "--out", folder.string()});
  CAPTURE(run.err, run.out);
  REQUIRE((run.status == 0 || run.status == 6));
  const ProgramRun good = run_program({"verify", folder.string()});
  CAPTURE(good.out, good.err);
  CHECK(good.status == 0);
  CHECK(contains(good.out, "every figure follows: "));
  CHECK(contains(good.out, " values of 3 cells from "));
  CHECK_FALSE(contains(good.out, "note:"));

  // A figure that was changed for the better, with a matching checksum.
  const std::filesystem::path summary = folder / "summary.json";
  const std::string before = read_file(summary).value();
  auto tree = nlohmann::ordered_json::parse(before);
  tree.erase("checksum");
  tree["cells"][0]["output_tok_per_s"]["value"] = 1.01 * tree["cells"][0]["output_tok_per_s"]["value"].get<double>();
  REQUIRE_OK(write_file(summary, sealed(tree.dump(2) + "\n")));
  const ProgramRun improved = run_program({"verify", folder.string()});
  CHECK(improved.status == 2);
  CHECK(contains(improved.out, "fault: summary.json: tiny-gqa8-hd64/reference/bf16/"));
  CHECK(contains(improved.out, ": output_tok_per_s: value: the samples give "));
  CHECK(contains(improved.out, "does not follow"));

  // A file whose checksum does not match is refused.
  REQUIRE_OK(write_file(summary, before));
  replace_in(folder / "samples.jsonl", "\"first_token_ns\":", "\"first_token_ns\":1");
  for (const char* command : {"verify", "report"}) check_refused(run_program({command, folder.string()}), "damaged");
  check_refused(run_program({"verify", (scratch.path() / "absent").string()}), "run.json");
}
