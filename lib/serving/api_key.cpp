#include "serving/api_key.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "core/file.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

constexpr std::int64_t kLongestKeyFile = 64 << 10;

bool is_printable_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c < '\x7f'; });
}

}  // namespace

Result<ApiKey> ApiKey::read(const KeySource& source) {
  ApiKey key;
  if (source.is_empty()) return key;
  const std::string where = source.file.empty() ? "environment variable " + shown(source.environment)
                                                : "key file " + shown(source.file.string());
  if (source.file.empty()) {
    const char* value = std::getenv(source.environment.c_str());
    if (value == nullptr) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: expected it to hold the API key, found it not set", where)};
    }
    key.key_ = value;
  } else {
    SS_TRY(const std::string text, read_file(source.file, kLongestKeyFile));
    key.key_ = text.substr(0, text.find_first_of("\r\n"));
  }
  if (!key.key_.empty() && is_printable_ascii(key.key_)) return key;
  return Error{ErrorCode::kInvalidInput,
               fmt::format("{}: expected an API key of printable characters without spaces, found {}", where,
                           key.key_.empty() ? "nothing" : "something else")};
}

std::string ApiKey::cut_from(std::string text) const {
  if (key_.empty()) return text;
  constexpr std::string_view kInstead = "[key]";
  for (std::size_t at = text.find(key_); at != std::string::npos; at = text.find(key_, at + kInstead.size())) {
    text.replace(at, key_.size(), kInstead);
  }
  return text;
}

}  // namespace secondsource
