#include "cost/price_book.h"

#include <fmt/format.h>

#include "support/result.h"
#include "support/source_path.h"

using namespace secondsource;

namespace {

/// A price book with one row, in which `from` is replaced by `to`.
std::string book_with(std::string_view from = "", std::string_view to = "") {
  std::string text =
      "version: 1\nread_on: 2026-11-20\ncurrency: USD\nrows:\n"
      "  - {provider: aws, region: us-east-1, instance: p5.48xlarge, commitment: on-demand, accelerator: h100-sxm,\n"
      "     accelerators: 8, vcpus: 192, usd_per_hour: 55.04, usd_per_accelerator_hour: 6.88, date: 2026-11,\n"
      "     source: \"a list\"}\n";
  if (!from.empty()) text.replace(text.find(from), from.size(), to);
  return text;
}

}  // namespace

TEST_CASE("a row is found by its key, and a key without commitment means on demand") {
  const auto book = parse_price_book(book_with(), "book.yaml");
  REQUIRE_OK(book);
  REQUIRE(book->size() == 1);
  CHECK(book->front().key() == "aws/us-east-1/p5.48xlarge/on-demand");
  CHECK(book->front().dated() == "2026-11");
  for (const char* key : {"aws/us-east-1/p5.48xlarge/on-demand", "aws/us-east-1/p5.48xlarge"}) {
    const auto price = resolve_price(key, *book);
    REQUIRE_OK(price);
    CHECK(price->price.usd_per_hour == 55.04);
    CHECK(price->price.n_units == 8);
    CHECK(price->n_devices == 8);
    CHECK(price->n_cpus == 192);
  }
  CHECK_ERROR(find_price("aws/us-east-1/p5.48xlarge/spot", *book), ErrorCode::kInvalidInput,
              "PROVIDER/REGION/INSTANCE");
  CHECK_ERROR(find_price("p5.48", *book), ErrorCode::kInvalidInput, "near: aws/us-east-1/p5.48xlarge/on-demand");
}

TEST_CASE("--price is a number of USD per hour or the key of a row") {
  const auto book = parse_price_book(book_with(), "book.yaml");
  REQUIRE_OK(book);
  CHECK(resolve_price("0.25", *book)->price.usd_per_hour == 0.25);
  CHECK(resolve_price("1e6", *book)->price.usd_per_hour == 1e6);
  for (const char* bad : {"", "-1", "0", "nan", "1e99", "1.0x", "other"}) {
    CAPTURE(bad);
    CHECK_ERROR(resolve_price(bad, *book), ErrorCode::kInvalidInput, "--price");
  }
  CHECK_ERROR(resolve_price("1e9", *book), ErrorCode::kInvalidInput,
              "--price: expected USD per hour above 0 and up to 1000000, found 1e9");
}

TEST_CASE("a price book is refused with the line, the field and what was expected") {
  const auto [from, to, part] = GENERATE(table<const char*, const char*, const char*>({
      {"version: 1", "version: 2", "book.yaml:1: version"},
      {"currency: USD", "currency: EUR", "expected USD"},
      {"read_on: 2026-11-20", "read_on: 2026-02-30", "YYYY-MM-DD"},
      {"rows:", "lines:", "lines"},
      {"vcpus: 192", "vcpu: 192", "found \"vcpu\""},
      {"provider: aws, ", "", "provider"},
      {"provider: aws", "provider: \"  \"", "a real value"},
      {"source: \"a list\"", "source: TBD", "a real value"},
      {"source: \"a list\"", "source: \"?\"", "a real value"},
      {"instance: p5.48xlarge", "instance: \"p5 48xlarge\"", "without spaces"},
      {"commitment: on-demand", "commitment: reserved", "on-demand, spot, 1-year or 3-years"},
      {"commitment: on-demand", "commitment: own", "on-demand, spot, 1-year or 3-years"},
      {"usd_per_hour: 55.04", "usd_per_hour: -55.04", "a price above 0"},
      {"usd_per_hour: 55.04", "usd_per_hour: 0", "a price above 0"},
      {"usd_per_hour: 55.04", "usd_per_hour: .nan", "book.yaml:6: rows[0].usd_per_hour: expected a number"},
      {"usd_per_hour: 55.04", "usd_per_hour: .inf", "expected a number"},
      {"usd_per_hour: 55.04", "usd_per_hour: \"55.04\"", "number"},
      {"usd_per_hour: 55.04", "usd_per_hour: 999.99", "a real price"},
      // The price of one accelerator in place of the instance's price, and vice versa.
      {"usd_per_hour: 55.04", "usd_per_hour: 6.88",
       "expected 0.86 (usd_per_hour / accelerators: 6.88 / 8), found 6.88"},
      {"usd_per_accelerator_hour: 6.88", "usd_per_accelerator_hour: 55.04", "expected 6.88"},
      {", usd_per_accelerator_hour: 6.88", "", "usd_per_accelerator_hour"},
      {"usd_per_hour: 55.04, usd_per_accelerator_hour: 6.88", "usd_per_hour: 5504, usd_per_accelerator_hour: 688",
       "is it the price of the whole instance?"},
      {"accelerators: 8", "accelerators: 0", "a count of at least 1"},
      {"accelerator: h100-sxm", "accelerator: cpu", "none where accelerator is cpu"},
      {"date: 2026-11", "date: 2026-13", "YYYY-MM-DD, YYYY-MM, YYYY-Qn, YYYY or undated"},
      {"date: 2026-11", "date: soon", "undated"},
      {"date: 2026-11", "usd_per_hour_low: 60, date: 2026-11", "between usd_per_hour_low"},
  }));
  CAPTURE(from, to);
  CHECK_ERROR(parse_price_book(book_with(from, to), "book.yaml"), ErrorCode::kInvalidInput, part);
}

