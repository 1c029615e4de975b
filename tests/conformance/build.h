#pragma once
// Builds cases: random weights in every encoding, graphs whose inputs come from embedding tables (the boundary has no
// other way to pass values in, and needs none), and batches over fragmented pages.

#include <span>
#include <string>
#include <vector>

#include "conformance/case.h"
#include "core/e2m1.h"
#include "core/e4m3.h"
#include "core/random.h"

namespace secondsource::conformance {

/// The random choices of one case.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : stream_(seed) {}
  /// Uniform in [low, high].
  std::int32_t between(std::int32_t low, std::int32_t high) {
    return low + static_cast<std::int32_t>(stream_.next_below(static_cast<std::uint64_t>(high - low + 1)));
  }
  template <typename T>
  T one_of(std::initializer_list<T> choices) {
    return choices.begin()[stream_.next_below(choices.size())];
  }
  bool chance(double probability) { return stream_.next_unit() < probability; }
  /// Approximately normal: sums of twelve uniform draws, which have bounded tails and are the same with every standard
  /// library.
  std::vector<float> normals(std::size_t n, float deviation = 1.0F, float mean = 0.0F);

 private:
  RandomStream stream_;
};

/// Encodes [n_rows, n_cols] values by the rules of docs/bundle-format.md and splits the rows into parts of `part_rows`.
[[nodiscard]] CaseWeight make_weight(std::string name, std::span<const float> values, std::int64_t n_rows,
                                     std::int64_t n_cols, WeightEncoding encoding,
                                     std::vector<std::int64_t> part_rows = {}, Join join = Join::kNone,
                                     std::int64_t n_experts = 1);

/// The quantization of activations that is tested with weights of this encoding; kNone where the encoding allows none.
[[nodiscard]] constexpr ActQuant activations_for(WeightEncoding encoding) {
  if (encoding == WeightEncoding::kInt4Group32Zero || encoding == WeightEncoding::kMxfp4Group32 ||
      has_blocks(encoding)) {
    return ActQuant::kNone;
  }
  if (encoding == WeightEncoding::kNvfp4Group16) return ActQuant::kNvfp4Static;
  if (encoding == WeightEncoding::kFp8Group128) return ActQuant::kFp8PerGroup128;
  return encoding == WeightEncoding::kFp8PerRow ? ActQuant::kFp8PerRow : ActQuant::kInt8PerRow;
}

/// The largest magnitude that a value divided by a stored scale of activations may have.
[[nodiscard]] constexpr float largest_with_stored_scale(ActQuant act) {
  return act == ActQuant::kInt8Static ? 127.0F : act == ActQuant::kFp8Static ? kE4m3Max : kE4m3Max * kE2m1Max;
}

/// One of the encodings in blocks of GGUF that share a family of cases, chosen by the seed.
[[nodiscard]] constexpr WeightEncoding other_block_encoding(std::uint64_t seed) {
  constexpr std::array kOthers = {WeightEncoding::kQ2K,  WeightEncoding::kQ3K, WeightEncoding::kIq4Xs,
                                  WeightEncoding::kQ41,  WeightEncoding::kQ50, WeightEncoding::kQ51,
                                  WeightEncoding::kIq4Nl};
  return kOthers[seed % kOthers.size()];
}

/// Which of RopeAppend's inputs k and v are separate values instead of columns of qkv.
enum class Apart : std::uint8_t { kNothing, kValues, kKeysAndValues };

/// Builds the graphs of one case and collects its weights.
class CaseBuilder {
 public:
  CaseBuilder(std::string family, std::uint64_t seed) : dice(seed) {
    result.family = std::move(family);
    result.seed = seed;
  }

