#include "tokenizer/pre_tokenizer.h"

#include <algorithm>
#include <utility>

#include "tokenizer/byte_alphabet.h"
#include "tokenizer/unicode.h"

namespace secondsource::tokenizer {
namespace {

/// Takes the stretches of a text in order and without gaps, of which only matches may be empty, each marked as a match
/// or not, and emits the words that the SplitBehavior makes of them. `emit(TextSpan)` returns Result<void>.
template <typename Emit>
class BehaviorMerger {
 public:
  BehaviorMerger(SplitBehavior behavior, Emit emit) : behavior_(behavior), emit_(std::move(emit)) {}

  Result<void> add(TextSpan span, bool is_match) {
    if (span.begin == span.end) {
      // An empty match ends the stretch before it and gives no word.
      previous_is_match_ = is_match;
      return finish();
    }
    const bool was_match = std::exchange(previous_is_match_, is_match);
    switch (behavior_) {
      case SplitBehavior::kRemoved:
        return is_match ? Result<void>() : emit_(span);
      case SplitBehavior::kIsolated:
        return emit_(span);
      case SplitBehavior::kContiguous:
        return join_or_start(span, is_match == was_match);
      case SplitBehavior::kMergedWithPrevious:
        return join_or_start(span, is_match && !was_match);
      case SplitBehavior::kMergedWithNext:
        if (!is_match && was_match && pending_) {
          span.begin = pending_->begin;
          pending_.reset();
          return emit_(span);
        }
        SS_TRY_VOID(finish());
        if (!is_match) return emit_(span);
        pending_ = span;
        return {};
    }
    return {};
  }

  Result<void> finish() {
    if (!pending_) return {};
    const TextSpan span = *pending_;
    pending_.reset();
    return emit_(span);
  }

 private:
  Result<void> join_or_start(TextSpan span, bool joins) {
    if (joins && pending_) {
      pending_->end = span.end;
      return {};
    }
    SS_TRY_VOID(finish());
    pending_ = span;
    return {};
  }

  SplitBehavior behavior_;
  Emit emit_;
  std::optional<TextSpan> pending_;
  bool previous_is_match_ = false;
};

/// Splits by a pattern.
template <typename Emit>
Result<void> split_by_pattern(std::string_view text, const Pattern& pattern, SplitBehavior behavior, bool invert,
                              RegexScratch& scratch, Emit emit) {
  BehaviorMerger<Emit> merger(behavior, std::move(emit));
  PatternFinder finder(pattern, text, scratch);
  std::size_t position = 0;
  while (true) {
    SS_TRY(const std::optional<TextSpan> match, finder.next());
    if (!match) break;
    if (position < match->begin) SS_TRY_VOID(merger.add({position, match->begin}, invert));
    SS_TRY_VOID(merger.add(*match, !invert));
    position = match->end;
  }
  if (position < text.size()) SS_TRY_VOID(merger.add({position, text.size()}, invert));
  return merger.finish();
}

/// Splits by a property of characters; each character that has the property is a match of its own.
template <typename Matches, typename Emit>
Result<void> split_by_character(std::string_view text, Matches matches, SplitBehavior behavior, Emit emit) {
  BehaviorMerger<Emit> merger(behavior, std::move(emit));
  std::size_t unmatched_begin = 0;
  for (std::size_t offset = 0; offset < text.size();) {
    const Character character = character_at(text, offset);
    if (matches(character.code_point)) {
      if (unmatched_begin < offset) SS_TRY_VOID(merger.add({unmatched_begin, offset}, false));
      SS_TRY_VOID(merger.add({offset, offset + character.length}, true));
      unmatched_begin = offset + character.length;
    }
    offset += character.length;
  }
  if (unmatched_begin < text.size()) SS_TRY_VOID(merger.add({unmatched_begin, text.size()}, false));
  return merger.finish();
}

/// A hand-written \w+|[^\w\s]+: runs of word characters, and runs of characters that are neither word nor space.
template <typename Emit>
Result<void> split_by_words(std::string_view text, Emit emit) {
  enum class Kind { kSpace, kWord, kOther };
  const auto kind_of = [](char32_t code_point) {
    if (is_word(code_point)) return Kind::kWord;
    return is_whitespace(code_point) ? Kind::kSpace : Kind::kOther;
  };
  std::size_t begin = 0;
  Kind kind = Kind::kSpace;
  for (std::size_t offset = 0; offset < text.size();) {
    const Character character = character_at(text, offset);
    const Kind next_kind = kind_of(character.code_point);
    if (next_kind != kind) {
      if (kind != Kind::kSpace) SS_TRY_VOID(emit(TextSpan{begin, offset}));
      begin = offset;
      kind = next_kind;
    }
    offset += character.length;
  }
  if (kind != Kind::kSpace && begin < text.size()) return emit(TextSpan{begin, text.size()});
  return {};
}

/// Runs one text through the steps. Each step calls the next one for each of its pieces, so no list of pieces is kept.
class Pipeline {
 public:
  Pipeline(const std::vector<PreTokenizerStep>& steps, PreTokenizerScratch& scratch, WordSink& sink)
      : steps_(steps), scratch_(scratch), sink_(sink) {}

