#include "tokenizer/added_tokens.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/check.h"
#include "tokenizer/unicode.h"

namespace secondsource::tokenizer {
namespace {

std::uint64_t edge_of(std::uint32_t node, char byte) {
  return (static_cast<std::uint64_t>(node) << 8) | static_cast<unsigned char>(byte);
}

/// The start of the white space that ends at `end`, not before `first`.
std::size_t whitespace_begin(std::string_view text, std::size_t end, std::size_t first) {
  while (end > first) {
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
  is_finished_ = false;
  pattern_bytes_ += pattern.size();
  std::uint32_t node = 0;
  for (auto byte = pattern.rbegin(); byte != pattern.rend(); ++byte) {
    const auto [found, is_new] = edges_.try_emplace(edge_of(node, *byte), static_cast<std::uint32_t>(nodes_.size()));
    if (is_new) nodes_.push_back({.depth = nodes_[node].depth + 1});
    node = found->second;
  }
  if (nodes_[node].token >= 0) return;
  is_last_byte_[static_cast<unsigned char>(pattern.back())] = true;
  nodes_[node].token = static_cast<std::int32_t>(tokens_.size());
  nodes_[node].length = nodes_[node].depth;
  tokens_.push_back(token);
}

std::optional<std::uint32_t> AddedTokenMatcher::edge(std::uint32_t node, char byte) const {
  const auto found = edges_.find(edge_of(node, byte));
  return found == edges_.end() ? std::nullopt : std::optional(found->second);
}

void AddedTokenMatcher::finish() {
  if (std::exchange(is_finished_, true)) return;
  struct Edge {
    std::uint32_t from, to;
    char byte;
  };
  std::vector<Edge> by_depth;
  by_depth.reserve(edges_.size());
  for (const auto& [key, to] : edges_) {
    by_depth.push_back({static_cast<std::uint32_t>(key >> 8), to, static_cast<char>(key & 0xffU)});
  }
  // A fallback leads to a node of smaller depth, which is complete already when nodes are visited by depth.
  std::sort(by_depth.begin(), by_depth.end(), [&](const Edge& a, const Edge& b) {
    return std::pair(nodes_[a.to].depth, a.to) < std::pair(nodes_[b.to].depth, b.to);
  });
  for (const Edge& one : by_depth) {
    Node& node = nodes_[one.to];
    if (node.depth > 1) {
      std::uint32_t suffix = nodes_[one.from].fallback;
      std::optional<std::uint32_t> next = edge(suffix, one.byte);
      while (!next && suffix != 0) {
        suffix = nodes_[suffix].fallback;
        next = edge(suffix, one.byte);
      }
      node.fallback = next.value_or(0);
    }
    if (node.token >= 0) continue;
    node.token = nodes_[node.fallback].token;
    node.length = nodes_[node.fallback].length;
  }
}

std::vector<AddedTokenMatcher::Match> AddedTokenMatcher::matches_from_end(std::string_view text) const {
  std::vector<Match> matches;
  std::uint32_t node = 0;
  for (std::size_t i = text.size(); i-- > 0;) {
    if (node == 0 && !is_last_byte_[static_cast<unsigned char>(text[i])]) continue;
    std::optional<std::uint32_t> next = edge(node, text[i]);
    while (!next && node != 0) {
      node = nodes_[node].fallback;
      next = edge(node, text[i]);
    }
    node = next.value_or(0);
    if (nodes_[node].token >= 0) matches.push_back({i, node});
  }
  return matches;
}

void AddedTokenMatcher::split(std::string_view text, bool parse_special, std::vector<AddedTokenSpan>& spans) const {
  SS_DCHECK(is_finished_, "finish() comes before split()");
  std::size_t handed_out = 0;
  std::size_t position = 0;
  AddedTokenSpan stripped;
  const std::vector<Match> matches = matches_from_end(text);
  for (auto match = matches.rbegin(); match != matches.rend(); ++match) {
    if (match->begin < position) continue;
    const Node& node = nodes_[match->node];
    const AddedToken* token = &tokens_[static_cast<std::size_t>(node.token)];
    std::size_t begin = match->begin;
    std::size_t end = begin + node.length;
    position = end;
    if (token->special && !parse_special) continue;
    if (token->single_word && !stands_alone(text, begin, end)) continue;
    if (token->lstrip) begin = std::max(whitespace_begin(text, begin, handed_out), handed_out);
    if (token->rstrip) {
      // A token may match inside of white space that an earlier token stripped. The end of that white space is known, and
      // looking for it again would make the search quadratic.
      end = end >= stripped.begin && end < stripped.end ? stripped.end : whitespace_end(text, end);
      stripped = {.begin = position, .end = end};
    }
    // Its text may be white space that an earlier token took already.
    if (begin >= end) continue;
    if (handed_out < begin) spans.push_back({.begin = handed_out, .end = begin});
    spans.push_back({.id = token->id, .begin = begin, .end = end});
    handed_out = end;
  }
  if (handed_out < text.size()) spans.push_back({.begin = handed_out, .end = text.size()});
}

Result<void> AddedTokens::add(AddedToken token) {
  if (token.content.empty()) return Error{ErrorCode::kInvalidInput, "expected a content that is not empty"};
  if (tokens_.size() >= kMaxAddedTokens) {
    return Error{ErrorCode::kInvalidInput, fmt::format("expected at most {} added tokens", kMaxAddedTokens)};
  }
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
