#pragma once
// Finds the tensors of an opened file that make up one published weight, and joins them (published_weights.h has their layout).

#include <map>
#include <string>
#include <string_view>

#include "bundle/tensor_store.h"
#include "core/result.h"

namespace secondsource {

/// Joins the codes, scales, zero points and columns of each name in `tensors` into the one tensor whose weights they
/// are, with type F32. `variant` is the one that the file's metadata names, and `file` the file's name for messages.
/// Errors: kInvalidInput for an unknown variant, a part without the others, types and shapes that do not fit each other
/// or the variant, and a list of columns that does not name every column once; kIo.
Result<void> join_published_weights(std::string_view variant, std::map<std::string, StoredTensor, std::less<>>& tensors,
                                    std::string_view file);

}  // namespace secondsource
