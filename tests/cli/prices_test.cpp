// Tests `secondsource prices` import, list and check.

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>

#include "core/file.h"
#include "expectations.h"
#include "schema_keys.h"
#include "support/program.h"
#include "support/result.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

const std::string kBook = source_path("reports/prices.yaml");

}  // namespace

TEST_CASE("prices list shows rows, by their keys, and can choose among them") {
  const ProgramRun all = run_program({"prices", "list", kBook});
  CHECK(all.status == 0);
  CHECK(all.err.empty());
  CHECK(std::count(all.out.begin(), all.out.end(), '\n') == 112 + 2);
  const ProgramRun some =
      run_program({"prices", "list", kBook, "--accelerator", "mi3*", "--commitment", "on-demand", "--provider", "oci"});
  CHECK(some.status == 0);
  CHECK(contains(some.out, "oci/af-casablanca-1/BM.GPU.MI300X.8/on-demand"));
  CHECK(contains(some.out, "undated, read 2026-11-20"));
  CHECK(std::count(some.out.begin(), some.out.end(), '\n') == 2 + 2);
  const ProgramRun none = run_program({"prices", "list", kBook, "--accelerator", "h100"});
  CHECK(none.status == 2);
  CHECK(is_one_line(none.err));
  CHECK(contains(none.err,
                 "prices.yaml: none of its 112 rows matches the filters; it has prices for a100-40, a100-80, b200"));
}

TEST_CASE("prices check counts the rows, and ends with 2 when one is too old or the book is malformed") {
  const ProgramRun good = run_program({"prices", "check", kBook});
  CHECK(good.status == 0);
  CHECK(contains(good.out, "112 rows"));
  CHECK(run_program({"prices", "check", kBook, "--max-age", "400", "--today", "2026-12-01"}).status == 0);
  const ProgramRun old = run_program({"prices", "check", kBook, "--max-age", "90", "--today", "2026-12-01"});
  CHECK(old.status == 2);
  CHECK(contains(old.out, "coreweave/unspecified/b200-x8/on-demand: older than 90 days: 2026-02"));
  CHECK(run_program({"prices", "check", kBook, "--max-age", "90", "--today", "tomorrow"}).status == 2);
  check_refused(run_program({"prices", "check", kBook, "--today", "tomorrow"}), "--today: expected YYYY-MM-DD");
  CHECK(run_program({"prices", "check", source_path("reports/templates/prices.yaml")}).status == 0);
  const ProgramRun absent = run_program({"prices", "check", "/nonexistent.yaml"});
  CHECK(absent.status == 2);
  CHECK(is_one_line(absent.err));
}

TEST_CASE("prices check ends with 2 for a price that is dated, or was read, after today") {
  const ScratchFolder scratch;
  const std::string book = (scratch.path() / "book.yaml").string();
  for (const auto& [read_on, date, n_after] :
       {std::tuple("2026-11-20", "2026-11", 0), std::tuple("2062-11-20", "2026-11", 1),
        std::tuple("2026-11-20", "2062", 1), std::tuple("2026-11-20", "undated", 0)}) {
    CAPTURE(read_on, date);
    REQUIRE_OK(write_file(book, fmt::format("version: 1\nread_on: {}\ncurrency: USD\nrows:\n"
                                            "  - {{provider: a, region: b, instance: c, commitment: on-demand, "
                                            "accelerator: h100-sxm, accelerators: 1, usd_per_hour: 3, date: {}, "
                                            "source: ours}}\n",
                                            read_on, date)));
    const ProgramRun run = run_program({"prices", "check", book, "--today", "2026-12-01"});
    CAPTURE(run.out, run.err);
    CHECK(run.status == (n_after > 0 ? 2 : 0));
    CHECK(contains(run.out, fmt::format("{} from the future", n_after)));
    CHECK(contains(run.out, "a/b/c/on-demand: expected a price of 2026-12-01 or before") == (n_after > 0));
  }
}

TEST_CASE("prices import writes a book that the other commands read, and says what it left out") {
  const ScratchFolder scratch;
  const std::string catalog = (scratch.path() / "vms.csv").string();
  const std::string book = (scratch.path() / "book.yaml").string();
  REQUIRE_OK(write_file(catalog,
                        "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,Price,Region,GpuInfo,SpotPrice\n"
                        "gpu_1x_h100_pcie,H100,1.0,26.0,200.0,3.29,us-east-1,,\n"
                        "gpu_8x_b200_sxm6,B200,8.0,208.0,2900.0,53.52,us-east-1,,\n"
                        "gpu_1x_gh200,GH200,1.0,64.0,432.0,,us-east-1,,\n"));
  const std::vector<std::string> import = {"prices",   "import",    catalog,     "--provider", "lambda",
                                           "--source", "a catalog", "--read-on", "2026-11-20"};
  std::vector<std::string> to_file = import;
  to_file.insert(to_file.end(), {"--out", book});
  const ProgramRun written = run_program(to_file);
  CAPTURE(written.err);
  CHECK(written.status == 0);
  CHECK(contains(written.err, "left out 1 (first in line 4): neither price: not sold there"));
  CHECK(run_program(import).out == *read_file(book));
  const ProgramRun list = run_program({"prices", "list", book});
  CHECK(contains(list.out, "lambda/us-east-1/gpu_1x_h100_pcie/on-demand  h100-pcie"));
  CHECK(contains(list.out, "6.69"));

  std::vector<std::string> none = import;
  none.insert(none.end(), {"--accelerator", "mi300x"});
  CHECK(run_program(none).status == 2);
  std::vector<std::string> bad_date = import;
  bad_date.insert(bad_date.end(), {"--date", "last week"});
  const ProgramRun refused = run_program(bad_date);
  CHECK(refused.status == 2);
  CHECK(is_one_line(refused.err));
  CHECK(contains(refused.err, "--date"));
}

TEST_CASE("the published schema of price books has the keys that the reader takes") {
  const ScratchFolder scratch;
  const std::string path = (scratch.path() / "book.yaml").string();
  const auto refusal = [&](const std::string& text) {
    REQUIRE_OK(write_file(path, text));
    const ProgramRun run = run_program({"prices", "check", path});
    CHECK(run.status == 2);
    return run.err;
  };
  const auto schema = nlohmann::json::parse(*read_file(source_path("reports/schemas/prices.schema.json")));
  CHECK(keys_in(refusal("other: 1\n")) == properties_of(schema));
  const std::string head = "version: 1\nread_on: 2026-11-20\ncurrency: USD\n";
  CHECK(keys_in(refusal(head + "rows: [{other: 1}]\n")) == properties_of(schema["properties"]["rows"]["items"]));
  CHECK(keys_in(refusal(head + "own: [{other: 1}]\n")) == properties_of(schema["properties"]["own"]["items"]));
}
