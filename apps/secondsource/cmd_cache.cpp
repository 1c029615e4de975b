// secondsource cache list|clean: lists or removes the extracted copies of bundle zips and the packed weights.

#include <fmt/format.h>

#include "backend_kit/weight_cache.h"
#include "bundle/extraction_cache.h"
#include "commands.h"
#include "core/clock.h"
#include "core/counted.h"
#include "core/file.h"
#include "core/units.h"

namespace secondsource {
namespace {

std::string line_of(const CacheEntry& entry) {
  return fmt::format("{}  {:>10}  last used {}{}\n", entry.hash, format_bytes(entry.size_bytes),
                     utc_timestamp(entry.last_used_unix_s), entry.in_use ? "  in use" : "");
}

Result<ExitStatus> run_list() {
  SS_TRY(const std::filesystem::path cache, cache_folder());
  SS_TRY(const std::vector<CacheEntry> entries, list_cache(cache));
  std::string text;
  std::int64_t total_bytes = 0;
  for (const CacheEntry& entry : entries) {
    text += line_of(entry);
    total_bytes += entry.size_bytes;
  }
  text += fmt::format("{}: {}, {}\n", cache.string(), counted(entries.size(), "entry", "entries"),
                      format_bytes(total_bytes));
  const std::filesystem::path packed_folder = packed_weights_folder(cache);
  SS_TRY(const PackedFiles packed, list_packed_weights(packed_folder));
  text += fmt::format("{}: {}, {}\n", packed_folder.string(), counted(packed.n_files, "packed weight"),
                      format_bytes(packed.size_bytes));
  SS_TRY_VOID(print_text(text));
  return ExitStatus::kOk;
}

Result<ExitStatus> run_clean(double keep_gib) {
  SS_TRY(const std::filesystem::path cache, cache_folder());
  const auto keep_bytes = static_cast<std::int64_t>(keep_gib * kGibibyte);
  SS_TRY(const std::vector<CacheEntry> removed, clean_cache(cache, keep_bytes));
  SS_TRY(const PackedFiles packed, clean_packed_weights(packed_weights_folder(cache), keep_bytes));
  std::string text;
  for (const CacheEntry& entry : removed) text += "removed " + line_of(entry);
  SS_TRY_VOID(
      print_text(text + fmt::format("{} removed\n{} removed, {}\n", counted(removed.size(), "entry", "entries"),
                                    counted(packed.n_files, "packed weight"), format_bytes(packed.size_bytes))));
  return ExitStatus::kOk;
}

}  // namespace

CommandNode* add_cache_command(CommandNode& app, CommandAction& action) {
  CommandNode* cache = app.add_subcommand("cache", "The extracted copies of bundle zips, and packed weights");
  cache->require_subcommand();
  CommandNode* list = cache->add_subcommand("list", "What is there, most recently used first");
  list->footer("Example: secondsource cache list");
  list->callback([&action] { action = [](CommandContext&) { return run_list(); }; });

  auto keep_gib = std::make_shared<double>(0.0);
  CommandNode* clean = cache->add_subcommand("clean", "Remove what no process uses, least recently used first");
  clean->add_option("--keep", *keep_gib, "GiB that may stay of either")->check(Range(0.0, 1e6))->capture_default_str();
  clean->footer("Example: secondsource cache clean --keep 10");
  clean->callback([keep_gib, &action] { action = [keep_gib](CommandContext&) { return run_clean(*keep_gib); }; });
  cache->footer(
      "Zips are extracted into $XDG_CACHE_HOME/secondsource/bundles; packed weights are kept in .../packed with\n"
      "--backend-option cpu:weight_cache=1.\nExample: secondsource cache list");
  return cache;
}

}  // namespace secondsource
