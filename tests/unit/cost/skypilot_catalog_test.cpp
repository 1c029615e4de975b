// The rows are shortened rows of the catalogs (skypilot-org/skypilot-catalog, v8, read 2026-11-20).

#include "cost/skypilot_catalog.h"

#include "support/result.h"

using namespace secondsource;

namespace {

const CatalogOrigin kAws{.provider = "aws", .date = "2026-11", .source = "a catalog"};

CatalogImport imported(const std::string& csv, const CatalogOrigin& origin) {
  auto import = import_skypilot_catalog(csv, "vms.csv", origin);
  REQUIRE_OK(import);
  return std::move(import).value();
}

/// Number of rows or prices that were left out for a reason that contains `part`.
std::int64_t n_left_out(const CatalogImport& import, std::string_view part) {
  std::int64_t count = 0;
  for (const CatalogOmission& omission : import.omissions) {
    if (omission.reason.find(part) != std::string::npos) count += omission.count;
  }
  return count;
}

}  // namespace

TEST_CASE("a number that no count can be is refused, not converted") {
  const std::string header = "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,Price,SpotPrice,Region\n";
  for (const char* number : {"1e300", "9.3e18", "1e13", "nan", "inf", "-1"}) {
    CAPTURE(number);
    CHECK_ERROR(import_skypilot_catalog(header + "a,V100," + number + ",8,1,,r\n", "vms.csv", kAws),
                ErrorCode::kInvalidInput,
                "vms.csv:2: AcceleratorCount: expected a number from 0 to 1000000000000, found");
    CHECK_ERROR(import_skypilot_catalog(header + "a,V100,1," + number + ",1,,r\n", "vms.csv", kAws),
                ErrorCode::kInvalidInput, "vms.csv:2: vCPUs: expected a number");
  }
  // std::regex would use stack space for each of these blanks.
  const std::string blanks = "{'Count':" + std::string(1'000'000, ' ') + "x}";
  CHECK_ERROR(import_skypilot_catalog(header + "a,V100,1,8,1,," + blanks + "\n", "vms.csv", kAws),
              ErrorCode::kInvalidInput, "expected fields of at most 1024 bytes");
}

TEST_CASE("zones become one row of a region, on demand and spot, with the range of the zones") {
  const std::string header =
      "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,AvailabilityZone,"
      "Arch\n";
  const std::string gpu =
      "\"{'Gpus': [{'Name': 'H100', 'Manufacturer': 'NVIDIA', 'Count': 8, 'LogicalGpuCount': 8}]}\"";
  std::string csv = header;
  for (const auto& [spot, zone] :
       {std::pair{"17.628900", "use1-az6"}, {"10.240000", "use1-az1"}, {"55.040000", "use1-az2"}}) {
    csv += "p5.48xlarge,H100,8.0,192.0,2048.0," + gpu + ",55.04," + spot + ",us-east-1," + zone + ",x86_64\n";
  }
  // This machine has no on-demand price, which is valid.
  csv += "p5e.48xlarge,H200,8.0,192.0,2048.0,,,18.735900,us-east-2,use2-az3,x86_64\n";
  csv += "a1.large,,,2.0,4.0,,0.051,0.051000,us-east-1,use1-az2,arm64\n";
  const CatalogImport import = imported(csv, kAws);
  REQUIRE(import.rows.size() == 4);
  CHECK(import.rows[0].key() == "aws/us-east-1/p5.48xlarge/on-demand");
  CHECK(import.rows[0].accelerator == "h100-sxm");
  CHECK(import.rows[0].accelerators == 8);
  CHECK(import.rows[0].vcpus == 192);
  CHECK(import.rows[0].usd_per_hour == 55.04);
  CHECK_FALSE(import.rows[0].usd_per_hour_low);
  CHECK(import.rows[1].key() == "aws/us-east-1/p5.48xlarge/spot");
  // The zone whose spot price equals the on-demand price has no spot offer. Of the other two zones, the higher price is
  // used.
  CHECK(import.rows[1].usd_per_hour == 17.6289);
  CHECK(import.rows[1].usd_per_hour_low == 10.24);
  CHECK(import.rows[2].key() == "aws/us-east-2/p5e.48xlarge/spot");
  CHECK(import.rows[3].accelerator == "cpu");
  CHECK(import.rows[3].n_units() == 2);
  CHECK(n_left_out(import, "SpotPrice equal to Price") == 2);
}

TEST_CASE("columns are found by name: the order of another cloud, with JSON in GpuInfo") {
  const CatalogImport import = imported(
      "InstanceType,UpstreamCloudId,vCPUs,MemoryGiB,AcceleratorName,AcceleratorCount,GpuInfo,Region,Price,SpotPrice\n"
      "1B200.30V,1B200.30V,30.0,184.0,B200,1.0,\"{\"\"Gpus\"\": [{\"\"Name\"\": \"\"B200\"\", \"\"Count\"\": "
      "1}]}\",FIN-03,4.89,1.712\n"
      "8B200.240V,8B200.240V,240.0,1472.0,B200,8.0,,FIN-03,,13.69\n"
      "4A100.88V,4A100.88V,88.0,480.0,A100-80GB,4.0,,FIN-03,5.16,\n"
      "CPU.4V.16G,CPU.4V.16G,4.0,16.0,,,,FIN-01,0.0279,0.0098\n",
      {.provider = "verda", .date = "undated", .source = "a catalog"});
  REQUIRE(import.rows.size() == 6);
  CHECK(import.rows[0].usd_per_hour == 4.89);
  CHECK(import.rows[1].usd_per_hour == 1.712);
  CHECK(import.rows[2].key() == "verda/FIN-03/8B200.240V/spot");
  CHECK(import.rows[3].accelerator == "a100-80");
  CHECK(import.omissions.empty());
}

