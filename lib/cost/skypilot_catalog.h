#pragma once
// Prices from the catalogs of SkyPilot (github.com/skypilot-org/skypilot-catalog, catalogs/v5 to v8, CLOUD/vms.csv).
// Columns are found by their names, since their order differs from cloud to cloud. What a catalog holds in place of a
// price is not taken for one; each kind of row that is left out is counted, with its reason (docs/cost.md lists them).

#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "cost/price_book.h"

namespace secondsource {

struct CatalogOrigin {
  std::string provider{};  ///< "aws": no column says it
  std::string date{};      ///< of the catalog, or "undated"
  std::string source{};    ///< "skypilot-org/skypilot-catalog catalogs/v8/aws/vms.csv @ COMMIT"
};

/// Rows, or prices of rows, that were left out for one reason.
struct CatalogOmission {
  std::string reason{};
  std::int64_t count = 0;
  int first_line = 0;
};

struct CatalogImport {
  /// On-demand and spot prices, one a region and instance: the (upper) median over availability zones, with the lowest
  /// and highest where zones differ.
  std::vector<PriceRow> rows;
  std::vector<CatalogOmission> omissions;
};

/// Errors: kInvalidInput with the line for what is no such catalog: a missing column, a row of another length, a number
/// that is none.
Result<CatalogImport> import_skypilot_catalog(std::string_view csv, std::string_view name, const CatalogOrigin& origin);

/// The name that this project has for an accelerator: "H100" of instance "gpu_1x_h100_pcie" is "h100-pcie". A name that
/// does not tell the form factor stays without one ("h100").
[[nodiscard]] std::string accelerator_id(std::string_view provider, std::string_view instance,
                                         std::string_view catalog_name);

}  // namespace secondsource
