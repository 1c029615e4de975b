// Fuzzes the CSV reader and the import of a price catalog. A field that csv_text() wrote must be read back as the text
// that it shows.

#include <cstdint>
#include <cstdlib>

#include "core/csv.h"
#include "cost/skypilot_catalog.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)import_skypilot_catalog(text, "vms.csv", {.provider = "gcp", .date = "2026-11", .source = "a catalog"});
  const auto rows = parse_csv("a," + csv_text(text) + "\n", "written.csv");
  if (!rows || rows->size() != 1 || rows->front().fields.size() != 2) std::abort();
  const std::string& field = rows->front().fields[1];
  if (!field.empty() && std::string_view("=+-@\t\r\n").find(field.front()) != std::string_view::npos) std::abort();
  return 0;
}
