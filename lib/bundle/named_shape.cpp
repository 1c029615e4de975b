#include "bundle/named_shape.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "bundle/shape_data.h"
#include "core/nearest_word.h"
#include "core/utf8.h"
#include "core/yaml.h"

namespace secondsource {
namespace {

using OrderedJson = nlohmann::ordered_json;

/// Converts a value of the shape's `config` with the type that YAML gives to plain scalars.
Result<OrderedJson> to_json(const YamlNode& node) {
  switch (node.kind()) {
    case YamlNode::Kind::kNull:
      return OrderedJson(nullptr);
    case YamlNode::Kind::kList: {
      OrderedJson list = OrderedJson::array();
      SS_TRY(const std::vector<YamlNode> items, node.as_list());
      for (const YamlNode& item : items) {
        SS_TRY(OrderedJson value, to_json(item));
        list.push_back(std::move(value));
      }
      return list;
    }
    case YamlNode::Kind::kMap: {
      OrderedJson map = OrderedJson::object();
      SS_TRY(const auto entries, node.as_map());
      for (const auto& [key, child] : entries) {
        SS_TRY(map[key], to_json(child));
      }
      return map;
    }
    case YamlNode::Kind::kScalar:
      break;
  }
  if (const auto value = node.as_integer()) return OrderedJson(*value);
  if (const auto value = node.as_number()) return OrderedJson(*value);
  if (const auto value = node.as_boolean()) return OrderedJson(*value);
  SS_TRY(std::string text, node.as_string());
  return OrderedJson(std::move(text));
}

}  // namespace

Result<NamedShape> parse_named_shape(std::string_view text, std::string_view name) {
  SS_TRY(const YamlNode root, parse_yaml(text, name, {.max_bytes = 1 << 20}));
  SS_TRY_VOID(root.expect_keys({"shape_format", "name", "source", "config"}));
  SS_TRY_VOID(root.integer("shape_format", 1, 1));
  NamedShape shape;
  SS_TRY(shape.name, root.string("name"));
  SS_TRY(shape.source, root.string("source"));
  SS_TRY(const YamlNode config, root.at("config"));
  SS_TRY(const OrderedJson json, to_json(config));
  shape.config_json = json.dump(2) + "\n";
  return shape;
}

std::vector<std::string> named_shapes() {
  std::vector<std::string> names;
  for (const detail::ShapeText& shape : detail::shape_texts()) {
    names.emplace_back(shape.file.substr(0, shape.file.rfind(".yaml")));
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<NamedShape> find_named_shape(std::string_view name) {
  for (const detail::ShapeText& shape : detail::shape_texts()) {
    if (shape.file == fmt::format("{}.yaml", name)) return parse_named_shape(shape.text, shape.file);
  }
  const std::vector<std::string> shapes = named_shapes();
  return Error{ErrorCode::kInvalidInput,
               fmt::format("expected the name of a built-in shape ({}), found {}{}", fmt::join(shapes, ", "),
                           in_quotes(name), did_you_mean(name, shapes))};
}

}  // namespace secondsource
