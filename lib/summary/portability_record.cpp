#include "summary/portability_record.h"

#include "record/json_codec.h"

namespace secondsource {

std::string to_json(const PortabilityMatrix& matrix) {
  return json_codec::file_text(matrix);
}

std::string portability_schema() {
  return json_codec::results_schema_text("portability", json_codec::schema_of<PortabilityMatrix>());
}

}  // namespace secondsource
