#include "gpu/host/batch_upload.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/checked.h"
#include "core/random.h"

namespace secondsource::gpu {
namespace {

constexpr std::size_t kAlignment = 16;

Error bad(std::string message) {
  return Error{ErrorCode::kInvalidInput, "submit: " + std::move(message)};
}

/// Checks the positions and page ids that a sequence's attention follows.
Result<void> check_pages(const Batch& batch, std::int32_t seq, const BatchLimits& limits) {
  const auto s = static_cast<std::size_t>(seq);
  const auto table = batch.block_table.subspan(s * static_cast<std::size_t>(batch.max_pages_per_seq),
                                               static_cast<std::size_t>(batch.max_pages_per_seq));
  std::int32_t previous = -1;
  for (std::int32_t t = batch.q_starts[s]; t < batch.q_starts[s + 1]; ++t) {
    const std::int32_t position = batch.positions[static_cast<std::size_t>(t)];
    if (position <= previous || position / limits.page_tokens >= batch.max_pages_per_seq) {
      return bad(fmt::format("token {}: position {} is not in the block table", t, position));
    }
    const std::int32_t first_seen = limits.max_window > 0 ? std::max(0, position - limits.max_window + 1) : 0;
    // Pages that an earlier token of the sequence sees are already checked.
    const std::int32_t begin = previous < 0 ? first_seen : std::max(first_seen, previous + 1);
    for (std::int32_t p = begin / limits.page_tokens; p <= position / limits.page_tokens; ++p) {
      const std::int32_t page = table[static_cast<std::size_t>(p)];
      if (page >= 0 && page < limits.n_pages) continue;
      return bad(
          fmt::format("sequence {}: page {}: expected an id in [0, {}), found {}", seq, p, limits.n_pages, page));
    }
    previous = position;
  }
  return {};
}

/// Checks the ids of the batch's tokens, of which those below 0 are sampled ones that are still on the device, and the
/// cache slots that their keys and values are written to.
Result<void> check_tokens(const Batch& batch, const BatchLimits& limits, std::span<const std::int32_t> token_seqs,
                          std::span<const std::int32_t> token_slots, const std::vector<bool>& sampled) {
  const auto n_slots = static_cast<std::int32_t>(sampled.size());
  for (std::size_t t = 0; t < token_seqs.size(); ++t) {
    const std::int32_t id = batch.token_ids[t];
    const std::int32_t slot = token_slots[t];
    if (id < 0 && token_seqs[t] >= 0) {
      if (slot < 0 || slot >= n_slots) {
        return bad(fmt::format("token {}: expected a device slot in [0, {}), found {}", t, n_slots, slot));
      }
      if (!sampled[static_cast<std::size_t>(slot)]) {
        return bad(fmt::format("token {}: nothing was sampled for device slot {} yet", t, slot));
      }
    }
    if (limits.vocab_size > 0 && id >= limits.vocab_size) {
      return bad(fmt::format("token {}: expected an id in [0, {}), found {}", t, limits.vocab_size, id));
    }
    const std::int32_t kv_slot = batch.kv_slots[t];
    if (kv_slot < -1 || kv_slot >= limits.n_pages * limits.page_tokens) {
      return bad(fmt::format("token {}: expected a cache slot in [-1, {}), found {}", t,
                             limits.n_pages * limits.page_tokens, kv_slot));
    }
  }
  return {};
}

}  // namespace

/// Finds the arrays of a batch, which have addresses in device memory, in a staging buffer.
class BatchUpload::Staging {
 public:
  Staging(const DeviceBuffer& device, const DeviceBuffer& staging) : device_(&device), staging_(&staging) {}

  template <typename T>
  T* operator()(const T* on_device) const {
    const auto offset = reinterpret_cast<const std::byte*>(on_device) - device_->data();
    return reinterpret_cast<T*>(staging_->data() + offset);
  }

