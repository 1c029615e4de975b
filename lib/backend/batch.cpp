#include "backend/batch.h"

#include <fmt/format.h>

#include <unordered_set>

namespace secondsource {
namespace {

Error invalid_batch(std::string message) {
  return Error{ErrorCode::kInvalidInput, "batch: " + std::move(message)};
}

Result<void> check_size(const char* name, std::size_t found, std::int64_t expected) {
  if (static_cast<std::int64_t>(found) == expected) return {};
  return invalid_batch(fmt::format("{}: expected {} entries, found {}", name, expected, found));
}

Result<void> check_limit(const char* name, std::int64_t found, std::int64_t limit) {
  if (found <= limit) return {};
  return invalid_batch(fmt::format("{}: expected at most {} (the step's bucket), found {}", name, limit, found));
}

/// Checks the tokens of one sequence: positions ascend, and each slot is where the block table puts that position.
Result<void> check_sequence(const Batch& batch, std::int32_t seq, std::int32_t page_tokens, std::int64_t n_pages) {
  const auto s = static_cast<std::size_t>(seq);
  const std::int32_t begin = batch.q_starts[s];
  const std::int32_t end = batch.q_starts[s + 1];
  const std::int32_t kv_length = batch.kv_lengths[s];
  if (end <= begin)
    return invalid_batch(fmt::format("sequence {}: expected at least one token, found {}", seq, end - begin));
  const std::int64_t table_tokens = std::int64_t{batch.max_pages_per_seq} * page_tokens;
  if (kv_length < end - begin || kv_length > table_tokens) {
    return invalid_batch(fmt::format("sequence {}: expected a cache length in [{}, {}], found {}", seq, end - begin,
                                     table_tokens, kv_length));
  }
  const auto table = batch.block_table.subspan(s * static_cast<std::size_t>(batch.max_pages_per_seq),
                                               static_cast<std::size_t>(batch.max_pages_per_seq));
  for (std::int32_t page = 0; page * page_tokens < kv_length; ++page) {
    const std::int32_t id = table[static_cast<std::size_t>(page)];
    if (id < 0 || id >= n_pages) {
      return invalid_batch(
          fmt::format("sequence {}: page {}: expected an id in [0, {}), found {}", seq, page, n_pages, id));
    }
  }
  std::int32_t previous = -1;
  for (std::int32_t t = begin; t < end; ++t) {
    const std::int32_t position = batch.positions[static_cast<std::size_t>(t)];
    if (position <= previous || position >= kv_length) {
      return invalid_batch(
          fmt::format("token {}: expected a position in ({}, {}), found {}", t, previous, kv_length, position));
    }
    previous = position;
    const std::int32_t expected =
        table[static_cast<std::size_t>(position / page_tokens)] * page_tokens + position % page_tokens;
    const std::int32_t found = batch.kv_slots[static_cast<std::size_t>(t)];
    if (found != expected) {
      return invalid_batch(
          fmt::format("token {}: expected cache slot {} from the block table, found {}", t, expected, found));
    }
  }
  return {};
}

Result<void> check_logit_rows(const Batch& batch, std::int32_t vocab_size) {
  for (std::size_t row = 0; row < batch.logit_rows.size(); ++row) {
    const std::int32_t token = batch.logit_rows[row];
    if (token < 0 || token >= batch.n_tokens()) {
      return invalid_batch(
          fmt::format("logit row {}: expected a token in [0, {}), found {}", row, batch.n_tokens(), token));
    }
    const std::int32_t forced = batch.sampling[row].forced_id;
    if (forced >= vocab_size) {
      return invalid_batch(
          fmt::format("logit row {}: expected a forced id below {}, found {}", row, vocab_size, forced));
    }
  }
  return {};
}

}  // namespace

Result<void> check_batch_counts(const Batch& batch, const Bucket& bucket) {
  const std::int64_t n_tokens = batch.n_tokens();
  const std::int64_t n_seqs = batch.n_seqs();
  if (n_tokens == 0) return invalid_batch("expected at least one token, found none");
  if (n_seqs == 0) return invalid_batch("expected at least one sequence, found none");
  SS_TRY_VOID(check_limit("tokens", n_tokens, bucket.max_tokens));
  SS_TRY_VOID(check_limit("sequences", n_seqs, bucket.max_seqs));
  SS_TRY_VOID(check_limit("logit rows", batch.n_logit_rows(), bucket.max_logit_rows));
  SS_TRY_VOID(check_limit("pages per sequence", batch.max_pages_per_seq, bucket.max_pages_per_seq));
  SS_TRY_VOID(check_size("positions", batch.positions.size(), n_tokens));
  SS_TRY_VOID(check_size("kv_slots", batch.kv_slots.size(), n_tokens));
  SS_TRY_VOID(check_size("q_starts", batch.q_starts.size(), n_seqs + 1));
  SS_TRY_VOID(check_size("block_table", batch.block_table.size(), n_seqs * batch.max_pages_per_seq));
  SS_TRY_VOID(check_size("seq_slots", batch.seq_slots.size(), n_seqs));
  SS_TRY_VOID(check_size("sampling", batch.sampling.size(), batch.n_logit_rows()));
  if (batch.q_starts.front() != 0 || batch.q_starts.back() > n_tokens) {
    return invalid_batch(fmt::format("q_starts: expected 0 first and at most {} last, found {} and {}", n_tokens,
                                     batch.q_starts.front(), batch.q_starts.back()));
  }
  for (std::size_t s = 0; s < batch.kv_lengths.size(); ++s) {
    if (batch.q_starts[s + 1] >= batch.q_starts[s]) continue;
    return invalid_batch(
        fmt::format("q_starts: expected no fall, found {} after {}", batch.q_starts[s + 1], batch.q_starts[s]));
  }
  return {};
}

Result<void> check_batch(const Batch& batch, const Bucket& bucket, std::int32_t vocab_size, std::int32_t page_tokens,
                         std::int64_t n_pages) {
  SS_TRY_VOID(check_batch_counts(batch, bucket));
  for (std::int32_t t = 0; t < batch.n_tokens(); ++t) {
    const std::int32_t id = batch.token_ids[static_cast<std::size_t>(t)];
    if (id < -1 || id >= vocab_size) {
      return invalid_batch(fmt::format("token {}: expected an id in [-1, {}), found {}", t, vocab_size, id));
    }
  }
  for (std::int32_t seq = 0; seq < batch.n_seqs(); ++seq) {
    SS_TRY_VOID(check_sequence(batch, seq, page_tokens, n_pages));
    const std::int32_t slot = batch.seq_slots[static_cast<std::size_t>(seq)];
    if (slot < 0) return invalid_batch(fmt::format("sequence {}: expected a device slot >= 0, found {}", seq, slot));
  }
  for (std::int32_t t = batch.q_starts.back(); t < batch.n_tokens(); ++t) {
    const std::int32_t slot = batch.kv_slots[static_cast<std::size_t>(t)];
    if (slot != -1)
      return invalid_batch(fmt::format("token {}: padding row, expected cache slot -1, found {}", t, slot));
  }
  std::unordered_set<std::int32_t> slots;
  for (std::int32_t t = 0; t < batch.q_starts.back(); ++t) {
    const std::int32_t slot = batch.kv_slots[static_cast<std::size_t>(t)];
    if (!slots.insert(slot).second)
      return invalid_batch(fmt::format("token {}: cache slot {} is written twice", t, slot));
  }
  return check_logit_rows(batch, vocab_size);
}

}  // namespace secondsource
