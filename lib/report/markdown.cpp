#include "report/markdown.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "core/utf8.h"
#include "report/change_bars.h"
#include "report/clock_tables.h"
#include "report/detail_tables.h"
#include "report/disturbances.h"
#include "report/loss_table.h"
#include "report/notes.h"
#include "report/overview.h"
#include "report/portability_table.h"
#include "report/swap_tables.h"
#include "report/tables.h"
#include "summary/portability.h"

namespace secondsource {
namespace {

constexpr std::size_t kNoteCharacters = 500;
constexpr std::size_t kHeadingCharacters = 1000;
constexpr std::size_t kClosing = 1200;  ///< bytes reserved for the line that tells what was left out

/// Writes sections in the order of their importance. Each takes at most a share of the remaining space, so that a table
/// of thousands of rows leaves room for the notes. Whatever does not fit is left out whole, and counted.
class BoundedMarkdown {
 public:
  void heading(const std::string& text) { put("## " + heading_of(text) + "\n\n"); }

  void table(const std::string& heading, TextTable table, double share) {
    const std::size_t end = out_.size() + budget(share);
    const std::size_t n_rows = table.rows.size();
    const std::string above = "## " + heading_of(heading) + "\n\n";
    std::string all = above + render_markdown(table) + "\n";
    if (out_.size() + all.size() > end) {
      put_worst_first(table);
      while (!table.rows.empty() && out_.size() + all.size() > end) {
        table.rows.resize(table.rows.size() * 9 / 10);
        all = above + render_markdown(table) + "\n";
      }
      leave_out(n_rows - table.rows.size(), "rows of \"" + heading + "\"");
      if (table.rows.empty()) return;
    }
    put(all);
  }

  /// Lines in a block of fixed width; all of them or none.
  void block(const std::vector<std::string>& lines, double share) {
    std::string all = "```text\n";
    for (std::string line : lines) {
      std::ranges::replace(line, '`', '\'');  // three of them would end the block
      all += printable(line) + "\n";
    }
    all += "```\n\n";
    if (!lines.empty() && all.size() <= budget(share)) put(all);
  }

  /// A list between two texts, which are left out with it.
  void list(const std::vector<std::string>& lines, double share, const std::string& what, const std::string& above = "",
            const std::string& below = "") {
    const std::size_t end = budget(share);
    std::size_t n_left_out = 0;
    std::string all = above;
    for (const std::string& line : lines) {
      const std::string item = "- " + escape_markdown(shown(line, kNoteCharacters)) + "\n";
      if (all.size() + item.size() + below.size() + 1 > end) {
        ++n_left_out;
      } else {
        all += item;
      }
    }
    if (n_left_out < lines.size()) put(all + "\n" + below);
    if (n_left_out > 0) leave_out(n_left_out, what);
  }

  std::string finish() && {
    if (left_out_.empty()) return std::move(out_);
    std::string closing = fmt::format("Left out, to stay below {} bytes: ", kMarkdownBytes);
    const std::string end = ". The HTML and JSON reports have all.\n";
    const std::string more = " and more";
    for (std::size_t i = 0; i < left_out_.size(); ++i) {
      const std::string part = fmt::format("{}{} {}", i == 0 ? "" : ", ", left_out_[i].n, left_out_[i].what);
      if (closing.size() + part.size() + more.size() + end.size() >= kClosing) {
        closing += more;
        break;
      }
      closing += part;
    }
    return out_ + closing + end;
  }

 private:
  /// Parts of one kind that did not fit.
  struct LeftOut {
    std::size_t n = 0;
    std::string what{};
  };

