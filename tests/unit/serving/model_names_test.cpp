// The lists of models are shaped as each server's documentation shows them (docs/systems.md names the sources).

#include "serving/model_names.h"

#include <algorithm>
#include <string>
#include <vector>

#include "support/catch.h"

using namespace secondsource;

TEST_CASE("a server's list of models tells all names of a model") {
  const std::string router = R"({"data": [
      {"id": "default", "aliases": ["small"], "status": {"value": "loaded",
       "args": ["llama-server", "--alias", "default-q8", "-m", "/models/default.gguf", "--port", "1"]}},
      {"id": "tiny", "status": {"value": "unloaded", "args": ["llama-server", "--model", "/models/tiny.gguf"]}}]})";
  const std::string vllm = R"({"data": [{"id": "first", "root": "/models/a"}, {"id": "second", "root": "/models/a"},
                                        {"id": "third", "root": "/models/b"}]})";
  const auto [list, model, said, is_it] = GENERATE_COPY(table<std::string, std::string, std::string, bool>({
      {router, "default", "default", true},
      {router, "default", "small", true},
      {router, "default", "default-q8", true},
      {router, "default", "/models/default.gguf", true},
      {router, "default", "tiny", false},
      {router, "default", "1", false},
      {router, "tiny", "/models/tiny.gguf", true},
      {router, "tiny", "default", false},
      {vllm, "second", "first", true},  // vLLM answers by the first name of a model, whichever was asked
      {vllm, "second", "third", false},
      {vllm, "third", "second", false},
      {R"({"data": [{"id": "a:latest"}, {"id": "b:latest"}]})", "a", "a:latest", true},
      {R"({"data": [{"id": "a:latest"}, {"id": "b:latest"}]})", "a", "b:latest", false},
      {R"({"data": [{"id": "a:1b"}]})", "a", "a:1b", false},
      {"no list", "a", "a", true},
      {R"({"data": [7, {"id": 7}, {"root": null}]})", "a", "b", false},
  }));
  CAPTURE(list, model, said);
  CHECK(is_named(names_of_model(list, model), said) == is_it);
  CHECK(names_of_model(list, model).front() == model);
}
