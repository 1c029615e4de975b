// Compares SentencePiece's tokenizer.model, read by this project and written as a tokenizer.json, with the package
// `sentencepiece` 0.2.3: tests/data/tokenizer/sentencepiece_vectors.json, made by make_sentencepiece.py beside it. Files that
// are damaged, and models of settings that are refused, are put together byte by byte here.
#include "tokenizer/sentencepiece_model.h"

#include <bit>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/source_path.h"
#include "tokenizer/gguf_tokenizer_json.h"
#include "tokenizer/tokenizer.h"

namespace secondsource {
namespace {

std::string model_file(const std::string& name) {
  const Result<std::string> content = read_file(test::data_file("tokenizer/sentencepiece/" + name + ".model"));
  REQUIRE_OK(content);
  return *content;
}

Tokenizer tokenizer_of(const std::string& name, bool adds_special_tokens) {
  const auto model = parse_sentencepiece_model(model_file(name), name);
  REQUIRE_OK(model);
  auto vocabulary = sentencepiece_vocabulary(*model, name);
  REQUIRE_OK(vocabulary);
  vocabulary->add_bos = adds_special_tokens;
  vocabulary->add_eos = adds_special_tokens;
  const auto json = gguf_tokenizer_json(*vocabulary, name);
  REQUIRE_OK(json);
  auto tokenizer = Tokenizer::from_json(*json, name);
  REQUIRE_OK(tokenizer);
  return *std::move(tokenizer);
}

std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value > 0x7f; value >>= 7) bytes.push_back(static_cast<char>((value & 0x7f) | 0x80));
  bytes.push_back(static_cast<char>(value));
  return bytes;
}
std::string integer_field(std::uint64_t number, std::uint64_t value) {
  return varint(number << 3) + varint(value);
}
std::string bytes_field(std::uint64_t number, const std::string& bytes) {
  return varint(number << 3 | 2) + varint(bytes.size()) + bytes;
}
std::string float_field(std::uint64_t number, float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  std::string bytes = varint(number << 3 | 5);
  for (int shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>(bits >> shift & 0xff));
  return bytes;
}
std::string piece(const std::string& text, float score, std::uint64_t type = 1) {
  return bytes_field(1, bytes_field(1, text) + float_field(2, score) + integer_field(3, type));
}

const std::string kPieces = piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) + piece("a", -1);
const std::string kBpe = bytes_field(2, integer_field(3, 2));
const std::string kIdentity = bytes_field(3, bytes_field(1, "identity") + integer_field(4, 0));

}  // namespace

TEST_CASE("a model of SentencePiece gives the ids and the text that the package sentencepiece gives") {
  const Result<std::string> text = read_file(test::data_file("tokenizer/sentencepiece_vectors.json"));
  REQUIRE_OK(text);
  const auto vectors = nlohmann::json::parse(*text);
  const auto& texts = vectors["texts"];
  REQUIRE(texts.size() > 300);
  REQUIRE(vectors["models"].size() == 6);
  for (const auto& [name, expected] : vectors["models"].items()) {
    const Tokenizer tokenizer = tokenizer_of(name, false);
    int n_compared = 0;
    for (std::size_t i = 0; i < texts.size(); ++i) {
      CAPTURE(name, i, texts[i].dump());
      if (expected["ids"][i].is_null()) continue;  // make_sentencepiece.py says why
      const auto ids =
          tokenizer.encode(texts[i].get<std::string>(), {.add_special_tokens = false, .parse_special = false});
      REQUIRE_OK(ids);
      CHECK(*ids == expected["ids"][i].get<std::vector<std::int32_t>>());
      ++n_compared;
      if (expected["texts"][i].is_null()) continue;
      CHECK(tokenizer.decode(*ids, {.skip_special = true}) == expected["texts"][i].get<std::string>());
    }
    CHECK(n_compared > 100);
  }
}

TEST_CASE("the ids that begin and end a text are those of the model") {
  const auto llama = tokenizer_of("llama", true).encode("a", {});
  REQUIRE_OK(llama);
  CHECK(llama->front() == 1);
  CHECK(llama->back() == 2);
  const auto gemma = tokenizer_of("gemma", true).encode("a", {});
  REQUIRE_OK(gemma);
  CHECK(gemma->front() == 2);
  CHECK(gemma->back() == 1);
}

TEST_CASE("settings that are left out have SentencePiece's defaults") {
  const auto model = parse_sentencepiece_model(kPieces, "m");
  REQUIRE_OK(model);
  CHECK(model->algorithm == SentencePieceAlgorithm::kUnigram);
  CHECK(model->pieces == std::vector<std::string>{"<unk>", "<s>", "</s>", "a"});
  CHECK(model->types == std::vector<std::int32_t>{2, 3, 3, 1});
  CHECK(model->scores.back() == -1);
  CHECK((model->unk_id == 0 && model->bos_id == 1 && model->eos_id == 2));
  CHECK((model->adds_dummy_prefix && model->removes_extra_whitespace && model->escapes_whitespace));
  CHECK(model->character_map.empty());
}

