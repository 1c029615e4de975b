// Expected choices are computed by hand; those of PyTorch are in tests/conformance/vectors_test.cpp.
#include "backend_kit/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <span>
#include <thread>
#include <vector>

#include "core/random.h"
#include "support/catch.h"

namespace secondsource {
namespace {

const std::vector<float> kLogits = {1.0F, 3.0F, 2.0F, 3.0F, -1.0F};

TEST_CASE("greedy takes the largest logit and the lowest id of a tie") {
  CHECK(sample_row(kLogits, {}, 0).id == 1);
  CHECK(sample_row(kLogits, {.forbidden_id = 1}, 0).id == 3);
  CHECK(sample_row(std::vector<float>{0.0F}, {}, 0).id == 0);
}

TEST_CASE("greedy and its log-probability are those of a plain loop, whatever the length") {
  for (std::size_t n = 1; n < 300; ++n) {
    std::vector<float> logits(n);
    // Only seven values, so that there are ties, at both ends of the range where exp differs from 0.
    for (std::size_t i = 0; i < n; ++i) logits[i] = 15.0F * static_cast<float>(random_bits(n, i) % 7) - 60.0F;
    const auto forbidden = static_cast<std::int32_t>(random_bits(n, n) % (n + 1)) - 1;
    std::int32_t best = -1;
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) {
      sum += std::exp(static_cast<double>(logits[i]));
      if (static_cast<std::int32_t>(i) == forbidden) continue;
      if (best < 0 || logits[i] > logits[static_cast<std::size_t>(best)]) best = static_cast<std::int32_t>(i);
    }
    const SampledToken token = sample_row(logits, {.forbidden_id = forbidden}, 0);
    CAPTURE(n, forbidden);
    REQUIRE(token.id == best);
    if (best < 0) continue;
    const double expected = static_cast<double>(logits[static_cast<std::size_t>(best)]) - std::log(sum);
    REQUIRE(std::fabs(static_cast<double>(token.logprob) - expected) < 2e-6 * std::max(1.0, std::fabs(expected)));
  }
}

TEST_CASE("the log-probability is that of the unmodified distribution, forbidden ids included") {
  double sum = 0.0;
  for (const float logit : kLogits) sum += std::exp(static_cast<double>(logit));
  const SampledToken token = sample_row(kLogits, {.temperature = 0.5F, .top_k = 1, .forbidden_id = 1}, 2);
  CHECK(token.id == 3);
  CHECK(token.logprob == Approx(3.0 - std::log(sum)).epsilon(1e-6));
  REQUIRE(token.top.size() == 2);
  CHECK(token.top[0].id == 1);
  CHECK(token.top[1].id == 3);
}

TEST_CASE("a forced id overrides everything and reports its own probability") {
  const SampledToken token =
      sample_row(kLogits, {.temperature = 1.0F, .top_k = 1, .forced_id = 4, .forbidden_id = 4}, 0);
  CHECK(token.id == 4);
  CHECK(token.logprob < -3.0F);
}

TEST_CASE("a NaN or an infinity makes the row not finite and nothing else") {
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    std::vector<float> logits = kLogits;
    logits[2] = bad;
    const SampledToken token = sample_row(logits, {}, 3);
    CHECK_FALSE(token.finite);
    CHECK(token.top.empty());
  }
  CHECK(sample_row(std::vector<float>{std::numeric_limits<float>::max(), -std::numeric_limits<float>::max()}, {}, 1)
            .finite);
}

TEST_CASE("top_k and top_p leave out what they should") {
  std::map<std::int32_t, int> seen_k;
  std::map<std::int32_t, int> seen_p;
  for (std::int64_t position = 0; position < 500; ++position) {
    ++seen_k[sample_row(kLogits, {.temperature = 5.0F, .top_k = 3, .seed = 7, .position = position}, 0).id];
    // The two best have a probability of 0.39 each: together they reach 0.7, one alone does not.
    ++seen_p[sample_row(kLogits, {.temperature = 1.0F, .top_p = 0.7F, .seed = 7, .position = position}, 0).id];
  }
  CHECK(seen_k.size() == 3);
  CHECK(seen_k.count(0) == 0);
  CHECK(seen_k.count(4) == 0);
  CHECK(seen_p.size() == 2);
  CHECK(seen_p.count(1) == 1);
  CHECK(seen_p.count(3) == 1);
}

TEST_CASE("frequencies follow the probabilities") {
  constexpr int kDraws = 20000;
  std::vector<int> counts(kLogits.size());
  for (std::int64_t position = 0; position < kDraws; ++position) {
    ++counts[static_cast<std::size_t>(
        sample_row(kLogits, {.temperature = 1.0F, .seed = 3, .position = position}, 0).id)];
  }
  double sum = 0.0;
  for (const float logit : kLogits) sum += std::exp(static_cast<double>(logit));
  for (std::size_t i = 0; i < kLogits.size(); ++i) {
    const double p = std::exp(static_cast<double>(kLogits[i])) / sum;
    const double deviation = std::sqrt(p * (1.0 - p) / kDraws);
    CHECK(std::fabs(counts[i] / static_cast<double>(kDraws) - p) < 5.0 * deviation);
  }
}

