#pragma once
// A server that holds several models as a pool of models: this program tells it which to load and unload, by the same
// rule as for the engine's pool.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "measure/model_pool.h"
#include "serving/model_host.h"

namespace secondsource {

struct ServedPoolParts {
  std::string name;
  std::vector<std::string> models;          ///< names of the bundles
  std::vector<SystemUnderTest*> endpoints;  ///< one for each model; they outlive the pool
  std::unique_ptr<ModelHost> host;
  std::string
      why_no_memory;  ///< the reason to report where neither the server nor a process says how much memory a model takes
};

/// Asks the server which models are loaded. Errors: those of the host.
Result<std::unique_ptr<ModelPool>> make_served_pool(ServedPoolParts parts);

}  // namespace secondsource
