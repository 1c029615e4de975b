// secondsource prices import|list|check: manages the price book.

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fnmatch.h>

#include <set>

#include "commands.h"
#include "core/calendar.h"
#include "core/clock.h"
#include "core/counted.h"
#include "core/file.h"
#include "core/utf8.h"
#include "cost/price_book.h"
#include "cost/skypilot_catalog.h"
#include "output.h"
#include "report/text_table.h"

namespace secondsource {
namespace {

/// Selects rows of a price book or a catalog. An empty pattern matches any value.
struct RowFilter {
  std::string provider, region, instance, accelerator, commitment;

  [[nodiscard]] bool admits(const PriceRow& row) const {
    const auto matches = [](const std::string& pattern, const std::string& text) {
      return pattern.empty() || ::fnmatch(pattern.c_str(), text.c_str(), 0) == 0;
    };
    return matches(provider, row.provider) && matches(region, row.region) && matches(instance, row.instance) &&
           matches(accelerator, row.accelerator) && matches(commitment, std::string(to_string(row.commitment)));
  }
};

std::vector<PriceRow> admitted(const std::vector<PriceRow>& rows, const RowFilter& filter) {
  std::vector<PriceRow> result;
  for (const PriceRow& row : rows) {
    if (filter.admits(row)) result.push_back(row);
  }
  return result;
}

/// Refuses filters that admit no row, and names the accelerators for which there are rows.
Error none_admitted(const std::vector<PriceRow>& rows, const std::string& file) {
  if (rows.empty()) return {ErrorCode::kInvalidInput, fmt::format("{}: no row with a price", file)};
  std::set<std::string> accelerators;
  for (const PriceRow& row : rows) accelerators.insert(row.accelerator);
  return {ErrorCode::kInvalidInput, fmt::format("{}: none of its {} matches the filters; it has prices for {}", file,
                                                counted(rows.size(), "row"), fmt::join(accelerators, ", "))};
}

void add_filter_options(CommandNode& command, RowFilter& filter) {
  command.add_option("--region", filter.region, "Only this region (* and ? stand for any text and character)");
  command.add_option("--instance", filter.instance, "Only this instance, as \"p5*\"");
  command.add_option("--accelerator", filter.accelerator,
                     "Only this accelerator, as h100-sxm; cpu for machines without");
  command.add_option("--commitment", filter.commitment, "on-demand, spot, 1-year, 3-years or own")
      ->check(OneOf({"on-demand", "spot", "1-year", "3-years", "own"}));
}

// -- list

struct ListOptions {
  std::string book;
  RowFilter filter{};
};

Result<ExitStatus> list_prices(const ListOptions& options) {
  SS_TRY(const std::vector<PriceRow> book, read_price_book(options.book));
  TextTable table;
  table.columns = {"key", "accelerator", "number", "vCPUs", "USD/h", "USD/h each", "date"};
  table.right_aligned = {false, false, true, true, true, true, false};
  const std::vector<PriceRow> rows = admitted(book, options.filter);
  if (rows.empty()) return none_admitted(book, options.book);
  for (const PriceRow& row : rows) {
    table.rows.push_back({row.key(), row.accelerator, row.accelerators > 0 ? fmt::to_string(row.accelerators) : "-",
                          row.vcpus > 0 ? fmt::to_string(row.vcpus) : "-", fmt::format("{:.4g}", row.usd_per_hour),
                          fmt::format("{:.4g}", row.usd_per_hour / row.n_units()), row.dated()});
  }
  SS_TRY_VOID(print_text(render_terminal(table)));
  return ExitStatus::kOk;
}

void add_list(CommandNode& prices, CommandAction& action) {
  auto options = std::make_shared<ListOptions>();
  CommandNode* command =
      prices.add_subcommand("list", "The rows of a book; each is for an accelerator, or a vCPU where there is none");
  command->add_option("book", options->book, "Price book, as reports/prices.yaml")->required();
  command->add_option("--provider", options->filter.provider, "Only this provider");
  add_filter_options(*command, options->filter);
  command->footer("Example: secondsource prices list reports/prices.yaml --accelerator mi300x");
  command->callback([options, &action] { action = [options](CommandContext&) { return list_prices(*options); }; });
}

// -- check

struct CheckOptions {
  std::string book;
  std::string today;
  std::int64_t max_age_days = 0;
};

Result<ExitStatus> check_prices(const CheckOptions& options) {
  SS_TRY(const std::vector<PriceRow> book, read_price_book(options.book));
  std::string text;
  const std::string today = options.today.empty() ? utc_timestamp().substr(0, 10) : options.today;
  if (!days_since_1970(today)) {
    return Error{ErrorCode::kInvalidInput, fmt::format("--today: expected YYYY-MM-DD, found {}", in_quotes(today))};
  }
  std::vector<PriceRow> stale;
  if (options.max_age_days > 0) stale = stale_rows(book, today, options.max_age_days);
  const std::vector<PriceRow> after = rows_after(book, today);
  for (const PriceRow& row : after) {
    text += fmt::format("{}: expected a price of {} or before, found {}, read on {}\n", row.key(), today, row.date,
                        row.read_on);
  }
  for (const PriceRow& row : stale)
    text += fmt::format("{}: older than {}: {}\n", row.key(), counted(options.max_age_days, "day"), row.dated());
  std::size_t n_undated = 0;
  for (const PriceRow& row : book) n_undated += row.date == "undated" ? 1 : 0;
  text += fmt::format("{}: {}, {} of them undated in their source, {} too old, {} from the future\n", options.book,
                      counted(book.size(), "row"), n_undated, stale.size(), after.size());
  SS_TRY_VOID(print_text(text));
  return stale.empty() && after.empty() ? ExitStatus::kOk : ExitStatus::kBadInput;
}

void add_check(CommandNode& prices, CommandAction& action) {
  auto options = std::make_shared<CheckOptions>();
  CommandNode* command =
      prices.add_subcommand("check", "Is the book well-formed, and is any row too old or from the future?");
  command->add_option("book", options->book, "Price book, as reports/prices.yaml")->required();
  command->add_option("--max-age", options->max_age_days, "Days; an older row ends with status 2")
      ->check(Range(1, 36500));
  command->add_option("--today", options->today, "YYYY-MM-DD instead of today");
  command->footer("Example: secondsource prices check our-prices.yaml --max-age 90");
  command->callback([options, &action] { action = [options](CommandContext&) { return check_prices(*options); }; });
}

// -- import

struct ImportOptions {
  std::string catalog;
  std::string out;
  std::string read_on;
  CatalogOrigin origin{.provider = {}, .date = "undated", .source = {}};
  RowFilter filter{};
};

Result<ExitStatus> import_prices(const ImportOptions& options, Progress& progress) {
  SS_TRY(Output output, Output::open(options.out, {options.catalog}));
  const std::string read_on = options.read_on.empty() ? utc_timestamp().substr(0, 10) : options.read_on;
  if (options.origin.date != "undated" && !is_day_month_quarter_or_year(options.origin.date)) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("--date: expected YYYY-MM-DD, YYYY-MM, YYYY-Qn, YYYY or undated, found {}",
                             in_quotes(options.origin.date))};
  }
  SS_TRY(const std::string csv, read_file(options.catalog));
  SS_TRY(const CatalogImport import, import_skypilot_catalog(csv, options.catalog, options.origin));
  const std::vector<PriceRow> rows = admitted(import.rows, options.filter);
  for (const CatalogOmission& omission : import.omissions) {
    progress.note(
        fmt::format("left out {} (first in line {}): {}", omission.count, omission.first_line, omission.reason));
  }
  if (rows.empty()) return none_admitted(import.rows, options.catalog);
  const std::string book = write_price_book(rows, read_on);
  // Nothing is written unless the strict reader accepts it.
  SS_TRY_VOID(parse_price_book(book, options.catalog));
  progress.note(fmt::format("{} imported of {}", counted(rows.size(), "row"), options.catalog));
  SS_TRY_VOID(output.write(book));
  return ExitStatus::kOk;
}

