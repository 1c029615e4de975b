// Tests that runs whose figures follow from their records are accepted, and that every single changed figure is reported.

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>

#include "core/seal.h"
#include "support/older_json.h"
#include "support/result.h"
#include "unit/summary/sample_run.h"
#include "verify/verify_run.h"

using namespace secondsource;
using namespace secondsource::test;
using Json = nlohmann::ordered_json;

namespace {

struct Texts {
  std::string record;
  std::string samples;
  std::string summary;
};

/// A run with a price, an SLO, limits, warm-up, telemetry and checks, so that no figure of its first cell is empty.
struct FullRun {
  RunRecord record = hand_made_record(6);
  Journal journal = hand_made_journal(6, 60);

  FullRun() {
    record.slo = Slo{"ttft_ms=40,tpot_ms=30,percent=99", 40, 30, 99};
    record.bundles[0].variants = {{"f16", Tier::kBlessed, ""}, {"bf16", Tier::kOpportunistic, "mean KL 0.07"}};
    record.limits = MachineLimits{};
    record.limits->instruction_set = "avx2";
    record.limits->reads = {{1 << 20, 50e9}, {1 << 28, 20e9}};
    record.limits->f32_flops = 1e12;
    for (BackendRecord& backend : record.backends) backend.device.is_host = true;
    for (JournalLine& line : journal.lines) {
      if (auto* sample = std::get_if<RequestSample>(&line)) {
        // Repetitions differ, so that every figure has an interval.
        const std::int64_t later_ns = 10'000 * (sample->repetition * 5 % 7);
        *sample->first_token_ns += later_ns;
        *sample->first_visible_ns += later_ns;
        sample->itl_ns.back() += later_ns;
        *sample->last_token_ns += 2 * later_ns;
        sample->ttft_kernel_ns = 5'000'000 + sample->request;
        sample->parts = {.queue_ns = 1000 + sample->request,
                         .tokenize_ns = 2000 + sample->request,
                         .transfer_ns = 0,
                         .prefill_ns = 5'000'000 + 3 * sample->request,
                         .sample_ns = 40 + sample->request};
      }
      auto* end = std::get_if<Repetition>(&line);
      if (end == nullptr) continue;
      end->window_end_ns = 6'100'000'000 + end->repetition * 10'000'000;
      end->window_output_tokens = 60 * 5;
      end->prefill = {.n_steps = 60,
                      .tokens = 6000,
                      .ns = 600'000'000 + end->repetition,
                      .flops = 3e11,
                      .weight_bytes = 6e9,
                      .kv_bytes = 1e6};
      end->decode = {.n_steps = 240,
                     .tokens = 240,
                     .ns = 480'000'000 + end->repetition,
                     .flops = 1e10,
                     .weight_bytes = 8e9,
                     .kv_bytes = 1e7};
      end->wall_s = 1.5;
      end->rate_per_s = 10;
      end->achieved_rate_per_s = 9.5 + 0.1 * end->repetition;
      end->warmup_ns_per_token = {3e6, 2e6};
      end->load_ns = 123;
      end->compile_ns = 456;
      end->process_cpu_s = 1 + 0.25 * end->repetition;
      end->telemetry = {{"machine_read_bytes_per_s", 2e10 + end->repetition, ""},
                        {"machine_f32_flops", 9e11, ""},
                        {"device_power_w", std::nullopt, "not available: no sensor"}};
      if (end->repetition % 2 == 1) end->telemetry.push_back({"host_power_w", 40.0 + end->repetition, ""});
      end->checks = {{"roofline", CheckOutcome::kPassed, "fine"},
                     {"host", end->repetition == 2 ? CheckOutcome::kSuspect : CheckOutcome::kPassed, "busy"}};
    }
  }

  [[nodiscard]] Texts texts() const {
    Texts texts{to_json(record), "", to_json(summarize(record, journal))};
    for (const JournalLine& line : journal.lines) texts.samples += sealed(to_json_line(line)) + "\n";
    texts.record = sealed(texts.record);
    return texts;
  }
};

Result<verify::Verification> verified(const Texts& texts, const std::string& summary) {
  const verify::NamedSummary named{"summary.json", summary};
  return verify::verify_run(texts.record, texts.samples, std::span(&named, 1));
}

std::string all_faults(const verify::Verification& found) {
  std::string text;
  for (const std::string& fault : found.faults) text += fault + "\n";
  return text;
}

}  // namespace

