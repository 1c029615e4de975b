#pragma once
// Removes from a text what identifies people or grants access: e-mail addresses, telephone numbers, IP addresses, card
// numbers, keys and tokens, and matches of a user's own patterns. Each value is replaced by a made-up value of the same
// form and length, so that the text keeps about the same number of tokens; equal values get equal replacements
// everywhere. A replacement depends on the seed and on the order of the values, not on the value itself, so that nobody
// can recover the value by trial. Names of people and places are not found.

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/enum_names.h"
#include "core/random.h"
#include "core/result.h"
#include "tokenizer/regex.h"

namespace secondsource {

enum class SecretKind : std::uint8_t { kOwn, kKey, kEmail, kCard, kIp, kPhone };

SS_ENUM_NAMES(SecretKind, "own pattern", "key", "e-mail address", "card number", "IP address", "phone number")

inline constexpr std::size_t kNSecretKinds = 6;

/// One value that was replaced.
struct Redacted {
  SecretKind kind = SecretKind::kOwn;
  std::string found;
  std::string became;
};

class Redaction {
 public:
  /// `own` are regular expressions. Errors: kInvalidInput for one that is none.
  static Result<Redaction> create(const std::vector<std::string>& own, std::uint64_t seed);

  /// The text with these values replaced; each replacement is added to `redacted`. The text must be UTF-8. Errors:
  /// kInvalidInput if a pattern takes too long; then no part of the text may be used.
  Result<std::string> apply(std::string_view text, std::vector<Redacted>& redacted);

  /// How many values of a kind were replaced so far.
  [[nodiscard]] std::int64_t count(SecretKind kind) const { return counts_.at(static_cast<std::size_t>(kind)); }

 private:
  struct Pattern {
    SecretKind kind;
    tokenizer::Regex regex;
  };
  Redaction(std::vector<Pattern> patterns, std::uint64_t seed) : patterns_(std::move(patterns)), random_(seed) {}
  const std::string& placeholder(SecretKind kind, const std::string& found);

  std::vector<Pattern> patterns_;
  RandomStream random_;
  tokenizer::RegexScratch scratch_;
  std::map<std::pair<SecretKind, std::string>, std::string> placeholders_;
  std::array<std::int64_t, kNSecretKinds> counts_{};
};

}  // namespace secondsource