 private:
  const DeviceBuffer* device_;
  const DeviceBuffer* staging_;
};

Result<BatchUpload> BatchUpload::create(DeviceMemory& memory, const Bucket& bucket, const DecodeSplitPlan& splits) {
  BatchUpload upload;
  upload.bucket_ = bucket;
  // The last tile of each sequence with several tokens may be partial, and so may that of the padding.
  upload.max_query_tiles_ = bucket.max_tokens / kQueryTileTokens + std::min(bucket.max_seqs, bucket.max_tokens / 2) + 1;
  upload.splits_ = splits;
  std::size_t bytes = 0;
  const auto reserve = [&](std::int64_t n, std::size_t each) {
    const std::size_t offset = bytes;
    bytes += round_up(static_cast<std::size_t>(n) * each, kAlignment);
    return offset;
  };
  constexpr std::int64_t kCounts = 4;
  const std::int64_t n_tokens = bucket.max_tokens;
  const std::size_t counts = reserve(kCounts, sizeof(std::int32_t));
  std::size_t of_token[5];
  for (std::size_t& offset : of_token) offset = reserve(n_tokens, sizeof(std::int32_t));
  const std::size_t logit_rows = reserve(bucket.max_logit_rows, sizeof(std::int32_t));
  const std::size_t samples = reserve(bucket.max_logit_rows, sizeof(SampleRow));
  const std::size_t query_tiles = reserve(upload.max_query_tiles_, sizeof(QueryTile));
  const std::size_t decode_splits = reserve(splits.max_splits, sizeof(DecodeSplit));
  // Last, because only the rows of the step's sequences are copied.
  const std::size_t block_table =
      reserve(std::int64_t{bucket.max_seqs} * bucket.max_pages_per_seq, sizeof(std::int32_t));
  SS_TRY(upload.device_, memory.allocate(MemoryPurpose::kWorkspace, bytes));
  for (DeviceBuffer& staging : upload.staging_) {
    SS_TRY(staging, DeviceBuffer::allocate_pinned(memory.device(), bytes));
    std::memset(staging.data(), 0, bytes);
  }
  const auto ints = [&](std::size_t offset) {
    return reinterpret_cast<const std::int32_t*>(upload.device_.data() + offset);
  };
  upload.n_seqs_ = ints(counts) + 3;
  upload.view_ = {.n_tokens = ints(counts),
                  .n_logit_rows = ints(counts) + 1,
                  .n_query_tiles = ints(counts) + 2,
                  .token_ids = ints(of_token[0]),
                  .token_slots = ints(of_token[1]),
                  .positions = ints(of_token[2]),
                  .kv_slots = ints(of_token[3]),
                  .token_seqs = ints(of_token[4]),
                  .block_table = ints(block_table),
                  .logit_rows = ints(logit_rows),
                  .samples = reinterpret_cast<const SampleRow*>(upload.device_.data() + samples),
                  .query_tiles = reinterpret_cast<const QueryTile*>(upload.device_.data() + query_tiles),
                  .decode_splits = reinterpret_cast<const DecodeSplit*>(upload.device_.data() + decode_splits),
                  .max_pages_per_seq = bucket.max_pages_per_seq};
  return upload;
}

void BatchUpload::divide_decodes(const Batch& batch, const BatchLimits& limits, std::span<const std::int32_t> tokens,
                                 std::span<DecodeSplit> list) const {
  if (list.empty()) return;  // the graph does not attend
  std::vector<std::int32_t> lengths;
  for (const std::int32_t token : tokens) {
    const std::int32_t length = batch.positions[static_cast<std::size_t>(token)] + 1;
    lengths.push_back(limits.max_window > 0 ? std::min(length, limits.max_window) : length);
  }
  const std::int32_t split_tokens = splits_.split_tokens(lengths);
  std::size_t n_listed = 0;
  std::int32_t seq = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    while (batch.q_starts[static_cast<std::size_t>(seq) + 1] <= tokens[i]) ++seq;
    const std::int32_t n_splits = n_decode_splits(lengths[i], split_tokens);
    for (std::int32_t index = 0; index < n_splits; ++index) {
      list[n_listed++] = {.seq = seq,
                          .token = tokens[i],
                          .position = batch.positions[static_cast<std::size_t>(tokens[i])],
                          .index = index,
                          .n_splits = n_splits,
                          .by_splits = make_divisor(n_splits)};
    }
  }
  std::ranges::fill(list.subspan(n_listed), DecodeSplit{});
}

