// Tests `secondsource bundle accept`. The expected figures are those in the manifests of committed bundles, which
// bundles/recipes/expect.py computed with PyTorch.

#include <cmath>
#include <filesystem>
#include <map>
#include <sstream>

#include "bundle/manifest.h"
#include "expectations.h"
#include "reference_record.h"
#include "support/bundles.h"
#include "support/result.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

namespace fs = std::filesystem;

Manifest manifest_of(const fs::path& bundle) {
  const auto text = read_file(bundle / kManifestFile);
  REQUIRE_OK(text);
  auto manifest = parse_manifest(*text, kManifestFile);
  REQUIRE_OK(manifest);
  return *manifest;
}

ProgramRun accept(const fs::path& bundle, std::vector<std::string> more = {}) {
  more.insert(more.begin(), {"bundle", "accept", bundle.string(), "--backend", "reference"});
  return run_program(more);
}

/// The JSON lines by variant.
std::map<std::string, nlohmann::json> accept_lines(const ProgramRun& run) {
  std::map<std::string, nlohmann::json> lines;
  std::istringstream text(run.out);
  for (std::string line; std::getline(text, line);) {
    nlohmann::json json = nlohmann::json::parse(line);
    const std::string name = json["variant"];
    lines[name] = std::move(json);
  }
  return lines;
}

/// A copy of the tiny bundle that a test may change.
struct OwnBundle {
  ScratchFolder scratch;
  fs::path folder = scratch.path() / "bundle";

  OwnBundle() { fs::copy(kTinyBundle, folder, fs::copy_options::recursive); }
};

}  // namespace

TEST_CASE("bundle accept: the oracle has the quality that PyTorch gave to variants with quantized weights") {
  const std::string name = GENERATE("tiny-gqa8-hd64", "tiny-mixtral");
  const Manifest manifest = manifest_of(source_path("bundles/" + name));
  const ProgramRun run = accept(source_path("bundles/" + name), {"--json"});
  CAPTURE(name, run.err);
  const auto lines = accept_lines(run);
  for (const std::string variant : {"int8", "int8-g32", "int4"}) {
    CAPTURE(variant);
    const nlohmann::json& quality = lines.at(variant)["quality"];
    const Quality& expected = *manifest.find_variant(variant)->quality;
    // The manifest stores four digits.
    CHECK(std::abs(quality["kl_mean"].get<double>() - *expected.kl_mean) < 1e-3 * *expected.kl_mean);
    CHECK(std::abs(quality["top1_agreement"].get<double>() - *expected.top1_agreement) < 1e-4);
  }
  CHECK(lines.at("bf16")["quality"]["kl_mean"].get<double>() < 1e-9);
}

TEST_CASE("bundle accept: the share of right answers is that which PyTorch counted over the same prompts") {
  // int8-g32 is the variant of the default bundle for which PyTorch counted the right answers to lookups over the golden
  // prompts. The suite has all of these prompts with up to 1024 tokens.
  const ProgramRun run = run_program({"bundle", "accept", source_path("bundles/default"), "--backend", "cpu",
                                      "--variant", "int8-g32", "--suite", "reference", "--json"});
  CAPTURE(run.out, run.err);
  REQUIRE(run.status == 0);
  const nlohmann::json line = accept_lines(run).at("int8-g32");
  const Manifest manifest = manifest_of(source_path("bundles/default"));
  const Quality& expected = *manifest.find_variant("int8-g32")->quality;
  CHECK(std::abs(line["quality"]["lookup_accuracy"]["1024"].get<double>() - expected.lookup_accuracy.at(1024)) < 1e-4);
  CHECK(line["n_unanswerable"] == 12);
  CHECK(line["quality"]["invented_answers"] == 0.0);
}

TEST_CASE("bundle accept: a variant outside a limit ends with 1, and is opportunistic") {
  const ProgramRun all = accept(kTinyBundle);
  CAPTURE(all.out, all.err);
  CHECK(all.status == 1);
  CHECK(contains(all.out, "int4: not accepted: mean KL 0.19"));
  CHECK(contains(all.out, "at most 0.05 allowed; top-1 agreement 0.771"));

  CHECK(accept(kTinyBundle, {"--variant", "int8"}).status == 0);

  const ProgramRun strict = accept(kTinyBundle, {"--variant", "int8", "--limit", "kl_mean=0.0005"});
  CAPTURE(strict.out, strict.err);
  CHECK(strict.status == 1);
  CHECK(contains(strict.out, "int8: not accepted: mean KL 0.00076"));
  CHECK(accept_lines(accept(kTinyBundle, {"--variant", "int8", "--limit", "kl_mean=0.0005", "--json"}))
            .at("int8")["tier"] == "opportunistic");
}

