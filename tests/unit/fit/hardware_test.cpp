#include "fit/hardware.h"

#include "support/catch.h"
#include "support/result.h"
#include "support/source_path.h"

using namespace secondsource;

namespace {

std::string file_with(const std::string& device) {
  return "version: 1\nread_on: 2026-11-20\ndevices:\n  - {" + device + "}\n";
}

}  // namespace

TEST_CASE("the program's copy is the committed file, and every device in it has a source") {
  const auto known = known_hardware();
  REQUIRE_OK(known);
  const auto committed = read_hardware_file(test::source_path("reports/hardware.yaml"));
  REQUIRE_OK(committed);
  REQUIRE(known->size() == committed->size());
  CHECK(known->size() >= 40);
  for (std::size_t i = 0; i < known->size(); ++i) {
    CHECK((*known)[i].id == (*committed)[i].id);
    CHECK_FALSE((*known)[i].sources.empty());
  }
  const auto h100 = find_hardware("h100-sxm", *known);
  REQUIRE_OK(h100);
  CHECK(h100->memory_bytes == 80.0 * (std::int64_t{1} << 30));
  CHECK(h100->bytes_per_s == 3.35e12);
  CHECK(h100->peaks.bf16 == 989.4e12);
  CHECK_FALSE(h100->peaks.fp4.has_value());
  const auto b200 = find_hardware("b200", *known);
  REQUIRE_OK(b200);
  CHECK(b200->peaks.fp4 == 9000e12);
  const auto mi355x = find_hardware("mi355x", *known);
  REQUIRE_OK(mi355x);
  CHECK_FALSE(mi355x->peaks.fp4.has_value());
  CHECK(mi355x->peaks.mxfp4 == 10000e12);
  CHECK_ERROR(find_hardware("h101", *known), ErrorCode::kInvalidInput, "expected one of a100-40");
  CHECK_ERROR(find_hardware("h200x", *known), ErrorCode::kInvalidInput, "found \"h200x\"; did you mean h200?");
}

TEST_CASE("a file of devices is read strictly") {
  const std::string good = "id: x, vendor: v, name: n, kind: gpu, sources: [s]";
  REQUIRE_OK(parse_hardware_file(file_with(good), "f"));
  const auto refused = [](const std::string& device, const char* part) {
    CHECK_ERROR(parse_hardware_file(file_with(device), "f"), ErrorCode::kInvalidInput, part);
  };
  refused(good + ", memory: 80", "memory");
  refused(good + ", memory_gib: -1", "memory_gib");
  refused(good + ", bandwidth_gb_per_s: 0", "bandwidth_gb_per_s");
  refused(good + ", peak_tflops: {bf32: 1}", "bf32");
  refused("id: x, vendor: v, name: n, kind: toaster, sources: [s]", "gpu, cpu, soc, tpu or accelerator");
  refused("id: x, vendor: v, name: n, kind: gpu", "sources");
  const std::string twice = file_with(good) + "  - {" + good + "}\n";
  CHECK_ERROR(parse_hardware_file(twice, "f"), ErrorCode::kInvalidInput, "occurs twice");
  CHECK_ERROR(parse_hardware_file("version: 2\ndevices: []\n", "f"), ErrorCode::kInvalidInput, "version");
}
