#pragma once
// The types in which a model's tensors are stored, as far as its files tell.

#include <map>
#include <optional>
#include <set>
#include <string>

#include "backend/weights.h"
#include "bundle/tensor_store.h"
#include "core/dtype.h"

namespace secondsource {

struct PublishedTypes {
  std::string variant = {};  ///< that keeps the publisher's codes unchanged; empty: there is none
  /// The encoding of every tensor that is stored as codes; all other tensors are stored as values. nullopt if only the variant is known.
  std::optional<std::map<std::string, WeightEncoding, std::less<>>> encodings = {};
  /// The tensors among those stored as codes whose columns are in another order than the model's (act order).
  std::set<std::string, std::less<>> ordered = {};
  /// The type that holds the values of a tensor. A tensor that is absent here has the type that config.json names.
  std::map<std::string, DType, std::less<>> values = {};
};

/// The types of an opened bundle.
[[nodiscard]] PublishedTypes types_of_store(const TensorStore& weights);

}  // namespace secondsource