TEST_CASE("bundle accept --text: the perplexity is that of the log-likelihoods which eval prints") {
  const ScratchFolder scratch;
  const std::string text = "The harvest was brought in before the rain, and the barn was full by noon.";
  REQUIRE_OK(write_file(scratch.path() / "text.txt", text));
  const std::string bundle = source_path("bundles/default");
  const ProgramRun run = run_program({"bundle", "accept", bundle, "--backend", "cpu", "--variant", "int4", "--suite",
                                      "smoke", "--text", (scratch.path() / "text.txt").string(), "--json"});
  CAPTURE(run.err);
  const ProgramRun ids = run_program({"tokenize", bundle, "--text", text});
  CAPTURE(ids.out, ids.err);
  const nlohmann::json tokens = nlohmann::json::parse(ids.out)["ids"];
  std::string list;
  for (const auto& id : tokens) list += (list.empty() ? "" : ",") + id.dump();
  std::map<std::string, double> perplexity;
  for (const std::string variant : {"bf16", "int4"}) {
    const ProgramRun eval = run_program({"eval", bundle, "--backend", "cpu", "--variant", variant, "--ids", list});
    const double nll = nlohmann::json::parse(eval.out)["nll"];
    perplexity[variant] = std::exp(nll / static_cast<double>(tokens.size() - 1));
    CHECK(std::abs(accept_lines(run).at(variant)["quality"]["perplexity"].get<double>() / perplexity[variant] - 1) <
          1e-5);
  }
  CHECK(std::abs(accept_lines(run).at("int4")["quality"]["perplexity_ratio"].get<double>() /
                     (perplexity["int4"] / perplexity["bf16"]) -
                 1) < 1e-5);
}

TEST_CASE("bundle accept --write: limits and tier go into the manifest, figures where it has none") {
  const OwnBundle own;
  Manifest manifest = manifest_of(own.folder);
  const Quality stated = *manifest.find_variant("int8")->quality;
  for (ManifestVariant& variant : manifest.variants) {
    if (variant.name == "int8-g32") variant.quality.reset();
  }
  REQUIRE_OK(write_manifest_file(manifest, own.folder));

  const ProgramRun run =
      accept(own.folder, {"--variant", "int8,int8-g32", "--limit", "kl_mean=0.0006,perplexity_ratio=1.5", "--write"});
  CAPTURE(run.out, run.err);
  CHECK(run.status == 1);
  const Manifest after = manifest_of(own.folder);
  const ManifestVariant& int8 = *after.find_variant("int8");
  CHECK(int8.quality->kl_mean == stated.kl_mean);
  CHECK(int8.quality->perplexity_ratio == std::nullopt);
  CHECK(int8.quality->limits == QualityLimits{.kl_mean = 0.0006, .top1_agreement = 0.95, .perplexity_ratio = 1.5});
  CHECK(int8.tier == Tier::kOpportunistic);
  const ManifestVariant& g32 = *after.find_variant("int8-g32");
  CHECK(std::abs(*g32.quality->kl_mean - 5.48e-4) < 1e-6);
  CHECK(g32.quality->perplexity_ratio.has_value());
  CHECK(g32.tier == Tier::kBlessed);
  CHECK(run_program({"bundle", "verify", own.folder.string()}).status == 0);
}

TEST_CASE("bundle accept: a backend that computes bf16 wrongly judges nothing") {
  const ProgramRun run = accept(kTinyBundle, {"--backend-option", "fault=garbage:1"});
  CAPTURE(run.out, run.err);
  CHECK(run.status == 3);
  CHECK(contains(run.err, "reference computes bf16 wrongly, so it cannot judge other variants"));
  CHECK(run.out.empty());
}

TEST_CASE("bundle accept: without expected outputs of bf16 there is nothing to compare with") {
  const OwnBundle own;
  Manifest manifest = manifest_of(own.folder);
  manifest.expected_from.reset();
  for (ManifestVariant& variant : manifest.variants) {
    variant.expected.reset();
    variant.acceptance.reset();
  }
  REQUIRE_OK(write_manifest_file(manifest, own.folder));
  const ProgramRun run = accept(own.folder);
  CAPTURE(run.out, run.err);
  CHECK(run.status == 6);
  CHECK(contains(run.err, "has no independent expected outputs for bf16"));
}

TEST_CASE("bundle accept: bad input is one line and 2") {
  const ScratchFolder scratch;
  for (const auto& [more, message] : std::vector<std::pair<std::vector<std::string>, std::string>>{
           {{"--limit", "kl=1"}, "--limit kl=1: expected NAME=NUMBER with one of the names kl_mean"},
           {{"--limit", "kl_mean"}, "--limit kl_mean: expected NAME=NUMBER"},
           {{"--limit", "top1_agreement=2"}, "--limit top1_agreement=2: expected NAME=NUMBER"},
           {{"--limit", "kl_mean=nan"}, "--limit kl_mean=nan: expected NAME=NUMBER"},
           {{"--variant", "int3"}, "int3"},
           {{"--suite", "nothing"}, "suite \"nothing\": expected prompts with that tag, found none"},
           {{"--text", (scratch.path() / "absent").string()}, "absent"}}) {
    const ProgramRun run = accept(kTinyBundle, more);
    CAPTURE(message, run.out, run.err);
    CHECK(run.status == 2);
    CHECK(contains(run.err, message));
    CHECK(std::count(run.err.begin(), run.err.end(), '\n') == 1);
  }
}
