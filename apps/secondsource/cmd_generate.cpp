// secondsource generate BUNDLE: generates text from a prompt and streams it to stdout, to try a bundle by hand.

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include "bundle/bundle_text.h"
#include "commands.h"
#include "core/clock.h"
#include "core/counted.h"
#include "core/file.h"
#include "engine/text_stopper.h"
#include "installed_data.h"
#include "model_flags.h"

namespace secondsource {
namespace {

struct GenerateCommandOptions {
  ModelFlags model;
  std::string prompt;
  std::string prompt_file;
  std::vector<std::int32_t> ids;
  bool chat = false;
  std::optional<std::string> system;  ///< it may be empty: some templates write another one where there is none
  std::int32_t max_new_tokens = 128;
  SamplingOptions sampling;
  std::vector<std::string> stop;
  bool ignore_eos = false;
};

Result<std::vector<std::int32_t>> prompt_ids(const GenerateCommandOptions& options, const BundleText& text) {
  const int n_given = !options.prompt.empty() + !options.prompt_file.empty() + !options.ids.empty();
  if (n_given != 1) {
    return Error{ErrorCode::kInvalidInput, "generate: expected one of --prompt, --prompt-file and --ids"};
  }
  if (options.system && !options.chat) {
    return Error{ErrorCode::kInvalidInput,
                 "generate: --system: expected --chat beside it, since only a chat has a system message"};
  }
  if (!options.ids.empty()) return options.ids;
  std::string prompt = options.prompt;
  if (!options.prompt_file.empty()) {
    SS_TRY(prompt, read_file(options.prompt_file, std::int64_t{64} << 20));
  }
  if (options.chat) {
    std::vector<ChatMessage> messages;
    if (options.system) messages.push_back({"system", *options.system});
    messages.push_back({"user", prompt});
    SS_TRY(const std::string rendered, text.render(messages));
    return text.encode(rendered);
  }
  if (text.tokenizer() == nullptr) return text.encode(prompt);  // its error names what is missing
  return text.tokenizer()->encode(prompt);
}

/// Prints tokens as they are generated: as text if there is a tokenizer, otherwise as ids.
class GeneratedText {
 public:
  GeneratedText(const Tokenizer* tokenizer, std::vector<std::string> stop) : stopper_(std::move(stop)) {
    if (tokenizer != nullptr) decoder_.emplace(tokenizer->stream({.skip_special = true}));
  }
  Result<void> push(std::int32_t id) {
    if (!decoder_) return print(fmt::format("{} ", id));
    return print_generated(stopper_.push(decoder_->push(id)));
  }
  Result<void> finish() {
    if (decoder_) SS_TRY_VOID(print_generated(stopper_.finish(decoder_->finish())));
    return print("\n");
  }
  [[nodiscard]] bool stopped() const { return stopper_.stopped(); }

 private:
  /// Escapes control characters for a terminal; a file or a pipe gets the bytes as they are.
  [[nodiscard]] Result<void> print_generated(std::string_view text) const {
    return is_terminal_ ? print_text(text) : print(text);
  }

  bool is_terminal_ = ::isatty(STDOUT_FILENO) == 1;
  std::optional<StreamingDecoder> decoder_;
  TextStopper stopper_;
};

/// Returns a line for stderr: "12 prompt tokens in 3.1 ms, 64 tokens in ...".
std::string summary(const ModelSession& session, std::int64_t n_prompt, std::int64_t n_tokens, std::int64_t ttft_ns,
                    std::int64_t total_ns, std::string_view end) {
  const double decode_s = static_cast<double>(total_ns - ttft_ns) * 1e-9;
  return fmt::format(
      "# {}, first token after {:.1f} ms; {}, {:.1f} tok/s after the first; ended: {}; "
      "{}",
      counted(n_prompt, "prompt token"), static_cast<double>(ttft_ns) * 1e-6, counted(n_tokens, "token"),
      n_tokens > 1 ? static_cast<double>(n_tokens - 1) / decode_s : 0.0, end, session.variant().name);
}

Result<ExitStatus> run_generate(const GenerateCommandOptions& options, CommandContext& context) {
  SS_TRY(const std::filesystem::path path, bundle_path(options.model.bundle, context.program));
  SS_TRY(const Bundle bundle, Bundle::open(path, context.progress, context.interrupt));
  SS_TRY(const BundleText text, BundleText::load(bundle));
  Request request{.max_new_tokens = options.max_new_tokens, .sampling = options.sampling};
  if (!options.stop.empty() && text.tokenizer() == nullptr) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("--stop: expected a tokenizer in {}, found none: without one there is no text to look in",
                             path.string())};
  }
  SS_TRY(request.prompt_ids, prompt_ids(options, text));
  // Without stop ids every token may be chosen and none ends the text. (Request::ignore_stop_ids would forbid the first of
  // them, as timed runs do, and change what comes before it is reached.)
  if (!options.ignore_eos) {
    request.stop_ids = bundle.config().eos_ids;
    if (request.stop_ids.empty() && text.tokenizer() != nullptr) request.stop_ids = text.tokenizer()->end_ids();
  }
  const auto n_prompt = static_cast<std::int64_t>(request.prompt_ids.size());
  EngineOptions engine_options;
  engine_options.scheduler.max_seqs = 1;
  engine_options.max_context = n_prompt + options.max_new_tokens;
  SS_TRY(auto session, open_session(bundle, options.model, engine_options, context));
  SS_TRY_VOID(session->engine().prepare({}));

