#include "bundle/published_types.h"

#include "bundle/published_weights.h"

namespace secondsource {

PublishedTypes types_of_store(const TensorStore& weights) {
  PublishedTypes types;
  types.variant = weights.published_variant();
  if (!types.variant.empty()) types.encodings.emplace();
  for (const auto& [name, tensor] : weights.tensors()) {
    if (tensor.info.dtype) types.values.emplace(name, *tensor.info.dtype);
    if (tensor.published && types.encodings) types.encodings->emplace(name, tensor.published->form.encoding);
    if (tensor.published && !tensor.published->columns.empty()) types.ordered.insert(name);
  }
  return types;
}

}  // namespace secondsource