TEST_CASE("a run whose figures follow from its samples is accepted") {
  const Texts texts = FullRun().texts();
  const auto found = verified(texts, texts.summary);
  REQUIRE_OK(found);
  CHECK(all_faults(*found).empty());
  CHECK(found->notes.empty());
  CHECK(found->n_cells == 2);
  CHECK(found->n_samples == 360);
  CHECK(found->n_figures > 150);
  REQUIRE_OK(verified(texts, sealed(texts.summary)));
}

TEST_CASE("the peak of each variant is that of what multiplies it, in the summary and in this check") {
  // f32 runs at 1e12 operations/s. A third of the int8 rate is more than that and counts on x86 alone. Codes of four bits run at twice the
  // int8 rate.
  const char* const instruction_set = GENERATE("avx2", "sm_89");
  const bool has_digits = std::string(instruction_set) == "avx2";
  constexpr double kInt8 = 4.5e12;
  constexpr double kInt4 = 9e12;
  const std::vector<std::pair<const char*, double>> peaks = {{"f32", 1e12},
                                                             {"bf16", 1e12},
                                                             {"f16", 1e12},
                                                             {"fp8", 1e12},
                                                             {"gguf-bf16", 1e12},
                                                             {"int8", 1.5e12},
                                                             {"int8-g32", 1.5e12},
                                                             {"gguf-q6_k", 1.5e12},
                                                             {"int4", 3e12},
                                                             {"mxfp4", 3e12},
                                                             {"gptq-int4-g128", 3e12},
                                                             {"gguf-q4_k", 3e12},
                                                             {"gguf-iq4_xs", 3e12},
                                                             {"int8-w8a8", kInt8},
                                                             {"int8-g32-w8a8", kInt8},
                                                             {"compressed-tensors-int8-static", kInt8},
                                                             {"int4-w8a8", kInt4},
                                                             {"fp8-fp8-block128-w8a16", 1e12}};
  for (const auto& [variant, peak_on_x86] : peaks) {
    CAPTURE(variant, instruction_set);
    const double peak = has_digits || peak_on_x86 >= kInt8 ? peak_on_x86 : 1e12;
    FullRun run;
    run.record.limits->instruction_set = instruction_set;
    run.record.limits->int8_ops = kInt8;
    run.record.limits->int4_ops = kInt4;
    for (PlannedCell& cell : run.record.cells) cell.key.variant = variant;
    const std::string id = run.record.cells[0].key.id();
    for (JournalLine& line : run.journal.lines) {
      std::visit(
          [&id](auto& one) {
            if constexpr (requires { one.cell; }) {
              if (one.cell == cell_key("cpu").id()) one.cell = id;
            }
          },
          line);
    }
    // The prefill of a repetition is 3e11 operations in 0.6 s, and reads hardly anything here.
    for (JournalLine& line : run.journal.lines) {
      if (auto* const end = std::get_if<Repetition>(&line)) end->prefill.weight_bytes = end->prefill.kv_bytes = 1;
    }
    const std::optional<LimitShare> share = summarize(run.record, run.journal).cells[0].prefill_of_limit;
    CHECK((share ? share->share : -1) == Approx(5e11 / peak));
    const Texts texts = run.texts();
    const auto found = verified(texts, texts.summary);
    REQUIRE_OK(found);
    CHECK(all_faults(*found).empty());
    CHECK(found->n_samples == 360);
  }
}

