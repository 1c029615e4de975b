#pragma once
// The data of manifest.yaml, which describes a bundle (docs/bundle-format.md).

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "core/tier.h"

namespace secondsource {

inline constexpr std::string_view kManifestFile = "manifest.yaml";
inline constexpr std::int64_t kMaxManifestBytes = std::int64_t{8} << 20;
inline constexpr std::string_view kPromptsFolder = "prompts/";    ///< of the golden prompts, as paths begin
inline constexpr std::string_view kExpectedFolder = "expected/";  ///< of the expected outputs, as paths begin

struct ManifestFile {
  std::string path;  ///< relative to the bundle's folder, separated by /
  std::int64_t size_bytes = 0;
  std::string sha256;  ///< 64 lower-case hexadecimal digits

  friend bool operator==(const ManifestFile&, const ManifestFile&) = default;
};

/// How far a correct backend may deviate from the reference (docs/correctness.md). Only expect.py writes these numbers.
struct Acceptance {
  double near_tie_tau = 0.0;
  double kl_mean = 0.0;              ///< mean KL divergence of the envelope E
  double kl_worst = 0.0;             ///< worst KL divergence of E
  double nll_difference_mean = 0.0;  ///< of E, at least 0
};

/// The acceptance test of a variant: the worst quality that it may have. A variant outside of a limit is opportunistic.
struct QualityLimits {
  std::optional<double> kl_mean{};           ///< at most
  std::optional<double> top1_agreement{};    ///< at least
  std::optional<double> perplexity_ratio{};  ///< at most
  std::optional<double> lookup_accuracy{};   ///< at least, at every context length
  std::optional<double> invented_answers{};  ///< at most

  friend bool operator==(const QualityLimits&, const QualityLimits&) = default;
};

/// How good the variant itself is, measured with its reference, independently of any backend.
struct Quality {
  std::optional<double> kl_mean{};         ///< divergence from the reference of bf16
  std::optional<double> top1_agreement{};  ///< agreement with the reference of bf16
  std::optional<double> perplexity{};
  std::optional<double> perplexity_ratio{};          ///< perplexity of a text, divided by that which bf16 has on it
  std::map<std::int64_t, double> lookup_accuracy{};  ///< key: context length in tokens
  std::optional<double> invented_answers{};          ///< share of unanswerable lookups that the model answers
  QualityLimits limits{};

  /// The limits that the figures miss, as a phrase with both numbers; empty if they keep them all. A figure that nobody
  /// measured misses none.
  [[nodiscard]] std::string outside_limits() const;
};

struct ManifestVariant {
  std::string name;  ///< as variant_from_name() takes it
  Tier tier = Tier::kOpportunistic;
  /// The weights are stored in this variant; otherwise they are made from the stored ones by its rule.
  bool is_stored = false;
  std::optional<std::string> expected{};   ///< path of the expected outputs; absent if the variant is unverified
  std::optional<Acceptance> acceptance{};  ///< present exactly if `expected` is
  std::optional<Quality> quality{};

  /// Quality::outside_limits(); empty without `quality`.
  [[nodiscard]] std::string outside_limits() const { return quality ? quality->outside_limits() : std::string(); }
  /// The tier that counts: a variant outside its limits is opportunistic, whatever `tier` says.
  [[nodiscard]] Tier effective_tier() const { return outside_limits().empty() ? tier : Tier::kOpportunistic; }
};

/// The tier of a variant whose quality was not measured. Only the types in which models are trained, and weights as
/// they were published, are blessed.
[[nodiscard]] Tier tier_without_quality(std::string_view variant_name);

/// The tier of a variant whose quality was measured: blessed if it is within its limits, except for weights that this
/// project rounds to int4, which are opportunistic by definition.
[[nodiscard]] Tier tier_with_quality(std::string_view variant_name, const Quality& quality);

/// The program and libraries that produced the expected outputs.
struct ExpectedFrom {
  std::string program;
  std::string program_sha256;
  std::string torch;
  std::string transformers;
  std::string dtype;
};

/// How the weights were smoothed (bundle/smoothing.h).
struct Smoothing {
  double alpha = 0.5;         ///< in (0, 1): how much of the difficulty moves from activations into weights
  std::string text_sha256;    ///< of the text whose activations were measured
  std::int64_t n_tokens = 0;  ///< of it
};

struct Manifest {
  std::string name;
  std::string family;
  std::string license;
  std::string source_description;
  std::string source_url;
  /// How the source was quantized: "Q4_1 (211 tensors), F32 (61)"; empty if it was not.
  std::string source_quantization;
  std::optional<Smoothing> smoothing;  ///< absent: the weights are those of the source
  std::vector<ManifestFile> files;     ///< every file except manifest.yaml, sorted by path
  /// A Jinja file of the bundle ("chat_template.jinja"), the name of a template of this program, or "none".
  std::string chat_template = "none";
  std::optional<std::string> chat_date;  ///< YYYY-MM-DD: today for the template; absent: kDefaultChatDate
  std::vector<ManifestVariant> variants;
  std::optional<ExpectedFrom> expected_from;

  /// For a quantized source, a phrase on what the variants contain: its codes in the published variant, or only its
  /// dequantized values.
  [[nodiscard]] std::string what_is_kept() const;
  /// True if chat_template is a file of the bundle.
  [[nodiscard]] bool has_chat_template_file() const { return chat_template.ends_with(".jinja"); }
  [[nodiscard]] const ManifestFile* find_file(std::string_view path) const;
  [[nodiscard]] const ManifestVariant* find_variant(std::string_view variant_name) const;
};

/// Errors: kInvalidInput, naming the flag --name, for a text that parse_manifest() refuses as a bundle's name.
Result<void> check_bundle_name(std::string_view name);

/// Parses a manifest.yaml. Error messages begin with `name`. Errors: kInvalidInput; kUnsupported for a later version of
/// the format.
Result<Manifest> parse_manifest(std::string_view text, std::string_view name);

/// Reads the manifest.yaml of a bundle's folder. Errors: those of parse_manifest(); kInvalidInput if there is none; kIo.
Result<Manifest> read_manifest_file(const std::filesystem::path& folder);

/// Returns the text of a manifest.yaml from which parse_manifest() reads the same manifest.
[[nodiscard]] std::string write_manifest(const Manifest& manifest);

/// Writes manifest.yaml into a bundle's folder, once its text is known to be read as the same manifest. Errors:
/// kInvalidInput, kIo.
Result<void> write_manifest_file(const Manifest& manifest, const std::filesystem::path& folder);

/// True if the text is 64 lower-case hexadecimal digits.
[[nodiscard]] bool is_sha256(std::string_view text);

}  // namespace secondsource
