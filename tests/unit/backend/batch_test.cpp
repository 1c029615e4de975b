#include "backend/batch.h"

#include "backend/batch_storage.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource {
namespace {

/// Two sequences, one that decodes its 6th token and one that prefills 3 tokens, and one padding row. Pages have 4
/// tokens.
struct ExampleBatch : BatchStorage {
  Bucket bucket{8, 2, 2, 2};

  ExampleBatch()
      : BatchStorage{.token_ids = {-1, 5, 6, 7, 0},
                     .positions = {5, 0, 1, 2, 0},
                     .kv_slots = {2 * 4 + 1, 0, 1, 2, -1},
                     .q_starts = {0, 1, 4},
                     .kv_lengths = {6, 3},
                     .block_table = {1, 2, 0, -1},
                     .seq_slots = {0, 1},
                     .logit_rows = {0, 3},
                     .sampling = std::vector<SamplingParams>(2),
                     .max_pages_per_seq = 2} {}
  [[nodiscard]] Result<void> check() const { return check_batch(view(), bucket, 10, 4, 3); }
};

TEST_CASE("a batch that mixes prefill, decode and padding is accepted") {
  REQUIRE_OK(check_batch_counts(ExampleBatch{}.view(), ExampleBatch{}.bucket));
  REQUIRE_OK(ExampleBatch{}.check());
}

TEST_CASE("a batch is refused with the field, the expectation and the finding") {
  struct Change {
    const char* expected_part;
    void (*apply)(ExampleBatch&);
  };
  const Change changes[] = {
      {"tokens: expected at most 4", [](ExampleBatch& e) { e.bucket.max_tokens = 4; }},
      {"sequences: expected at most 1", [](ExampleBatch& e) { e.bucket.max_seqs = 1; }},
      {"logit rows: expected at most 1", [](ExampleBatch& e) { e.bucket.max_logit_rows = 1; }},
      {"pages per sequence: expected at most 1", [](ExampleBatch& e) { e.bucket.max_pages_per_seq = 1; }},
      {"positions: expected 5 entries, found 4", [](ExampleBatch& e) { e.positions.pop_back(); }},
      {"q_starts: expected 3 entries", [](ExampleBatch& e) { e.q_starts.push_back(5); }},
      {"block_table: expected 4 entries", [](ExampleBatch& e) { e.block_table.push_back(0); }},
      {"sampling: expected 2 entries", [](ExampleBatch& e) { e.sampling.pop_back(); }},
      {"q_starts: expected 0 first", [](ExampleBatch& e) { e.q_starts.back() = 6; }},
      {"q_starts: expected no fall",
       [](ExampleBatch& e) {
         e.q_starts = {0, 5, 4};
       }},
      {"token 1: expected an id in [-1, 10), found 10", [](ExampleBatch& e) { e.token_ids[1] = 10; }},
      {"token 2: expected a position in (0, 3), found 0", [](ExampleBatch& e) { e.positions[2] = 0; }},
      {"token 3: expected a position in (1, 3), found 3", [](ExampleBatch& e) { e.positions[3] = 3; }},
      {"expected cache slot 9 from the block table, found 8", [](ExampleBatch& e) { e.kv_slots[0] = 8; }},
      {"sequence 0: page 1: expected an id in [0, 3), found 3", [](ExampleBatch& e) { e.block_table[1] = 3; }},
      {"sequence 1: expected a cache length", [](ExampleBatch& e) { e.kv_lengths[1] = 2; }},
      {"sequence 1: expected a device slot", [](ExampleBatch& e) { e.seq_slots[1] = -1; }},
      {"token 4: padding row, expected cache slot -1, found 3", [](ExampleBatch& e) { e.kv_slots[4] = 3; }},
      {"logit row 1: expected a token in [0, 5), found 5", [](ExampleBatch& e) { e.logit_rows[1] = 5; }},
      {"logit row 0: expected a forced id below 10", [](ExampleBatch& e) { e.sampling[0].forced_id = 10; }},
  };
  for (const Change& change : changes) {
    ExampleBatch example;
    change.apply(example);
    INFO(change.expected_part);
    CHECK_ERROR(example.check(), ErrorCode::kInvalidInput, change.expected_part);
  }
}

TEST_CASE("two tokens may not write one cache slot") {
  ExampleBatch example;
  example.block_table = {1, 2, 2, -1};
  example.positions = {5, 1, 2, 3, 0};
  example.kv_slots = {9, 9, 10, 11, -1};
  example.kv_lengths = {6, 4};
  CHECK_ERROR(example.check(), ErrorCode::kInvalidInput, "cache slot 9 is written twice");
}

TEST_CASE("an empty batch is refused") {
  ExampleBatch example;
  Batch batch = example.view();
  batch.token_ids = {};
  CHECK_ERROR(check_batch_counts(batch, example.bucket), ErrorCode::kInvalidInput, "at least one token");
}

}  // namespace
}  // namespace secondsource
