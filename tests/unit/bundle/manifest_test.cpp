// manifest.yaml: the example of docs/bundle-format.md is read, written and read again; every field is checked against
// its rule.
#include "bundle/manifest.h"

#include "support/catch.h"
#include "support/result.h"

namespace secondsource {
namespace {

constexpr std::string_view kHash = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

std::string valid_manifest() {
  std::string text = R"(format: secondsource-bundle
version: 1
name: default
family: llama
license: Apache-2.0
source:
  description: trained by bundles/recipes/train.py from generated documents
  url: ""
files:
  - {path: config.json, bytes: 812, sha256: HASH}
  - {path: expected/bf16.jsonl, bytes: 9, sha256: HASH}
  - {path: model.safetensors, bytes: 100, sha256: HASH}
chat_template: chatml
variants:
  bf16:
    tier: blessed
    weights: stored
    expected: expected/bf16.jsonl
    acceptance:
      near_tie_tau: 0.0123
      envelope: {kl_mean: 1.0e-6, kl_worst: 1.0e-4, nll_difference_mean: 1.0e-5}
    quality:
      kl_mean: 0.0
      top1_agreement: 1.0
      perplexity: 12.3
      lookup_accuracy: {"1024": 1.0, "8192": 0.98, "32768": 0.9}
      invented_answers: 0.01
      limits: {kl_mean: 0.05, top1_agreement: 0.95}
  int4:
    tier: opportunistic
    weights: quantized
expected_from:
  program: bundles/recipes/expect.py
  program_sha256: HASH
  torch: 2.13.0
  transformers: 5.0.0
  dtype: float32
)";
  for (std::size_t at = text.find("HASH"); at != std::string::npos; at = text.find("HASH")) text.replace(at, 4, kHash);
  return text;
}

TEST_CASE("the manifest of the documentation is read") {
  const auto manifest = parse_manifest(valid_manifest(), "manifest.yaml");
  REQUIRE_OK(manifest);
  CHECK(manifest->name == "default");
  CHECK(manifest->source_url.empty());
  REQUIRE(manifest->files.size() == 3);
  CHECK(manifest->find_file("model.safetensors")->size_bytes == 100);
  CHECK(manifest->find_file("nothing") == nullptr);
  const ManifestVariant* bf16 = manifest->find_variant("bf16");
  REQUIRE(bf16 != nullptr);
  CHECK(bf16->tier == Tier::kBlessed);
  CHECK(bf16->is_stored);
  CHECK(bf16->acceptance->near_tie_tau == 0.0123);
  CHECK(bf16->acceptance->kl_worst == 1e-4);
  CHECK(bf16->quality->lookup_accuracy.at(8192) == 0.98);
  CHECK(bf16->quality->limits.top1_agreement == 0.95);
  CHECK_FALSE(manifest->find_variant("int4")->expected.has_value());
  CHECK(manifest->expected_from->torch == "2.13.0");
}

TEST_CASE("a written manifest reads back as the same manifest") {
  auto manifest = parse_manifest(valid_manifest(), "m");
  REQUIRE_OK(manifest);
  manifest->chat_date = "2024-07-26";
  manifest->source_description = "a \"quoted\" text: with # and\nlines, é and \xf0\x9f\x98\x80";
  CHECK(write_manifest(*manifest).find("quantization") == std::string::npos);
  CHECK(write_manifest(*manifest).find("smoothing") == std::string::npos);
  manifest->source_quantization = "Q4_1 (210 tensors), F32 (61)";
  manifest->smoothing = Smoothing{.alpha = 0.45, .text_sha256 = std::string(kHash), .n_tokens = 1300};
  Quality& quality = *manifest->variants.front().quality;
  quality.perplexity_ratio = 1.25;
  quality.limits = {.kl_mean = 0.05,
                    .top1_agreement = 0.95,
                    .perplexity_ratio = 1.5,
                    .lookup_accuracy = 0.75,
                    .invented_answers = 0.125};
  const std::string text = write_manifest(*manifest);
  const auto again = parse_manifest(text, "m");
  REQUIRE_OK(again);
  CHECK(again->source_description == manifest->source_description);
  CHECK(again->source_quantization == manifest->source_quantization);
  CHECK(again->smoothing->alpha == 0.45);
  CHECK(again->smoothing->text_sha256 == kHash);
  CHECK(again->smoothing->n_tokens == 1300);
  CHECK(again->chat_date == "2024-07-26");
  CHECK(write_manifest(*again) == text);
  CHECK(again->find_variant("bf16")->quality->perplexity == 12.3);
  CHECK(again->find_variant("bf16")->quality->perplexity_ratio == 1.25);
  CHECK(again->find_variant("bf16")->quality->limits == quality.limits);
  CHECK(again->find_variant("bf16")->acceptance->kl_mean == 1e-6);
}

TEST_CASE("a manifest is refused for what is wrong in it") {
  const auto [from, to, part] = GENERATE(table<std::string, std::string, std::string>({
      {"  url: \"\"", "  smoothing: {alpha: 1.5, text_sha256: x, tokens: 1}",
       "smoothing.alpha: expected a number from 0 to 1"},
      {"  url: \"\"", "  smoothing: {alpha: 0.5, text_sha256: x, tokens: 1}", "64 lower-case hexadecimal digits"},
      {"  url: \"\"", "  smoothing: {alpha: 0.5, tokens: 1}", "expected the key \"text_sha256\""},
      {"  url: \"\"", "  smoothing: {beta: 0.5}", "found \"beta\""},
      {"chat_template: chatml", "chat_template: chat_template.jinja",
       "chat_template: expected one of the files, found chat_template.jinja"},
      {"chat_template: chatml", "chat_template: chatml\nchat_date: soon",
       "chat_date: expected a day YYYY-MM-DD, found \"soon\""},
      {"format: secondsource-bundle", "format: zip", "m:1: format: expected secondsource-bundle, found zip"},
      {"version: 1", "version: one", "version: expected an integer"},
      {"name: default", "name: ../x", "name: expected a word"},
      {"name: default", "colour: red\nname: default", "found \"colour\""},
      {"license: Apache-2.0\n", "", "expected the key \"license\""},
      {"path: model.safetensors", "path: ../model.safetensors", "it leaves its folder"},
      {"path: model.safetensors", "path: /etc/passwd", "it is absolute"},
      {"path: model.safetensors", "path: a//b", "it has an empty part"},
      {"path: model.safetensors", "path: 'C:\\x'", "a backslash, a colon"},
      {"path: model.safetensors", "path: a.txt", "files sorted by path"},
      {"path: model.safetensors", "path: expected/bf16.jsonl", "each once"},
      {"path: model.safetensors", "path: manifest.yaml", "does not list itself"},
      {"path: config.json", "path: config.jsom", "expected config.json, found none"},
      {"bytes: 812", "bytes: -1", "bytes: expected an integer from 0"},
      {"bytes: 812", "bytes: 1e99", "bytes: expected an integer"},
      {"sha256: 0123", "sha256: 0G23", "64 lower-case hexadecimal digits"},
      {"tier: blessed", "tier: best", "variants.bf16.tier: expected blessed or opportunistic, found best"},
      {"weights: stored", "weights: packed", "stored or quantized"},
      {"  int4:", "  int3:", "expected one of the variants f32, bf16"},
      {"    expected: expected/bf16.jsonl\n", "", "both, or neither"},
      {"expected: expected/bf16.jsonl", "expected: expected/int8.jsonl", "a path that \"files\" lists"},
      {"near_tie_tau: 0.0123", "near_tie_tau: -1", "near_tie_tau: expected a number from 0"},
      {"near_tie_tau: 0.0123", "near_tie_tau: .nan", "near_tie_tau: expected a number"},
      {"kl_worst: 1.0e-4, ", "", "expected the key \"kl_worst\""},
      {"top1_agreement: 1.0", "top1_agreement: 1.5", "from 0 to 1"},
      {"\"1024\": 1.0", "\"short\": 1.0", "context lengths as keys"},
      {"expected_from:", "expected_by:", "found \"expected_by\""},
      {"dtype: float32", "dtype: [float32]", "expected_from.dtype: expected a text"},
  }));
  CAPTURE(from, to);
  const auto manifest = parse_manifest(replaced(valid_manifest(), from, to), "m");
  CHECK_ERROR(manifest, ErrorCode::kInvalidInput, part);
  CHECK(manifest.error().message.find('\n') == std::string::npos);
}

TEST_CASE("a later version of the format is unsupported, not malformed") {
  CHECK_ERROR(parse_manifest(replaced(valid_manifest(), "version: 1", "version: 2"), "m"), ErrorCode::kUnsupported,
              "bundle format version 2: this program reads version 1");
}

TEST_CASE(
    "a variant outside the limits of its quality is opportunistic, whatever its tier says, and the figures say why") {
  const auto variant_with = [](std::string_view from, std::string_view to) {
    const auto manifest = parse_manifest(replaced(valid_manifest(), from, to), "manifest.yaml");
    REQUIRE_OK(manifest);
    return *manifest->find_variant("bf16");
  };
  const ManifestVariant within = variant_with("kl_mean: 0.0\n", "kl_mean: 0.05\n");
  CHECK(within.outside_limits().empty());
  CHECK(within.effective_tier() == Tier::kBlessed);
  const ManifestVariant strays = variant_with("kl_mean: 0.0\n", "kl_mean: 0.07\n");
  CHECK(strays.outside_limits() == "mean KL 0.07, at most 0.05 allowed");
  CHECK(strays.tier == Tier::kBlessed);
  CHECK(strays.effective_tier() == Tier::kOpportunistic);
  CHECK(tier_with_quality("int8", *strays.quality) == Tier::kOpportunistic);
  const ManifestVariant disagrees = variant_with("top1_agreement: 1.0", "top1_agreement: 0.9");
  CHECK(disagrees.outside_limits() == "top-1 agreement 0.9, at least 0.95 required");
  const auto with_limits = [&](std::string_view limits) {
    return variant_with("{kl_mean: 0.05, top1_agreement: 0.95}", limits).outside_limits();
  };
  CHECK(with_limits("{lookup_accuracy: 0.9, invented_answers: 0.01}").empty());
  CHECK(with_limits("{lookup_accuracy: 0.95, invented_answers: 0.005}") ==
        "lookup accuracy up to 32768 tokens 0.9, at least 0.95 required; share of invented answers 0.01, at most 0.005 "
        "allowed");
  const ManifestVariant blurred =
      variant_with("      limits: {kl_mean: 0.05",
                   "      perplexity_ratio: 1.031\n      limits: {perplexity_ratio: 1.02, kl_mean: 0.05");
  CHECK(blurred.outside_limits() == "perplexity ratio 1.031, at most 1.02 allowed");
  CHECK(tier_with_quality("int8", *within.quality) == Tier::kBlessed);
  CHECK(tier_with_quality("int4", *within.quality) == Tier::kOpportunistic);
  CHECK(tier_without_quality("bf16") == Tier::kBlessed);
  CHECK(tier_without_quality("int8") == Tier::kOpportunistic);
}

}  // namespace
}  // namespace secondsource