Result<BatchUpload::Work> BatchUpload::stage_sequences(const Batch& batch, const BatchLimits& limits,
                                                       const Staging& at) const {
  Work work;
  std::vector<std::int32_t> decode_tokens;
  const std::int32_t n_tokens = batch.n_tokens();
  std::fill_n(at(view_.token_seqs), n_tokens, -1);
  std::fill_n(at(view_.token_slots), n_tokens, -1);
  const auto add_tiles = [&](std::int32_t begin, std::int32_t end, std::int32_t seq) {
    for (std::int32_t t = begin; t < end; t += kQueryTileTokens) {
      at(view_.query_tiles)[work.n_query_tiles++] = {t, std::min(kQueryTileTokens, end - t), seq};
    }
  };
  for (std::int32_t seq = 0; seq < batch.n_seqs(); ++seq) {
    const auto s = static_cast<std::size_t>(seq);
    const std::int32_t begin = batch.q_starts[s];
    const std::int32_t end = batch.q_starts[s + 1];
    std::fill_n(at(view_.token_seqs) + begin, end - begin, seq);
    std::fill_n(at(view_.token_slots) + begin, end - begin, batch.seq_slots[s]);
    if (end - begin == 1) {
      decode_tokens.push_back(begin);
    } else {
      add_tiles(begin, end, seq);
    }
    if (limits.attends) SS_TRY_VOID(check_pages(batch, seq, limits));
    std::copy_n(batch.block_table.begin() + std::ptrdiff_t{seq} * batch.max_pages_per_seq, batch.max_pages_per_seq,
                at(view_.block_table) + std::ptrdiff_t{seq} * bucket_.max_pages_per_seq);
  }
  add_tiles(batch.q_starts.back(), n_tokens, -1);
  work.n_decodes = static_cast<std::int32_t>(decode_tokens.size());
  divide_decodes(batch, limits, decode_tokens, {at(view_.decode_splits), static_cast<std::size_t>(splits_.max_splits)});
  return work;
}

Result<void> BatchUpload::stage_samples(const Batch& batch, const BatchLimits& limits, const Staging& at,
                                        std::vector<bool>& sampled) const {
  const auto n_slots = static_cast<std::int32_t>(sampled.size());
  for (std::int32_t row = 0; row < batch.n_logit_rows(); ++row) {
    const auto i = static_cast<std::size_t>(row);
    const std::int32_t token = batch.logit_rows[i];
    if (token < 0 || token >= batch.n_tokens()) {
      return bad(fmt::format("logit row {}: expected a token in [0, {}), found {}", row, batch.n_tokens(), token));
    }
    const SamplingParams& params = batch.sampling[i];
    if (limits.n_logits > 0 && params.forced_id >= limits.n_logits) {
      return bad(fmt::format("logit row {}: forced id {} is not in the vocabulary of {}", row, params.forced_id,
                             limits.n_logits));
    }
    const std::int32_t slot = at(view_.token_slots)[token];
    const bool kept = slot >= 0 && slot < n_slots;
    if (kept && limits.n_logits > 0) sampled[static_cast<std::size_t>(slot)] = true;
    at(view_.samples)[row] = {.uniform = random_unit(params.seed, static_cast<std::uint64_t>(params.position)),
                              .temperature = params.temperature,
                              .top_p = params.top_p,
                              .top_k = params.top_k,
                              .forced_id = params.forced_id,
                              .forbidden_id = params.forbidden_id,
                              .slot = kept ? slot : -1};
  }
  return {};
}

Result<BatchUpload::Work> BatchUpload::send(Stream& stream, const Batch& batch, const BatchLimits& limits,
                                            std::vector<bool>& sampled, int place, Event& before) {
  SS_TRY_VOID(check_batch_counts(batch, bucket_));
  const Staging at(device_, staging_[place]);
  SS_TRY(const Work work, stage_sequences(batch, limits, at));
  SS_TRY_VOID(check_tokens(batch, limits, {at(view_.token_seqs), static_cast<std::size_t>(batch.n_tokens())},
                           {at(view_.token_slots), static_cast<std::size_t>(batch.n_tokens())}, sampled));
  SS_TRY_VOID(stage_samples(batch, limits, at, sampled));
  std::ranges::copy(batch.token_ids, at(view_.token_ids));
  std::ranges::copy(batch.positions, at(view_.positions));
  std::ranges::copy(batch.kv_slots, at(view_.kv_slots));
  std::ranges::copy(batch.logit_rows, at(view_.logit_rows));
  *at(view_.n_tokens) = batch.n_tokens();
  *at(view_.n_logit_rows) = batch.n_logit_rows();
  *at(view_.n_query_tiles) = work.n_query_tiles;
  *at(n_seqs_) = batch.n_seqs();
  const auto table_offset =
      static_cast<std::size_t>(reinterpret_cast<const std::byte*>(view_.block_table) - device_.data());
  const std::size_t used_bytes = table_offset + static_cast<std::size_t>(batch.n_seqs()) *
                                                    static_cast<std::size_t>(bucket_.max_pages_per_seq) *
                                                    sizeof(std::int32_t);
  SS_TRY_VOID(stream.record(before));
  SS_TRY_VOID(stream.copy(device_.data(), staging_[place].data(), used_bytes));
  return work;
}

}  // namespace secondsource::gpu
