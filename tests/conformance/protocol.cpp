#include "conformance/protocol.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>
#include <vector>

#include "conformance/build.h"
#include "conformance/cases.h"
#include "conformance/envelope.h"
#include "conformance/run_case.h"
#include "conformance/tolerance.h"
#include "core/clock.h"

namespace secondsource::conformance {
namespace {

using Finding = std::optional<std::string>;

/// A backend with one compiled model and the batch of its first step.
struct Ready {
  std::unique_ptr<Backend> backend;
  KvPoolId pool{};
  std::unique_ptr<Step> step;
  Case c;
  StepGraph graph;
  const Action* first = nullptr;

  /// Compiles the last graph of `c`.
  static Result<Ready> make(const MakeBackend& make_backend, Case c, GroupTiming group_timing = GroupTiming::kOff) {
    Ready ready;
    SS_TRY(ready.backend, make_backend());
    ready.c = std::move(c);
    std::vector<WeightId> ids;
    for (const CaseWeight& weight : ready.c.weights) {
      SS_TRY(const WeightId id, ready.backend->prepare_weight(weight.spec));
      ids.push_back(id);
    }
    KvSpec spec = ready.c.kv;
    spec.dtype = ready.backend->device().kv_dtype;
    SS_TRY(ready.pool, ready.backend->create_kv_pool(spec, ready.c.n_pages));
    ready.graph = with_weights(ready.c.graphs.back(), ids);
    SS_TRY(ready.step, ready.backend->compile(ready.graph, {64, 8, 8, 40}, ready.pool, group_timing));
    for (const Action& action : ready.c.actions) {
      if (action.graph == static_cast<std::int32_t>(ready.c.graphs.size()) - 1 && ready.first == nullptr) {
        ready.first = &action;
      }
    }
    return ready;
  }
};

/// A chain of embedding tables that any backend can run.
Case simple_case() {
  return make_in_flight_case(5);
}

/// Returns the first model from `seed` on that the backend can run, since not every backend supports every weight
/// encoding.
Result<Case> supported_model(const MakeBackend& make, std::uint64_t seed) {
  SS_TRY(const std::unique_ptr<Backend> backend, make());
  constexpr std::uint64_t kTries = 20;
  std::optional<std::string> reason;
  for (std::uint64_t i = 0; i < kTries; ++i) {
    Case c = make_model_case(seed + i);
    reason = why_unsupported(*backend, c);
    if (!reason) return c;
  }
  return Error{ErrorCode::kUnsupported, fmt::format("expected a model that runs, found none: {}", *reason)};
}

Deadline far() {
  return {now_ns() + 60'000'000'000};
}

Finding expect_lost(const char* what, const Result<void>& result, std::string_view cause) {
  if (result) return fmt::format("{}: expected device-lost after a failure, found success", what);
  if (result.error().code != ErrorCode::kDeviceLost) {
    return fmt::format("{}: expected device-lost, found {}: {}", what, to_string(result.error().code),
                       result.error().message);
  }
  if (result.error().message.find(cause) == std::string::npos) {
    return fmt::format("{}: expected the first cause \"{}\", found \"{}\"", what, cause, result.error().message);
  }
  return std::nullopt;
}

/// Checks that every call returns device-lost with the first cause.
Finding check_poisoned(Ready& ready, std::string_view cause) {
  const auto as_void = [](const auto& result) -> Result<void> {
    if (!result) return result.error();
    return {};
  };
  Backend& backend = *ready.backend;
  if (auto f = expect_lost("submit", as_void(ready.step->submit(ready.first->batch.view())), cause)) return f;
  if (auto f = expect_lost("wait", as_void(backend.wait(Ticket{1}, far())), cause)) return f;
  if (auto f = expect_lost("prepare_weight", as_void(backend.prepare_weight(ready.c.weights[0].spec)), cause)) return f;
  if (auto f = expect_lost("create_kv_pool", as_void(backend.create_kv_pool(ready.c.kv, 1)), cause)) return f;
  if (auto f = expect_lost("kv_copy_pages", backend.kv_copy_pages(ready.pool, {}), cause)) return f;
  return expect_lost("compile", as_void(backend.compile(ready.graph, {1, 1, 1, 1}, ready.pool, GroupTiming::kOff)),
                     cause);
}

Finding check_deadline(const MakeBackend& make) {
  auto ready = Ready::make(make, simple_case());
  if (!ready) return ready.error().message;
  const auto ticket = ready->step->submit(ready->first->batch.view());
  if (!ticket) return ticket.error().message;
  const auto result = ready->backend->wait(*ticket, Deadline{0});
  if (result) return "expected a failure: the deadline was before the step began";
  if (result.error().code != ErrorCode::kDeadline) {
    return fmt::format("expected deadline, found {}", to_string(result.error().code));
  }
  return check_poisoned(*ready, result.error().message);
}

Finding check_bucket(const MakeBackend& make) {
  auto ready = Ready::make(make, simple_case());
  if (!ready) return ready.error().message;
  BatchStorage large = ready->first->batch;
  large.token_ids.resize(65);
  large.positions.resize(65);
  large.kv_slots.resize(65, -1);
  const auto ticket = ready->step->submit(large.view());
  if (ticket) return "expected a refusal: 65 tokens in a bucket of 64";
  if (ticket.error().code != ErrorCode::kInvalidInput) {
    return fmt::format("expected invalid-input, found {}", to_string(ticket.error().code));
  }
  return check_poisoned(*ready, ticket.error().message);
}

Finding check_bad_graph(const MakeBackend& make) {
  auto ready = Ready::make(make, simple_case());
  if (!ready) return ready.error().message;
  StepGraph unwritten = ready->graph;
  unwritten.ops.erase(unwritten.ops.begin());
  unwritten.labels.erase(unwritten.labels.begin());
  StepGraph wrong_shape = ready->graph;
  wrong_shape.values[0].cols += 1;
  StepGraph no_weight = ready->graph;
  std::get<Embed>(no_weight.ops[0]).table = WeightId{999};
  for (const StepGraph* const graph : {&unwritten, &wrong_shape, &no_weight}) {
    const auto step = ready->backend->compile(*graph, {4, 1, 4, 1}, ready->pool, GroupTiming::kOff);
    if (step) return "a malformed graph was compiled";
    if (step.error().code != ErrorCode::kInvalidInput) {
      return fmt::format("expected invalid-input, found {}: {}", to_string(step.error().code), step.error().message);
    }
  }
  // The refusals must not have poisoned the backend.
  const auto ticket = ready->step->submit(ready->first->batch.view());
  if (!ticket) return "after refused graphs: " + ticket.error().message;
  const auto result = ready->backend->wait(*ticket, far());
  return result ? std::nullopt : Finding(result.error().message);
}

Finding check_trace(const MakeBackend& make) {
  const Result<Case> c = supported_model(make, 11);
  if (!c) return c.error().message;
  auto plain = Ready::make(make, *c);
  auto traced = Ready::make(make, *c, GroupTiming::kOn);
  if (!plain || !traced) return (plain ? traced : plain).error().message;
  std::set<std::int32_t> seen;
  for (const OpGroup& group : traced->step->groups()) {
    if (group.kernel.empty()) return "a group has no kernel name";
    for (const std::int32_t op : group.ops) {
      if (op < 0 || static_cast<std::size_t>(op) >= traced->graph.ops.size() || !seen.insert(op).second) {
        return fmt::format("operation {} is in no or in several groups", op);
      }
    }
  }
  if (seen.size() != traced->graph.ops.size()) {
    return fmt::format("{} of {} operations are in a group", seen.size(), traced->graph.ops.size());
  }
  std::vector<StepResult> results;
  for (Ready* const ready : {&*plain, &*traced}) {
    const auto ticket = ready->step->submit(ready->first->batch.view());
    if (!ticket) return ticket.error().message;
    auto result = ready->backend->wait(*ticket, far());
    if (!result) return result.error().message;
    const bool is_host = ready->backend->device().is_host;
    if (!is_host && result->transfer_ns.value_or(-1) < 0) return "a device does not say how long its copies took";
    results.push_back(std::move(result).value());
  }
  if (!results[0].groups.empty()) return "an untraced step reports times of groups";
  if (results[0].device_ns <= 0 || results[1].device_ns <= 0) return "device_ns is not positive";
  if (results[0].tokens.size() != results[1].tokens.size()) return "the traced step sampled another number of tokens";
  std::int64_t total_ns = 0;
  for (const GroupTime& time : results[1].groups) {
    if (time.group < 0 || static_cast<std::size_t>(time.group) >= traced->step->groups().size() || time.ns < 0) {
      return fmt::format("group {} took {} ns", time.group, time.ns);
    }
    total_ns += time.ns;
  }
  if (total_ns > results[1].device_ns + results[1].device_ns / 4) {
    return fmt::format("the groups took {} ns, the step {}", total_ns, results[1].device_ns);
  }
  return std::nullopt;
}

Finding check_memory(const MakeBackend& make) {
  Result<Case> c = supported_model(make, 12);
  if (!c) return c.error().message;
  auto ready = Ready::make(make, std::move(c).value());
  if (!ready) return ready.error().message;
  const MemoryUse use = ready->backend->memory();
  KvSpec spec = ready->c.kv;
  spec.dtype = ready->backend->device().kv_dtype;
  const std::int64_t kv_bytes = kv_page_bytes(spec) * ready->c.n_pages;
  if (use.kv_bytes < kv_bytes)
    return fmt::format("expected at least {} bytes of cache, found {}", kv_bytes, use.kv_bytes);
  if (use.weights_bytes <= 0) return "no weights are counted";
  if (use.peak_bytes < use.total_bytes())
    return fmt::format("the peak {} is below {}", use.peak_bytes, use.total_bytes());
  return std::nullopt;
}

Finding check_weights(const MakeBackend& make) {
  auto backend = make();
  if (!backend) return backend.error().message;
  const auto expected_backend = make_expected_backend();
  std::vector<WeightEncoding> encodings = {WeightEncoding::kF32,         WeightEncoding::kBf16,
                                           WeightEncoding::kF16,         WeightEncoding::kInt8PerRow,
                                           WeightEncoding::kInt8Group32, WeightEncoding::kInt4Group32,
                                           WeightEncoding::kFp8PerRow,   WeightEncoding::kInt4Group32Zero,
                                           WeightEncoding::kFp8Group128, WeightEncoding::kMxfp4Group32,
                                           WeightEncoding::kNvfp4Group16};
  encodings.insert(encodings.end(), kBlockEncodings.begin(), kBlockEncodings.end());
  for (const WeightEncoding encoding : encodings) {
    if (!(*backend)->supports_weight(encoding, ActQuant::kNone).supported) continue;
    const std::int32_t n_cols = has_blocks(encoding) ? 256 : 129;
    for (const bool gated : {false, true}) {
      CaseBuilder b("weights", 3);
      if (gated) {
        b.matrix(74, n_cols, encoding, {37, 37}, Join::kInterleaveGateUp);
      } else {
        b.matrix(65, n_cols, encoding, {40, 5, 20}, Join::kConcatRows);
      }
      const WeightSpec& spec = b.result.weights[0].spec;
      const auto id = (*backend)->prepare_weight(spec);
      if (!id) return id.error().message;
      const auto found = (*backend)->unprepare_weight(*id);
      const auto expected_id = expected_backend->prepare_weight(spec);
      const auto expected = expected_backend->unprepare_weight(*expected_id);
      if (!found) return found.error().message;
      if (found->size() != expected->size())
        return fmt::format("expected {} values, found {}", expected->size(), found->size());
      for (std::size_t i = 0; i < found->size(); ++i) {
        // A backend may store the values in BF16.
        const float bound = static_cast<float>(unit_roundoff(DType::kBf16)) * std::fabs((*expected)[i]);
        if (std::fabs((*found)[i] - (*expected)[i]) <= bound) continue;
        return fmt::format("{}{}: row {}, col {}: expected {}, found {}", to_string(encoding),
                           gated ? " gate and up" : "", i / static_cast<std::size_t>(n_cols),
                           i % static_cast<std::size_t>(n_cols), (*expected)[i], (*found)[i]);
      }
    }
  }
  return std::nullopt;
}

/// Checks that logits and cache agree whether tokens are computed in one pass or one by one.
Finding check_prefill_equals_decode(const MakeBackend& make) {
  for (const std::uint64_t seed : {21U, 22U, 23U}) {
    Case prefill = make_model_case(seed);
    const auto graph = static_cast<std::int32_t>(prefill.graphs.size()) - 1;
    std::erase_if(prefill.actions, [&](const Action& action) { return action.graph == graph; });
    Case decode = prefill;
    Dice dice(seed);
    constexpr std::int32_t kTokens = 37;
    Sequences sequences(dice, prefill.n_pages, 16, 2);
    BatchStorage all;
    sequences.append(all, sequences.add(), kTokens, 90);
    sequences.finish(all, 0);
    for (std::int32_t t = 0; t < kTokens; ++t) {
      const auto at = static_cast<std::size_t>(t);
      BatchStorage one = all;
      one.token_ids = {all.token_ids[at]};
      one.positions = {t};
      one.kv_slots = {all.kv_slots[at]};
      one.q_starts = {0, 1};
      one.kv_lengths = {t + 1};
      if (t + 1 == kTokens) Sequences::want_logits(one, 0);
      decode.actions.push_back({graph, one, true, t + 1 == kTokens, {}});
    }
    Sequences::want_logits(all, kTokens - 1);
    prefill.actions.push_back({graph, all, true, true, {}});

    auto first = make();
    auto second = make();
    if (!first || !second) return (first ? second : first).error().message;
    if (why_unsupported(**first, prefill)) continue;
    const auto at_once = run_case(**first, prefill);
    const auto one_by_one = run_case(**second, decode);
    const DType kv_dtype = (*first)->device().kv_dtype;
    const auto expected = run_case(*make_expected_backend(kv_dtype), prefill);
    if (!at_once) return at_once.error().message;
    if (!one_by_one) return one_by_one.error().message;
    // Prefill and decode may round differently. The tolerance comes from draws that are the prefill's logits plus the
    // differences between the envelope and the reference.
    const std::vector<float>& logits = at_once->steps[0].logits;
    std::vector<std::vector<float>> moved;
    for (int draw = 0; draw < kDraws; ++draw) {
      const auto envelope = run_case(*make_envelope_backend(draw, kv_dtype), prefill);
      moved.push_back(logits);
      for (std::size_t i = 0; i < logits.size(); ++i) {
        moved.back()[i] += envelope->steps[0].logits[i] - expected->steps[0].logits[i];
      }
    }
    const std::vector<Values> draws(moved.begin(), moved.end());
    const auto finding =
        compare_values(one_by_one->steps[0].logits, logits, draws, static_cast<std::int64_t>(logits.size()));
    if (finding) return fmt::format("model of seed {}: {}", seed, *finding);
  }
  return std::nullopt;
}

/// Checks that the same case on two newly created backends gives bit-identical results.
Finding check_repeatable(const MakeBackend& make) {
  const Case c = make_model_case(31);
  std::vector<CaseOutputs> runs;
  for (int i = 0; i < 2; ++i) {
    auto backend = make();
    if (!backend) return backend.error().message;
    if (why_unsupported(**backend, c)) return std::nullopt;
    auto outputs = run_case(**backend, c);
    if (!outputs) return outputs.error().message;
    runs.push_back(std::move(outputs).value());
  }
  for (std::size_t step = 0; step < runs[0].steps.size(); ++step) {
    if (runs[0].steps[step].logits != runs[1].steps[step].logits) {
      return fmt::format("step {}: two runs on one machine gave different logits", step);
    }
  }
  return std::nullopt;
}

/// Compares bit by bit, since caches may contain NaN.
bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

/// A prefill and five decode steps, each of which embeds the id that the previous one sampled. The prefill has its own
/// Step; it and the Step of the decode steps share one workspace.
Case make_decoding_case(std::uint64_t seed, bool two_in_flight) {
  Case c = make_model_case(seed);
  const auto prefill = static_cast<std::int32_t>(c.graphs.size()) - 1;
  std::erase_if(c.actions, [&](const Action& action) { return action.graph == prefill; });
  c.graphs.push_back(c.graphs.back());
  Dice dice(seed);
  Sequences sequences(dice, c.n_pages, 16, 2);
  for (std::int32_t s = 0; s < 2; ++s) sequences.add();
  for (std::int32_t step = 0; step < 6; ++step) {
    BatchStorage batch;
    for (std::int32_t s = 0; s < 2; ++s) {
      sequences.append(batch, s, step > 0 ? 1 : dice.between(2, 30), 90);
      if (step > 0) batch.token_ids.back() = -1;
      Sequences::want_logits(batch, batch.q_starts.back() - 1,
                             {.temperature = 0.8F, .seed = seed, .position = sequences.length(s)});
    }
    sequences.finish(batch, 0);
    c.actions.push_back({.graph = step > 0 ? prefill + 1 : prefill,
                         .batch = std::move(batch),
                         .wait = !two_in_flight || step % 2 == 1,
                         .compare = true,
                         .copies = {}});
  }
  return c;
}

/// Checks that two steps in flight give the same bits as one step at a time, although the second one depends on the id and
/// the cache of the first.
Finding check_two_in_flight(const MakeBackend& make) {
  for (const std::uint64_t seed : {41U, 42U, 43U}) {
    std::vector<CaseOutputs> runs;
    for (const bool two_in_flight : {false, true}) {
      const Case c = make_decoding_case(seed, two_in_flight);
      auto backend = make();
      if (!backend) return backend.error().message;
      if (why_unsupported(**backend, c)) break;
      auto outputs = run_case(**backend, c);
      if (!outputs) return outputs.error().message;
      runs.push_back(std::move(outputs).value());
    }
    for (std::size_t step = 0; runs.size() == 2 && step < runs[0].steps.size(); ++step) {
      const StepOutputs& expected = runs[0].steps[step];
      const StepOutputs& found = runs[1].steps[step];
      for (std::size_t i = 0; i < expected.tokens.size(); ++i) {
        if (found.tokens.size() == expected.tokens.size() && found.tokens[i].id == expected.tokens[i].id) continue;
        return fmt::format("model of seed {}, step {}: expected token {} as one at a time, found another", seed, step,
                           expected.tokens[i].id);
      }
      if (!same_bits(found.logits, expected.logits)) {
        return fmt::format("model of seed {}, step {}: expected the logits of one at a time, found others", seed, step);
      }
    }
    if (runs.size() == 2 && !std::ranges::equal(runs[0].cache, runs[1].cache, same_bits)) {
      return fmt::format("model of seed {}: expected the cache of one at a time, found another", seed);
    }
  }
  return std::nullopt;
}

}  // namespace

std::span<const ProtocolCheck> protocol_checks() {
  static constexpr ProtocolCheck kChecks[] = {
      {"a deadline that passed poisons the backend", check_deadline},
      {"a batch over the bucket is refused and poisons the backend", check_bucket},
      {"a malformed graph is refused, and the backend goes on", check_bad_graph},
      {"every operation is in one group, and traced groups have times", check_trace},
      {"memory is counted by purpose, with a peak", check_memory},
      {"a prepared weight comes back as it was", check_weights},
      {"prefill of n tokens equals n decode steps", check_prefill_equals_decode},
      {"two runs give the same bits", check_repeatable},
      {"two steps in flight give what they give one at a time", check_two_in_flight},
  };
  return kChecks;
}

}  // namespace secondsource::conformance
