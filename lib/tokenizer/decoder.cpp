#include "tokenizer/decoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "core/utf8.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/unicode.h"

namespace secondsource::tokenizer {
namespace {

constexpr std::string_view kReplacementCharacter = "\xef\xbf\xbd";

/// A stage passes its output on to the next one.
class Stage : public TokenSink {
 public:
  explicit Stage(TokenSink& next) : next_(next) {}

 protected:
  TokenSink& next() { return next_; }

 private:
  TokenSink& next_;
};

/// Collects the pieces of a token, for the stages that need the whole token.
class WholeTokenStage : public Stage {
 public:
  using Stage::Stage;
  void put(std::string_view piece, bool ends_token) final {
    token_.append(piece);
    if (!ends_token) return;
    whole_token(token_);
    token_.clear();
  }

 protected:
  virtual void whole_token(const std::string& token) = 0;

 private:
  std::string token_;
};

class ByteLevelStage final : public WholeTokenStage {
 public:
  using WholeTokenStage::WholeTokenStage;
  void finish() override {
    emit(true);
    next().put({}, true);
    next().finish();
  }

 private:
  void whole_token(const std::string& token) override {
    // A token with a character outside the alphabet was added as it is and stands for itself.
    const std::optional<std::string> bytes = from_byte_alphabet(token);
    bytes_.append(bytes ? *bytes : token);
    emit(false);
  }
  void emit(bool is_last) {
    std::string text;
    bytes_.erase(0, append_lossy(text, bytes_, is_last));
    if (!text.empty()) next().put(text, false);
  }
  std::string bytes_;
};

class ByteFallbackStage final : public WholeTokenStage {
 public:
  using WholeTokenStage::WholeTokenStage;
  void finish() override {
    end_run();
    next().finish();
  }

 private:
  static std::optional<char> byte_of(const std::string& token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return std::nullopt;
    unsigned value = 0;
    for (const char digit : {token[3], token[4]}) {
      const char lower = static_cast<char>(digit | 0x20);
      if (digit >= '0' && digit <= '9') {
        value = value * 16 + static_cast<unsigned>(digit - '0');
      } else if (lower >= 'a' && lower <= 'f') {
        value = value * 16 + static_cast<unsigned>(lower - 'a' + 10);
      } else {
        return std::nullopt;
      }
    }
    return static_cast<char>(static_cast<unsigned char>(value));
  }
  void whole_token(const std::string& token) override {
    if (const std::optional<char> byte = byte_of(token)) {
      run_.push_back(*byte);
      return;
    }
    end_run();
    next().put(token, true);
  }
  void end_run() {
    if (run_.empty()) return;
    if (find_invalid_utf8(run_)) {
      for (std::size_t i = 0; i < run_.size(); ++i) next().put(kReplacementCharacter, true);
    } else {
      next().put(run_, true);
    }
    run_.clear();
  }
  std::string run_;
};

class FuseStage final : public Stage {
 public:
  using Stage::Stage;
  void put(std::string_view piece, bool) override { next().put(piece, false); }
  void finish() override {
    next().put({}, true);
    next().finish();
  }
};

/// Replaces the matches of a regular expression, for which it needs the whole token.
class ReplaceRegexStage final : public WholeTokenStage {
 public:
  ReplaceRegexStage(TokenSink& next, const ReplaceDecoder& step) : WholeTokenStage(next), step_(step) {}
  void finish() override { next().finish(); }

 private:
  void whole_token(const std::string& token) override {
    // If the match gives up on a token, the token stays as it is, because a decoder cannot fail in the middle of a
    // stream.
    const Result<std::string> replaced = replace_all(token, step_.pattern, step_.content, scratch_);
    next().put(replaced ? std::string_view(*replaced) : std::string_view(token), true);
  }
  const ReplaceDecoder& step_;
  RegexScratch scratch_;
};

/// Replaces a literal text. It only holds back an end of the text that could be the beginning of a match.
class ReplaceLiteralStage final : public Stage {
 public:
  ReplaceLiteralStage(TokenSink& next, std::string_view literal, std::string_view content)
      : Stage(next), literal_(literal), content_(content) {}
  void put(std::string_view piece, bool ends_token) override {
    held_.append(piece);
    std::string out;
    std::size_t copied = 0;
    for (std::size_t at = held_.find(literal_); at != std::string::npos; at = held_.find(literal_, copied)) {
      out.append(held_, copied, at - copied);
      out.append(content_);
      copied = at + literal_.size();
    }
    const std::size_t n_kept = ends_token ? 0 : longest_beginning(std::string_view(held_).substr(copied));
    out.append(held_, copied, held_.size() - n_kept - copied);
    held_.erase(0, held_.size() - n_kept);
    if (!out.empty() || ends_token) next().put(out, ends_token);
  }
  void finish() override { next().finish(); }

 private:
  /// The length of the longest end of `text` that is a beginning of the literal.
  [[nodiscard]] std::size_t longest_beginning(std::string_view text) const {
    for (std::size_t length = std::min(text.size(), literal_.size() - 1); length > 0; --length) {
      if (literal_.starts_with(text.substr(text.size() - length))) return length;
    }
    return 0;
  }
  std::string_view literal_;
  std::string_view content_;
  std::string held_;
};

class StripStage final : public Stage {
 public:
  StripStage(TokenSink& next, const StripDecoder& step) : Stage(next), step_(step), n_to_strip_(step.start) {}
  void put(std::string_view piece, bool ends_token) override {
    std::string out;
    for (std::size_t offset = 0; offset < piece.size();) {
      const Character character = character_at(piece, offset);
      const std::string_view text = piece.substr(offset, character.length);
      offset += character.length;
      if (character.code_point != step_.content) {
        n_to_strip_ = 0;
        release(out, n_held_);
        out.append(text);
      } else if (n_to_strip_ > 0) {
        --n_to_strip_;
      } else {
        ++n_held_;
        if (n_held_ > step_.stop) release(out, n_held_ - step_.stop);
      }
    }
    if (ends_token) {
      n_held_ = 0;
      n_to_strip_ = step_.start;
    }
    if (!out.empty() || ends_token) next().put(out, ends_token);
  }
  void finish() override { next().finish(); }

