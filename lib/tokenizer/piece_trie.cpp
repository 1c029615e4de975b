#include "tokenizer/piece_trie.h"

#include <algorithm>
#include <optional>

namespace secondsource::tokenizer {
namespace {

struct Piece {
  std::string_view text;
  std::int32_t id = -1;
};

/// The pieces that begin with the bytes that lead to a node.
struct Range {
  std::size_t begin = 0;
  std::size_t end = 0;
  std::size_t depth = 0;  ///< bytes that lead to the node
};

/// Up to this many children a scan is faster than a binary search.
constexpr std::uint16_t kScanned = 8;

}  // namespace

PieceTrie::PieceTrie(const Vocabulary& vocabulary) {
  std::vector<Piece> pieces;
  for (std::int64_t id = 0; id < vocabulary.id_end(); ++id) {
    const std::optional<std::string_view> text = vocabulary.text_of(static_cast<std::int32_t>(id));
    if (text && !text->empty()) pieces.push_back({*text, static_cast<std::int32_t>(id)});
  }
  std::ranges::sort(pieces, {}, &Piece::text);
  // Nodes in the order of their depth, so that children are adjacent.
  nodes_.emplace_back();
  std::vector<Range> ranges = {{0, pieces.size(), 0}};
  for (std::size_t node = 0; node < nodes_.size(); ++node) {
    Range range = ranges[node];
    if (range.begin < range.end && pieces[range.begin].text.size() == range.depth) {
      nodes_[node].id = pieces[range.begin++].id;
    }
    nodes_[node].first_child = static_cast<std::uint32_t>(nodes_.size());
    while (range.begin < range.end) {
      const char byte = pieces[range.begin].text[range.depth];
      std::size_t end = range.begin + 1;
      while (end < range.end && pieces[end].text[range.depth] == byte) ++end;
      nodes_.push_back({.byte = static_cast<std::uint8_t>(byte)});
      ranges.push_back({range.begin, end, range.depth + 1});
      ++nodes_[node].n_children;
      range.begin = end;
    }
  }
}

std::uint32_t PieceTrie::child_of(std::uint32_t node, std::uint8_t byte) const {
  const Node& parent = nodes_[node];
  const auto first = nodes_.begin() + parent.first_child;
  const auto end = first + parent.n_children;
  const auto found =
      parent.n_children <= kScanned
          ? std::find_if(first, end, [byte](const Node& child) { return child.byte >= byte; })
          : std::lower_bound(first, end, byte, [](const Node& child, std::uint8_t b) { return child.byte < b; });
  return found != end && found->byte == byte ? static_cast<std::uint32_t>(found - nodes_.begin()) : 0;
}

}  // namespace secondsource::tokenizer