TEST_CASE("what stands in the place of a price is not taken for one") {
  const CatalogImport gcp = imported(
      "InstanceType,vCPUs,MemoryGiB,AcceleratorName,AcceleratorCount,GpuInfo,Region,AvailabilityZone,Price,SpotPrice\n"
      "a3-highgpu-8g,208.0,1872.0,,,,us-central1,us-central1-a,9.46006,2.88933\n"
      ",,,H100,8.0,,us-central1,us-central1-a,78.5,31.2\n"
      ",,,tpu-v6e-8,1,tpu-v6e-8,us-east1,us-east1-d,21.6,4.35366\n"
      ",,,tpu-v5p-128,1,tpu-v5p-128,us-east1,us-east1-d,268.8,53.48\n"
      ",,,tpu-v6e-8,1,tpu-v6e-8,us-west1,us-west1-a,700.0,700.0\n"
      "n2-standard-8,8.0,32.0,,,,us-central1,us-central1-a,0.388472,0.1\n",
      {.provider = "gcp", .date = "undated", .source = "a catalog"});
  CHECK(n_left_out(gcp, "a machine without its accelerators") == 1);
  CHECK(n_left_out(gcp, "an accelerator without its machine") == 1);
  CHECK(n_left_out(gcp, "not sold there") == 1);
  REQUIRE(gcp.rows.size() == 6);
  CHECK(gcp.rows[0].accelerators == 8);
  CHECK(gcp.rows[2].key() == "gcp/us-east1/tpu-v5p-128/on-demand");
  CHECK(gcp.rows[2].accelerators == 64);
  CHECK(gcp.rows[4].accelerator == "cpu");

  const CatalogImport azure = imported(
      "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region\n"
      "Standard_ND96isr_H100_v5,H100,12,96,1900,H100,98.32,98.32,eastus\n"
      "Standard_NC40ads_H100_v5,H100,1,40,320,H100,6.98,6.98,eastus\n"
      "Standard_NV6ads_A10_v5,A10,0.16,6,55,A10,0.454,0.09,eastus\n"
      "Standard_X,H200,8,96,1900,\"{'Gpus': [{'Name': 'H200', 'Count': 4}]}\",80,20,eastus\n"
      "Standard_Y,H200,8,96,1900,,,,eastus\n"
      "Standard_Z,H200,1,96,1900,,700,,eastus\n",
      {.provider = "azure", .date = "undated", .source = "a catalog"});
  REQUIRE(azure.rows.size() == 1);
  CHECK(azure.rows[0].accelerator == "h100-nvl");
  CHECK(n_left_out(azure, "AcceleratorCount") == 2);
  CHECK(n_left_out(azure, "a part of an accelerator") == 1);
  CHECK(n_left_out(azure, "neither price") == 1);
  CHECK(n_left_out(azure, "cannot be one of that machine") == 1);
}

TEST_CASE("an accelerator has one name, and an open one where the row does not tell which it is") {
  const auto [provider, instance, name, id] = GENERATE(table<const char*, const char*, const char*, const char*>({
      {"lambda", "gpu_1x_h100_pcie", "H100", "h100-pcie"},
      {"lambda", "gpu_1x_h100_sxm5", "H100", "h100-sxm"},
      {"shadeform", "scaleway_H100", "H100", "h100"},
      {"runpod", "1x_H100-SXM_SECURE", "H100-SXM", "h100-sxm"},
      {"aws", "p4d.24xlarge", "A100", "a100-40"},
      {"aws", "p4de.24xlarge", "A100-80GB", "a100-80"},
      {"verda", "1RTXPRO6000.30V", "RTX-PRO-6000", "rtx-pro-6000"},
      {"shadeform", "massedcompute_RTXPro6000", "RTXPro6000", "rtx-pro-6000"},
      {"shadeform", "denvr_Gaudi2x8", "GAUDI2", "gaudi2"},
      {"aws", "dl1.24xlarge", "Gaudi HL-205", "gaudi1"},
      {"oci", "BM.GPU.MI300X.8", "MI300X", "mi300x"},
  }));
  CHECK(accelerator_id(provider, instance, name) == id);
}

TEST_CASE("what is no catalog is refused with the line") {
  const std::string header = "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,Price,SpotPrice,Region\n";
  const auto [csv, part] = GENERATE_COPY(table<std::string, const char*>({
      {"", "vms.csv:1: expected a header"},
      {"InstanceType,Price\n", "expected a column AcceleratorName"},
      {"Price,Price\n", "is given twice"},
      {header + "p5,H100,8,192,55\n", "vms.csv:2: expected 7 fields"},
      {header + "p5,H100,8,192,cheap,,us\n", "vms.csv:2: Price"},
      {header + "p5,H100,8,192,-1,,us\n", "a number from 0"},
      {header + "p5,H100,8,192,nan,,us\n", "a number from 0"},
      {header + "p5,\"H100,8,192,1,,us\n", "vms.csv:2: expected a quote"},
      {header + "p5,\"H100\"x,8,192,1,,us\n", "vms.csv:2: expected a comma"},
  }));
  CAPTURE(csv);
  CHECK_ERROR(import_skypilot_catalog(csv, "vms.csv", kAws), ErrorCode::kInvalidInput, part);
}
