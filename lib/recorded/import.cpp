#include "recorded/import.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>
#include <variant>

#include "core/random.h"
#include "core/utf8.h"
#include "recorded/suite_text.h"

namespace secondsource {
namespace {

constexpr std::size_t kMostPrompts = 10'000;  // in all suites of a bundle

/// Calls `edit(text)` for each text of a prompt; what it returns takes the text's place.
template <typename Edit>
Result<void> edit_texts(PromptContent& content, const Edit& edit) {
  if (auto* text = std::get_if<std::string>(&content)) {
    SS_TRY(*text, edit(*text));
  } else if (auto* messages = std::get_if<std::vector<ChatMessage>>(&content)) {
    for (ChatMessage& message : *messages) {
      SS_TRY(message.content, edit(message.content));
    }
  }
  return {};
}

std::int64_t size_of(const PromptContent& content) {
  if (const auto* text = std::get_if<std::string>(&content)) return static_cast<std::int64_t>(text->size());
  std::int64_t n_bytes = 0;
  if (const auto* messages = std::get_if<std::vector<ChatMessage>>(&content)) {
    for (const ChatMessage& message : *messages) n_bytes += static_cast<std::int64_t>(message.content.size());
  }
  return n_bytes;
}

/// A question is a turn; an answered one before it makes a conversation.
PromptKind kind_of(const PromptContent& content) {
  const auto* const messages = std::get_if<std::vector<ChatMessage>>(&content);
  if (messages == nullptr) return PromptKind::kShortChat;
  const auto n_questions = std::ranges::count(*messages, "user", &ChatMessage::role);
  return n_questions > 1 ? PromptKind::kMultiTurn : PromptKind::kShortChat;
}

/// Some of the prompts, chosen by seed and position alone, in their order.
std::vector<RecordedPrompt> sampled(std::vector<RecordedPrompt> prompts, std::int64_t n, std::uint64_t seed) {
  if (n == 0 || std::cmp_less_equal(prompts.size(), n)) return prompts;
  std::vector<std::size_t> order(prompts.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::sort(order, {}, [seed](std::size_t i) { return std::pair(random_bits(seed, i), i); });
  order.resize(static_cast<std::size_t>(n));
  std::ranges::sort(order);
  std::vector<RecordedPrompt> chosen;
  for (const std::size_t i : order) chosen.push_back(std::move(prompts[i]));
  return chosen;
}

class Import {
 public:
  Import(const PromptImportOptions& options, const CountTokens& count_tokens, Redaction redaction)
      : options_(options), count_tokens_(count_tokens), redaction_(std::move(redaction)) {}

  void count(const RecordedFile& file);
  Result<void> add(RecordedPrompt recorded);
  Result<ImportedSuite> finish();
  void leave_out(const std::string& reason) { suite_.left_out[reason] += 1; }

 private:
  Result<std::int64_t> length_of(const RecordedPrompt& recorded);
  Result<void> redact(const std::string& id, RecordedPrompt& recorded);

  const PromptImportOptions& options_;
  const CountTokens& count_tokens_;
  Redaction redaction_;
  ImportedSuite suite_;
  std::vector<GoldenPrompt> prompts_;
};

void Import::count(const RecordedFile& file) {
  suite_.n_records += file.n_records;
  for (const auto& [reason, n] : file.left_out) suite_.left_out[reason] += n;
}

Result<std::int64_t> Import::length_of(const RecordedPrompt& recorded) {
  std::int64_t n_tokens = 0;
  if (recorded.answer && !recorded.answer->empty() && count_tokens_) {
    SS_TRY(n_tokens, count_tokens_(*recorded.answer));
    n_tokens += 1;  // the token that ends it
    suite_.n_counted += 1;
  } else if (recorded.n_answer_tokens) {
    n_tokens = *recorded.n_answer_tokens;
    suite_.n_logged += 1;
  } else {
    suite_.n_unknown += 1;
    return std::min(options_.new_tokens, options_.most_new_tokens);
  }
  if (n_tokens > options_.most_new_tokens) suite_.n_cut += 1;
  return std::min(n_tokens, options_.most_new_tokens);
}

Result<void> Import::redact(const std::string& id, RecordedPrompt& recorded) {
  std::vector<Redacted> redacted;
  std::int64_t n_before = 0;
  std::int64_t n_after = 0;
  SS_TRY_VOID(edit_texts(recorded.content, [&](const std::string& text) -> Result<std::string> {
    std::string clean = text;
    if (options_.redacts) {
      Result<std::string> replaced = redaction_.apply(text, redacted);
      if (!replaced) return replaced.error().with_context(recorded.place);
      clean = std::move(replaced).value();
    }
    if (count_tokens_) {
      SS_TRY(const std::int64_t before, count_tokens_(text));
      SS_TRY(const std::int64_t after, count_tokens_(clean));
      n_before += before;
      n_after += after;
    }
    return clean;
  }));
  for (Redacted& one : redacted) suite_.redacted.push_back({id, recorded.place, std::move(one)});
  if (!count_tokens_) return {};
  suite_.tokens_before = suite_.tokens_before.value_or(0) + n_before;
  suite_.tokens_after = suite_.tokens_after.value_or(0) + n_after;
  return {};
}

Result<void> Import::add(RecordedPrompt recorded) {
  GoldenPrompt prompt;
  prompt.id = fmt::format("{}-{:04}", options_.name, prompts_.size() + 1);
  prompt.tags = options_.tags;
  prompt.kind = kind_of(recorded.content);
  SS_TRY(prompt.max_new_tokens, length_of(recorded));
  SS_TRY_VOID(redact(prompt.id, recorded));
  prompt.content = std::move(recorded.content);
  prompts_.push_back(std::move(prompt));
  return {};
}

Result<ImportedSuite> Import::finish() {
  suite_.n_prompts = static_cast<std::int64_t>(prompts_.size());
  const SuiteHead head{.name = options_.name,
                       .license = options_.license,
                       .comment = "Written by secondsource prompts import from what somebody recorded."};
  SS_TRY(suite_.text, write_prompt_suite(head, prompts_));
  GoldenPrompts read;
  SS_TRY_VOID(add_prompt_suite(
      suite_.text, options_.name,
      [](const std::string&) -> Result<std::string> {
        return Error{ErrorCode::kInternal, "a recorded prompt has no document"};
      },
      read));
  const auto text_of_prompt = [](const GoldenPrompt& prompt) {
    std::string text;
    PromptContent content = prompt.content;
    (void)edit_texts(content, [&text](const std::string& piece) -> Result<std::string> {
      text += piece;
      text += '\0';
      return piece;
    });
    return text;
  };
  for (std::size_t i = 0; i < prompts_.size(); ++i) {
    if (text_of_prompt(prompts_[i]) == text_of_prompt(read.prompts.at(i))) continue;
    return Error{ErrorCode::kInternal, fmt::format("prompt {}: its text is read back as another one", prompts_[i].id)};
  }
  return std::move(suite_);
}

}  // namespace

Result<ImportedSuite> import_prompts(std::vector<RecordedFile> files, const PromptImportOptions& options,
                                     const CountTokens& count_tokens) {
  SS_TRY(Redaction redaction, Redaction::create(options.own_patterns, options.seed));
  Import import(options, count_tokens, std::move(redaction));
  std::vector<RecordedPrompt> prompts;
  for (RecordedFile& file : files) {
    import.count(file);
    for (RecordedPrompt& prompt : file.prompts) {
      if (size_of(prompt.content) > options.most_bytes) {
        import.leave_out(fmt::format("a prompt of more than {} bytes", options.most_bytes));
      } else {
        prompts.push_back(std::move(prompt));
      }
    }
  }
  prompts = sampled(std::move(prompts), options.sample, options.seed);
  if (prompts.empty()) return Error{ErrorCode::kInvalidInput, "expected at least one prompt, found none"};
  if (prompts.size() > kMostPrompts) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("expected at most {} prompts, found {}; take some of them (--sample)", kMostPrompts,
                             prompts.size())};
  }
  for (RecordedPrompt& prompt : prompts) SS_TRY_VOID(import.add(std::move(prompt)));
  return import.finish();
}

}  // namespace secondsource
