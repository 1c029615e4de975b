#include "recorded/redaction.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "core/ascii.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

struct BuiltIn {
  SecretKind kind;
  std::string_view pattern;
};

// In the order in which they are applied: if two match the same characters, the value gets the kind of the first.
constexpr std::array kBuiltIn = {
    // Private keys in PEM.
    BuiltIn{SecretKind::kKey,
            R"(-----BEGIN [A-Z ]*PRIVATE KEY-----[A-Za-z0-9+/=:,. \r\n-]*?-----END [A-Z ]*PRIVATE KEY-----)"},
    // sk-..., pk_live_..., rk_test_...: the form of many services' secret, public and restricted keys.
    BuiltIn{SecretKind::kKey, R"((?<![A-Za-z0-9])[spr]k[-_](?:[A-Za-z0-9]{1,12}[-_]){0,3}[A-Za-z0-9_-]{16,})"},
    // GitHub, Hugging Face, GitLab, Slack, Google, AWS.
    BuiltIn{SecretKind::kKey,
            R"((?<![A-Za-z0-9])(?:gh[opsur]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|hf_[A-Za-z0-9]{16,}|)"
            R"(glpat-[A-Za-z0-9_-]{16,}|xox[abeoprs]-[A-Za-z0-9-]{10,}|AIza[A-Za-z0-9_-]{30,}|A[KS]IA[A-Z0-9]{16}))"},
    // JSON web tokens.
    BuiltIn{SecretKind::kKey, R"((?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,})"},
    // What follows the name of a secret.
    BuiltIn{
        SecretKind::kKey,
        R"((?i)(?:password|passwd|pwd|secret|api[_-]?key|access[_-]?token|auth[_-]?token)["']?[ \t]*[:=][ \t]*["']?\K[^ \t\r\n"',;]{6,})"},
    BuiltIn{SecretKind::kKey, R"((?i)\bbearer[ \t]+\K[A-Za-z0-9._~+/=-]{16,})"},
    // Long words of letters with at least two digits, as most other keys are; long identifiers are among them.
    BuiltIn{SecretKind::kKey,
            R"((?<![A-Za-z0-9_-])(?=[A-Za-z_-]*[0-9][A-Za-z_-]*[0-9])(?=[0-9_-]*[A-Za-z])[A-Za-z0-9_-]{32,})"},
    BuiltIn{
        SecretKind::kEmail,
        R"((?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![A-Za-z0-9]))"},
    BuiltIn{SecretKind::kCard, R"((?<![0-9.])[0-9](?:[ -]?[0-9]){12,18}(?![0-9]))"},
    BuiltIn{SecretKind::kIp, R"((?<![0-9.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![0-9]|\.[0-9]))"},
    BuiltIn{SecretKind::kIp, R"((?<![A-Za-z0-9:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![A-Za-z0-9:]))"},
    BuiltIn{SecretKind::kPhone, R"((?<![A-Za-z0-9+])\+[0-9](?:[ ().-]{0,2}[0-9]){7,14}(?![0-9]))"},
    BuiltIn{SecretKind::kPhone,
            R"((?<![A-Za-z0-9.-])(?:\([0-9]{3}\) ?|[0-9]{3}[-. ])[0-9]{3}[-. ][0-9]{4}(?![A-Za-z0-9-]))"},
    BuiltIn{SecretKind::kPhone, R"((?<![A-Za-z0-9.,-])0[0-9]{1,4}[ /-][0-9](?:[ -]?[0-9]){4,10}(?![A-Za-z0-9]))"},
};

/// The checksum of card numbers (ISO/IEC 7812-1, annex B).
bool passes_luhn(std::string_view digits) {
  int sum = 0;
  bool doubles = false;
  for (auto c = digits.rbegin(); c != digits.rend(); ++c) {
    if (!is_ascii_digit(*c)) continue;
    const int value = (*c - '0') * (doubles ? 2 : 1);
    sum += value > 9 ? value - 9 : value;
    doubles = !doubles;
  }
  constexpr int kTen = 10;
  return sum % kTen == 0;
}

/// Checks that go beyond the form of a value.
bool is_secret(SecretKind kind, std::string_view found) {
  if (kind == SecretKind::kCard) return passes_luhn(found);
  if (kind != SecretKind::kIp) return true;
  const std::string address(found);
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  if (found.find(':') == std::string_view::npos) return ::inet_pton(AF_INET, address.c_str(), bytes.data()) == 1;
  return std::ranges::any_of(found, is_ascii_digit) && ::inet_pton(AF_INET6, address.c_str(), bytes.data()) == 1;
}

/// The same form: a letter for each letter, a digit for each digit, x for each other character beyond ASCII.
std::string same_form(std::string_view text, RandomStream& random) {
  std::string result;
  for (const char c : text) {
    constexpr std::uint64_t kLetters = 26;
    constexpr std::uint64_t kDigits = 10;
    if (is_ascii_digit(c)) {
      result += static_cast<char>('0' + random.next_below(kDigits));
    } else if (c >= 'a' && c <= 'z') {
      result += static_cast<char>('a' + random.next_below(kLetters));
    } else if (c >= 'A' && c <= 'Z') {
      result += static_cast<char>('A' + random.next_below(kLetters));
    } else if ((static_cast<unsigned char>(c) & 0xc0U) == 0x80U) {
      continue;  // a later byte of a character
    } else {
      result += static_cast<unsigned char>(c) < 0x80U ? c : 'x';
    }
  }
  return result;
}

