#pragma once
// The types in which a model's tensors are stored, as far as its files say them.

#include <map>
#include <optional>
#include <string>

#include "backend/weights.h"
#include "bundle/tensor_store.h"
#include "core/dtype.h"

namespace secondsource {

struct PublishedTypes {
  std::string variant = {};  ///< that keeps the publisher's codes unchanged; empty: there is none
  /// Of each tensor with codes their encoding; every other tensor has values. nullopt: only the variant is known.
  std::optional<std::map<std::string, WeightEncoding, std::less<>>> encodings = {};
  /// Of a tensor the type that holds its values, where it is known. Of others config.json says it.
  std::map<std::string, DType, std::less<>> values = {};
};

/// The types of an opened bundle.
[[nodiscard]] PublishedTypes types_of_store(const TensorStore& weights);

}  // namespace secondsource
