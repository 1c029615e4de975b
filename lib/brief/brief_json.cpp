#include "brief/brief_json.h"

#include <fmt/format.h>

#include "core/json_text.h"
#include "record/json_codec.h"

namespace secondsource {

using json_codec::OrderedJson;

std::string to_json(const Brief& brief) {
  return json_codec::file_text(brief);
}

namespace {

/// Figures occur in many places. The schema describes them once and refers to that description everywhere else.
void refer_to_figures(OrderedJson& node, const OrderedJson& figure) {
  if (!node.is_structured()) return;
  for (auto& child : node) {
    if (child == figure) {
      child = {{"$ref", "#/$defs/figure"}};
    } else {
      refer_to_figures(child, figure);
    }
  }
}

}  // namespace

std::string brief_schema() {
  OrderedJson document = json_codec::schema_document(fmt::format("secondsource brief, version {}", kBriefSchemaVersion),
                                                     json_codec::schema_of<Brief>());
  const OrderedJson figure = json_codec::schema_of<Figure>();
  refer_to_figures(document, figure);
  document["$defs"] = {{"figure", figure}};
  return to_json_text(document, 2) + "\n";
}

}  // namespace secondsource
