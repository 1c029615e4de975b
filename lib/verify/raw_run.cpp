#include "verify/raw_run.h"

#include <fmt/format.h>

#include "core/hash.h"
#include "core/json.h"

namespace secondsource::verify {
namespace {

/// True if the object has a checksum. Appends a fault if it is not the beginning of the SHA-256 of the text before its
/// comma (docs/results-format.md).
bool check_checksum(std::string_view text, const Json& tree, const std::string& name,
                    std::vector<std::string>& faults) {
  const auto found = tree.find("checksum");
  if (found == tree.end()) return false;
  const std::size_t comma = text.rfind(',');
  const std::string expected = sha256_hex(text.substr(0, comma)).substr(0, 16);
  if (!found->is_string() || *found != expected) {
    faults.push_back(fmt::format("{}: its checksum should be {} and is {}", name, expected, found->dump()));
  }
  return true;
}

}  // namespace

Result<RawRun> read_raw_run(std::string_view record, std::string_view samples) {
  RawRun run;
  SS_TRY(run.record, parse_json(record, "run.json"));
  if (!check_checksum(record, run.record, "run.json", run.faults)) {
    run.notes.emplace_back("run.json has no checksum, as an earlier version wrote it");
  }
  std::size_t n_without = 0;
  for (std::size_t begin = 0, number = 1; begin < samples.size(); ++number) {
    const std::size_t end = samples.find('\n', begin);
    if (end == std::string_view::npos) {
      run.notes.push_back(fmt::format("samples.jsonl:{}: cut off in the middle of a line, which is left out", number));
      break;
    }
    const std::string_view text = samples.substr(begin, end - begin);
    const std::string name = fmt::format("samples.jsonl:{}", number);
    SS_TRY(Json tree, parse_json(text, name));
    if (!check_checksum(text, tree, name, run.faults)) ++n_without;
    run.lines.push_back({number, std::move(tree)});
    begin = end + 1;
  }
  if (n_without > 0) {
    run.notes.push_back(fmt::format("samples.jsonl: {} of {} lines have no checksum, as an earlier version wrote them",
                                    n_without, run.lines.size()));
  }
  return run;
}

Result<Json> read_raw_summary(std::string_view text, std::string_view name, std::vector<std::string>& faults) {
  SS_TRY(Json tree, parse_json(text, name));
  check_checksum(text, tree, std::string(name), faults);
  return tree;
}

}  // namespace secondsource::verify