std::string made_up(SecretKind kind, const std::string& found, RandomStream& random) {
  switch (kind) {
    case SecretKind::kEmail: {
      // RFC 2606 reserves .example, so no such address exists.
      const std::size_t at = found.find('@');
      const std::size_t dot = found.rfind('.');
      return same_form(found.substr(0, at), random) + "@" + same_form(found.substr(at + 1, dot - at - 1), random) +
             ".example";
    }
    case SecretKind::kIp: {
      // Addresses for documentation (RFC 5737, RFC 3849).
      constexpr std::uint64_t kMostHosts = 254;
      constexpr std::uint64_t kMostParts = 65536;
      if (found.find(':') == std::string::npos) return fmt::format("192.0.2.{}", 1 + random.next_below(kMostHosts));
      return fmt::format("2001:db8::{:x}:{:x}", random.next_below(kMostParts), random.next_below(kMostParts));
    }
    case SecretKind::kCard: {
      std::string card = same_form(found, random);
      if (passes_luhn(card)) card.back() = card.back() == '9' ? '0' : static_cast<char>(card.back() + 1);
      return card;
    }
    case SecretKind::kKey: {
      // The prefix of a key, such as "sk-", "hf_" or "AKIA", only tells which service it is for, so it is kept.
      constexpr std::size_t kLongestPrefix = 5;
      const std::size_t mark = found.find_first_of("-_");
      const bool is_prefixed = mark < kLongestPrefix && found.front() != '-';
      const std::size_t n_kept = is_prefixed ? mark + 1 : 0;
      return found.substr(0, n_kept) + same_form(found.substr(n_kept), random);
    }
    case SecretKind::kPhone:
    case SecretKind::kOwn:
      break;
  }
  return same_form(found, random);
}

struct Finding {
  std::size_t begin, end;
  SecretKind kind;
};

/// Merges overlapping findings into one, which has the kind of the one that was found first.
std::vector<Finding> united(std::vector<Finding> findings) {
  std::ranges::stable_sort(findings, {}, &Finding::begin);
  std::vector<Finding> result;
  for (const Finding& finding : findings) {
    if (result.empty() || finding.begin >= result.back().end) {
      result.push_back(finding);
      continue;
    }
    Finding& last = result.back();
    last.end = std::max(last.end, finding.end);
    last.kind = std::min(last.kind, finding.kind);
  }
  return result;
}

}  // namespace

Result<Redaction> Redaction::create(const std::vector<std::string>& own, std::uint64_t seed) {
  std::vector<Pattern> patterns;
  for (const std::string& pattern : own) {
    Result<tokenizer::Regex> regex = tokenizer::Regex::compile(pattern);
    if (!regex) return regex.error().with_context(fmt::format("--redact {}", in_quotes(pattern)));
    patterns.push_back({SecretKind::kOwn, std::move(regex).value()});
  }
  for (const BuiltIn& built_in : kBuiltIn) {
    SS_TRY(tokenizer::Regex regex, tokenizer::Regex::compile(built_in.pattern));
    patterns.push_back({built_in.kind, std::move(regex)});
  }
  return Redaction(std::move(patterns), seed);
}

const std::string& Redaction::placeholder(SecretKind kind, const std::string& found) {
  std::string& known = placeholders_[{kind, found}];
  constexpr int kAttempts = 8;  // a form without letters and digits cannot change
  for (int attempt = 0; attempt < kAttempts && (known.empty() || known == found); ++attempt) {
    known = made_up(kind, found, random_);
  }
  return known;
}

Result<std::string> Redaction::apply(std::string_view text, std::vector<Redacted>& redacted) {
  std::vector<Finding> findings;
  for (const Pattern& pattern : patterns_) {
    scratch_.begin_text(text.size());
    for (std::size_t at = 0; at <= text.size();) {
      SS_TRY(const auto found, pattern.regex.find(text, at, scratch_));
      if (!found) break;
      if (found->end == found->begin) {  // goes on behind the next character
        at = found->end + 1;
        while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0U) == 0x80U) ++at;
        continue;
      }
      if (is_secret(pattern.kind, text.substr(found->begin, found->end - found->begin))) {
        findings.push_back({found->begin, found->end, pattern.kind});
      }
      at = found->end;
    }
  }
  std::string result;
  std::size_t done = 0;
  for (const Finding& finding : united(std::move(findings))) {
    const std::string found(text.substr(finding.begin, finding.end - finding.begin));
    const std::string& became = placeholder(finding.kind, found);
    result += text.substr(done, finding.begin - done);
    result += became;
    done = finding.end;
    counts_.at(static_cast<std::size_t>(finding.kind)) += 1;
    redacted.push_back({finding.kind, found, became});
  }
  result += text.substr(done);
  return result;
}

}  // namespace secondsource