TEST_CASE("a large vocabulary is drawn from as a small one is, and the draw depends on seed and position alone") {
  // All logits are equal, so the random number directly gives the drawn id.
  const std::vector<float> flat(20000, 1.5F);
  for (std::int64_t position = 0; position < 20; ++position) {
    const SamplingParams params{.temperature = 1.0F, .seed = 11, .position = position};
    const auto expected = static_cast<std::int32_t>(random_unit(11, static_cast<std::uint64_t>(position)) * 20000.0);
    CHECK(std::abs(sample_row(flat, params, 0).id - expected) <= 1);
    CHECK(sample_row(flat, params, 20).id == sample_row(flat, params, 0).id);
  }
}

TEST_CASE("the log-probability of a long row is that of a plain loop, wherever its largest logit stands") {
  for (const std::size_t n : {16383U, 16384U, 16385U, 50000U}) {
    std::vector<float> logits(n);
    for (std::size_t i = 0; i < n; ++i) logits[i] = static_cast<float>(random_bits(n, i) % 1000) / 50.0F - 10.0F;
    for (const std::size_t best : {std::size_t{0}, n / 2, n - 1}) {
      std::vector<float> row = logits;
      row[best] = 11.0F;
      double sum = 0;
      for (const float logit : row) sum += std::exp(static_cast<double>(logit));
      const SampledToken token = sample_row(row, {}, 0);
      CAPTURE(n, best);
      CHECK(token.id == static_cast<std::int32_t>(best));
      CHECK(token.logprob == Approx(11.0 - std::log(sum)).epsilon(1e-6));
    }
  }
}

/// Rows longer than one piece, each sampled with other parameters; the largest logit occurs in several pieces.
struct ManyRows {
  static constexpr std::int64_t kRows = 7;
  static constexpr std::int64_t kCols = 40000;
  std::vector<float> values;
  std::vector<SamplingParams> params = {{},
                                        {.forbidden_id = 30000},
                                        {.forced_id = 39999},
                                        {.temperature = 1.0F, .seed = 5, .position = 1},
                                        {.temperature = 0.7F, .top_k = 40, .seed = 5, .position = 2},
                                        {.temperature = 1.3F, .top_p = 0.9F, .seed = 5, .position = 3},
                                        {}};
  ManyRows() : values(static_cast<std::size_t>(kRows * kCols)) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(random_bits(17, i) % 4001) / 200.0F - 10.0F;
    }
    for (std::size_t row = 0; row < params.size(); ++row) {
      for (const std::size_t id : {30000U, 35000U}) values[row * std::size_t{kCols} + id] = 10.5F;
    }
    values.back() = NAN;
  }
  [[nodiscard]] std::vector<SampledToken> sampled(const ForEach& for_each) const {
    std::vector<SampledToken> tokens(params.size());
    sample_rows({values.data(), kRows, kCols}, params, 5, for_each, tokens);
    return tokens;
  }
};

TEST_CASE("rows are sampled bit for bit as one alone, in any order and on any number of threads") {
  const ManyRows rows;
  const auto backwards = [](std::int64_t n, const std::function<void(std::int64_t)>& body) {
    for (std::int64_t i = n - 1; i >= 0; --i) body(i);
  };
  const auto on_threads = [](std::int64_t n_threads) {
    return [n_threads](std::int64_t n, const std::function<void(std::int64_t)>& body) {
      std::vector<std::thread> threads;
      for (std::int64_t t = 0; t < n_threads; ++t) {
        threads.emplace_back([&body, t, n, n_threads] {
          for (std::int64_t i = t; i < n; i += n_threads) body(i);
        });
      }
      for (std::thread& thread : threads) thread.join();
    };
  };
  for (const ForEach& for_each :
       {ForEach(for_each_on_caller), ForEach(backwards), ForEach(on_threads(2)), ForEach(on_threads(5))}) {
    const std::vector<SampledToken> tokens = rows.sampled(for_each);
    for (std::size_t row = 0; row < tokens.size(); ++row) {
      CAPTURE(row);
      const auto logits = std::span(rows.values).subspan(row * std::size_t{ManyRows::kCols}, ManyRows::kCols);
      const SampledToken alone = sample_row(logits, rows.params[row], 5);
      CHECK(tokens[row].id == alone.id);
      CHECK(tokens[row].finite == alone.finite);
      CHECK(tokens[row].logprob == alone.logprob);
      REQUIRE(tokens[row].top.size() == alone.top.size());
      for (std::size_t i = 0; i < alone.top.size(); ++i) {
        CHECK(tokens[row].top[i].id == alone.top[i].id);
        CHECK(tokens[row].top[i].logprob == alone.top[i].logprob);
      }
    }
    CHECK(tokens[0].id == 30000);
    CHECK(tokens[1].id == 35000);
    CHECK(tokens[2].id == 39999);
    CHECK_FALSE(tokens[6].finite);
  }
}

TEST_CASE("n_top is cut to the vocabulary and ordered by logit, then by id") {
  const SampledToken token = sample_row(kLogits, {}, 10);
  REQUIRE(token.top.size() == 5);
  const std::vector<std::int32_t> expected = {1, 3, 2, 0, 4};
  for (std::size_t i = 0; i < 5; ++i) CHECK(token.top[i].id == expected[i]);
}

}  // namespace
}  // namespace secondsource