  const std::int64_t started_ns = now_ns();
  SS_TRY_VOID(session->engine().submit(std::move(request)));
  GeneratedText output(text.tokenizer(), options.stop);
  std::int64_t n_tokens = 0;
  std::int64_t first_token_ns = started_ns;
  std::int64_t last_token_ns = started_ns;
  std::string_view end = "interrupted";
  while (session->engine().has_work() && !context.interrupt.requested() && !output.stopped()) {
    SS_TRY(const std::vector<TokenEvent> events, session->engine().step());
    for (const TokenEvent& event : events) {
      if (event.finish == FinishReason::kNonFinite) {
        return Error{ErrorCode::kInternal,
                     fmt::format("token {}: expected finite logits, found a NaN or an infinity", event.position)};
      }
      if (++n_tokens == 1) first_token_ns = event.time_ns;
      last_token_ns = event.time_ns;
      end = to_string(event.finish);
      SS_TRY_VOID(output.push(event.id));
    }
  }
  SS_TRY_VOID(output.finish());
  if (output.stopped()) end = "stop string";
  context.progress.note(
      summary(*session, n_prompt, n_tokens, first_token_ns - started_ns, last_token_ns - started_ns, end));
  return context.interrupt.requested() ? ExitStatus::kInterrupted : ExitStatus::kOk;
}

}  // namespace

CommandNode* add_generate_command(CommandNode& app, CommandAction& action) {
  auto options = std::make_shared<GenerateCommandOptions>();
  CommandNode* command = app.add_subcommand("generate", "Text from a prompt, to try a bundle by hand");
  add_model_flags(*command, options->model);
  command->add_option("--prompt", options->prompt, "The prompt's text");
  command->add_option("--prompt-file", options->prompt_file, "A file with the prompt's text");
  command->add_option("--ids", options->ids, "The prompt as token ids, separated by commas")->delimiter(',');
  command->add_flag("--chat", options->chat, "Put the prompt into the bundle's chat template, as the user's message");
  command
      ->add_option(
          "--system", [options](const std::string& text) { options->system = text; },
          "With --chat: the system message; an empty one is a message, too")
      ->may_be_empty();
  command->add_option("--max-new-tokens", options->max_new_tokens, "Tokens after which the answer ends")
      ->check(Range(1, 1 << 24))
      ->capture_default_str();
  command->add_option("--temperature", options->sampling.temperature, "Divides the logits; 0 takes the likeliest token")
      ->capture_default_str();
  command->add_option("--top-k", options->sampling.top_k, "Draw from so many of the likeliest tokens; 0: from all")
      ->capture_default_str();
  command
      ->add_option("--top-p", options->sampling.top_p,
                   "Draw from the likeliest tokens whose probabilities add up to this")
      ->capture_default_str();
  command->add_option("--seed", options->sampling.seed, "The draws follow from it")->capture_default_str();
  command->add_option("--stop", options->stop, "Ends the text before this string; may be given several times");
  command->add_flag("--ignore-eos", options->ignore_eos, "Do not end at an end-of-text token");
  command->footer(
      "Text goes to stdout, a line on how long it took to stderr. Without a tokenizer ids are printed.\n"
      "Example: secondsource generate bundles/default --chat --prompt 'Who are you?' --max-new-tokens 32");
  command->callback(
      [options, &action] { action = [options](CommandContext& context) { return run_generate(*options, context); }; });
  return command;
}

}  // namespace secondsource
