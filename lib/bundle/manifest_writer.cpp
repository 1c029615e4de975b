#include <fmt/format.h>

#include <iterator>
#include <nlohmann/json.hpp>

#include "bundle/manifest.h"
#include "core/file.h"

namespace secondsource {
namespace {

/// Every JSON string is also a YAML scalar in double quotes.
std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

/// Formats a number so that it is read back as the same double, never as an integer or a text.
std::string number(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

using Out = std::back_insert_iterator<std::string>;

void write_acceptance(Out out, const Acceptance& acceptance) {
  fmt::format_to(out, "    acceptance:\n      near_tie_tau: {}\n", number(acceptance.near_tie_tau));
  fmt::format_to(out, "      envelope: {{kl_mean: {}, kl_worst: {}, nll_difference_mean: {}}}\n",
                 number(acceptance.kl_mean), number(acceptance.kl_worst), number(acceptance.nll_difference_mean));
}

void write_quality(Out out, const Quality& quality) {
  const auto line = [&](std::string_view key, const std::optional<double>& value, std::string_view indent) {
    if (value) fmt::format_to(out, "{}{}: {}\n", indent, key, number(*value));
  };
  fmt::format_to(out, "    quality:\n");
  line("kl_mean", quality.kl_mean, "      ");
  line("top1_agreement", quality.top1_agreement, "      ");
  line("perplexity", quality.perplexity, "      ");
  line("perplexity_ratio", quality.perplexity_ratio, "      ");
  if (!quality.lookup_accuracy.empty()) {
    fmt::format_to(out, "      lookup_accuracy:\n");
    for (const auto& [length, share] : quality.lookup_accuracy) {
      fmt::format_to(out, "        \"{}\": {}\n", length, number(share));
    }
  }
  line("invented_answers", quality.invented_answers, "      ");
  if (quality.limits != QualityLimits{}) {
    fmt::format_to(out, "      limits:\n");
    line("kl_mean", quality.limits.kl_mean, "        ");
    line("top1_agreement", quality.limits.top1_agreement, "        ");
    line("perplexity_ratio", quality.limits.perplexity_ratio, "        ");
    line("lookup_accuracy", quality.limits.lookup_accuracy, "        ");
    line("invented_answers", quality.limits.invented_answers, "        ");
  }
}

void write_variant(Out out, const ManifestVariant& variant) {
  fmt::format_to(out, "  {}:\n    tier: {}\n    weights: {}\n", variant.name, to_string(variant.tier),
                 variant.is_stored ? "stored" : "quantized");
  if (variant.expected) fmt::format_to(out, "    expected: {}\n", quoted(*variant.expected));
  if (variant.acceptance) write_acceptance(out, *variant.acceptance);
  if (variant.quality) write_quality(out, *variant.quality);
}

}  // namespace

std::string write_manifest(const Manifest& manifest) {
  std::string text;
  const Out out = std::back_inserter(text);
  fmt::format_to(out, "format: secondsource-bundle\nversion: 1\nname: {}\nfamily: {}\nlicense: {}\n",
                 quoted(manifest.name), quoted(manifest.family), quoted(manifest.license));
  fmt::format_to(out, "source:\n  description: {}\n  url: {}\n", quoted(manifest.source_description),
                 quoted(manifest.source_url));
  if (!manifest.source_quantization.empty()) {
    fmt::format_to(out, "  quantization: {}\n", quoted(manifest.source_quantization));
  }
  if (manifest.smoothing) {
    fmt::format_to(out, "  smoothing: {{alpha: {}, text_sha256: \"{}\", tokens: {}}}\n", manifest.smoothing->alpha,
                   manifest.smoothing->text_sha256, manifest.smoothing->n_tokens);
  }
  fmt::format_to(out, "files:\n");
  for (const ManifestFile& file : manifest.files) {
    fmt::format_to(out, "  - {{path: {}, bytes: {}, sha256: \"{}\"}}\n", quoted(file.path), file.size_bytes,
                   file.sha256);
  }
  fmt::format_to(out, "chat_template: {}\n", quoted(manifest.chat_template));
  if (manifest.chat_date) fmt::format_to(out, "chat_date: {}\n", quoted(*manifest.chat_date));
  fmt::format_to(out, "variants:\n");
  for (const ManifestVariant& variant : manifest.variants) write_variant(out, variant);
  if (manifest.expected_from) {
    const ExpectedFrom& from = *manifest.expected_from;
    fmt::format_to(
        out, "expected_from:\n  program: {}\n  program_sha256: \"{}\"\n  torch: {}\n  transformers: {}\n  dtype: {}\n",
        quoted(from.program), from.program_sha256, quoted(from.torch), quoted(from.transformers), quoted(from.dtype));
  }
  return text;
}

Result<void> write_manifest_file(const Manifest& manifest, const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / kManifestFile;
  const std::string text = write_manifest(manifest);
  SS_TRY_VOID(parse_manifest(text, file.string()));
  return write_file(file, text);
}

}  // namespace secondsource
