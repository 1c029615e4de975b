#pragma once
// manifest.yaml: what a bundle says about itself (docs/bundle-format.md).

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"

namespace secondsource {

inline constexpr std::string_view kManifestFile = "manifest.yaml";

struct ManifestFile {
  std::string path;  ///< relative, with /
  std::int64_t size_bytes = 0;
  std::string sha256;  ///< 64 lower-case hexadecimal digits
};

enum class Tier : std::uint8_t {
  kBlessed,        ///< must pass for a run to count
  kOpportunistic,  ///< reported; never a gate by default
};
[[nodiscard]] std::string_view to_string(Tier tier);

/// How far a right backend may stray from the reference (docs/correctness.md). Written by expect.py only.
struct Acceptance {
  double near_tie_tau = 0.0;
  double kl_mean = 0.0;              ///< of the envelope E
  double kl_worst = 0.0;             ///< of E
  double nll_difference_mean = 0.0;  ///< of E, >= 0
};

/// How good the variant is, by its reference; independent of any backend.
struct Quality {
  std::optional<double> kl_mean;         ///< to bf16's reference
  std::optional<double> top1_agreement;  ///< with bf16's reference
  std::optional<double> perplexity;
  std::map<std::int64_t, double> lookup_accuracy;  ///< by context length in tokens
  std::optional<double> invented_answers;          ///< share of unanswerable lookups
  std::optional<double> limit_kl_mean;             ///< beyond it the variant is opportunistic
  std::optional<double> limit_top1_agreement;      ///< below it the variant is opportunistic
};

struct ManifestVariant {
  std::string name;  ///< one of kVariantNames
  Tier tier = Tier::kOpportunistic;
  bool is_stored = false;                ///< the weights are stored in it; else made from them by its rule
  std::optional<std::string> expected;   ///< path of the expected outputs; absent: unverified
  std::optional<Acceptance> acceptance;  ///< there exactly when expected is
  std::optional<Quality> quality;
};

/// What produced the expected outputs.
struct ExpectedFrom {
  std::string program;
  std::string program_sha256;
  std::string torch;
  std::string transformers;
  std::string dtype;
};

struct Manifest {
  std::string name;
  std::string family;
  std::string license;
  std::string source_description;
  std::string source_url;
  std::vector<ManifestFile> files;     ///< every file but manifest.yaml; sorted by path
  std::string chat_template = "none";  ///< a built-in family
  std::vector<ManifestVariant> variants;
  std::optional<ExpectedFrom> expected_from;

  [[nodiscard]] const ManifestFile* find_file(std::string_view path) const;
  [[nodiscard]] const ManifestVariant* find_variant(std::string_view variant_name) const;
};

/// `name` stands first in errors. Errors: kInvalidInput; kUnsupported for a later version of the format.
Result<Manifest> parse_manifest(std::string_view text, std::string_view name);

/// The text of a manifest.yaml; parse_manifest gives the same manifest back.
[[nodiscard]] std::string write_manifest(const Manifest& manifest);

/// 64 lower-case hexadecimal digits?
[[nodiscard]] bool is_sha256(std::string_view text);

}  // namespace secondsource
