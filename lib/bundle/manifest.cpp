#include "bundle/manifest.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>
#include <utility>

#include "bundle/relative_path.h"
#include "bundle/variant.h"
#include "core/calendar.h"
#include "core/file.h"
#include "core/number.h"
#include "core/utf8.h"
#include "core/yaml.h"

namespace secondsource {
namespace {

constexpr std::string_view kFormat = "secondsource-bundle";
constexpr std::int64_t kVersion = 1;
constexpr std::int64_t kMaxFileBytes = std::int64_t{1} << 46;
constexpr std::size_t kMaxFiles = 10'000;
constexpr NumberRange kNotNegative{.min = 0.0, .max = 1e9};
constexpr NumberRange kShare{.min = 0.0, .max = 1.0};

Result<std::string> sha256_at(const YamlNode& node, std::string_view key) {
  SS_TRY(const YamlNode value, node.at(key));
  SS_TRY(std::string text, value.as_string());
  if (!is_sha256(text)) return value.mismatch("64 lower-case hexadecimal digits");
  return text;
}

/// A name becomes part of file names and of flags.
constexpr std::string_view kNameRule = "a word of letters, digits, '.', '_' and '-'";

bool may_be_name(std::string_view text) {
  return !text.empty() && text.size() <= 100 && text.front() != '.' && text.front() != '-' &&
         std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
                  c == '-';
         });
}

Result<std::string> word_at(const YamlNode& node, std::string_view key) {
  SS_TRY(const YamlNode value, node.at(key));
  SS_TRY(std::string text, value.as_string());
  if (!may_be_name(text)) return value.mismatch(kNameRule);
  return text;
}

Result<std::optional<double>> optional_number(const YamlNode& node, std::string_view key, NumberRange range) {
  if (!node.has(key)) return std::optional<double>();
  SS_TRY(const double value, node.number(key, range));
  return std::optional(value);
}

Result<std::vector<ManifestFile>> parse_files(const YamlNode& root) {
  SS_TRY(const std::vector<YamlNode> entries, root.list("files"));
  if (entries.size() > kMaxFiles)
    return root.fault(fmt::format("expected at most {} files, found {}", kMaxFiles, entries.size()));
  std::vector<ManifestFile> files;
  for (const YamlNode& entry : entries) {
    SS_TRY_VOID(entry.expect_keys({"path", "bytes", "sha256"}));
    ManifestFile file;
    SS_TRY(file.path, entry.string("path"));
    SS_TRY_VOID(check_relative_path(file.path, fmt::format("{}:{}", root.document(), entry.line())));
    if (file.path == kManifestFile) return entry.fault("a manifest does not list itself");
    SS_TRY(file.size_bytes, entry.integer("bytes", 0, kMaxFileBytes));
    SS_TRY(file.sha256, sha256_at(entry, "sha256"));
    if (!files.empty() && files.back().path >= file.path) {
      return entry.fault(
          fmt::format("expected files sorted by path, each once; found {} after {}", file.path, files.back().path));
    }
    files.push_back(std::move(file));
  }
  return files;
}

Result<Acceptance> parse_acceptance(const YamlNode& node) {
  SS_TRY_VOID(node.expect_keys({"near_tie_tau", "envelope"}));
  Acceptance acceptance;
  SS_TRY(acceptance.near_tie_tau, node.number("near_tie_tau", kNotNegative));
  SS_TRY(const YamlNode envelope, node.at("envelope"));
  SS_TRY_VOID(envelope.expect_keys({"kl_mean", "kl_worst", "nll_difference_mean"}));
  SS_TRY(acceptance.kl_mean, envelope.number("kl_mean", kNotNegative));
  SS_TRY(acceptance.kl_worst, envelope.number("kl_worst", kNotNegative));
  SS_TRY(acceptance.nll_difference_mean, envelope.number("nll_difference_mean", kNotNegative));
  return acceptance;
}

Result<QualityLimits> parse_limits(const YamlNode& node) {
  SS_TRY_VOID(
      node.expect_keys({"kl_mean", "top1_agreement", "perplexity_ratio", "lookup_accuracy", "invented_answers"}));
  QualityLimits limits;
  SS_TRY(limits.kl_mean, optional_number(node, "kl_mean", kNotNegative));
  SS_TRY(limits.top1_agreement, optional_number(node, "top1_agreement", kShare));
  SS_TRY(limits.perplexity_ratio, optional_number(node, "perplexity_ratio", kNotNegative));
  SS_TRY(limits.lookup_accuracy, optional_number(node, "lookup_accuracy", kShare));
  SS_TRY(limits.invented_answers, optional_number(node, "invented_answers", kShare));
  return limits;
}

