#pragma once
// One conformance case as data: weights, graphs, a cache, and what to do with them. The same case runs on the backend
// under test, on `reference`, and on the envelope (envelope.h), and the traces are compared (tolerance.h).

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "support/batch_data.h"

namespace secondsource::conformance {

/// A weight with its encoded content. Values are small random numbers unless a case says otherwise.
struct CaseWeight {
  WeightSpec spec;  ///< its sources own the bytes
};

using test::BatchData;

/// Submits a batch to a graph, or copies pages.
struct Action {
  std::int32_t graph = -1;  ///< index into Case::graphs; -1: copy pages instead
  BatchData batch;
  bool wait =
      true;  ///< false: leave the ticket in flight while the next action is submitted; copies: do not wait first
  bool compare = true;  ///< false: prepares a state, its values are not looked at
  std::vector<PageCopy> copies;
};

struct Case {
  std::string name;    ///< "matmul int8 m=17 k=129 n=65 add_residual"
  std::string family;  ///< "matmul"
  std::uint64_t seed = 0;
  std::vector<CaseWeight> weights;  ///< WeightId{i} in the graphs below is the i-th of these
  std::vector<StepGraph> graphs;
  KvSpec kv{.n_layers = 1, .n_kv_heads = 1, .head_dim = 2};  ///< page_tokens as given; dtype is the device's choice
  std::int64_t n_pages = 1;
  std::int32_t vocab_size = 1;
  std::vector<Action> actions;
  bool cache_is_rounded_once =
      false;  ///< keys and values come from tables: half a unit of BF16 is all that may be lost
};

/// What one action gave.
struct StepTrace {
  std::int32_t graph = -1;
  std::int32_t n_real_tokens = 0;          ///< rows of tokens from here on are padding
  std::vector<std::vector<float>> values;  ///< [values of the graph]; empty where not observed
  std::vector<SampledToken> tokens;
  std::vector<float> logits;
};

struct CaseTrace {
  std::vector<StepTrace> steps;           ///< one a compared action
  std::vector<std::vector<float>> cache;  ///< per layer keys, then values: every slot of the pool
};

}  // namespace secondsource::conformance
