#include "fit/fit_record.h"

#include <fmt/format.h>

#include "record/json_codec.h"

namespace secondsource {

std::string to_json(const FitReport& report) {
  return json_codec::file_text(report);
}

std::string fit_schema() {
  const json_codec::OrderedJson document = json_codec::schema_document(
      fmt::format("secondsource fit, version {}", kFitSchemaVersion), json_codec::schema_of<FitReport>());
  return json_codec::to_text(document, 2) + "\n";
}

}  // namespace secondsource
