// Expected bounds are computed by hand from what a response proves: at some moment between sending and reading, the server's clock
// showed its Date. Tests with random delays know the true offset, which must always lie within the bounds.

#include "serving/server_times.h"

#include <algorithm>
#include <string>
#include <vector>

#include "core/random.h"
#include "support/catch.h"

using namespace secondsource;

namespace {

constexpr std::int64_t kMillisecond = 1'000'000;
constexpr std::int64_t kWholeSecond = 1'000'000'000;

/// Rounds down, for negative times too.
std::int64_t whole_seconds(std::int64_t ns) {
  return ns / kWholeSecond - (ns % kWholeSecond < 0 ? 1 : 0);
}

}  // namespace

TEST_CASE("a Date is read in the one form that servers write") {
  // Seconds by Python's calendar.timegm.
  CHECK(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT") == 784'111'777);
  CHECK(parse_http_date("Thu, 01 Jan 1970 00:00:00 GMT") == 0);
  CHECK(parse_http_date("Mon, 23 Nov 2026 17:30:00 GMT") == 1'795'455'000);
  CHECK(parse_http_date("Thu, 29 Feb 2024 23:59:59 GMT") == 1'709'251'199);
  const auto text =
      GENERATE(as<std::string>(), "", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
               "Mon, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 24:49:37 GMT",
               "Sun, 06 Nov 1994 08:49:60 GMT", "Sun, 6 Nov 1994 08:49:37 GMT ", "Sun, 31 Nov 1994 08:49:37 GMT",
               "Sun, 06 nov 1994 08:49:37 GMT", "Wed, 31 Dec 1969 23:59:59 GMT", "Sun, 06 Nov 1994 08:49:37 GMTx",
               "Thu, 29 Feb 2023 23:59:59 GMT", "Sun, 06 Nov +994 08:49:37 GMT");
  CAPTURE(text);
  CHECK_FALSE(parse_http_date(text));
}

TEST_CASE("an Age above 0 says that the response waited in a cache") {
  CHECK(is_fresh_age("0"));
  CHECK(is_fresh_age("00"));
  for (const char* age : {"", "1", "3600", "-0", "0 s"}) CHECK_FALSE(is_fresh_age(age));
}

TEST_CASE("without a Date there is nothing to tell") {
  ServerTimes dates;
  CHECK_FALSE(dates.take(0, 0));
  dates.add(20, 10, 100);  // read before it was sent
  dates.add(10, 20, -1);
  dates.add(10, 20, INT64_MAX);
  CHECK_FALSE(dates.take(0, 0));
}

TEST_CASE("one response bounds the clock to a second and its own time") {
  ServerTimes dates;
  // Sent 10 ms and read 30 ms after this machine's clock started, when its wall clock showed 1000 s.
  dates.add(10 * kMillisecond, 30 * kMillisecond, 1005);
  const auto clock = dates.take(0, 1000 * kWholeSecond);
  REQUIRE(clock);
  CHECK(clock->n_responses == 1);
  CHECK(clock->turns.empty());
  CHECK(clock->why_not.empty());
  // The server's clock showed at least 1005 s at 30 ms, and less than 1006 s at 10 ms; the drift adds 0.0001 * 20 ms.
  CHECK(clock->ahead_low_ns == 5 * kWholeSecond - 30 * kMillisecond - 2000);
  CHECK(clock->ahead_high_ns == 6 * kWholeSecond - 10 * kMillisecond + 2000);
  CHECK_FALSE(dates.take(0, 0));  // each call covers what came since the last one
}

TEST_CASE("a turn of the second lies between the last request before it and the first response behind it") {
  ServerTimes dates;
  dates.add(100 * kMillisecond, 110 * kMillisecond, 50);
  dates.add(190 * kMillisecond, 200 * kMillisecond, 50);
  dates.add(195 * kMillisecond, 207 * kMillisecond, 51);
  dates.add(180 * kMillisecond, 215 * kMillisecond, 51);
  dates.add(3200 * kMillisecond, 3210 * kMillisecond, 54);
  const auto clock = dates.take(100 * kMillisecond, 0);
  REQUIRE(clock);
  CHECK(clock->n_responses == 5);
  CHECK(clock->n_contradicted == 0);
  // The times count from 100 ms. No response shows when the seconds 52 and 53 began.
  CHECK(clock->turns == std::vector<DateTurn>{{51, 90 * kMillisecond, 107 * kMillisecond},
                                              {54, 95 * kMillisecond, 3110 * kMillisecond}});
}

TEST_CASE("Dates that cannot all have been true are told, and turns that cannot have happened are not") {
  ServerTimes dates;
  dates.add(0, 10 * kMillisecond, 70);
  dates.add(20 * kMillisecond, 30 * kMillisecond, 75);  // five seconds in 30 ms: the clock was set
  const auto stepped = dates.take(0, 0);
  REQUIRE(stepped);
  CHECK_FALSE(stepped->ahead_low_ns);
  CHECK_FALSE(stepped->ahead_high_ns);
  CHECK(stepped->why_not.find("contradict each other by") != std::string::npos);
  CHECK(stepped->turns.size() == 1);
  dates.add(0, 10 * kMillisecond, 75);
  dates.add(20 * kMillisecond, 30 * kMillisecond, 70);  // and back: two servers behind one name, perhaps
  const auto back = dates.take(0, 0);
  REQUIRE(back);
  CHECK(back->n_contradicted == 1);
  CHECK(back->turns.empty());
}

TEST_CASE("the true offset lies inside, and the turns are where they were, for any offset and any delays") {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    CAPTURE(seed);
    RandomStream random(seed);
    const auto below = [&](std::int64_t bound) {
      return static_cast<std::int64_t>(random.next_below(static_cast<std::uint64_t>(bound)));
    };
    const std::int64_t ahead_ns = below(20 * kWholeSecond) - 10 * kWholeSecond;
    const std::int64_t wall_ns = 1'700'000'000 * kWholeSecond + below(kWholeSecond);
    const double drift = 0.9 * kClockDrift * (2 * random.next_unit() - 1);
    const std::int64_t longest_ns = 1 + below(300 * kMillisecond);
    const auto server_clock = [&](std::int64_t at_ns) {
      return wall_ns + at_ns + ahead_ns + static_cast<std::int64_t>(drift * static_cast<double>(at_ns));
    };
    ServerTimes dates;
    const std::int64_t n = 1 + below(400);
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int64_t sent_ns = below(8 * kWholeSecond);
      const std::int64_t made_ns = sent_ns + below(longest_ns);
      dates.add(sent_ns, made_ns + below(longest_ns), whole_seconds(server_clock(made_ns)));
    }
    const auto clock = dates.take(0, wall_ns);
    REQUIRE(clock);
    REQUIRE(clock->ahead_low_ns);
    CHECK(*clock->ahead_low_ns <= ahead_ns);
    CHECK(*clock->ahead_high_ns >= ahead_ns);
    CHECK(clock->n_contradicted == 0);
    if (n > 200) CHECK(*clock->ahead_high_ns - *clock->ahead_low_ns < 2 * longest_ns + 200 * kMillisecond);
    for (const DateTurn& turn : clock->turns) {
      CHECK(whole_seconds(server_clock(turn.after_ns)) < turn.unix_s);
      CHECK(whole_seconds(server_clock(turn.until_ns)) >= turn.unix_s);
    }
  }
}

TEST_CASE("turns hold for a Date that a server refreshes now and then, by which its clock cannot be told") {
  // The server updates its Date only every 1.07 s, so the one that it sends is up to 1.07 s old.
  ServerTimes dates;
  const auto shown_at = [](std::int64_t at_ns) {
    return whole_seconds(at_ns / (1070 * kMillisecond) * (1070 * kMillisecond) + 400 * kWholeSecond);
  };
  for (std::int64_t i = 0; i < 1000; ++i) {
    const std::int64_t sent_ns = i * 8 * kMillisecond;
    dates.add(sent_ns, sent_ns + 6 * kMillisecond, shown_at(sent_ns + 3 * kMillisecond));
  }
  const auto clock = dates.take(0, 400 * kWholeSecond);
  REQUIRE(clock);
  CHECK_FALSE(clock->ahead_low_ns);
  REQUIRE(clock->turns.size() == 7);
  for (const DateTurn& turn : clock->turns) {
    CHECK(shown_at(turn.after_ns) < turn.unix_s);
    CHECK(shown_at(turn.until_ns) >= turn.unix_s);
    CHECK(turn.until_ns - turn.after_ns <= 20 * kMillisecond);
  }
}
