// secondsource eval BUNDLE: computes teacher-forced log-probabilities or whole logits for given token ids, so that the
// engine can be compared with another implementation. It needs no tokenizer.

#include <fmt/format.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "bundle/safetensors_writer.h"
#include "commands.h"
#include "core/file.h"
#include "core/json.h"
#include "core/json_text.h"
#include "installed_data.h"
#include "model_flags.h"
#include "output.h"

namespace secondsource {
namespace {

using Ids = std::vector<std::int32_t>;

struct EvalCommandOptions {
  ModelFlags model;
  Ids ids;
  std::string input;
  std::string logits;
  std::int32_t n_top = 0;
};

/// Parses one line: {"ids": [1, 2, 3]}, or the list alone.
Result<Ids> parse_line(std::string_view line, const std::string& name) {
  SS_TRY(const nlohmann::json value, parse_json(line, name));
  const nlohmann::json& list = value.is_object() && value.contains("ids") ? value["ids"] : value;
  const auto is_id = [](const nlohmann::json& id) {
    return id.is_number_integer() && id.get<std::int64_t>() >= 0 && id.get<std::int64_t>() <= INT32_MAX;
  };
  if (!list.is_array() || list.empty() || !std::all_of(list.begin(), list.end(), is_id)) {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected {{\"ids\": [token ids]}}", name)};
  }
  return list.get<Ids>();
}

Result<std::vector<Ids>> read_inputs(const EvalCommandOptions& options) {
  if (!options.ids.empty()) return std::vector<Ids>{options.ids};
  std::string text;
  const std::string name = options.input.empty() || options.input == "-" ? "stdin" : options.input;
  if (name == "stdin") {
    text.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else {
    SS_TRY(text, read_file(options.input, std::int64_t{1} << 30));
  }
  std::vector<Ids> inputs;
  std::size_t line_number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    ++line_number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    SS_TRY(Ids ids, parse_line(line, fmt::format("{}: line {}", name, line_number)));
    inputs.push_back(std::move(ids));
  }
  if (inputs.empty())
    return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected lines of ids, found none", name)};
  return inputs;
}

Result<std::optional<SafetensorsWriter>> open_logits(const EvalCommandOptions& options, const std::vector<Ids>& inputs,
                                                     std::int64_t vocab_size) {
  if (options.logits.empty()) return std::optional<SafetensorsWriter>();
  SS_TRY_VOID(check_is_no_input(options.logits, {options.model.bundle, options.input}));
  std::vector<TensorToWrite> tensors;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    tensors.push_back(
        {fmt::format("logits.{}", i), DType::kF32, {static_cast<std::int64_t>(inputs[i].size()), vocab_size}});
  }
  SS_TRY(SafetensorsWriter writer,
         SafetensorsWriter::create(options.logits, tensors, {{"rows", "row i: the logits after token i"}}));
  return std::optional(std::move(writer));
}

/// Runs one sequence and returns its line. Row i of the logits is the distribution after token i, so the last row comes
/// from one more generated token, which is not reported.
Result<std::string> evaluate(const Ids& ids, const EvalCommandOptions& options, Engine& engine,
                             std::optional<SafetensorsWriter>& writer) {
  Request request{.prompt_ids = ids, .want_top = options.n_top > 0, .score_prompt = true};
  request.want_logits = writer.has_value();
  request.max_new_tokens = writer ? 1 : 0;
  SS_TRY_VOID(engine.submit(std::move(request)));
  nlohmann::json logprobs = nlohmann::json::array({nullptr});  // the first token has no predecessor
  nlohmann::json tops = nlohmann::json::array({nullptr});
  double nll = 0.0;
  while (engine.has_work()) {
    SS_TRY(const std::vector<TokenEvent> events, engine.step());
    for (const TokenEvent& event : events) {
      if (event.finish == FinishReason::kNonFinite) {
        return Error{ErrorCode::kInternal,
                     fmt::format("position {}: expected finite logits, found a NaN or an infinity", event.position)};
      }
      if (writer && !event.logits.empty()) SS_TRY_VOID(writer->write(std::as_bytes(std::span(event.logits))));
      if (!event.of_prompt) continue;
      logprobs.push_back(event.logprob);
      nll -= static_cast<double>(event.logprob);
      nlohmann::json top = nlohmann::json::array();
      for (const TokenLogprob& entry : event.top) top.push_back({entry.id, entry.logprob});
      tops.push_back(std::move(top));
    }
  }
  nlohmann::json line = {{"ids", ids}, {"logprobs", std::move(logprobs)}, {"nll", nll}};
  if (options.n_top > 0) line["top"] = std::move(tops);
  return to_json_text(line) + "\n";
}

Result<ExitStatus> run_eval(const EvalCommandOptions& options, CommandContext& context) {
  SS_TRY(const std::vector<Ids> inputs, read_inputs(options));
  SS_TRY(const std::filesystem::path path, bundle_path(options.model.bundle, context.program));
  SS_TRY(const Bundle bundle, Bundle::open(path, context.progress, context.interrupt));
  std::size_t longest = 0;
  for (const Ids& ids : inputs) longest = std::max(longest, ids.size());
  EngineOptions engine_options;
  engine_options.scheduler.max_seqs = 1;
  engine_options.max_context = static_cast<std::int64_t>(longest);
  engine_options.n_top = options.n_top;
  SS_TRY(auto session, open_session(bundle, options.model, engine_options, context));
  SS_TRY(auto writer, open_logits(options, inputs, bundle.config().vocab_size));
  context.progress.begin("eval", static_cast<std::int64_t>(inputs.size()));
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    SS_TRY_VOID(context.interrupt.check());
    auto line = evaluate(inputs[i], options, session->engine(), writer);
    if (!line) return line.error().with_context(fmt::format("sequence {}", i));
    SS_TRY_VOID(print(*line));
    context.progress.update(static_cast<std::int64_t>(i) + 1);
  }
  if (writer) SS_TRY_VOID(writer->finish());
  return ExitStatus::kOk;
}

}  // namespace

CommandNode* add_eval_command(CommandNode& app, CommandAction& action) {
  auto options = std::make_shared<EvalCommandOptions>();
  CommandNode* command = app.add_subcommand("eval", "Log-probabilities, or whole logits, of given token ids");
  add_model_flags(*command, options->model);
  Flag* ids = command->add_option("--ids", options->ids, "Token ids, separated by commas")->delimiter(',');
  command->add_option("--input", options->input, "JSON lines {\"ids\": [...]}; default: stdin")->excludes(ids);
  command->add_option("--logits", options->logits,
                      "Write all logits to this safetensors file, [tokens, vocabulary] each");
  command->add_option("--top", options->n_top, "Also print this many of the most likely tokens at each position")
      ->check(Range(0, 1000))
      ->capture_default_str();
  command->footer(
      "One JSON line a sequence to stdout: ids, logprobs (natural log; the first token has none), nll.\n"
      "Example: secondsource eval SmolLM2-135M --ids 1,403,407 --logits logits.safetensors");
  command->callback(
      [options, &action] { action = [options](CommandContext& context) { return run_eval(*options, context); }; });
  return command;
}

}  // namespace secondsource
