// Tests `secondsource fit`, and holds its prediction of memory against what a real run allocated.

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "core/file.h"
#include "expectations.h"
#include "support/result.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

TEST_CASE("fit: devices for a built-in shape, as table and as a page") {
  const ProgramRun table = run_program({"fit", "Llama-3.1-70B", "--on", "h100-sxm,mi300x", "--variant", "bf16,int8"});
  CAPTURE(table.out, table.err);
  REQUIRE(table.status == 0);
  CHECK(contains(table.out, "h100-sxm  bf16           2"));
  CHECK(contains(table.out, "mi300x    bf16           1"));
  CHECK(contains(table.out, "70.6 billion parameters"));
  CHECK(contains(table.out, "projected, not measured"));
  const ScratchFolder scratch;
  const auto page = scratch.path() / "fit.html";
  REQUIRE(run_program({"fit", "Mixtral-8x22B", "--prices", source_path("reports/prices.yaml"), "--format", "html",
                       "--out", page.string()})
              .status == 0);
  const std::string html = *read_file(page);
  CHECK(contains(html, "Does Mixtral-8x22B fit?"));
  CHECK(contains(html, "<svg"));
  CHECK(contains(html, "USD an hour each"));
}

TEST_CASE("fit: the memory that a run allocates is predicted within 2 %") {
  const ScratchFolder scratch;
  const auto bundle = scratch.path() / "bundle";
  REQUIRE(run_program({"bundle", "synth", "--like", "demo-50m", "--out", bundle.string()}).status == 0);
  for (const std::string variant : {"bf16", "int8", "int4"}) {
    CAPTURE(variant);
    const auto out = scratch.path() / variant;
    const ProgramRun run = run_program({"run", bundle.string(), "--backend", "cpu", "--variant", variant, "--scenario",
                                        "offline:4@32/8", "--repetitions", "1", "--no-golden", "--out", out.string()});
    CAPTURE(run.err);
    REQUIRE(run.status == 0);
    nlohmann::json memory;
    std::istringstream lines(*read_file(out / "samples.jsonl"));
    for (std::string line; std::getline(lines, line);) {
      const auto record = nlohmann::json::parse(line);
      if (record.value("type", "") == "repetition") memory = record.at("memory");
    }
    REQUIRE_FALSE(memory.is_null());
    const ProgramRun fit = run_program({"fit", bundle.string(), "--on", "grace", "--variant", variant, "--context",
                                        "40", "--sequences", "4", "--format", "json"});
    CAPTURE(fit.err);
    REQUIRE(fit.status == 0);
    const auto row = nlohmann::json::parse(fit.out).at("rows").at(0);
    const double measured = memory.at("weights_bytes").get<double>() + memory.at("workspace_bytes").get<double>();
    const double predicted = row.at("weights_bytes").get<double>() + row.at("workspace_bytes").get<double>();
    // A projection is of a device that multiplies in BF16. An instruction set that has no such products packs activations in FP32, two
    // bytes more for each input of a layer's products in the largest step.
    const auto config = nlohmann::json::parse(*read_file(bundle / "config.json"));
    const std::int64_t heads =
        config.at("num_attention_heads").get<std::int64_t>() + 2 * config.at("num_key_value_heads").get<std::int64_t>();
    const std::int64_t inputs =
        config.at("intermediate_size").get<std::int64_t>() + heads * config.at("head_dim").get<std::int64_t>();
    const auto isa = nlohmann::json::parse(*read_file(out / "run.json"))
                         .at("backends")
                         .at(0)
                         .at("device")
                         .at("properties")
                         .at("isa")
                         .get<std::string>();
    const std::set<std::string> with_bf16 = {"avx512_bf16", "amx", "neon_bf16", "sve256"};
    const double in_f32 = with_bf16.contains(isa) ? 0 : 2.0 * 512 * static_cast<double>(inputs);
    CAPTURE(isa);
    CHECK(predicted + in_f32 == Approx(measured).epsilon(0.02));
    // The engine allocates whole pages of 16 tokens, of which a sequence of 40 tokens takes three.
    const double page_bytes = row.at("kv_bytes_per_sequence").get<double>() / 3;
    CHECK(std::fmod(memory.at("kv_bytes").get<double>(), page_bytes) == 0);
  }
}

TEST_CASE("fit: what cannot be answered is refused in one line") {
  check_refused(run_program({"fit", "Llama-9"}), "Llama-3.1-70B");
  check_refused(run_program({"fit", "Llama-3.1-8B", "--on", "h101"}), "expected one of a100-40");
  check_refused(run_program({"fit", "Llama-3.1-8B", "--on", "xeon-8480p"}), "--memory");
  check_refused(run_program({"fit", "Llama-3.1-8B", "--context", "9999999"}), "expected a context of 1 to 131072");
  check_refused(run_program({"fit", "Llama-3.1-8B", "--hardware", "/nowhere"}), "/nowhere");
  CHECK(run_program({"fit", "Llama-3.1-8B", "--on", "xeon-8480p", "--memory", "512GiB"}).status == 0);
}