TEST_CASE("what was charged follows from what the backend is, and not from the share that the record states") {
  const auto after = [](double n_units_used, const PriceShare& share) {
    FullRun run;
    for (BackendRecord& backend : run.record.backends) {
      backend.device.is_host = share.unit == PriceUnit::kCpu;
      backend.n_units_used = n_units_used;
      backend.price_share = share;
    }
    const Texts texts = run.texts();
    const auto found = verified(texts, texts.summary);
    REQUIRE_OK(found);
    return all_faults(*found);
  };
  CHECK(after(4, {.n_used = 4, .n_of = 1, .unit = PriceUnit::kDevice}).empty());
  CHECK(after(2, {.n_used = 2, .n_of = 8, .unit = PriceUnit::kDevice}).empty());
  CHECK(after(2, {.n_used = 2, .n_of = 16, .unit = PriceUnit::kCpu}).empty());
  CHECK(after(4, {}).empty());
  CHECK(after(4, {.n_used = 1, .n_of = 8, .unit = PriceUnit::kDevice}).find("usd_per_1k_output") != std::string::npos);
}

TEST_CASE("every figure of a summary that is changed in its seventh digit, or removed, is named") {
  const Texts texts = FullRun().texts();
  const Json summary = Json::parse(texts.summary);
  const Json flat = summary.flatten();
  int n_changed = 0;
  for (const auto& [pointer, value] : flat.items()) {
    const Json::json_pointer place(pointer);
    const std::string member = place.back();
    if (member == "why_not" || member == "bound_why" || member == "detail" ||
        pointer.find("/notes") != std::string::npos) {
      continue;
    }
    Json changed = summary;
    if (value.is_number_float()) {
      changed[place] = value.get<double>() * (1 + 1e-6) + (value == 0.0 ? 1e-6 : 0);
    } else if (value.is_number()) {
      changed[place] = value.get<std::int64_t>() + 1;
    } else if (value.is_string()) {
      changed[place] = value.get<std::string>() + "x";
    } else if (value.is_boolean()) {
      changed[place] = !value.get<bool>();
    } else if (value.is_null()) {
      changed[place] = 1;
    } else {
      continue;  // an empty array or object
    }
    const auto found = verified(texts, changed.dump());
    CAPTURE(pointer);
    REQUIRE_OK(found);
    CAPTURE(all_faults(*found));
    REQUIRE(found->faults.size() == 1);
    REQUIRE(found->faults.front().find(member) != std::string::npos);
    ++n_changed;
  }
  CHECK(n_changed > 150);
}

TEST_CASE("a figure that this check does not know is a fault, and so is one that is missing") {
  const Texts texts = FullRun().texts();
  Json summary = Json::parse(texts.summary);
  summary["cells"][0]["tokens_per_kilogram"] = 7;
  summary["cells"][0].erase("e2e_p99_ns");
  const auto found = verified(texts, summary.dump());
  REQUIRE_OK(found);
  const std::string faults = all_faults(*found);
  CHECK(found->faults.size() == 2);
  CHECK(faults.find("tokens_per_kilogram: nothing in the samples gives this figure") != std::string::npos);
  CHECK(faults.find("e2e_p99_ns") != std::string::npos);
}

TEST_CASE("failures that a later line replaces are no failures of the summary") {
  const std::string cell = cell_key("onednn").id();
  GoldenRecord golden = std::get<GoldenRecord>(FullRun().journal.lines[0]);
  golden.backend = "onednn";
  const FailureRecord first{"onednn", cell, FailureKind::kHang, "first"};
  const FailureRecord second{"onednn", cell, FailureKind::kCrash, "second"};
  const FailureRecord of_all{"onednn", "tiny/onednn/bf16", FailureKind::kUnavailable, "all"};
  const std::vector<std::pair<std::vector<JournalLine>, std::size_t>> cases = {
      {{first}, 1}, {{first, second}, 1}, {{first, of_all}, 2}, {{of_all, golden}, 0}, {{first, of_all, golden}, 1}};
  for (const auto& [lines, n_standing] : cases) {
    FullRun run;
    run.journal.lines.pop_back();
    run.journal.lines.insert(run.journal.lines.end(), lines.begin(), lines.end());
    const Texts texts = run.texts();
    CHECK(Json::parse(texts.summary)["failures"].size() == n_standing);
    const auto found = verified(texts, texts.summary);
    REQUIRE_OK(found);
    CHECK(all_faults(*found).empty());
  }
}

