// secondsource brief RUN...: writes the procurement brief.

#include <fmt/format.h>

#include "brief/brief_json.h"
#include "brief/brief_text.h"
#include "brief/build_brief.h"
#include "commands.h"
#include "core/calendar.h"
#include "core/clock.h"
#include "core/file.h"
#include "core/folder.h"
#include "core/hash.h"
#include "core/shell_text.h"
#include "core/utf8.h"
#include "output.h"
#include "report/brief_document.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

struct BriefOptions {
  std::vector<std::string> runs;
  std::string prices, demand, quoted, waivers, out, date;
  std::vector<std::string> formats = {"md", "html", "json"};
};

/// Returns the path relative to the demand's folder, so that a brief is the same wherever it was made.
std::string path_from(const std::string& path, const fs::path& from) {
  const fs::path relative =
      fs::absolute(path).lexically_normal().lexically_relative(fs::absolute(from).lexically_normal());
  return relative.empty() ? path : relative.generic_string();
}

class BriefMaker {
 public:
  explicit BriefMaker(const BriefOptions& options) : options_(options), base_(fs::path(options.demand).parent_path()) {
    if (base_.empty()) base_ = ".";
  }

  Result<Brief> make() {
    inputs_.date = options_.date.empty() ? utc_timestamp().substr(0, 10) : options_.date;
    if (!days_since_1970(inputs_.date)) {
      return Error{ErrorCode::kInvalidInput,
                   fmt::format("--date: expected YYYY-MM-DD, found {}", in_quotes(inputs_.date))};
    }
    words_ = {"secondsource", "brief"};
    for (const std::string& folder : options_.runs) {
      SS_TRY(BriefRun run, read_brief_run(folder, path_from(folder, base_)));
      words_.push_back(run.shown_as);
      inputs_.runs.push_back(std::move(run));
    }
    SS_TRY(inputs_.demand, read_demand(options_.demand));
    SS_TRY_VOID(note_file("--demand", options_.demand));
    SS_TRY(inputs_.prices, read_price_book(options_.prices));
    SS_TRY_VOID(note_file("--prices", options_.prices));
    if (!options_.quoted.empty()) {
      SS_TRY(inputs_.quoted, read_quoted(options_.quoted));
      SS_TRY_VOID(note_file("--quoted", options_.quoted));
    }
    if (!options_.waivers.empty()) {
      SS_TRY(inputs_.waivers, read_waivers(options_.waivers));
      SS_TRY_VOID(note_file("--waivers", options_.waivers));
    }
    words_.insert(words_.end(), {"--date", inputs_.date, "--out", "FOLDER"});
    inputs_.command = shell_command(words_);
    return build_brief(inputs_);
  }

 private:
  Result<void> note_file(std::string_view flag, const std::string& path) {
    SS_TRY(std::string hash, sha256_of_file(path));
    inputs_.files.emplace_back(path_from(path, base_), std::move(hash));
    words_.insert(words_.end(), {std::string(flag), inputs_.files.back().first});
    return {};
  }

  const BriefOptions& options_;
  fs::path base_;
  BriefInputs inputs_{};
  std::vector<std::string> words_;  ///< of the command that makes this brief again
};

/// The file of the brief in this format.
fs::path file_of(const BriefOptions& options, const std::string& format) {
  return fs::path(options.out) / ("brief." + format);
}

Result<ExitStatus> run_brief(const BriefOptions& options) {
  InputPaths inputs(options.runs.begin(), options.runs.end());
  inputs.insert(inputs.end(), {options.prices, options.demand, options.quoted, options.waivers});
  for (const std::string& format : options.formats) SS_TRY_VOID(check_is_no_input(file_of(options, format), inputs));
  SS_TRY(const Brief brief, BriefMaker(options).make());
  SS_TRY_VOID(create_folder(options.out));
  const Document document = brief_document(brief);
  for (const std::string& format : options.formats) {
    SS_TRY_VOID(write_file(file_of(options, format), format == "json"   ? to_json(brief)
                                                     : format == "html" ? render_html(document)
                                                                        : render_markdown(document)));
  }
  SS_TRY_VOID(print_text(decision_headline(brief.decision) + "\n"));
  return ExitStatus::kOk;
}

}  // namespace

CommandNode* add_brief_command(CommandNode& app, CommandAction& action) {
  auto options = std::make_shared<BriefOptions>();
  CommandNode* command =
      app.add_subcommand("brief", "The procurement brief: what each option costs, risks and rests on");
  command->add_option("runs", options->runs, "Run directories; none where all speeds are quoted");
  command->add_option("--prices", options->prices, "Price book, as reports/prices.yaml")->required();
  command
      ->add_option("--demand", options->demand, "What you need and can choose from, as reports/templates/demand.yaml")
      ->required();
  command->add_option("--quoted", options->quoted, "Published speeds, as reports/quoted.yaml");
  command->add_option("--waivers", options->waivers, "YAML file with accepted regressions: they are shown as risks");
  command->add_option("--out", options->out, "Folder for brief.md, brief.html and brief.json")->required();
  command->add_option("--format", options->formats, "md, html, json; default: all three")
      ->delimiter(',')
      ->check(OneOf({"md", "html", "json"}));
  command->add_option("--date", options->date, "YYYY-MM-DD instead of today");
  command->footer(
      "The decision goes to stdout. docs/brief.md explains the demand file and every figure.\n"
      "Example: secondsource brief runs/h100 runs/mi300x --prices our-prices.yaml --demand demand.yaml --out brief");
  command->callback([options, &action] { action = [options](CommandContext&) { return run_brief(*options); }; });
  return command;
}

}  // namespace secondsource
