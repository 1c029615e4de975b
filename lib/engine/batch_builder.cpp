#include "engine/batch_builder.h"

#include <algorithm>

namespace secondsource {
namespace {

std::size_t index(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

/// How the token after `position` is chosen. The random number depends on the token's own place in the sequence, so
/// neither the other sequences of the batch nor the chunks of the prompt can change it.
SamplingParams sampling_at(const Sequence& sequence, std::int64_t position) {
  const Request& request = sequence.request;
  SamplingParams params{.temperature = request.sampling.temperature,
                        .top_k = request.sampling.top_k,
                        .top_p = request.sampling.top_p,
                        .seed = request.sampling.seed,
                        .position = position + 1};
  const std::int64_t generated = position + 1 - sequence.n_prompt();
  if (generated < 0) {
    params.forced_id = sequence.tokens[index(position + 1)];  // scores the next token of the prompt
  } else if (!request.forced_ids.empty()) {
    params.forced_id = request.forced_ids[index(generated)];
  } else if (request.ignore_stop_ids && !request.stop_ids.empty()) {
    params.forbidden_id = request.stop_ids.front();
  }
  return params;
}

/// True if the token at `position` needs a row of logits: the last known token does, and prompt tokens that are scored.
bool wants_row(const Sequence& sequence, std::int64_t position) {
  if (position == sequence.n_tokens() - 1) return sequence.request.max_new_tokens > 0;
  return sequence.request.score_prompt && position < sequence.n_prompt() - 1 && position >= sequence.n_scored;
}

}  // namespace

void BatchBuilder::clear() {
  for (auto* array : {&batch_.token_ids, &batch_.positions, &batch_.kv_slots, &batch_.q_starts, &batch_.kv_lengths,
                      &batch_.block_table, &batch_.seq_slots, &batch_.logit_rows}) {
    array->clear();  // keeps the memory, so that a step allocates nothing
  }
  batch_.sampling.clear();
  rows_.clear();
}

Batch BatchBuilder::build(const StepPlan& plan) {
  clear();
  std::size_t max_pages = 0;
  for (const Chunk& chunk : plan.chunks) max_pages = std::max(max_pages, chunk.sequence->pages.pages().size());
  batch_.max_pages_per_seq = static_cast<std::int32_t>(max_pages);
  batch_.q_starts.push_back(0);
  for (const Chunk& chunk : plan.chunks) add_tokens(chunk);
  return batch_.view();
}

void BatchBuilder::add_tokens(const Chunk& chunk) {
  const Sequence& sequence = *chunk.sequence;
  const auto first_index = static_cast<std::int32_t>(batch_.token_ids.size());
  for (std::int64_t i = 0; i < chunk.n_tokens; ++i) {
    const std::int64_t position = chunk.first_token + i;
    batch_.token_ids.push_back(sequence.tokens[index(position)]);
    batch_.positions.push_back(static_cast<std::int32_t>(position));
    batch_.kv_slots.push_back(sequence.pages.slot(position));
  }
  add_rows(chunk, first_index);
  batch_.q_starts.push_back(static_cast<std::int32_t>(batch_.token_ids.size()));
  batch_.kv_lengths.push_back(static_cast<std::int32_t>(chunk.first_token + chunk.n_tokens));
  batch_.seq_slots.push_back(sequence.slot);
  const auto pages = sequence.pages.pages();
  batch_.block_table.insert(batch_.block_table.end(), pages.begin(), pages.end());
  // Unused entries contain page 0, which always exists, so a kernel that reads the table beyond the sequence's length
  // still reads a valid page.
  batch_.block_table.resize(batch_.block_table.size() + index(batch_.max_pages_per_seq) - pages.size(), 0);
}

void BatchBuilder::add_rows(const Chunk& chunk, std::int32_t first_token_index) {
  for (std::int64_t i = 0; i < chunk.n_tokens; ++i) {
    const std::int64_t position = chunk.first_token + i;
    if (!wants_row(*chunk.sequence, position)) continue;
    batch_.logit_rows.push_back(first_token_index + static_cast<std::int32_t>(i));
    batch_.sampling.push_back(sampling_at(*chunk.sequence, position));
    rows_.push_back({chunk.sequence, position});
  }
}

}  // namespace secondsource
