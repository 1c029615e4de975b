#include "cost/price.h"
#include "cost/price_book.h"
#include "support/result.h"

using namespace secondsource;

TEST_CASE("a thousand tokens cost what the hour costs, divided by the thousands of tokens in it") {
  // By hand: 3.60 USD/h at 100 tokens/s is 360 thousand tokens an hour, so 0.01 USD a thousand.
  CHECK(*usd_per_1k_tokens({.usd_per_hour = 3.60}, 100) == Approx(0.01));
  // Two of eight devices: a quarter of the price.
  CHECK(*usd_per_1k_tokens({.usd_per_hour = 3.60, .n_units = 8, .n_units_used = 2}, 100) == Approx(0.0025));
  CHECK_FALSE(usd_per_1k_tokens({.usd_per_hour = 3.60}, 0));
  // 1e6 tokens at 1000/s take 1000 s on each of two devices: 0.5556 device-hours.
  CHECK(*device_hours_per_million_tokens(2, 1000) == Approx(2000.0 / 3600));
}

TEST_CASE("the price book that comes with the project is valid and every row names its source and date") {
  const auto book = read_price_book(SS_SOURCE_FOLDER "/reports/prices.yaml");
  REQUIRE_OK(book);
  CHECK(book->size() >= 15);
  for (const PriceRow& row : *book) {
    CAPTURE(row.id);
    CHECK_FALSE(row.source.empty());
    CHECK_FALSE(row.date.empty());
  }
}

TEST_CASE("--price is a number of USD per hour or the id of a row") {
  const std::vector<PriceRow> book = {
      {.id = "cpu-128", .provider = "p", .n_units = 128, .usd_per_hour = 3.2, .date = "2026-11"}};
  CHECK(resolve_price("0.25", book)->usd_per_hour == 0.25);
  const auto row = resolve_price("cpu-128", book);
  REQUIRE_OK(row);
  CHECK(row->n_units == 128);
  CHECK(row->date == "2026-11");
  for (const char* bad : {"", "-1", "0", "nan", "1e99", "1.0x", "other"}) {
    CAPTURE(bad);
    CHECK_ERROR(resolve_price(bad, book), ErrorCode::kInvalidInput, "--price");
  }
}

TEST_CASE("a malformed price book is refused with its line") {
  const auto [yaml, part] = GENERATE(table<const char*, const char*>({
      {"read_on: x\ncurrency: EUR\nrows: []\n", "expected USD"},
      {"read_on: x\ncurrency: USD\nrows: []\nextra: 1\n", "extra"},
      {"read_on: x\ncurrency: USD\nrows:\n  - {id: a}\n", "provider"},
      {"read_on: x\ncurrency: USD\nrows:\n  - {id: a, provider: p, instance: i, accelerator: c, region: r, date: d, "
       "source: "
       "s, units: 0, usd_per_hour: 1}\n",
       "at least 1"},
  }));
  CHECK_ERROR(parse_price_book(yaml, "book.yaml"), ErrorCode::kInvalidInput, part);
}
