#include "tokenizer/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>
#include <variant>

#include "core/utf8.h"
#include "tokenizer/tokenizer_parts.h"

namespace secondsource {

using tokenizer::AddedToken;
using tokenizer::AddedTokenSpan;
using tokenizer::BpeModel;
using tokenizer::TokenizerParts;
using tokenizer::UnigramModel;

namespace {

constexpr std::size_t kMaxTextBytes = std::size_t{1} << 30;

// The names that well-known model families give to the token that ends a text or a turn.
constexpr std::array<std::string_view, 9> kEndTokenNames = {
    "</s>",       "<|endoftext|>", "<|im_end|>", "<|end_of_text|>", "<|eot_id|>",
    "<|eom_id|>", "<|end|>",       "<eos>",      "<end_of_turn>"};

using Model = std::variant<BpeModel, UnigramModel>;

struct EncoderScratch {
  tokenizer::PreTokenizerScratch pre_tokenizer;
  tokenizer::BpeScratch bpe;
  tokenizer::UnigramScratch unigram;
  std::vector<AddedTokenSpan> spans;
  std::vector<AddedTokenSpan> normalized_spans;
};

/// Encodes each word with the model.
class ModelSink final : public tokenizer::WordSink {
 public:
  ModelSink(const Model& model, EncoderScratch& scratch, std::vector<std::int32_t>& ids)
      : bpe_(std::get_if<BpeModel>(&model)),
        unigram_(std::get_if<UnigramModel>(&model)),
        scratch_(scratch),
        ids_(ids) {}
  void word(std::string_view text) override {
    if (bpe_ != nullptr) return bpe_->encode(text, scratch_.bpe, ids_);
    if (result_) result_ = unigram_->encode(text, scratch_.unigram, ids_);
  }
  /// The error of the first word that has one.
  [[nodiscard]] const Result<void>& result() const { return result_; }

 private:
  const BpeModel* bpe_;
  const UnigramModel* unigram_;
  EncoderScratch& scratch_;
  std::vector<std::int32_t>& ids_;
  Result<void> result_;
};

/// Working memory for concurrent calls; it grows to the largest number of simultaneous calls.
class ScratchPool {
 public:
  std::unique_ptr<EncoderScratch> take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) return std::make_unique<EncoderScratch>();
    std::unique_ptr<EncoderScratch> scratch = std::move(free_.back());
    free_.pop_back();
    return scratch;
  }
  void give_back(std::unique_ptr<EncoderScratch> scratch) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(scratch));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<EncoderScratch>> free_;
};

}  // namespace

namespace tokenizer {

struct TokenizerState {
  TokenizerState(TokenizerParts all_parts, Model all_words)
      : parts(std::move(all_parts)), model(std::move(all_words)) {}

  [[nodiscard]] const Vocabulary& vocabulary() const {
    return std::visit([](const auto& one) -> const Vocabulary& { return one.vocabulary(); }, model);
  }

  Result<void> encode_text(std::string_view text, const EncodeOptions& options, EncoderScratch& scratch,
                           std::vector<std::int32_t>& ids) const;
  Result<void> encode_normalized(std::string_view text, std::size_t first_end, const EncodeOptions& options,
                                 EncoderScratch& scratch, std::vector<std::int32_t>& ids) const;
  [[nodiscard]] std::optional<std::string_view> token(std::int32_t id) const {
    const std::optional<std::string_view> added = parts.added_tokens.text_of(id);
    return added ? added : vocabulary().text_of(id);
  }

