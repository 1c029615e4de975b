// Golden prompts and expected outputs, and the inputs that are refused.
#include "bundle/prompts.h"

#include <fmt/format.h>

#include "bundle/expected.h"
#include "core/file.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/scratch_folder.h"

namespace secondsource {
namespace {

constexpr std::string_view kSuite = R"(suite_format: 1
name: short-chat
license: Apache-2.0
prompts:
  - id: chat-007
    tags: [smoke, full]
    kind: short-chat
    messages:
      - {role: user, content: "Hi\n"}
    max_new_tokens: 24
    answer: "4821"
    stream: true
  - id: raw-1
    tags: [full]
    kind: long-context
    document: doc-8k-1
    text: "Question?"
    max_new_tokens: 4
  - id: ids-1
    tags: [smoke]
    kind: code
    ids: [1, 403, 407]
    max_new_tokens: 200
documents:
  - id: doc-8k-1
    generator: bundles/recipes/documents.py
    text: "A long text."
)";

Result<std::string> no_documents(const std::string& file) {
  return Error{ErrorCode::kInvalidInput, fmt::format("{}: expected no file", file)};
}

Result<GoldenPrompts> parse_suite(std::string_view text) {
  GoldenPrompts prompts;
  SS_TRY_VOID(add_prompt_suite(text, "suite.yaml", no_documents, prompts));
  SS_TRY_VOID(check_documents(prompts, "suite.yaml"));
  return prompts;
}

TEST_CASE("a suite with every kind of content is read") {
  const auto prompts = parse_suite(kSuite);
  REQUIRE_OK(prompts);
  REQUIRE(prompts->prompts.size() == 3);
  const GoldenPrompt& chat = prompts->prompts[0];
  CHECK(std::get<std::vector<ChatMessage>>(chat.content).at(0).content == "Hi\n");
  CHECK(chat.answer == "4821");
  CHECK(chat.stream);
  CHECK(chat.has_tag("smoke"));
  CHECK_FALSE(chat.has_tag("reference"));
  CHECK(to_string(prompts->find("raw-1")->kind) == "long-context");
  CHECK(prompts->find("raw-1")->document == "doc-8k-1");
  CHECK(std::get<std::vector<std::int32_t>>(prompts->find("ids-1")->content) == std::vector<std::int32_t>{1, 403, 407});
  CHECK(prompts->documents.at("doc-8k-1") == "A long text.");
}

TEST_CASE("a suite is refused for what is wrong in it") {
  const auto [from, to, part] = GENERATE(table<std::string, std::string, std::string>({
      {"suite_format: 1", "suite_format: 2", "suite.yaml:1: suite_format: expected an integer from 1 to 1, found 2"},
      {"license: Apache-2.0\n", "", "expected the key \"license\""},
      {"id: raw-1", "id: chat-007", "an id that no other prompt has, found chat-007"},
      {"id: raw-1", "id: 'a b'", "expected a word"},
      {"kind: code", "kind: prose", "expected a kind of prompt"},
      {"role: user", "role: tool", "prompts[0].messages[0].role: expected system, user or assistant, found tool"},
      {"    text: \"Question?\"\n", "", "one of \"messages\", \"text\" and \"ids\""},
      {"    ids: [1, 403, 407]\n", "    ids: [1]\n    text: x\n", "one of \"messages\", \"text\" and \"ids\""},
      {"ids: [1, 403, 407]", "ids: []", "at least one token id"},
      {"ids: [1, 403, 407]", "ids: [-1]", "from 0 to 2147483647"},
      {"max_new_tokens: 24", "max_new_tokens: 0", "max_new_tokens: expected an integer from 1"},
      {"document: doc-8k-1", "document: doc-9", "the id of a document, found doc-9"},
      {"text: \"A long text.\"", "file: ../secret", "it leaves its folder"},
      {"text: \"A long text.\"", "file: d.txt", "d.txt: expected no file"},
      {"stream: true", "stream: 1", "expected true or false"},
      {"answer: \"4821\"", "anser: \"4821\"", "found \"anser\""},
  }));
  std::string text(kSuite);
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  text.replace(at, from.size(), to);
  CAPTURE(from, to);
  CHECK_ERROR(parse_suite(text), ErrorCode::kInvalidInput, part);
}

TEST_CASE("suites of a folder are read by name, with the documents that they name by file") {
  const test::ScratchFolder scratch;
  std::filesystem::create_directory(scratch.path() / "documents");
  REQUIRE_OK(write_file(scratch.path() / "documents" / "d.txt", "The text."));
  const auto suite = [](std::string_view id) {
    return fmt::format(
        "suite_format: 1\nname: s\nlicense: MIT\nprompts:\n  - {{id: {}, tags: [full], kind: rag, "
        "document: d, text: q, max_new_tokens: 1}}\n",
        id);
  };
  REQUIRE_OK(write_file(scratch.path() / "b.yaml", suite("second")));
  REQUIRE_OK(
      write_file(scratch.path() / "a.yaml", suite("first") + "documents:\n  - {id: d, file: documents/d.txt}\n"));
  const auto prompts = read_prompts(scratch.path());
  REQUIRE_OK(prompts);
  REQUIRE(prompts->prompts.size() == 2);
  CHECK(prompts->prompts[0].id == "first");
  CHECK(prompts->documents.at("d") == "The text.");
  CHECK_ERROR(read_prompts(scratch.path() / "absent"), ErrorCode::kInvalidInput, "cannot list");
}

// sha256 of 01000000 02000000 03000000, from Python's hashlib.
constexpr std::string_view kIdsHash = "4636993d3e1da4e9d6b8f87b79e8f7c6d018580d52661950eabc3845c5897a4d";

std::string expected_line() {
  return fmt::format(R"({{"prompt":"chat-007","prompt_ids":[1,2,3],"prompt_sha256":"{}","ids":[45,2],"finish":"eos",)"
                     R"("top":[[[45,-0.01],[7,-5.2]],[[2,-0.001]]],"top1_margin":[5.19,7.0],"logsumexp":[12.1,9.9]}})",
                     kIdsHash);
}

TEST_CASE("expected outputs are read") {
  const auto outputs = parse_expected(expected_line() + "\n", "bf16.jsonl");
  REQUIRE_OK(outputs);
  REQUIRE(outputs->size() == 1);
  CHECK(outputs->at(0).n_prompt_ids == 3);
  CHECK(outputs->at(0).finish == Finish::kEos);
  CHECK(outputs->at(0).top.at(0).at(1).id == 7);
  CHECK(outputs->at(0).top.at(0).at(1).log_probability == -5.2);
  CHECK(sha256_of_ids({1, 2, 3}) == kIdsHash);
}

TEST_CASE("a line of expected outputs has a limited size and number of values") {
  CHECK_ERROR(parse_expected("{\"ids\": \"" + std::string(17 << 20, 'x') + "\"}\n", "bf16.jsonl"),
              ErrorCode::kInvalidInput, "bf16.jsonl:1: expected at most 16777216 bytes of JSON");
  std::string values = "{\"ids\": [0";
  for (int i = 0; i < 1'000'000; ++i) values += ",0";
  CHECK_ERROR(parse_expected(values + "]}\n", "bf16.jsonl"), ErrorCode::kInvalidInput,
              "expected at most 1000000 values");
}

TEST_CASE("expected outputs that contradict themselves are refused") {
  const auto [from, to, part] = GENERATE(table<std::string, std::string, std::string>({
      {"[1,2,3]", "[1,2,4]", "the hash of prompt_ids"},
      {"\"prompt_ids\":[1,2,3],", "", "n_prompt_ids: expected an integer"},
      {"\"ids\":[45,2]", "\"ids\":[45]", "top: expected a list of 1, one an id"},
      {"\"ids\":[45,2]", "\"ids\":[46,2]", "top[0]: expected the greedy choice 46 first, found 45"},
      {"\"eos\"", "\"stop\"", "finish: expected eos or length"},
      {"[7,-5.2]", "[7,-0.001]", "that fall from at most 0"},
      {"[45,-0.01]", "[45,0.5]", "that fall from at most 0"},
      {"\"logsumexp\":[12.1,9.9]", "\"logsumexp\":[12.1]", "logsumexp: expected a list of 2 numbers"},
      {"\"finish\"", "\"end\"", "expected a known key, found \"end\""},
      {"[12.1,9.9]", "[1e999,9.9]", "number overflow"},
      {"\"prompt\":\"chat-007\"", "\"prompt\":7", "prompt: expected a string, found 7"},
  }));
  std::string text = expected_line();
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  text.replace(at, from.size(), to);
  CAPTURE(from, to);
  CHECK_ERROR(parse_expected(text, "bf16.jsonl"), ErrorCode::kInvalidInput, part);
}

TEST_CASE("unsteady positions of an expected output are rising indices of its ids") {
  const auto with = [](std::string_view unsteady) {
    std::string line = expected_line();
    line.insert(line.size() - 1, fmt::format(",\"unsteady\":{}", unsteady));
    return parse_expected(line + "\n", "bf16.jsonl");
  };
  const auto outputs = with("[1]");
  REQUIRE_OK(outputs);
  CHECK(outputs->at(0).is_unsteady(1));
  CHECK_FALSE(outputs->at(0).is_unsteady(0));
  const char* const bad = GENERATE("[2]", "[1,0]", "[0,0]", "[-1]", "[0.5]", "0");
  CAPTURE(bad);
  CHECK_ERROR(with(bad), ErrorCode::kInvalidInput, "unsteady: expected ");
}

TEST_CASE("an expected output occurs once, and a blank line is no output") {
  const std::string line = expected_line();
  CHECK_ERROR(parse_expected(line + "\n" + line + "\n", "e"), ErrorCode::kInvalidInput,
              "e:2: prompt: expected each prompt once");
  CHECK_ERROR(parse_expected(line + "\n\n", "e"), ErrorCode::kInvalidInput, "e:2: expected JSON");
}

}  // namespace
}  // namespace secondsource