Result<Quality> parse_quality(const YamlNode& node) {
  SS_TRY_VOID(node.expect_keys({"kl_mean", "top1_agreement", "perplexity", "perplexity_ratio", "lookup_accuracy",
                                "invented_answers", "limits"}));
  Quality quality;
  SS_TRY(quality.kl_mean, optional_number(node, "kl_mean", kNotNegative));
  SS_TRY(quality.top1_agreement, optional_number(node, "top1_agreement", kShare));
  SS_TRY(quality.perplexity, optional_number(node, "perplexity", {.min = 1.0, .max = 1e30}));
  SS_TRY(quality.perplexity_ratio, optional_number(node, "perplexity_ratio", kNotNegative));
  SS_TRY(quality.invented_answers, optional_number(node, "invented_answers", kShare));
  if (const auto lookups = node.find("lookup_accuracy")) {
    SS_TRY(const auto entries, lookups->as_map());
    for (const auto& [length, share] : entries) {
      const auto n_tokens = parse_number<std::int64_t>(length);
      if (!n_tokens || *n_tokens <= 0) return lookups->fault("expected context lengths as keys");
      SS_TRY(quality.lookup_accuracy[*n_tokens], share.as_number(kShare));
    }
  }
  if (const auto limits = node.find("limits")) {
    SS_TRY(quality.limits, parse_limits(*limits));
  }
  return quality;
}

Result<ManifestVariant> parse_variant(const std::string& name, const YamlNode& node, const Manifest& manifest) {
  if (!variant_from_name(name)) {
    return node.fault(
        fmt::format("expected one of the variants {}, or a published one", fmt::join(kVariantNames, ", ")));
  }
  SS_TRY_VOID(node.expect_keys({"tier", "weights", "expected", "acceptance", "quality"}));
  ManifestVariant variant;
  variant.name = name;
  SS_TRY(const std::string tier_name, node.string("tier"));
  const std::optional<Tier> tier = enum_from_name<Tier>(tier_name);
  if (!tier) return node.at("tier")->mismatch("blessed or opportunistic");
  variant.tier = *tier;
  SS_TRY(const std::string weights, node.string("weights"));
  if (weights != "stored" && weights != "quantized") return node.at("weights")->mismatch("stored or quantized");
  variant.is_stored = weights == "stored";
  if (node.has("expected") != node.has("acceptance")) {
    return node.fault("expected \"expected\" and \"acceptance\" both, or neither; found one of them");
  }
  if (const auto expected = node.find("expected")) {
    SS_TRY(variant.expected, expected->as_string());
    if (manifest.find_file(*variant.expected) == nullptr) return expected->mismatch("a path that \"files\" lists");
    SS_TRY(variant.acceptance, parse_acceptance(*node.at("acceptance")));
  }
  if (const auto quality = node.find("quality")) {
    SS_TRY(variant.quality, parse_quality(*quality));
  }
  return variant;
}

Result<ExpectedFrom> parse_expected_from(const YamlNode& node) {
  SS_TRY_VOID(node.expect_keys({"program", "program_sha256", "torch", "transformers", "dtype"}));
  ExpectedFrom from;
  SS_TRY(from.program, node.string("program"));
  SS_TRY(from.program_sha256, sha256_at(node, "program_sha256"));
  SS_TRY(from.torch, node.string("torch"));
  SS_TRY(from.transformers, node.string("transformers"));
  SS_TRY(from.dtype, node.string("dtype"));
  return from;
}

Result<Smoothing> parse_smoothing(const YamlNode& node) {
  SS_TRY_VOID(node.expect_keys({"alpha", "text_sha256", "tokens"}));
  Smoothing smoothing;
  SS_TRY(smoothing.alpha, node.number("alpha", kShare));
  SS_TRY(smoothing.text_sha256, sha256_at(node, "text_sha256"));
  SS_TRY(smoothing.n_tokens, node.integer("tokens", 1, kMaxFileBytes));
  return smoothing;
}

Result<void> check_format(const YamlNode& root) {
  SS_TRY(const YamlNode format, root.at("format"));
  SS_TRY(const std::string format_name, format.as_string());
  if (format_name != kFormat) return format.mismatch(kFormat);
  SS_TRY(const std::int64_t version, root.integer("version", 1, 1'000'000));
  if (version == kVersion) return {};
  return Error{ErrorCode::kUnsupported, fmt::format("{}: bundle format version {}: this program reads version {}",
                                                    root.document(), version, kVersion)};
}

}  // namespace

std::string Quality::outside_limits() const {
  std::vector<std::string> missed;
  const auto at_most = [&](std::string_view name, const std::optional<double>& figure,
                           const std::optional<double>& limit) {
    if (figure && limit && *figure > *limit) {
      missed.push_back(fmt::format("{} {:.4g}, at most {:g} allowed", name, *figure, *limit));
    }
  };
  const auto at_least = [&](std::string_view name, const std::optional<double>& figure,
                            const std::optional<double>& limit) {
    if (figure && limit && *figure < *limit) {
      missed.push_back(fmt::format("{} {:.4g}, at least {:g} required", name, *figure, *limit));
    }
  };
  at_most("mean KL", kl_mean, limits.kl_mean);
  at_least("top-1 agreement", top1_agreement, limits.top1_agreement);
  at_most("perplexity ratio", perplexity_ratio, limits.perplexity_ratio);
  for (const auto& [length, share] : lookup_accuracy) {
    at_least(fmt::format("lookup accuracy up to {} tokens", length), share, limits.lookup_accuracy);
  }
  at_most("share of invented answers", invented_answers, limits.invented_answers);
  return fmt::format("{}", fmt::join(missed, "; "));
}