  TokenizerParts parts;  // without vocabulary, merges and scores, which are in `model`
  Model model;
  std::int64_t n_merges = 0;
  AddedTokenMatcher plain_matcher;       // run before the normalizer
  AddedTokenMatcher normalized_matcher;  // run after the normalizer
  mutable ScratchPool scratch_pool;
};

Result<void> TokenizerState::encode_normalized(std::string_view text, std::size_t first_end,
                                               const EncodeOptions& options, EncoderScratch& scratch,
                                               std::vector<std::int32_t>& ids) const {
  ModelSink sink(model, scratch, ids);
  if (normalized_matcher.empty()) {
    SS_TRY_VOID(pre_tokenize(text, first_end, parts.pre_tokenizer, scratch.pre_tokenizer, sink));
    return sink.result();
  }
  scratch.normalized_spans.clear();
  normalized_matcher.split(text, options.parse_special, scratch.normalized_spans);
  for (const AddedTokenSpan& span : scratch.normalized_spans) {
    if (span.id >= 0) {
      ids.push_back(span.id);
      continue;
    }
    const std::string_view piece = text.substr(span.begin, span.end - span.begin);
    SS_TRY_VOID(pre_tokenize(piece, first_end - std::min(first_end, span.begin), parts.pre_tokenizer,
                             scratch.pre_tokenizer, sink));
  }
  return sink.result();
}

Result<void> TokenizerState::encode_text(std::string_view text, const EncodeOptions& options, EncoderScratch& scratch,
                                         std::vector<std::int32_t>& ids) const {
  scratch.spans.clear();
  plain_matcher.split(text, options.parse_special, scratch.spans);
  for (const AddedTokenSpan& span : scratch.spans) {
    if (span.id >= 0) {
      ids.push_back(span.id);
      continue;
    }
    const std::string_view piece = text.substr(span.begin, span.end - span.begin);
    const bool is_at_start = span.begin == 0;
    std::size_t first_end = character_length(piece[0]);
    if (parts.normalizer.empty()) {
      SS_TRY_VOID(encode_normalized(piece, is_at_start ? first_end : 0, options, scratch, ids));
      continue;
    }
    SS_TRY(const std::string normalized, normalize(piece, parts.normalizer, scratch.pre_tokenizer.regex, &first_end));
    SS_TRY_VOID(encode_normalized(normalized, is_at_start ? first_end : 0, options, scratch, ids));
  }
  return {};
}

}  // namespace tokenizer

struct StreamingDecoder::State {
  void put(std::int32_t id) {
    if (options.skip_special && tokenizer->parts.added_tokens.is_special(id)) return;
    if (const std::optional<std::string_view> text = tokenizer->token(id)) chain.put(*text);
  }

  const tokenizer::TokenizerState* tokenizer = nullptr;
  DecodeOptions options;
  tokenizer::DecoderChain chain;
};

StreamingDecoder::StreamingDecoder(std::unique_ptr<State> state) : state_(std::move(state)) {}
StreamingDecoder::~StreamingDecoder() = default;
StreamingDecoder::StreamingDecoder(StreamingDecoder&&) noexcept = default;
StreamingDecoder& StreamingDecoder::operator=(StreamingDecoder&&) noexcept = default;

std::string StreamingDecoder::push(std::int32_t id) {
  state_->put(id);
  return state_->chain.take();
}

std::string StreamingDecoder::finish() {
  state_->chain.finish();
  return state_->chain.take();
}

namespace {

Result<Model> make_model(TokenizerParts& parts) {
  if (parts.unigram) {
    if (parts.bpe.byte_level) {
      return Error{ErrorCode::kUnsupported, "pre_tokenizer: ByteLevel before a Unigram model is not supported"};
    }
    SS_TRY(UnigramModel model, UnigramModel::create(std::move(parts.vocabulary), *std::move(parts.unigram)));
    return Model(std::move(model));
  }
  SS_TRY(BpeModel model, BpeModel::create(std::move(parts.vocabulary), std::move(parts.merges), parts.bpe));
  return Model(std::move(model));
}

}  // namespace

Result<Tokenizer> Tokenizer::from_parts(TokenizerParts parts) {
  for (const AddedToken& token : parts.added_tokens.tokens()) {
    const auto refuse = [&](std::string_view expected, std::string_view found) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("added token \"{}\": expected {}, found {}", printable(token.content), expected, found)};
    };
    const std::optional<std::int32_t> model_id = parts.vocabulary.id_of(token.content);
    if (model_id && *model_id != token.id)
      return refuse(fmt::format("id {} as in the vocabulary", *model_id), fmt::format("{}", token.id));
    const std::optional<std::string_view> holder = parts.vocabulary.text_of(token.id);
    if (holder && *holder != token.content) {
      return refuse("an id of its own", fmt::format("{}, which is \"{}\"", token.id, printable(*holder)));
    }
  }
  SS_TRY_VOID(tokenizer::check_growth(parts.decoder));
  parts.bpe.byte_level =
      !parts.pre_tokenizer.empty() && std::holds_alternative<tokenizer::ByteLevelStep>(parts.pre_tokenizer.back());
  const auto n_merges = static_cast<std::int64_t>(parts.merges.size());
  SS_TRY(Model model, make_model(parts));
  auto state = std::make_unique<tokenizer::TokenizerState>(std::move(parts), std::move(model));
  state->n_merges = n_merges;
  tokenizer::RegexScratch regex_scratch;
  regex_scratch.begin_text(tokenizer::kMaxAddedBytes);
  for (const AddedToken& token : state->parts.added_tokens.tokens()) {
    if (!token.normalized) {
      state->plain_matcher.add(token, token.content);
      continue;
    }
    SS_TRY(const std::string pattern, normalize(token.content, state->parts.normalizer, regex_scratch));
    if (state->normalized_matcher.pattern_bytes() + pattern.size() > tokenizer::kMaxAddedBytes) {
      return Error{ErrorCode::kInvalidInput, fmt::format("added tokens: expected at most {} bytes after the normalizer",
                                                         tokenizer::kMaxAddedBytes)};
    }
    // A content that the normalizer removes can never be found in a normalized text.
    if (!pattern.empty()) state->normalized_matcher.add(token, pattern);
    state->parts.added_tokens.set_normalized(token, pattern);
  }
  state->plain_matcher.finish();
  state->normalized_matcher.finish();
  return Tokenizer(std::move(state));
}

