#include "engine/batch_builder.h"

#include <algorithm>

namespace secondsource {
namespace {

std::size_t index(std::int64_t value) {
  return static_cast<std::size_t>(value);
}

/// How the token after `position` is chosen. The random number's position is the token's own place in the sequence:
/// what else is in the batch, and how the prompt was cut into chunks, cannot change it.
SamplingParams sampling_at(const Sequence& sequence, std::int64_t position) {
  const Request& request = sequence.request;
  SamplingParams params{.temperature = request.sampling.temperature,
                        .top_k = request.sampling.top_k,
                        .top_p = request.sampling.top_p,
                        .seed = request.sampling.seed,
                        .position = position + 1};
  const std::int64_t generated = position + 1 - sequence.n_prompt();
  if (generated < 0) {
    params.forced_id = sequence.tokens[index(position + 1)];  // a score of the prompt's own next token
  } else if (!request.forced_ids.empty()) {
    params.forced_id = request.forced_ids[index(generated)];
  } else if (request.ignore_stop_ids && !request.stop_ids.empty()) {
    params.forbidden_id = request.stop_ids.front();
  }
  return params;
}

/// Rows of the chunk's tokens that want logits: the last known token, and prompt tokens that are scored.
bool wants_row(const Sequence& sequence, std::int64_t position) {
  if (position == sequence.n_tokens() - 1) return sequence.request.max_new_tokens > 0;
  return sequence.request.score_prompt && position < sequence.n_prompt() - 1 && position >= sequence.n_scored;
}

}  // namespace

void BatchBuilder::clear() {
  for (auto* array :
       {&token_ids_, &positions_, &kv_slots_, &q_starts_, &kv_lengths_, &block_table_, &seq_slots_, &logit_rows_}) {
    array->clear();
  }
  sampling_.clear();
  rows_.clear();
}

Batch BatchBuilder::build(const StepPlan& plan) {
  clear();
  std::size_t max_pages = 0;
  for (const Chunk& chunk : plan.chunks) max_pages = std::max(max_pages, chunk.sequence->pages.pages().size());
  q_starts_.push_back(0);
  for (const Chunk& chunk : plan.chunks) add_tokens(chunk, static_cast<std::int32_t>(max_pages));
  return Batch{.token_ids = token_ids_,
               .positions = positions_,
               .kv_slots = kv_slots_,
               .q_starts = q_starts_,
               .kv_lengths = kv_lengths_,
               .block_table = block_table_,
               .seq_slots = seq_slots_,
               .logit_rows = logit_rows_,
               .sampling = sampling_,
               .max_pages_per_seq = static_cast<std::int32_t>(max_pages)};
}

void BatchBuilder::add_tokens(const Chunk& chunk, std::int32_t slot_pages) {
  const Sequence& sequence = *chunk.sequence;
  const auto first_index = static_cast<std::int32_t>(token_ids_.size());
  for (std::int64_t i = 0; i < chunk.n_tokens; ++i) {
    const std::int64_t position = chunk.first_token + i;
    token_ids_.push_back(sequence.tokens[index(position)]);
    positions_.push_back(static_cast<std::int32_t>(position));
    kv_slots_.push_back(sequence.pages.slot(position));
  }
  add_rows(chunk, first_index);
  q_starts_.push_back(static_cast<std::int32_t>(token_ids_.size()));
  kv_lengths_.push_back(static_cast<std::int32_t>(chunk.first_token + chunk.n_tokens));
  seq_slots_.push_back(sequence.slot);
  const auto pages = sequence.pages.pages();
  block_table_.insert(block_table_.end(), pages.begin(), pages.end());
  // Unused entries name page 0, which exists: a kernel that reads a table ahead of the length reads something valid.
  block_table_.resize(block_table_.size() + index(slot_pages) - pages.size(), 0);
}

void BatchBuilder::add_rows(const Chunk& chunk, std::int32_t first_token_index) {
  for (std::int64_t i = 0; i < chunk.n_tokens; ++i) {
    const std::int64_t position = chunk.first_token + i;
    if (!wants_row(*chunk.sequence, position)) continue;
    logit_rows_.push_back(first_token_index + static_cast<std::int32_t>(i));
    sampling_.push_back(sampling_at(*chunk.sequence, position));
    rows_.push_back({chunk.sequence, position});
  }
}

}  // namespace secondsource
