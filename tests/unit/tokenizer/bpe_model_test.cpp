#include "tokenizer/bpe_model.h"

#include <string>
#include <vector>

#include "core/random.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource::tokenizer {
namespace {

using Ids = std::vector<std::int32_t>;

/// A vocabulary over "abcd" with merges of random pairs, made in rank order as by a trainer.
struct RandomModel {
  Vocabulary vocabulary;
  MergeTable merges;
  std::vector<std::string> texts;
};

RandomModel random_model(RandomStream& random) {
  RandomModel model;
  const auto add = [&](const std::string& text) {
    REQUIRE_OK(model.vocabulary.add(text, static_cast<std::int64_t>(model.texts.size())));
    model.texts.push_back(text);
  };
  for (const char* letter : {"a", "b", "c", "d"}) add(letter);
  for (std::uint32_t rank = 0; rank < 60; ++rank) {
    const auto left = random.next_below(model.texts.size());
    const auto right = random.next_below(model.texts.size());
    const std::string merged = model.texts[left] + model.texts[right];
    if (merged.size() > 12) continue;
    if (!model.vocabulary.id_of(merged)) add(merged);
    model.merges.set(static_cast<std::int32_t>(left), static_cast<std::int32_t>(right),
                     {.rank = rank, .merged_id = *model.vocabulary.id_of(merged)});
  }
  return model;
}

/// A direct, slow implementation of the definition: merge the pair with the smallest rank, the leftmost if there are
/// several, until no merge is left.
Ids encode_by_definition(const RandomModel& model, const std::string& word) {
  Ids ids;
  for (const char letter : word) ids.push_back(letter - 'a');
  while (true) {
    std::size_t best = ids.size();
    Merge best_merge;
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
      const Merge merge = model.merges.find(ids[i], ids[i + 1]);
      if (merge.rank >= best_merge.rank) continue;
      best = i;
      best_merge = merge;
    }
    if (best == ids.size()) return ids;
    ids[best] = best_merge.merged_id;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

TEST_CASE("short and long words merge as the definition says") {
  RandomStream random(7);
  for (int round = 0; round < 40; ++round) {
    const RandomModel model = random_model(random);
    const Result<BpeModel> bpe = BpeModel::create(model.vocabulary, model.merges, {});
    REQUIRE_OK(bpe);
    BpeScratch scratch;
    for (int word_index = 0; word_index < 40; ++word_index) {
      std::string word;
      for (std::uint64_t length = 1 + random.next_below(word_index < 20 ? 24 : 300); length > 0; --length) {
        word.push_back(static_cast<char>('a' + random.next_below(4)));
      }
      CAPTURE(round, word);
      Ids ids;
      bpe->encode(word, scratch, ids);
      CHECK(ids == encode_by_definition(model, word));
      Ids again;
      bpe->encode(word, scratch, again);  // from the cache, if the word is short enough
      CHECK(again == ids);
    }
  }
}

TEST_CASE("a million characters in one word are no trouble") {
  RandomStream random(3);
  const RandomModel model = random_model(random);
  const Result<BpeModel> bpe = BpeModel::create(model.vocabulary, model.merges, {});
  REQUIRE_OK(bpe);
  BpeScratch scratch;
  Ids ids;
  bpe->encode(std::string(1'000'000, 'a'), scratch, ids);
  std::size_t n_characters = 0;
  for (const std::int32_t id : ids) n_characters += bpe->vocabulary().text_of(id)->size();
  CHECK(n_characters == 1'000'000);
}

TEST_CASE("the word cache is bounded and forgets nothing that matters") {
  WordCache cache;
  for (std::int32_t i = 0; i < 200'000; ++i) {
    const std::string word = "word" + std::to_string(i);
    const std::uint64_t hash = WordCache::hash_of(word);
    CHECK_FALSE(cache.find(word, hash).is_found);
    const Ids ids = {i, i + 1};
    cache.put(word, hash, ids);
    const WordCache::Found found = cache.find(word, hash);
    REQUIRE(found.is_found);
    CHECK(Ids(found.ids.begin(), found.ids.end()) == ids);
  }
  CHECK(cache.size() <= 65536);
}

TEST_CASE("a vocabulary refuses what cannot be right") {
  Vocabulary vocabulary;
  REQUIRE_OK(vocabulary.add("a", 0));
  REQUIRE_OK(vocabulary.add("far", 1000));
  CHECK(vocabulary.id_end() == 1001);
  CHECK(vocabulary.size() == 2);
  CHECK_FALSE(vocabulary.text_of(5));
  CHECK_FALSE(vocabulary.text_of(-1));
  CHECK_FALSE(vocabulary.id_of("b"));
  CHECK_ERROR(vocabulary.add("b", 0), ErrorCode::kInvalidInput, "token \"b\": id 0 is already that of \"a\"");
  CHECK_ERROR(vocabulary.add("a", 1), ErrorCode::kInvalidInput, "token \"a\": it has id 0 and id 1");
  CHECK_ERROR(vocabulary.add("c", -1), ErrorCode::kInvalidInput, "expected an id in [0, 4194303], found -1");
  CHECK_ERROR(vocabulary.add("c", 1LL << 40), ErrorCode::kInvalidInput, "expected an id in [0, 4194303]");
  CHECK_ERROR(vocabulary.add(std::string(70000, 'x'), 7), ErrorCode::kInvalidInput, "expected at most 65536 bytes");
  REQUIRE_OK(vocabulary.add("a", 2, true));
  CHECK(vocabulary.id_of("a") == 0);
  CHECK(vocabulary.text_of(2) == "a");
}

}  // namespace
}  // namespace secondsource::tokenizer
