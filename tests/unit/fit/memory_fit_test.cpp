// The main example is a 70B model: in BF16 it takes about 140 GB, which does not fit a device of 80 GB but fits those of 192 and
// 288 GB. Expected figures are computed by hand from 141.107 GB of weights and 327 680 bytes of KV cache per token.
#include "fit/memory_fit.h"

#include "bundle/named_shape.h"
#include "core/file.h"
#include "core/units.h"
#include "report/fit_document.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/source_path.h"

using namespace secondsource;

namespace {

FitRequest request_for(const char* model, const std::vector<const char*>& devices) {
  FitRequest request;
  request.model = model;
  request.config = *parse_model_config(find_named_shape(model)->config_json, model);
  request.variants = {"bf16"};
  request.context = 8192;
  const auto known = known_hardware();
  for (const char* id : devices) request.devices.push_back(*find_hardware(id, *known));
  return request;
}

}  // namespace

TEST_CASE("70B in BF16 fits one device of 192 or 288 GiB and not one of 80") {
  FitRequest request = request_for("Llama-3.1-70B", {"h100-sxm", "mi300x", "mi350x"});
  const auto report = fit_model(request);
  REQUIRE_OK(report);
  REQUIRE(report->rows.size() == 3);
  CHECK(report->rows[0].n_devices == 2);
  CHECK(report->rows[1].n_devices == 1);
  CHECK(report->rows[2].n_devices == 1);
  for (const FitRow& row : report->rows) {
    CHECK(row.weights_bytes == 141'107'412'992.0);
    CHECK(row.left_for_kv_bytes == Approx(0.9 * row.memory_bytes - row.weights_bytes - row.workspace_bytes));
    CHECK(row.kv_bytes_per_sequence == 8192 * 327'680.0);
    CHECK(row.n_sequences == static_cast<std::int64_t>(row.left_for_kv_bytes / row.kv_bytes_per_sequence));
  }
  // 172.8 GiB to use - 131.4 GiB of weights - 0.1 GiB of workspace.
  CHECK(report->rows[1].left_for_kv_bytes / kGibibyte == Approx(41.1).margin(0.2));
  CHECK(report->rows[2].left_for_kv_bytes / kGibibyte == Approx(127.5).margin(0.2));
  request.max_devices = 1;
  const auto one = fit_model(request);
  REQUIRE_OK(one);
  CHECK(one->rows[0].n_devices == 0);
  CHECK(one->rows[0].why_not == "1 device: 131.5 GiB of weights and workspace, 72.0 GiB to use");
  CHECK_FALSE(one->rows[0].decode_one.has_value());
}

TEST_CASE("Mixtral 8x22B in BF16 needs two devices of 192 or 288 GiB when a tenth of each is reserved") {
  const auto report = fit_model(request_for("Mixtral-8x22B", {"mi300x", "mi350x", "h100-sxm"}));
  REQUIRE_OK(report);
  CHECK(report->rows[0].n_devices == 2);
  CHECK(report->rows[1].n_devices == 2);  // 261.9 GiB of weights, 259.2 GiB to use
  CHECK(report->rows[2].n_devices == 4);
}

TEST_CASE("more sequences need more devices, and KV heads that several devices hold take their memory as often") {
  FitRequest request = request_for("Llama-3.1-8B", {"l4"});
  request.n_sequences = 16;  // 16 GiB of cache beside 15 GiB of weights
  const auto report = fit_model(request);
  REQUIRE_OK(report);
  CHECK(report->rows[0].n_devices == 2);
  request.max_devices = 16;
  request.devices[0].memory_bytes = 4 * kGibibyte;
  const auto small = fit_model(request);
  REQUIRE_OK(small);
  CHECK(small->rows[0].n_devices == 16);  // 8 KV heads: each is held twice
  CHECK(small->rows[0].kv_bytes_per_sequence == 2 * 8192 * 131'072.0);
}

TEST_CASE("the cheapest whole instances on demand price the devices of a row") {
  FitRequest request = request_for("Llama-3.1-8B", {"h100-sxm"});
  const auto row = [](const char* region, std::int64_t n_accelerators, double usd, Commitment commitment) {
    return PriceRow{.provider = "p",
                    .region = region,
                    .instance = "i",
                    .commitment = commitment,
                    .accelerator = "h100-sxm",
                    .accelerators = n_accelerators,
                    .usd_per_hour = usd,
                    .date = "2026-05"};
  };
  request.prices = {row("a", 8, 40, Commitment::kOnDemand), row("b", 8, 32, Commitment::kOnDemand),
                    row("c", 8, 8, Commitment::kSpot)};
  const auto eight = fit_model(request);
  REQUIRE_OK(eight);
  REQUIRE(eight->rows[0].n_devices == 1);
  REQUIRE(eight->rows[0].price);
  CHECK(eight->rows[0].price->row == "p/b/i/on-demand");
  CHECK(eight->rows[0].price->usd_per_device_hour == 4);
  CHECK(eight->rows[0].price->usd_per_hour == 32);
  CHECK(eight->rows[0].gib_per_usd_hour == 2.5);  // one device is used, eight are paid for
  const std::string page = render_markdown(fit_document(*eight));
  CHECK(page.find("1 x h100-sxm: 1 instance of 8, 32.00 USD an hour: p/b/i/on-demand") != std::string::npos);
  // An instance with a single device costs more per device but less for this model, which needs only one.
  request.prices.push_back(row("d", 1, 5, Commitment::kOnDemand));
  const auto one = fit_model(request);
  REQUIRE_OK(one);
  REQUIRE(one->rows[0].price);
  CHECK(one->rows[0].price->row == "p/d/i/on-demand");
  CHECK(one->rows[0].price->usd_per_hour == 5);
  CHECK(one->rows[0].gib_per_usd_hour == 16);
  // Two instances of one device each.
  request.n_sequences = 64;
  const auto two = fit_model(request);
  REQUIRE_OK(two);
  REQUIRE(two->rows[0].n_devices == 2);
  REQUIRE(two->rows[0].price);
  CHECK(two->rows[0].price->n_instances == 2);
  CHECK(two->rows[0].price->usd_per_hour == 10);
}

TEST_CASE("a device without a price has columns for it, and a line that says why it has none") {
  FitRequest request = request_for("Llama-3.1-8B", {"h100-sxm"});
  const auto page_of = [&] {
    const auto report = fit_model(request);
    REQUIRE_OK(report);
    return render_markdown(fit_document(*report));
  };
  CHECK(page_of().find("$/h") == std::string::npos);  // without a price book
  request.prices = {
      PriceRow{.provider = "p", .instance = "i", .accelerator = "a100-80", .accelerators = 8, .usd_per_hour = 40}};
  std::string page = page_of();
  CHECK(page.find("| $/h | GiB per $/h |") != std::string::npos);
  CHECK(page.find("h100-sxm: $/h is not known: no row of the price book names this device") != std::string::npos);
  request.prices[0].accelerator = "h100-sxm";
  request.prices[0].commitment = Commitment::kSpot;
  CHECK(page_of().find("no row of the price book names this device on demand") != std::string::npos);
  request.max_devices = 1;
  request.prices[0].commitment = Commitment::kOnDemand;
  request.reserved_share = 0.99;
  page = page_of();
  CHECK(page.find("| $/h | GiB per $/h |") != std::string::npos);
  CHECK(page.find("is not known") == std::string::npos);  // the table says that it does not fit
}

TEST_CASE("the published schema is the one of the record") {
  const auto published = read_file(test::source_path("reports/schemas/fit.schema.json"));
  REQUIRE_OK(published);
  CHECK(*published == fit_schema());
}

TEST_CASE("what cannot be asked is refused in one line") {
  FitRequest request = request_for("Llama-3.1-8B", {"h100-sxm"});
  request.context = 131'073;
  CHECK_ERROR(fit_model(request), ErrorCode::kInvalidInput, "expected a context of 1 to 131072");
  request.context = 8192;
  request.reserved_share = 1;
  CHECK_ERROR(fit_model(request), ErrorCode::kInvalidInput, "reserve");
  request.reserved_share = 0.1;
  request.n_sequences = 0;
  CHECK_ERROR(fit_model(request), ErrorCode::kInvalidInput, "expected 1 to 1000000000 sequences");
  request.n_sequences = 1;
  request.devices = {Hardware{.id = "a-cpu", .sources = {"s"}}};
  CHECK_ERROR(fit_model(request), ErrorCode::kInvalidInput, "a-cpu: expected --memory");
}

TEST_CASE("of a quantized model no other published variant is fitted, of any other model every one is") {
  FitRequest request = request_for("Llama-3.1-8B", {"h100-sxm"});
  request.variants = {"gptq-int4-g128", "modelopt-nvfp4"};
  REQUIRE_OK(fit_model(request));
  request.published.variant = "modelopt-nvfp4";
  CHECK_ERROR(fit_model(request), ErrorCode::kInvalidInput,
              "Llama-3.1-8B: expected a variant of modelopt-nvfp4, modelopt-nvfp4-w4a16, f32, bf16");
  // Without the weights it is unknown whether they have the input scales that the configuration promises.
  request.variants = {"modelopt-nvfp4", "modelopt-nvfp4-w4a16", "int8-g32"};
  REQUIRE_OK(fit_model(request));
  request.published.variant = "quark-int8-static";
  request.variants = {"quark-int8-static", "quark-int8"};
  REQUIRE_OK(fit_model(request));
}

TEST_CASE("the page says that nothing was measured, and names the sources") {
  const auto report = fit_model(request_for("Llama-3.1-70B", {"h100-sxm"}));
  REQUIRE_OK(report);
  for (const std::string& text : {render_html(fit_document(*report)), render_markdown(fit_document(*report))}) {
    CHECK(text.find("projected") != std::string::npos);
    CHECK(text.find("Nothing here was measured") != std::string::npos);
    CHECK(text.find("h100-sxm: ") != std::string::npos);
  }
  // Markdown output has no charts, and therefore no headings of charts.
  CHECK(render_html(fit_document(*report)).find("Memory</h2>") != std::string::npos);
  CHECK(render_markdown(fit_document(*report)).find("## Memory") == std::string::npos);
}