  /// Starts another graph; the first one exists from the beginning.
  std::int32_t new_graph();
  ValueId value(std::int32_t cols, Rows rows = Rows::kTokens, DType dtype = DType::kF32);
  void add(const Op& op, std::string label = "");
  WeightId weight(CaseWeight weight);
  /// A random matrix with deviation 1 / sqrt(n_cols).
  WeightId matrix(std::int64_t n_rows, std::int64_t n_cols, WeightEncoding encoding,
                  std::vector<std::int64_t> part_rows = {}, Join join = Join::kNone, std::int64_t n_experts = 1);
  /// A random f32 vector [1, n] around `mean`.
  WeightId vector(std::int64_t n, float mean, float deviation);
  /// A value with random content, made by an embedding from an f32 table of `n_ids` rows.
  ValueId input(std::int32_t cols, std::int32_t n_ids, float deviation = 1.0F);
  /// RoPE frequencies with base 10000, computed as in Hugging Face transformers.
  RopeId rope(std::int32_t head_dim, float attention_factor = 1.0F);
  /// Makes only the last written value of the graph and those in `keep` observed.
  void observe_only(std::span<const ValueId> keep);
  StepGraph& graph() { return result.graphs.back(); }
  /// Adds the action that submits `batch` to the current graph.
  Action& submit(BatchStorage batch);

  Dice dice;
  /// If true, inputs and matrices that are made from here on are exact in BF16, quantized ones too. A backend then has
  /// nothing to round in a matmul, and draws of the envelope differ from the reference only by errors of f32 sums.
  bool is_exact_in_bf16 = false;
  Case result = [] {
    Case c;
    c.graphs.emplace_back();
    return c;
  }();
};

/// Sequences over a cache whose pages are assigned in random order.
class Sequences {
 public:
  /// The pages are [0, n_pages) of the pool. The first `n_reserved` after shuffling are never used and must stay
  /// unchanged.
  Sequences(Dice& dice, std::int64_t n_pages, std::int32_t page_tokens, std::int64_t n_reserved);
  /// Adds a sequence and returns its number, which is its device slot too.
  std::int32_t add();
  /// Extends a sequence by `n_tokens` and adds their rows to the batch. Token ids are random below `n_ids`.
  void append(BatchStorage& batch, std::int32_t sequence, std::int32_t n_tokens, std::int32_t n_ids);
  /// Fills in block tables of equal width and adds `n_padding` rows. Call it once per batch, at the end.
  void finish(BatchStorage& batch, std::int32_t n_padding);
  /// Requests logits of the token in row `row` of the batch.
  static void want_logits(BatchStorage& batch, std::int32_t row, SamplingParams params = {});
  [[nodiscard]] std::int32_t length(std::int32_t sequence) const {
    return lengths_[static_cast<std::size_t>(sequence)];
  }
  [[nodiscard]] const std::vector<std::int32_t>& pages(std::int32_t sequence) const {
    return pages_[static_cast<std::size_t>(sequence)];
  }
  /// Returns a page that belongs to no sequence.
  std::int32_t take_page();
  /// Adds a sequence with pages that were filled by a copy; returns its number.
  std::int32_t add_copied(std::vector<std::int32_t> pages, std::int32_t length);

 private:
  Dice& dice_;
  std::int32_t page_tokens_;
  std::vector<std::int32_t> free_pages_;
  std::vector<std::vector<std::int32_t>> pages_;
  std::vector<std::int32_t> lengths_;
  std::vector<std::int32_t> in_batch_;  ///< sequences of the current batch
};

/// A batch for graphs without attention: one sequence of `n_tokens`, then padding rows. Also sets up a cache of the
/// right size.
[[nodiscard]] BatchStorage plain_batch(CaseBuilder& builder, std::int32_t n_tokens, std::int32_t n_ids,
                                       std::int32_t n_padding = 0);

/// Adds actions that write large numbers or NaN into every slot of every layer, so that a read of another sequence's
/// slot is detected. Uses the builder's current, empty graph and starts another one.
void dirty_cache(CaseBuilder& builder, const HeadShape& heads);

}  // namespace secondsource::conformance
