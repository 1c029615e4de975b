#include "tokenizer/tiktoken_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "core/base64.h"
#include "core/number.h"
#include "core/utf8.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/vocabulary.h"

namespace secondsource {
namespace {

// Every token is cut at every position and both parts are hashed; this limits the sum of their bytes, as for a SentencePiece
// vocabulary.
constexpr std::uint64_t kMaxCutBytes = std::uint64_t{1} << 31;

struct Line {
  std::string token;
  std::int64_t rank = 0;
};

/// "IQ== 0".
std::optional<Line> parse_line(std::string_view line) {
  const std::size_t space = line.find(' ');
  if (space == std::string_view::npos || space == 0) return std::nullopt;
  Result<std::string> token = decode_base64(line.substr(0, space));
  const auto rank = parse_number<std::int64_t>(line.substr(space + 1));
  if (!token || !rank) return std::nullopt;
  return Line{std::move(token).value(), *rank};
}

std::string_view without_return(std::string_view line) {
  return line.ends_with('\r') ? line.substr(0, line.size() - 1) : line;
}

}  // namespace

bool is_tiktoken_file(std::string_view content) {
  return parse_line(without_return(content.substr(0, content.find('\n')))).has_value();
}

Result<std::vector<std::string>> parse_tiktoken_file(std::string_view content, std::string_view name_for_messages) {
  std::vector<std::string> tokens;
  std::unordered_map<std::string, std::size_t> ranks;
  const auto refuse = [&](std::string_view what) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: tiktoken file: line {}: {}", name_for_messages, tokens.size() + 1, what)};
  };
  for (std::size_t begin = 0; begin < content.size();) {
    const std::size_t end = std::min(content.find('\n', begin), content.size());
    const std::string_view text = without_return(content.substr(begin, end - begin));
    begin = end + 1;
    if (text.empty() && begin >= content.size()) break;
    std::optional<Line> line = parse_line(text);
    if (!line)
      return refuse(fmt::format("expected a token in base64 and its rank, found {}", in_quotes(text.substr(0, 80))));
    if (line->rank != static_cast<std::int64_t>(tokens.size())) {
      return refuse(fmt::format("expected rank {}, found {}", tokens.size(), line->rank));
    }
    if (line->rank > tokenizer::kMaxTokenId) return refuse(fmt::format("expected at most {} ranks", line->rank));
    const auto [first, is_new] = ranks.try_emplace(line->token, tokens.size());
    if (!is_new) return refuse(fmt::format("expected another token than that of rank {}", first->second));
    tokens.push_back(std::move(line->token));
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    if (ranks.contains(std::string(1, static_cast<char>(byte)))) continue;
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("{}: tiktoken file: expected a token for each byte, found none for 0x{:02X}",
                             name_for_messages, byte)};
  }
  return tokens;
}

Result<GgufVocabulary> tiktoken_vocabulary(const std::vector<std::string>& tokens, std::string_view pre,
                                           std::string_view name_for_messages) {
  std::unordered_map<std::string_view, std::size_t> ranks;
  ranks.reserve(tokens.size());
  for (std::size_t rank = 0; rank < tokens.size(); ++rank) ranks.emplace(tokens[rank], rank);
  GgufVocabulary vocabulary;
  vocabulary.model = "gpt2";
  vocabulary.pre = pre;
  vocabulary.takes_whole_words = true;
  vocabulary.token_types.assign(tokens.size(), 1);
  for (const std::string& token : tokens) vocabulary.tokens.push_back(tokenizer::to_byte_alphabet(token));
  std::uint64_t cut_bytes = 0;
  std::vector<std::pair<std::size_t, std::size_t>> cuts;
  for (const std::string& token : tokens) {
    cut_bytes += static_cast<std::uint64_t>(token.size()) * token.size();
    if (cut_bytes > kMaxCutBytes) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("{}: tiktoken file: expected shorter tokens, found one of {} bytes", name_for_messages,
                               token.size())};
    }
    cuts.clear();
    for (std::size_t cut = 1; cut < token.size(); ++cut) {
      const auto left = ranks.find(std::string_view(token).substr(0, cut));
      const auto right = ranks.find(std::string_view(token).substr(cut));
      if (left != ranks.end() && right != ranks.end()) cuts.emplace_back(left->second, right->second);
    }
    std::ranges::sort(cuts);
    for (const auto& [left, right] : cuts) {
      vocabulary.merges.push_back(vocabulary.tokens[left] + " " + vocabulary.tokens[right]);
    }
  }
  return vocabulary;
}

}  // namespace secondsource