 private:
  /// Writes `count` of the held characters; at most `stop` characters at the end of a token are stripped, all others
  /// are text.
  void release(std::string& out, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) append_character(out, step_.content);
    n_held_ -= count;
  }
  const StripDecoder& step_;
  std::size_t n_to_strip_;
  std::size_t n_held_ = 0;
};

class MetaspaceStage final : public Stage {
 public:
  MetaspaceStage(TokenSink& next, const MetaspaceDecoder& step) : Stage(next), step_(step) {}
  void put(std::string_view piece, bool ends_token) override {
    std::string out;
    for (std::size_t offset = 0; offset < piece.size();) {
      const Character character = character_at(piece, offset);
      if (character.code_point != step_.replacement) {
        out.append(piece.substr(offset, character.length));
      } else if (!is_first_ || !step_.drops_in_first) {
        out.push_back(' ');
      }
      offset += character.length;
    }
    if (ends_token) is_first_ = false;
    next().put(out, ends_token);
  }
  void finish() override { next().finish(); }

 private:
  const MetaspaceDecoder& step_;
  bool is_first_ = true;
};

/// The end of the chain, which collects the text.
class TextSink final : public TokenSink {
 public:
  explicit TextSink(bool joins_with_spaces) : joins_with_spaces_(joins_with_spaces) {}
  void put(std::string_view piece, bool ends_token) override {
    if (joins_with_spaces_ && begins_token_ && !is_first_) text_.push_back(' ');
    text_.append(piece);
    is_first_ = false;
    begins_token_ = ends_token;
  }
  void finish() override {}
  std::string take() { return std::exchange(text_, {}); }

 private:
  bool joins_with_spaces_;
  bool is_first_ = true;
  bool begins_token_ = true;
  std::string text_;
};

struct MakeStage {
  TokenSink& next;
  std::unique_ptr<TokenSink> operator()(const ByteLevelDecoder&) const {
    return std::make_unique<ByteLevelStage>(next);
  }
  std::unique_ptr<TokenSink> operator()(const ByteFallbackDecoder&) const {
    return std::make_unique<ByteFallbackStage>(next);
  }
  std::unique_ptr<TokenSink> operator()(const FuseDecoder&) const { return std::make_unique<FuseStage>(next); }
  std::unique_ptr<TokenSink> operator()(const ReplaceDecoder& step) const {
    if (const std::string* literal = std::get_if<std::string>(&step.pattern); literal != nullptr && !literal->empty()) {
      return std::make_unique<ReplaceLiteralStage>(next, *literal, step.content);
    }
    return std::make_unique<ReplaceRegexStage>(next, step);
  }
  std::unique_ptr<TokenSink> operator()(const StripDecoder& step) const {
    return std::make_unique<StripStage>(next, step);
  }
  std::unique_ptr<TokenSink> operator()(const MetaspaceDecoder& step) const {
    return std::make_unique<MetaspaceStage>(next, step);
  }
};

}  // namespace

Result<void> check_growth(const std::vector<DecoderStep>& steps) {
  constexpr std::size_t kMaxGrowth = 4096;
  std::size_t growth = 1;
  for (const DecoderStep& step : steps) {
    const auto* replace = std::get_if<ReplaceDecoder>(&step);
    if (replace == nullptr) continue;
    // A literal of n bytes is replaced by the content; a regular expression can match between any two characters.
    const auto* literal = std::get_if<std::string>(&replace->pattern);
    const std::size_t factor = literal != nullptr && !literal->empty()
                                   ? std::max<std::size_t>(1, replace->content.size() / literal->size())
                                   : replace->content.size() + 1;
    if (factor > kMaxGrowth || growth * factor > kMaxGrowth) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("decoder: expected replacements that make a text at most {} times as long", kMaxGrowth)};
    }
    growth *= factor;
  }
  return {};
}

struct DecoderChain::Stages {
  explicit Stages(bool joins_with_spaces) : sink(joins_with_spaces) {}
  TextSink sink;
  std::vector<std::unique_ptr<TokenSink>> stages;  // starting with the last step
  TokenSink* first = &sink;
};

DecoderChain::DecoderChain(const std::vector<DecoderStep>& steps, bool has_decoder)
    : stages_(std::make_unique<Stages>(!has_decoder)) {
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    stages_->stages.push_back(std::visit(MakeStage{*stages_->first}, *step));
    stages_->first = stages_->stages.back().get();
  }
}

DecoderChain::~DecoderChain() = default;
DecoderChain::DecoderChain(DecoderChain&&) noexcept = default;
DecoderChain& DecoderChain::operator=(DecoderChain&&) noexcept = default;

void DecoderChain::put(std::string_view token) {
  stages_->first->put(token, true);
}
void DecoderChain::finish() {
  stages_->first->finish();
}
std::string DecoderChain::take() {
  return stages_->sink.take();
}

}  // namespace secondsource::tokenizer