Tier tier_without_quality(std::string_view variant_name) {
  const bool is_trained_in = variant_name == "f32" || variant_name == "bf16" || variant_name == "f16";
  return is_trained_in || is_published_variant(variant_name) ? Tier::kBlessed : Tier::kOpportunistic;
}

Tier tier_with_quality(std::string_view variant_name, const Quality& quality) {
  return !rounds_to_int4(variant_name) && quality.outside_limits().empty() ? Tier::kBlessed : Tier::kOpportunistic;
}

bool is_sha256(std::string_view text) {
  return text.size() == 64 &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::string Manifest::what_is_kept() const {
  for (const ManifestVariant& variant : variants) {
    if (is_published_variant(variant.name)) {
      return fmt::format("{} has its codes, other variants their values", variant.name);
    }
  }
  return "variants have the dequantized values";
}

const ManifestFile* Manifest::find_file(std::string_view path) const {
  const auto found = std::lower_bound(files.begin(), files.end(), path,
                                      [](const ManifestFile& file, std::string_view key) { return file.path < key; });
  return found == files.end() || found->path != path ? nullptr : &*found;
}

const ManifestVariant* Manifest::find_variant(std::string_view variant_name) const {
  const auto found = std::find_if(variants.begin(), variants.end(),
                                  [&](const ManifestVariant& variant) { return variant.name == variant_name; });
  return found == variants.end() ? nullptr : &*found;
}

Result<void> check_bundle_name(std::string_view name) {
  if (may_be_name(name)) return {};
  return Error{ErrorCode::kInvalidInput,
               fmt::format("expected {} as the name of a bundle, found {}", kNameRule, in_quotes(name))};
}

Result<Manifest> parse_manifest(std::string_view text, std::string_view name) {
  SS_TRY(const YamlNode root, parse_yaml(text, name, {.max_bytes = std::int64_t{8} << 20}));
  SS_TRY_VOID(check_format(root));
  SS_TRY_VOID(root.expect_keys({"format", "version", "name", "family", "license", "source", "files", "chat_template",
                                "chat_date", "variants", "expected_from"}));
  Manifest manifest;
  SS_TRY(manifest.name, word_at(root, "name"));
  SS_TRY(manifest.family, word_at(root, "family"));
  SS_TRY(manifest.license, root.string("license"));
  SS_TRY(const YamlNode source, root.at("source"));
  SS_TRY_VOID(source.expect_keys({"description", "url", "quantization", "smoothing"}));
  SS_TRY(manifest.source_description, source.string("description"));
  SS_TRY(manifest.source_url, source.string_or("url", ""));
  SS_TRY(manifest.source_quantization, source.string_or("quantization", ""));
  if (const auto smoothing = source.find("smoothing")) {
    SS_TRY(manifest.smoothing, parse_smoothing(*smoothing));
  }
  SS_TRY(manifest.files, parse_files(root));
  if (manifest.find_file("config.json") == nullptr) return root.fault("files: expected config.json, found none");
  if (root.has("chat_template")) {
    SS_TRY(manifest.chat_template, word_at(root, "chat_template"));
    if (manifest.has_chat_template_file() && manifest.find_file(manifest.chat_template) == nullptr) {
      return root.fault(fmt::format("chat_template: expected one of the files, found {}", manifest.chat_template));
    }
  }
  if (root.has("chat_date")) {
    SS_TRY(manifest.chat_date, root.string("chat_date"));
    if (!days_since_1970(*manifest.chat_date)) {
      return root.fault(fmt::format("chat_date: expected a day YYYY-MM-DD, found {}", in_quotes(*manifest.chat_date)));
    }
  }
  SS_TRY(const YamlNode variants_node, root.at("variants"));
  SS_TRY(const auto variants, variants_node.as_map());
  if (variants.empty()) return variants_node.fault("expected at least one variant, found none");
  for (const auto& [variant_name, node] : variants) {
    SS_TRY(ManifestVariant variant, parse_variant(variant_name, node, manifest));
    manifest.variants.push_back(std::move(variant));
  }
  if (const auto from = root.find("expected_from")) {
    SS_TRY(manifest.expected_from, parse_expected_from(*from));
  }
  const bool has_expected = std::any_of(manifest.variants.begin(), manifest.variants.end(),
                                        [](const ManifestVariant& variant) { return variant.expected.has_value(); });
  if (has_expected && !manifest.expected_from)
    return root.fault("expected \"expected_from\", found none beside expected outputs");
  return manifest;
}

Result<Manifest> read_manifest_file(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / kManifestFile;
  SS_TRY(const std::string text, read_file(file, kMaxManifestBytes));
  return parse_manifest(text, file.string());
}

}  // namespace secondsource
