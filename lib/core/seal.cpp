#include "core/seal.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/hash.h"

namespace secondsource {
namespace {

constexpr std::string_view kKey = "\"checksum\":";
constexpr std::string_view kBlank = " \t\r\n";
constexpr std::size_t kSealDigits = 16;

std::string_view without_blank_end(std::string_view text) {
  return text.substr(0, text.find_last_not_of(kBlank) + 1);
}

/// Removes `end` from the end of the text, with the blanks before it; false if the text ends otherwise.
bool take_end(std::string_view& text, std::string_view end) {
  if (!text.ends_with(end)) return false;
  text = without_blank_end(text.substr(0, text.size() - end.size()));
  return true;
}

std::string checksum_of_text(std::string_view text) {
  return sha256_hex(text).substr(0, kSealDigits);
}

}  // namespace

std::string sealed(std::string_view object_text) {
  std::string_view body = without_blank_end(object_text);
  const std::string_view after = object_text.substr(body.size());
  take_end(body, "}");
  const bool has_lines = body.find('\n') != std::string_view::npos;
  return fmt::format("{},{}{}{}\"{}\"{}}}{}", body, has_lines ? "\n  " : "", kKey, has_lines ? " " : "",
                     checksum_of_text(body), has_lines ? "\n" : "", after);
}

Seal seal_of(std::string_view object_text) {
  std::string_view text = without_blank_end(object_text);
  const auto damaged_or_none = [&] {
    // A record has no member of this name, so whatever looks like a checksum and is not in its place is a damaged one.
    const std::size_t last = object_text.rfind(kKey);
    return last != std::string_view::npos && object_text.size() - last < 2 * kSealDigits + kKey.size() ? Seal::kBroken
                                                                                                       : Seal::kNone;
  };
  if (!take_end(text, "}") || !take_end(text, "\"") || text.size() < kSealDigits) return damaged_or_none();
  const std::string_view digits = text.substr(text.size() - kSealDigits);
  text.remove_suffix(kSealDigits);
  if (!take_end(text, "\"") || !take_end(text, kKey) || !take_end(text, ",")) return damaged_or_none();
  return checksum_of_text(text) == digits ? Seal::kGood : Seal::kBroken;
}

Result<bool> has_good_seal(std::string_view object_text, std::string_view name) {
  const Seal seal = seal_of(object_text);
  if (seal != Seal::kBroken) return seal == Seal::kGood;
  return Error{ErrorCode::kInvalidInput, fmt::format("{}: damaged: its checksum is not that of its content", name)};
}

}  // namespace secondsource