Tokenizer::Tokenizer(std::unique_ptr<tokenizer::TokenizerState> state) : state_(std::move(state)) {}
Tokenizer::~Tokenizer() = default;
Tokenizer::Tokenizer(Tokenizer&&) noexcept = default;
Tokenizer& Tokenizer::operator=(Tokenizer&&) noexcept = default;

Result<std::vector<std::int32_t>> Tokenizer::encode(std::string_view utf8_text, const EncodeOptions& options) const {
  if (utf8_text.size() > kMaxTextBytes) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("text to tokenize: expected at most {} bytes, found {}", kMaxTextBytes, utf8_text.size())};
  }
  if (const std::optional<std::size_t> offset = find_invalid_utf8(utf8_text)) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("text to tokenize: expected UTF-8, found an invalid byte at offset {}", *offset)};
  }
  std::vector<std::int32_t> ids;
  ids.reserve(utf8_text.size() / 4 + 8);
  if (options.add_special_tokens) ids = state_->parts.prefix_ids;
  std::unique_ptr<EncoderScratch> scratch = state_->scratch_pool.take();
  scratch->pre_tokenizer.regex.begin_text(utf8_text.size());
  const Result<void> encoded = state_->encode_text(utf8_text, options, *scratch, ids);
  state_->scratch_pool.give_back(std::move(scratch));
  if (!encoded) return encoded.error().with_context("text to tokenize");
  if (options.add_special_tokens) {
    ids.insert(ids.end(), state_->parts.suffix_ids.begin(), state_->parts.suffix_ids.end());
  }
  return ids;
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids, const DecodeOptions& options) const {
  StreamingDecoder decoder = stream(options);
  for (const std::int32_t id : ids) decoder.state_->put(id);
  return decoder.finish();
}

StreamingDecoder Tokenizer::stream(const DecodeOptions& options) const {
  auto state = std::make_unique<StreamingDecoder::State>(StreamingDecoder::State{
      state_.get(), options, tokenizer::DecoderChain(state_->parts.decoder, state_->parts.has_decoder)});
  return StreamingDecoder(std::move(state));
}

std::int64_t Tokenizer::vocab_size() const {
  return std::max(state_->vocabulary().id_end(), state_->parts.added_tokens.vocabulary().id_end());
}

std::optional<std::string_view> Tokenizer::token(std::int32_t id) const {
  return state_->token(id);
}

std::optional<std::int32_t> Tokenizer::id_of(std::string_view token) const {
  const std::optional<std::int32_t> added = state_->parts.added_tokens.vocabulary().id_of(token);
  return added ? added : state_->vocabulary().id_of(token);
}

bool Tokenizer::is_special(std::int32_t id) const {
  return state_->parts.added_tokens.is_special(id);
}

std::vector<std::int32_t> Tokenizer::special_ids() const {
  std::vector<std::int32_t> ids;
  for (const AddedToken& token : state_->parts.added_tokens.tokens()) {
    if (token.special) ids.push_back(token.id);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

std::span<const std::int32_t> Tokenizer::prefix_ids() const {
  return state_->parts.prefix_ids;
}
std::span<const std::int32_t> Tokenizer::suffix_ids() const {
  return state_->parts.suffix_ids;
}

std::optional<std::int32_t> Tokenizer::bos_id() const {
  if (!state_->parts.prefix_ids.empty()) return state_->parts.prefix_ids.front();
  return state_->parts.bos_id;
}

std::vector<std::int32_t> Tokenizer::end_ids() const {
  std::vector<std::int32_t> ids = state_->parts.end_ids;
  for (const AddedToken& token : state_->parts.added_tokens.tokens()) {
    if (std::find(kEndTokenNames.begin(), kEndTokenNames.end(), token.content) != kEndTokenNames.end()) {
      ids.push_back(token.id);
    }
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

std::string_view Tokenizer::kind() const {
  const auto* const bpe = std::get_if<BpeModel>(&state_->model);
  if (bpe == nullptr) return "Unigram";
  return bpe->options().byte_level ? "byte-level BPE" : "SentencePiece-style BPE";
}

std::int64_t Tokenizer::n_merges() const {
  return state_->n_merges;
}

}  // namespace secondsource