  static std::string heading_of(const std::string& text) { return escape_markdown(shown(text, kHeadingCharacters)); }
  /// Appends a text if it fits into what is left; this is the only place where the text grows.
  void put(const std::string& text) {
    if (text.size() <= budget(1)) out_ += text;
  }
  [[nodiscard]] std::size_t budget(double share) const {
    const std::size_t used = out_.size() + kClosing;
    return used >= kMarkdownBytes ? 0 : static_cast<std::size_t>(share * static_cast<double>(kMarkdownBytes - used));
  }
  void leave_out(std::size_t n, const std::string& what) {
    if (n == 0) return;
    const std::string escaped = escape_markdown(shown(what, 60));
    const auto known = std::ranges::find(left_out_, escaped, &LeftOut::what);
    if (known == left_out_.end()) {
      left_out_.push_back({n, escaped});
    } else {
      known->n += n;
    }
  }
  static void put_worst_first(TextTable& table) {
    if (!table.verdict_column) return;
    const auto rank = [&](const std::vector<std::string>& row) { return severity_of(row[*table.verdict_column]); };
    std::stable_sort(table.rows.begin(), table.rows.end(),
                     [&](const auto& a, const auto& b) { return rank(a) > rank(b); });
  }

  std::string out_;
  std::vector<LeftOut> left_out_;
};

void add_portability(BoundedMarkdown& out, const PortabilityMatrix& matrix) {
  out.table("Portability: shares of the roofline", portability_table(matrix), 0.5);
  out.list(matrix.notes, 0.4, "notes on portability");
}

}  // namespace

std::string write_markdown(const PortabilityMatrix& portability) {
  BoundedMarkdown out;
  add_portability(out, portability);
  return std::move(out).finish();
}

std::string write_markdown(std::span<const SummarizedRun> runs, const GateReport* gate,
                           const PortabilityMatrix* portability) {
  BoundedMarkdown out;
  if (gate != nullptr) {
    const std::string heading = "Gate: " + gate_headline(*gate);
    if (gate->verdicts.empty()) {
      out.heading(heading);
    } else {
      out.table(heading, gate_table(*gate), 0.5);
    }
    out.block(change_bars(*gate), 0.3);
    out.list(gate_notes(*gate), 0.5, "notes of the gate");
    if (TextTable losses = loss_table(*gate); !losses.rows.empty()) {
      out.table("Where the time went", std::move(losses), 0.5);
    }
    out.list(gate->compared, 0.5, "lines on what was compared", "## What was compared\n\n");
  }
  if (runs.empty()) return std::move(out).finish();
  std::string heading = "Results";
  for (const VerdictLine& line : verdict_lines(runs, nullptr))
    heading += (heading == "Results" ? ": " : "; ") + line.text;
  out.table(heading, results_table(runs), 0.6);
  out.list(result_notes(runs), 0.6, "notes");
  const auto table_if_any = [&](const std::string& name, TextTable table) {
    if (!table.rows.empty()) out.table(name, std::move(table), 0.4);
  };
  table_if_any("Checks that were not passed", disturbance_table(runs));
  table_if_any("What limits each cell", bound_table(runs));
  out.list(bound_lines(runs), 0.4, "lines");
  table_if_any("Loads and promises", load_table(runs));
  table_if_any("Clients: by how much their times were moved, and how closely that is known", client_table(runs));
  table_if_any("Turns of conversations", turn_table(runs));
  table_if_any("Many models on one device", swap_table(runs));
  table_if_any("Each model of a mix: memory, starts to the first token, cost", swap_models_table(runs));
  out.list(swap_lines(runs), 0.4, "lines");
  table_if_any("Time to the first token", latency_table(runs));
  table_if_any("Time per token", token_time_table(runs));
  table_if_any("Parts of the time to the first token", ttft_parts_table(runs));
  table_if_any("CPUs, power and sensors", machine_table(runs, SensorChoice::kAll));
  out.list(machine_lines(runs), 0.2, "sensors");
  if (portability != nullptr && !portability->rows.empty()) add_portability(out, *portability);
  const TextTable golden = golden_table(runs);
  if (!golden.rows.empty()) out.table("Golden pass", golden, 0.7);
  std::vector<std::string> where;
  for (const SummarizedRun& run : runs) {
    for (std::string& line : run_header(run)) where.push_back(std::move(line));
  }
  out.list(where, 0.8, "lines on where it was measured", "<details><summary>Where this was measured</summary>\n\n",
           "</details>\n");
  return std::move(out).finish();
}

}  // namespace secondsource
