#pragma once
// One conformance case as data: weights, graphs, a cache, and a list of actions. The same case runs on the backend
// under test, on `reference` and on the envelope (envelope.h), and the traces are compared (tolerance.h).

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "support/simple_batches.h"

namespace secondsource::conformance {

/// A weight with its encoded content. Values are small random numbers unless a case says otherwise.
struct CaseWeight {
  WeightSpec spec;  ///< its sources own the bytes
};

/// Submits a batch to a graph, or copies pages.
struct Action {
  std::int32_t graph = -1;  ///< index into Case::graphs; -1: copy pages instead
  BatchStorage batch;
  /// false: the ticket stays in flight while the next action is submitted; a copy does not wait for earlier steps
  bool wait = true;
  bool compare = true;  ///< false: only prepares a state; its values are not compared
  std::vector<PageCopy> copies;
};

struct Case {
  std::string name;    ///< "matmul int8 m=17 k=129 n=65 add_residual"
  std::string family;  ///< "matmul"
  std::uint64_t seed = 0;
  std::vector<CaseWeight> weights;  ///< WeightId{i} in the graphs below is the i-th of these
  std::vector<StepGraph> graphs;
  KvSpec kv{.n_layers = 1, .n_kv_heads = 1, .head_dim = 2};  ///< page_tokens is used as given; the device chooses dtype
  std::int64_t n_pages = 1;
  std::int32_t vocab_size = 1;
  std::vector<Action> actions;
  /// Keys and values come from tables, so that their only allowed error is one rounding to BF16.
  bool cache_is_rounded_once = false;
};

/// The results of one action.
struct StepOutputs {
  std::int32_t graph = -1;
  std::int32_t n_real_tokens = 0;          ///< token rows from this one on are padding
  std::vector<std::vector<float>> values;  ///< [values of the graph]; empty where not observed
  std::vector<SampledToken> tokens;
  std::vector<float> logits;
};

struct CaseOutputs {
  std::vector<StepOutputs> steps;         ///< one per compared action
  std::vector<std::vector<float>> cache;  ///< per layer keys, then values (no latents have any), for every slot
};

}  // namespace secondsource::conformance
