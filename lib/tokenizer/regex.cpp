#define PCRE2_CODE_UNIT_WIDTH 8
#include "tokenizer/regex.h"

#include <fmt/format.h>
#include <pcre2.h>

#include <array>
#include <cstdint>

#include "core/check.h"
#include "core/utf8.h"
#include "tokenizer/oniguruma.h"

namespace secondsource::tokenizer {
namespace {

constexpr std::size_t kMaxPatternBytes = 16 * 1024;
// A pattern of a real tokenizer takes a few hundred steps per match. A match that takes more is tried again with the
// next limit, which is charged to the budget of the text; catastrophic backtracking stops at the last one.
constexpr std::uint32_t kFreeSteps = 2'000;
constexpr std::array<std::uint32_t, 3> kChargedSteps = {50'000, 1'000'000, 10'000'000};
constexpr std::uint64_t kTextSteps = 20'000'000;
constexpr std::uint64_t kTextStepsPerByte = 100;
constexpr std::uint32_t kMaxHeapKib = 64 * 1024;

std::string error_text(int code) {
  std::array<PCRE2_UCHAR, 256> buffer{};
  pcre2_get_error_message(code, buffer.data(), buffer.size());
  return reinterpret_cast<const char*>(buffer.data());
}

struct FreeContext {
  void operator()(pcre2_compile_context* context) const { pcre2_compile_context_free(context); }
};

}  // namespace

struct RegexScratch::State {
  State()
      : match_data(pcre2_match_data_create(1, nullptr)),
        context(pcre2_match_context_create(nullptr)),
        jit_stack(pcre2_jit_stack_create(32 * 1024, 1024 * 1024, nullptr)) {
    SS_CHECK(match_data != nullptr && context != nullptr, "out of memory");
    pcre2_set_match_limit(context, kFreeSteps);
    pcre2_set_heap_limit(context, kMaxHeapKib);
    if (jit_stack != nullptr) pcre2_jit_stack_assign(context, nullptr, jit_stack);
  }
  ~State() {
    pcre2_match_data_free(match_data);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(jit_stack);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  pcre2_match_data* match_data;
  pcre2_match_context* context;
  pcre2_jit_stack* jit_stack;
  std::uint64_t steps_left = kTextSteps;
};

RegexScratch::RegexScratch() : state_(std::make_unique<State>()) {}
RegexScratch::~RegexScratch() = default;
RegexScratch::RegexScratch(RegexScratch&&) noexcept = default;
RegexScratch& RegexScratch::operator=(RegexScratch&&) noexcept = default;

void RegexScratch::begin_text(std::size_t n_bytes) {
  state_->steps_left = kTextSteps + kTextStepsPerByte * n_bytes;
}

bool RegexScratch::spend(std::uint64_t n_steps) {
  if (n_steps > state_->steps_left) return false;
  state_->steps_left -= n_steps;
  return true;
}

std::uint64_t RegexScratch::steps_left() const {
  return state_->steps_left;
}

struct Regex::Code {
  explicit Code(pcre2_code* compiled) : code(compiled) {}
  ~Code() { pcre2_code_free(code); }
  Code(const Code&) = delete;
  Code& operator=(const Code&) = delete;
  pcre2_code* code;
};

Regex::Regex(std::unique_ptr<Code> code) : code_(std::move(code)) {}
Regex::~Regex() = default;
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;

Result<Regex> Regex::compile(std::string_view pattern) {
  const auto refuse = [&](std::string_view reason) {
    return Error{ErrorCode::kInvalidInput, fmt::format("regex \"{}\": {}", printable(pattern.substr(0, 80)), reason)};
  };
  if (pattern.size() > kMaxPatternBytes) {
    return refuse(fmt::format("expected at most {} bytes, found {}", kMaxPatternBytes, pattern.size()));
  }
  Result<std::string> translated = pattern_for_pcre2(pattern);
  if (!translated) return refuse(translated.error().message);

  const std::unique_ptr<pcre2_compile_context, FreeContext> context(pcre2_compile_context_create(nullptr));
  SS_CHECK(context != nullptr, "out of memory");
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE error_offset = 0;
  // In Oniguruma ^ and $ match at every line, as with MULTILINE.
  pcre2_code* code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated->data()), translated->size(),
                                   PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C | PCRE2_MULTILINE, &error,
                                   &error_offset, context.get());
  if (code == nullptr) {
    const std::string form = *translated == pattern ? "" : fmt::format(" of \"{}\"", shown(*translated, 80));
    return refuse(fmt::format("offset {}{}: {}", error_offset, form, error_text(error)));
  }
  // Without JIT support, the interpreter runs the same pattern.
  (void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  return Regex(std::make_unique<Code>(code));
}

Result<std::optional<TextSpan>> Regex::find(std::string_view text, std::size_t start, RegexScratch& scratch) const {
  RegexScratch::State& state = *scratch.state_;
  const auto search = [&](std::uint32_t options) {
    return pcre2_match(code_->code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), start,
                       PCRE2_NO_UTF_CHECK | options, state.match_data, state.context);
  };
  const auto search_within_limit = [&] {
    const int result = search(0);
    return result == PCRE2_ERROR_JIT_STACKLIMIT ? search(PCRE2_NO_JIT) : result;
  };
  int found = search_within_limit();
  for (const std::uint32_t n_steps : kChargedSteps) {
    if (found != PCRE2_ERROR_MATCHLIMIT || !scratch.spend(n_steps)) break;
    pcre2_set_match_limit(state.context, n_steps);
    found = search_within_limit();
    pcre2_set_match_limit(state.context, kFreeSteps);
  }
  if (found == PCRE2_ERROR_NOMATCH) return std::optional<TextSpan>();
  if (found < 0) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("regex on a text of {} bytes: {}", text.size(), error_text(found))};
  }
  const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(state.match_data);
  // \K in a lookaround can put the start after the end; such a match selects nothing.
  return std::optional<TextSpan>(TextSpan{bounds[0], std::max(bounds[0], bounds[1])});
}

}  // namespace secondsource::tokenizer
