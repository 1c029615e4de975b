#pragma once
// Imports prices from the catalogs of SkyPilot (github.com/skypilot-org/skypilot-catalog, catalogs/v5 to v8,
// CLOUD/vms.csv). Columns are found by their names, because their order differs between clouds. Values that a catalog
// uses in place of a price are recognised; each kind of row that is left out is counted with its reason (docs/cost.md
// lists them).

#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "cost/price_book.h"

namespace secondsource {

struct CatalogOrigin {
  std::string provider{};  ///< such as "aws"; the file itself does not state it
  std::string date{};      ///< date of the catalog, or "undated"
  std::string source{};    ///< "skypilot-org/skypilot-catalog catalogs/v8/aws/vms.csv @ COMMIT"
};

/// The number of rows, or prices of rows, that were left out for one reason.
struct CatalogOmission {
  std::string reason{};
  std::int64_t count = 0;
  int first_line = 0;
};

struct CatalogImport {
  /// On-demand and spot prices, one per region and instance: the (upper) median over availability zones, with the
  /// lowest and highest price if zones differ.
  std::vector<PriceRow> rows;
  std::vector<CatalogOmission> omissions;
};

/// Reads a catalog. Errors: kInvalidInput with the line if the text is not such a catalog: a missing column, a row of
/// the wrong length, or an invalid number.
Result<CatalogImport> import_skypilot_catalog(std::string_view csv, std::string_view name, const CatalogOrigin& origin);

/// This project's name for an accelerator: "H100" of instance "gpu_1x_h100_pcie" is "h100-pcie". If neither name tells
/// the form factor, the result has none ("h100").
[[nodiscard]] std::string accelerator_id(std::string_view provider, std::string_view instance,
                                         std::string_view catalog_name);

}  // namespace secondsource
