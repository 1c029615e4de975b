#pragma once
// Finds all pieces of a vocabulary that a text begins with, in the order of their lengths.

#include <cstdint>
#include <string_view>
#include <vector>

#include "tokenizer/vocabulary.h"

namespace secondsource::tokenizer {

class PieceTrie {
 public:
  explicit PieceTrie(const Vocabulary& vocabulary);

  /// Calls use(id, length in bytes) for each piece that `text` begins with. Takes at most one step for each byte of
  /// `text`.
  template <typename Use>
  void for_each_prefix(std::string_view text, const Use& use) const {
    std::uint32_t node = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      node = child_of(node, static_cast<std::uint8_t>(text[i]));
      if (node == 0) return;
      if (const std::int32_t id = nodes_[node].id; id >= 0) use(id, i + 1);
    }
  }

 private:
  /// The children of a node are adjacent and in the order of their bytes; no child is the root.
  struct Node {
    std::uint32_t first_child = 0;
    std::uint16_t n_children = 0;
    std::uint8_t byte = 0;  ///< by which the parent leads here
    std::int32_t id = -1;   ///< of the piece that ends here; -1: none
  };
  /// 0 if there is none.
  [[nodiscard]] std::uint32_t child_of(std::uint32_t node, std::uint8_t byte) const;

  std::vector<Node> nodes_;
};

}  // namespace secondsource::tokenizer