TEST_CASE("a key that stands twice and a book without rows are refused") {
  const std::string once = book_with();
  const std::string row = once.substr(once.find("  - "));
  CHECK_ERROR(parse_price_book(once + row, "book.yaml"), ErrorCode::kInvalidInput,
              "\"aws/us-east-1/p5.48xlarge/on-demand\" is given twice");
  CHECK_ERROR(parse_price_book("version: 1\nread_on: 2026-11-20\ncurrency: USD\n", "book.yaml"),
              ErrorCode::kInvalidInput, "at least one row");
  CHECK_ERROR(parse_price_book("", "book.yaml"), ErrorCode::kInvalidInput, "book.yaml");
}

TEST_CASE("a machine without accelerators is divided by its vCPUs, which then have to be there") {
  const std::string cpu =
      "version: 1\nread_on: 2026-11-20\ncurrency: USD\nrows:\n  - {provider: p, region: r, instance: i, "
      "commitment: spot, accelerator: cpu, vcpus: 128, usd_per_hour: 3.2, date: undated, source: s}\n";
  const auto book = parse_price_book(cpu, "book.yaml");
  REQUIRE_OK(book);
  CHECK(book->front().n_units() == 128);
  CHECK(book->front().dated() == "undated, read 2026-11-20");
  std::string without = cpu;
  without.replace(without.find("vcpus: 128, "), 12, "");
  CHECK_ERROR(parse_price_book(without, "book.yaml"), ErrorCode::kInvalidInput, "vcpus");
}

TEST_CASE("an own machine's hour is computed, and its inputs are checked") {
  std::string own =
      "version: 1\nread_on: 2026-11-20\ncurrency: USD\nown:\n  - {provider: own, region: sao-paulo, instance: rack-7, "
      "accelerator: mi300x, accelerators: 8, purchase_usd: 200000, residual_percent: 10, depreciation_years: 4, "
      "power_w: 9500, pue: 1.3, usd_per_kwh: 0.12, hosting_usd_per_month: 1500, maintenance_percent_per_year: 5, "
      "utilisation_percent: 95, date: 2026-11-20, source: \"our invoice\"}\n";
  const auto book = parse_price_book(own, "book.yaml");
  REQUIRE_OK(book);
  CHECK(book->front().key() == "own/sao-paulo/rack-7/own");
  CHECK(book->front().usd_per_hour == Approx(10.253929824561402));  // value of docs/cost.md
  own.replace(own.find("pue: 1.3"), 8, "pue: 0.9");
  CHECK_ERROR(parse_price_book(own, "book.yaml"), ErrorCode::kInvalidInput, "own[0].pue");
}

TEST_CASE("what is written is what is read") {
  const auto book = parse_price_book(
      book_with("date: 2026-11",
                "usd_per_hour_low: 40, usd_per_hour_high: 60, note: \"a: \\\"b\\\" #c\", date: 2026-11"),
      "book.yaml");
  REQUIRE_OK(book);
  const std::string written = write_price_book(*book, "2026-11-20");
  const auto again = parse_price_book(written, "again.yaml");
  REQUIRE_OK(again);
  CHECK(write_price_book(*again, "2026-11-20") == written);
  CHECK(again->front().note == "a: \"b\" #c");
  CHECK(again->front().usd_per_hour_high == 60);
}

TEST_CASE("rows grow stale by their date, or by the day on which they were read") {
  const auto [date, today, is_stale] = GENERATE(table<const char*, const char*, bool>({
      {"2026-11-01", "2026-12-01", false},
      {"2026-11-01", "2026-12-02", true},
      {"2026-11", "2026-12-02", true},
      {"2026-Q4", "2026-10-31", false},
      {"2026-Q4", "2026-11-01", true},
      {"undated", "2026-12-20", false},  // the book was read on 2026-11-20
      {"undated", "2026-12-21", true},
  }));
  CAPTURE(date, today);
  const auto book = parse_price_book(book_with("2026-11,", fmt::format("{},", date)), "book.yaml");
  REQUIRE_OK(book);
  CHECK(stale_rows(*book, today, 30).empty() == !is_stale);
}

TEST_CASE("the price book that comes with the project is valid, and has none of the traps of its sources") {
  const auto book = read_price_book(test::source_path("reports/prices.yaml"));
  REQUIRE_OK(book);
  CHECK(book->size() == 112);
  for (const PriceRow& row : *book) {
    CAPTURE(row.key());
    CHECK(row.date != "2024");
    if (row.commitment != Commitment::kSpot) continue;
    // A spot price must be below the on-demand price to be an offer.
    const auto on_demand = find_price(fmt::format("{}/{}/{}", row.provider, row.region, row.instance), *book);
    if (on_demand) CHECK(row.usd_per_hour < on_demand->usd_per_hour);
  }
  // The machine has 8 accelerators, not the 12 that the catalog states.
  CHECK(find_price("azure/eastus/Standard_ND96isr_H100_v5", *book)->accelerators == 8);
  // The catalog counts TensorCores, of which each chip has two.
  CHECK(find_price("gcp/us-east1/tpu-v5p-12288", *book)->accelerators == 6144);
}