  Result<void> run(std::size_t level, std::string_view text, std::size_t first_end) {
    if (text.empty()) return {};
    first_end = std::min(first_end, text.size());
    if (level == steps_.size()) {
      sink_.word(text);
      return {};
    }
    return std::visit([&](const auto& step) { return apply(step, level, text, first_end); }, steps_[level]);
  }

 private:
  /// The function that a step calls for each of its pieces.
  auto emitter(std::size_t level, std::string_view text, std::size_t first_end) {
    return [this, level, text, first_end](TextSpan span) {
      return run(level + 1, text.substr(span.begin, span.end - span.begin),
                 first_end - std::min(first_end, span.begin));
    };
  }

  Result<void> apply(const SplitStep& step, std::size_t level, std::string_view text, std::size_t first_end) {
    return split_by_pattern(text, step.pattern, step.behavior, step.invert, scratch_.regex,
                            emitter(level, text, first_end));
  }

  Result<void> apply(const ByteLevelStep& step, std::size_t level, std::string_view text, std::size_t first_end) {
    if (step.add_prefix_space && text.front() != ' ') {
      std::string& prefixed = scratch_.level_texts[level];
      prefixed.assign(1, ' ');
      prefixed.append(text);
      text = prefixed;
      if (first_end > 0) ++first_end;
    }
    if (level + 1 == steps_.size()) return split_byte_level(step, text, emitter(level, text, first_end));
    // Later steps expect the byte alphabet, so the conversion cannot be left to the model here.
    return split_byte_level(step, text, [&](TextSpan span) {
      const std::string mapped = to_byte_alphabet(text.substr(span.begin, span.end - span.begin));
      const std::size_t piece_first_end = first_end - std::min(first_end, span.begin);
      return run(level + 1, mapped, to_byte_alphabet(text.substr(span.begin, piece_first_end)).size());
    });
  }

  template <typename Emit>
  Result<void> split_byte_level(const ByteLevelStep& step, std::string_view text, Emit emit) {
    if (!step.pattern) return emit(TextSpan{0, text.size()});
    std::size_t position = 0;
    while (position < text.size()) {
      SS_TRY(const std::optional<TextSpan> match, step.pattern->find(text, position, scratch_.regex));
      if (!match) break;
      if (match->begin > position) SS_TRY_VOID(emit(TextSpan{position, match->begin}));
      SS_TRY_VOID(emit(*match));
      position = match->end;
    }
    return position < text.size() ? emit(TextSpan{position, text.size()}) : Result<void>();
  }

  Result<void> apply(const MetaspaceStep& step, std::size_t level, std::string_view text, std::size_t first_end) {
    using Scheme = MetaspaceStep::PrependScheme;
    std::string& spaced = scratch_.level_texts[level];
    spaced.clear();
    for (const char c : text) {
      if (c == ' ') {
        spaced.append(step.replacement);
      } else {
        spaced.push_back(c);
      }
    }
    const auto n_first_spaces = static_cast<std::size_t>(std::ranges::count(text.substr(0, first_end), ' '));
    const bool prepends =
        step.prepend_scheme == Scheme::kAlways || (step.prepend_scheme == Scheme::kFirst && first_end > 0);
    if (first_end > 0) first_end += n_first_spaces * (step.replacement.size() - 1);
    if (prepends && !spaced.starts_with(step.replacement)) {
      spaced.insert(0, step.replacement);
      if (first_end > 0) first_end += step.replacement.size();
    }
    if (!step.split) return run(level + 1, spaced, first_end);
    const char32_t mark = character_at(step.replacement, 0).code_point;
    return split_by_character(
        spaced, [mark](char32_t c) { return c == mark; }, SplitBehavior::kMergedWithNext,
        emitter(level, spaced, first_end));
  }

  Result<void> apply(const DigitsStep& step, std::size_t level, std::string_view text, std::size_t first_end) {
    const SplitBehavior behavior = step.individual_digits ? SplitBehavior::kIsolated : SplitBehavior::kContiguous;
    return split_by_character(text, is_numeric, behavior, emitter(level, text, first_end));
  }

  Result<void> apply(const PunctuationStep& step, std::size_t level, std::string_view text, std::size_t first_end) {
    return split_by_character(text, is_punctuation, step.behavior, emitter(level, text, first_end));
  }

  Result<void> apply(const WhitespaceStep&, std::size_t level, std::string_view text, std::size_t first_end) {
    return split_by_words(text, emitter(level, text, first_end));
  }

  Result<void> apply(const WhitespaceSplitStep&, std::size_t level, std::string_view text, std::size_t first_end) {
    return split_by_character(text, is_whitespace, SplitBehavior::kRemoved, emitter(level, text, first_end));
  }

  const std::vector<PreTokenizerStep>& steps_;
  PreTokenizerScratch& scratch_;
  WordSink& sink_;
};

}  // namespace

std::string_view gpt2_pattern() {
  return R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
}

Result<void> pre_tokenize(std::string_view text, std::size_t first_end, const std::vector<PreTokenizerStep>& steps,
                          PreTokenizerScratch& scratch, WordSink& sink) {
  scratch.level_texts.resize(steps.size());
  return Pipeline(steps, scratch, sink).run(0, text, first_end);
}

}  // namespace secondsource::tokenizer
