#include "core/base64.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <limits>

namespace secondsource {

Result<std::string> decode_base64(std::string_view text) {
  const std::size_t padding = text.size() - std::min(text.size(), text.find_last_not_of('=') + 1);
  const bool has_whole_groups = text.size() % 4 == 0 && padding <= 2 && text.find('=') >= text.size() - padding;
  // OpenSSL would pass over white space at both ends.
  const bool is_black = std::ranges::none_of(text, [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); });
  if (!has_whole_groups || !is_black || text.size() > std::numeric_limits<int>::max()) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("expected base64, found {} characters of other text", text.size())};
  }
  std::string bytes(text.size() / 4 * 3, '\0');
  const int n_bytes =
      EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                      reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()));
  if (n_bytes < 0 || static_cast<std::size_t>(n_bytes) != bytes.size()) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("expected base64, found {} characters of other text", text.size())};
  }
  bytes.resize(bytes.size() - padding);
  return bytes;
}

std::string encode_base64(std::string_view bytes) {
  constexpr std::size_t kGroupBytes = 3;
  // Parts of whole groups, because OpenSSL counts in int.
  constexpr std::size_t kPartBytes = kGroupBytes << 20U;
  std::string text;
  text.reserve((bytes.size() + kGroupBytes - 1) / kGroupBytes * 4);
  for (std::size_t begin = 0; begin < bytes.size(); begin += kPartBytes) {
    const std::string_view part = bytes.substr(begin, kPartBytes);
    // The buffer has room for the zero that OpenSSL writes behind the text.
    std::string encoded((part.size() + kGroupBytes - 1) / kGroupBytes * 4 + 1, '\0');
    EVP_EncodeBlock(reinterpret_cast<unsigned char*>(encoded.data()),
                    reinterpret_cast<const unsigned char*>(part.data()), static_cast<int>(part.size()));
    encoded.pop_back();
    text += encoded;
  }
  return text;
}

}  // namespace secondsource
