#include "tokenizer/added_tokens.h"

#include <fmt/format.h>

#include <algorithm>

#include "tokenizer/unicode.h"

namespace secondsource::tokenizer {
namespace {

std::uint64_t edge_of(std::uint32_t node, char byte) {
  return (static_cast<std::uint64_t>(node) << 8) | static_cast<unsigned char>(byte);
}

/// The start of the white space that ends at `end`.
std::size_t whitespace_begin(std::string_view text, std::size_t end) {
  while (end > 0) {
    const Character character = character_before(text, end);
    if (!is_whitespace(character.code_point)) break;
    end -= character.length;
  }
  return end;
}

/// The end of the white space that begins at `begin`.
std::size_t whitespace_end(std::string_view text, std::size_t begin) {
  while (begin < text.size()) {
    const Character character = character_at(text, begin);
    if (!is_whitespace(character.code_point)) break;
    begin += character.length;
  }
  return begin;
}

bool stands_alone(std::string_view text, std::size_t begin, std::size_t end) {
  if (begin > 0 && is_word(character_before(text, begin).code_point)) return false;
  return end == text.size() || !is_word(character_at(text, end).code_point);
}

}  // namespace

void AddedTokenMatcher::add(const AddedToken& token, std::string_view pattern) {
  pattern_bytes_ += pattern.size();
  std::uint32_t node = 0;
  for (const char byte : pattern) {
    const auto [edge, is_new] = edges_.try_emplace(edge_of(node, byte), static_cast<std::uint32_t>(nodes_.size()));
    if (is_new) nodes_.emplace_back();
    node = edge->second;
  }
  if (nodes_[node].token >= 0) return;
  is_first_byte_[static_cast<unsigned char>(pattern.front())] = true;
  nodes_[node].token = static_cast<std::int32_t>(tokens_.size());
  tokens_.push_back(token);
}

const AddedToken* AddedTokenMatcher::longest_at(std::string_view text, std::size_t begin, std::size_t& end) const {
  if (!is_first_byte_[static_cast<unsigned char>(text[begin])]) return nullptr;
  const AddedToken* longest = nullptr;
  std::uint32_t node = 0;
  for (std::size_t i = begin; i < text.size(); ++i) {
    const auto edge = edges_.find(edge_of(node, text[i]));
    if (edge == edges_.end()) break;
    node = edge->second;
    if (nodes_[node].token < 0) continue;
    longest = &tokens_[static_cast<std::size_t>(nodes_[node].token)];
    end = i + 1;
  }
  return longest;
}

void AddedTokenMatcher::split(std::string_view text, bool parse_special, std::vector<AddedTokenSpan>& spans) const {
  std::size_t handed_out = 0;
  for (std::size_t position = 0; position < text.size() && !tokens_.empty();) {
    std::size_t match_end = 0;
    const AddedToken* token = longest_at(text, position, match_end);
    if (token == nullptr) {
      ++position;
      continue;
    }
    std::size_t begin = position;
    std::size_t end = match_end;
    position = match_end;
    if (token->special && !parse_special) continue;
    if (token->single_word && !stands_alone(text, begin, end)) continue;
    if (token->lstrip) begin = std::max(whitespace_begin(text, begin), handed_out);
    if (token->rstrip) end = whitespace_end(text, end);
    if (handed_out < begin) spans.push_back({.begin = handed_out, .end = begin});
    spans.push_back({.id = token->id, .begin = begin, .end = end});
    handed_out = end;
  }
  if (handed_out < text.size()) spans.push_back({.begin = handed_out, .end = text.size()});
}

Result<void> AddedTokens::add(AddedToken token) {
  if (token.content.empty()) return Error{ErrorCode::kInvalidInput, "expected a content that is not empty"};
  content_bytes_ += token.content.size();
  if (content_bytes_ > kMaxAddedBytes) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("expected at most {} bytes of added tokens in all", kMaxAddedBytes)};
  }
  SS_TRY_VOID(vocabulary_.add(token.content, token.id));
  const auto index = static_cast<std::size_t>(token.id);
  if (token.special) {
    if (index >= is_special_.size()) is_special_.resize(index + 1);
    is_special_[index] = true;
    special_contents_.insert(token.content);
  }
  tokens_.push_back(std::move(token));
  return {};
}

void AddedTokens::set_normalized(const AddedToken& token, std::string normalized_content) {
  if (normalized_content == token.content) return;
  const auto index = static_cast<std::size_t>(token.id);
  if (index >= is_special_.size()) is_special_.resize(index + 1);
  is_special_[index] = special_contents_.contains(normalized_content);
  normalized_texts_.insert_or_assign(token.id, std::move(normalized_content));
}

std::optional<std::string_view> AddedTokens::text_of(std::int32_t id) const {
  if (!normalized_texts_.empty()) {
    const auto found = normalized_texts_.find(id);
    if (found != normalized_texts_.end()) return found->second;
  }
  return vocabulary_.text_of(id);
}

bool AddedTokens::is_special(std::int32_t id) const {
  const auto index = static_cast<std::size_t>(id);
  return id >= 0 && index < is_special_.size() && is_special_[index];
}

}  // namespace secondsource::tokenizer