TEST_CASE("a model that a tokenizer.json cannot stand for is refused by name") {
  const auto refused = [](const std::string& content, const char* part) {
    const auto model = parse_sentencepiece_model(content, "m");
    REQUIRE_OK(model);
    CHECK_ERROR(sentencepiece_vocabulary(*model, "m"), ErrorCode::kUnsupported, part);
  };
  REQUIRE_OK(sentencepiece_vocabulary(*parse_sentencepiece_model(kPieces + kBpe + kIdentity, "m"), "m"));
  REQUIRE_OK(sentencepiece_vocabulary(*parse_sentencepiece_model(kPieces, "m"), "m"));
  refused(kPieces + bytes_field(2, integer_field(3, 3)), "found a word model");
  refused(kPieces + bytes_field(2, integer_field(3, 4)), "found a character model");
  refused(kPieces + kBpe + bytes_field(3, integer_field(4, 0) + integer_field(5, 0)), "marks before words");
  refused(kPieces + bytes_field(2, integer_field(24, 1)), "marks before words");
  refused(kPieces + piece("b", -1, 5), "piece 4: expected a piece that is used");
  REQUIRE_OK(sentencepiece_vocabulary(*parse_sentencepiece_model(kPieces + piece("b", -1, 5) + kBpe, "m"), "m"));
}

TEST_CASE("a map of characters that is damaged is refused with the tokenizer") {
  const auto model = parse_sentencepiece_model(kPieces + bytes_field(3, bytes_field(2, "map")), "m");
  REQUIRE_OK(model);
  const auto vocabulary = sentencepiece_vocabulary(*model, "m");
  REQUIRE_OK(vocabulary);
  CHECK_ERROR(gguf_tokenizer_json(*vocabulary, "m"), ErrorCode::kInvalidInput,
              "a map of characters: expected the size");
}

TEST_CASE("a file that is no SentencePiece model is refused in one line") {
  const auto refused = [](const std::string& content, const char* part) {
    CHECK_ERROR(parse_sentencepiece_model(content, "m"), ErrorCode::kInvalidInput, part);
  };
  refused("", "expected pieces, found none");
  refused(kBpe, "expected pieces, found none");
  refused("{\"version\": 1}", "wire type");
  refused(piece("", 0), "piece 0: expected a text");
  refused(piece("\xff", 0), "expected UTF-8");
  refused(piece("a", std::numeric_limits<float>::quiet_NaN()), "a finite score");
  refused(piece("a", std::numeric_limits<float>::infinity()), "a finite score");
  refused(kPieces + piece("a", -2), "piece 4: expected another text than that of piece 3, found \"a\"");
  refused(kPieces + piece("<unk>", 0, 6), "piece 4: expected another text than that of piece 0, found \"<unk>\"");
  refused(kPieces + piece("<unknown>", 0, 2), "piece 4: expected one unknown piece, which is piece 0");
  refused(piece("a", 0), "expected an unknown piece (type 2), found none");
  refused(kPieces + piece("<0x41>", 0, 6), "expected pieces for all bytes or for none, found none for <0x00>");
  refused(kPieces + piece("<0x4a>", 0, 6), "piece 4: expected a byte such as \"<0x0A>\", found \"<0x4a>\"");
  refused(piece("a", 0, 7), "a type of 1 to 6, found 7");
  refused(piece("a", 0, std::numeric_limits<std::uint64_t>::max()), "found -1");
  refused(kPieces + bytes_field(2, integer_field(3, 9)), "a model type of 1 to 4, found 9");
  refused(kPieces + integer_field(2, 1), "a message of pieces or settings");
  refused(bytes_field(1, integer_field(1, 5)), "another type of field 1");
  refused(varint(1 << 3 | 2) + varint(std::numeric_limits<std::uint64_t>::max()) + "abc", "more bytes, found 3");
  refused(std::string(11, '\x80'), "an integer of at most 10 bytes");
  refused("\x0d", "4 more bytes, found 0");
  const std::string whole = model_file("llama");
  for (std::size_t length = 1; length < 400; ++length) {
    const auto model = parse_sentencepiece_model(std::string_view(whole).substr(0, length), "m");
    if (!model) CHECK(model.error().code == ErrorCode::kInvalidInput);
  }
}

TEST_CASE("an id that is no piece is refused") {
  const auto model =
      parse_sentencepiece_model(kPieces + bytes_field(2, integer_field(3, 2) + integer_field(41, 4)) + kIdentity, "m");
  REQUIRE_OK(model);
  CHECK_ERROR(sentencepiece_vocabulary(*model, "m"), ErrorCode::kInvalidInput, "expected -1 or an id below 4, found 4");
}

}  // namespace secondsource
