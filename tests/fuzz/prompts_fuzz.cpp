// Fuzzes prompt suites and the lines of expected outputs.

#include <cstdint>

#include "bundle/expected.h"
#include "bundle/prompts.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace secondsource;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const DocumentReader read_document = [](const std::string& file) -> Result<std::string> { return file; };
  GoldenPrompts prompts;
  if (add_prompt_suite(text, "suite.yaml", read_document, prompts)) (void)check_documents(prompts, "suite.yaml");
  (void)parse_expected(text, "bf16.jsonl");
  return 0;
}