TEST_CASE("a run of the first release, which lacks what came later, is accepted") {
  const Texts texts = FullRun().texts();
  const auto old_summary = verified(texts, without_members(texts.summary, added_to_summary()));
  REQUIRE_OK(old_summary);
  CHECK(all_faults(*old_summary).empty());

  // Earlier versions computed intervals from the spread of samples, so other intervals are accepted with a note.
  Json earlier = Json::parse(without_members(texts.summary, added_to_summary()));
  earlier["cells"][0]["ttft_e2e_p50_ns"]["low"] = 1;
  const auto other_intervals = verified(texts, earlier.dump());
  REQUIRE_OK(other_intervals);
  CHECK(all_faults(*other_intervals).empty());
  REQUIRE(other_intervals->notes.size() == 2);
  CHECK(other_intervals->notes[0].find("its intervals are those of an earlier version") != std::string::npos);
  earlier["cells"][0]["slo_attainment"]["low"] = 0.5;
  CHECK(verified(texts, earlier.dump())->faults.size() == 1);

  // The record and samples of such a run, summarized by this version.
  FullRun run;
  run.record.bundles[0].variants.clear();
  Texts old{without_members(to_json(run.record), {"variants"}), "", to_json(summarize(run.record, run.journal))};
  for (const JournalLine& line : run.journal.lines)
    old.samples += without_members(to_json_line(line), kAddedToGolden) + "\n";
  const auto again = verified(old, old.summary);
  REQUIRE_OK(again);
  CHECK(all_faults(*again).empty());
}

TEST_CASE("samples that contradict themselves are named with their line") {
  const auto after = [](const std::function<void(Journal&)>& change) {
    FullRun run;
    change(run.journal);
    const Texts texts = run.texts();
    const auto found = verified(texts, texts.summary);
    return found ? all_faults(*found) : found.error().message;
  };
  const auto sample = [](Journal& journal) -> RequestSample& { return std::get<RequestSample>(journal.lines[3]); };
  const auto end = [](Journal& journal) -> Repetition& { return std::get<Repetition>(journal.lines[61]); };
  CHECK(after([&](Journal& j) {
          sample(j).itl_ns.front() += 7;
        }).starts_with("samples.jsonl:4: tiny/cpu/bf16/single-stream: its gaps"));
  CHECK(after([&](Journal& j) { sample(j).itl_ns.pop_back(); }).find("5 output tokens have 4 gaps") !=
        std::string::npos);
  CHECK(after([&](Journal& j) { sample(j).request = 1; }).find("request 1 of repetition 0 occurs twice") !=
        std::string::npos);
  CHECK(after([&](Journal& j) { sample(j).sent_ns -= 1; }).find("expected arrival, sending") != std::string::npos);
  CHECK(after([&](Journal& j) { sample(j).engine_tokens = 6; }).find("the system counts 6") != std::string::npos);
  CHECK(after([&](Journal& j) { sample(j).cell = "a/b/c/d"; }).find("cell a/b/c/d is not in run.json") !=
        std::string::npos);
  CHECK(after([&](Journal& j) {
          end(j).window_output_tokens = 301;
        }).find("300 output tokens by the samples, and 301") != std::string::npos);
  CHECK(after([&](Journal& j) { end(j).repetition = 9; }).find("repetition 9 of 6 was not planned") !=
        std::string::npos);
}

TEST_CASE("a checksum that is not that of its line is named, and a run without checksums has a note") {
  Texts texts = FullRun().texts();
  const std::size_t digit = texts.samples.find("\"checksum\":\"") + 12;
  texts.samples[digit] = texts.samples[digit] == 'f' ? 'e' : 'f';
  const auto damaged = verified(texts, texts.summary);
  REQUIRE_OK(damaged);
  CHECK(all_faults(*damaged).find("samples.jsonl:1: its checksum should be") != std::string::npos);

  const FullRun run;
  Texts old = run.texts();
  old.record = to_json(run.record);
  old.samples.clear();
  for (const JournalLine& line : run.journal.lines) old.samples += to_json_line(line) + "\n";
  const auto earlier = verified(old, old.summary);
  REQUIRE_OK(earlier);
  CHECK(earlier->faults.empty());
  CHECK(earlier->notes.size() == 2);
  CHECK_ERROR(verify::verify_run("{}", "", {}), ErrorCode::kInvalidInput, "records of a run");
}