void add_import(CommandNode& prices, CommandAction& action) {
  auto options = std::make_shared<ImportOptions>();
  CommandNode* command = prices.add_subcommand("import", "A SkyPilot catalog (CLOUD/vms.csv) as a price book");
  command->add_option("catalog", options->catalog, "CSV file")->required();
  command->add_option("--provider", options->origin.provider, "Whose prices they are, as aws")->required();
  command->add_option("--source", options->origin.source, "Where the file is from: repository, path and commit")
      ->required();
  command->add_option("--date", options->origin.date, "When the prices were valid: a day, month, quarter or year")
      ->capture_default_str();
  command->add_option("--read-on", options->read_on, "YYYY-MM-DD; default: today");
  command->add_option("--out", options->out, "File to write instead of stdout");
  add_filter_options(*command, options->filter);
  command->footer(
      "What a catalog holds in place of a price (a machine without its GPUs, a spot price that repeats the other,\n"
      "a placeholder) is left out and counted on stderr; docs/cost.md has the list.\n"
      "Example: secondsource prices import vms.csv --provider aws --date 2026-11-01 --accelerator h100-sxm "
      "--source \"skypilot-catalog v8 @ 00148f2a\" --out aws.yaml");
  command->callback([options, &action] {
    action = [options](CommandContext& context) { return import_prices(*options, context.progress); };
  });
}

}  // namespace

CommandNode* add_prices_command(CommandNode& app, CommandAction& action) {
  CommandNode* command = app.add_subcommand("prices", "The dated price book: import, list, check");
  command->require_subcommand();
  add_import(*command, action);
  add_list(*command, action);
  add_check(*command, action);
  command->footer("Example: secondsource prices list reports/prices.yaml");
  return command;
}

}  // namespace secondsource
