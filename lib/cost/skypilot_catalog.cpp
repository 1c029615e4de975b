#include "cost/skypilot_catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <regex>
#include <utility>

#include "core/ascii.h"
#include "core/csv.h"
#include "core/number.h"
#include "core/utf8.h"

namespace secondsource {
namespace {

// Larger than any count or price, and all integers up to it are exact as doubles.
constexpr double kMaxNumber = 1e12;
// No name is longer, and std::regex needs stack for each character.
constexpr std::size_t kMaxFieldBytes = 1024;

bool has_part(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

/// "H100" can mean several cards; if the row does not tell which, the name stays without a form factor.
std::string h100_of(std::string_view provider, std::string_view lower_instance) {
  if (has_part(lower_instance, "pcie")) return "h100-pcie";
  if (has_part(lower_instance, "sxm")) return "h100-sxm";
  if (provider == "aws" || provider == "oci" || provider == "verda") return "h100-sxm";
  // The NC series has the 94 GB NVL card, the ND series the SXM one.
  if (provider == "azure") return lower_instance.starts_with("standard_nc") ? "h100-nvl" : "h100-sxm";
  return "h100";
}

/// "tpu-v6e-8" -> {tpu-v6e, 8 chips}. Up to v5p the number counts TensorCores, two per chip; in v5e and v6e it counts
/// chips.
std::optional<std::pair<std::string, double>> tpu_of(const std::string& name) {
  static const std::regex kPattern("tpu-(v[0-9]+[a-z]*)-([0-9]{1,6})");
  std::smatch match;
  if (!std::regex_match(name, match, kPattern)) return std::nullopt;
  const std::string generation = match[1] == "v5litepod" ? "v5e" : match[1].str();
  const double number = std::stod(match[2]);
  const bool counts_cores = generation == "v2" || generation == "v3" || generation == "v4" || generation == "v5p";
  return std::pair("tpu-" + generation, counts_cores ? number / 2 : number);
}

/// The number of devices in the GpuInfo column, which may be a Python dict or JSON; nullopt if it has none.
std::optional<double> count_in_gpu_info(const std::string& gpu_info) {
  static const std::regex kPattern("['\"]Count['\"]: *([0-9]{1,6})");
  std::smatch match;
  if (!std::regex_search(gpu_info, match, kPattern)) return std::nullopt;
  return std::stod(match[1]);
}

/// True for machines that are sold with accelerators but whose rows state the price of the host alone.
bool is_gcp_accelerator_host(std::string_view provider, std::string_view instance) {
  if (provider != "gcp") return false;
  for (const std::string_view prefix : {"a2-", "a3-", "a4-", "a4x-", "g2-", "g4-"}) {
    if (instance.starts_with(prefix)) return true;
  }
  return false;
}

/// The contents of one line; numbers that are absent stay absent.
struct CatalogRow {
  int line = 0;
  std::string instance{}, accelerator{}, gpu_info{}, region{};
  std::optional<double> count{}, vcpus{}, usd{}, spot_usd{};
};

class CatalogReader {
 public:
  CatalogReader(std::string_view name, const CatalogOrigin& origin) : name_(name), origin_(origin) {}

  Result<CatalogImport> read(const std::vector<CsvRow>& lines) {
    if (lines.empty()) return fault(1, "expected a header line, found none");
    SS_TRY_VOID(read_header(lines.front()));
    for (std::size_t i = 1; i < lines.size(); ++i) {
      SS_TRY(CatalogRow row, read_row(lines[i]));
      take(std::move(row));
    }
    return finish();
  }

 private:
  [[nodiscard]] Error fault(int line, std::string_view message) const {
    return Error{ErrorCode::kInvalidInput, fmt::format("{}:{}: {}", name_, line, message)};
  }

  Result<void> read_header(const CsvRow& header) {
    n_columns_ = header.fields.size();
    for (std::size_t i = 0; i < n_columns_; ++i) {
      if (!columns_.emplace(header.fields[i], i).second) {
        return fault(header.line, fmt::format("column {} is given twice", in_quotes(header.fields[i])));
      }
    }
    for (const char* required :
         {"InstanceType", "AcceleratorName", "AcceleratorCount", "vCPUs", "Price", "SpotPrice", "Region"}) {
      if (!columns_.contains(required))
        return fault(header.line, fmt::format("expected a column {}, found none", required));
    }
    return {};
  }

  [[nodiscard]] std::string text(const CsvRow& line, const std::string& column) const {
    const auto found = columns_.find(column);
    return found == columns_.end() ? std::string() : line.fields[found->second];
  }

  Result<std::optional<double>> number(const CsvRow& line, const std::string& column) const {
    const std::string field = text(line, column);
    if (field.empty()) return std::optional<double>();
    double value = 0;
    if (!read_number(field, value) || !(value >= 0) || value > kMaxNumber) {
      return fault(line.line, fmt::format("{}: expected a number from 0 to {:.0f}, found {}", column, kMaxNumber,
                                          in_quotes(field)));
    }
    return std::optional<double>(value);
  }

  Result<CatalogRow> read_row(const CsvRow& line) const {
    if (line.fields.size() != n_columns_) {
      return fault(line.line,
                   fmt::format("expected {} fields as the header has, found {}", n_columns_, line.fields.size()));
    }
    for (const std::string& field : line.fields) {
      if (field.size() > kMaxFieldBytes) {
        return fault(line.line,
                     fmt::format("expected fields of at most {} bytes, found {}", kMaxFieldBytes, in_quotes(field)));
      }
    }
    CatalogRow row{.line = line.line,
                   .instance = text(line, "InstanceType"),
                   .accelerator = text(line, "AcceleratorName"),
                   .gpu_info = text(line, "GpuInfo"),
                   .region = text(line, "Region")};
    SS_TRY(row.count, number(line, "AcceleratorCount"));
    SS_TRY(row.vcpus, number(line, "vCPUs"));
    SS_TRY(row.usd, number(line, "Price"));
    SS_TRY(row.spot_usd, number(line, "SpotPrice"));
    return row;
  }

  void omit(const std::string& reason, int line) {
    CatalogOmission& omission = omissions_[reason];
    omission.reason = reason;
    if (omission.count++ == 0) omission.first_line = line;
  }

  /// Fills in the machine's name; returns false if the row is not a machine that can be rented.
  bool identify(CatalogRow& row) {
    if (const auto tpu = tpu_of(row.accelerator)) {
      row.instance = row.accelerator;
      row.accelerator = tpu->first;
      row.count = tpu->second;
      // The catalog marks a slice that is not sold here with this price.
      constexpr double kNotSold = 700.0;
      if (row.usd == kNotSold) row.usd.reset();
      if (row.spot_usd == kNotSold) row.spot_usd.reset();
      return true;
    }
    if (row.instance.empty()) {
      omit("the price of an accelerator without its machine", row.line);
      return false;
    }
    if (row.accelerator.empty()) {
      if (!is_gcp_accelerator_host(origin_.provider, row.instance)) return true;
      omit("the price of a machine without its accelerators", row.line);
      return false;
    }
    row.accelerator = accelerator_id(origin_.provider, row.instance, row.accelerator);
    return true;
  }

  /// Returns false if the row's counts cannot be right.
  bool counts_hold(const CatalogRow& row) {
    if (row.accelerator.empty()) {
      if (row.vcpus.value_or(0) >= 1 && row.count.value_or(0) == 0) return true;
      omit("a machine without accelerators and without a number of vCPUs", row.line);
      return false;
    }
    const double count = row.count.value_or(0);
    if (count < 1 || count != std::floor(count)) {
      omit("a part of an accelerator, or none of the one it names", row.line);
      return false;
    }
    const bool known_wrong = origin_.provider == "azure" && row.instance == "Standard_ND96isr_H100_v5" && count != 8;
    if (known_wrong || count_in_gpu_info(row.gpu_info).value_or(count) != count) {
      omit("AcceleratorCount is not the number of accelerators of that machine", row.line);
      return false;
    }
    return true;
  }

  void take(CatalogRow row) {
    if (row.region.empty()) return omit("no region", row.line);
    if (!identify(row) || !counts_hold(row)) return;
    // A price of 0 means no price.
    if (row.usd == 0.0) row.usd.reset();
    if (row.spot_usd == 0.0) row.spot_usd.reset();
    if (!row.usd && !row.spot_usd) return omit("neither price: not sold there", row.line);
    if (row.usd && row.spot_usd == row.usd) {
      omit("SpotPrice equal to Price: no spot offer (the on-demand price was taken)", row.line);
      row.spot_usd.reset();
    }
    if (row.usd) add(row, Commitment::kOnDemand, *row.usd);
    if (row.spot_usd) add(row, Commitment::kSpot, *row.spot_usd);
  }

  void add(const CatalogRow& row, Commitment commitment, double usd) {
    PriceRow price{.provider = origin_.provider,
                   .region = row.region,
                   .instance = row.instance,
                   .commitment = commitment,
                   .accelerator = row.accelerator.empty() ? "cpu" : row.accelerator,
                   .accelerators = row.accelerator.empty() ? 0 : static_cast<std::int64_t>(*row.count),
                   .vcpus = static_cast<std::int64_t>(row.vcpus.value_or(0)),
                   .usd_per_hour = usd,
                   .date = origin_.date,
                   .source = origin_.source};
    if (!why_implausible(price).empty()) return omit("a price that cannot be one of that machine", row.line);
    const std::string key = price.key();
    const auto [found, is_new] = zones_.try_emplace(key, Zones{std::move(price), {}});
    if (is_new) order_.push_back(key);
    found->second.usd.push_back(usd);
  }

  CatalogImport finish() {
    CatalogImport import;
    for (const std::string& key : order_) {
      Zones& zones = zones_.at(key);
      std::sort(zones.usd.begin(), zones.usd.end());
      zones.row.usd_per_hour = zones.usd[zones.usd.size() / 2];
      if (zones.usd.front() != zones.usd.back()) {
        zones.row.usd_per_hour_low = zones.usd.front();
        zones.row.usd_per_hour_high = zones.usd.back();
      }
      import.rows.push_back(std::move(zones.row));
    }
    for (auto& [reason, omission] : omissions_) import.omissions.push_back(std::move(omission));
    return import;
  }

  struct Zones {
    PriceRow row;
    std::vector<double> usd;  ///< one per zone
  };

  std::string_view name_;
  const CatalogOrigin& origin_;
  std::map<std::string, std::size_t> columns_;
  std::size_t n_columns_ = 0;
  std::map<std::string, Zones> zones_;
  std::vector<std::string> order_;  ///< keys in the order in which they first appeared
  std::map<std::string, CatalogOmission> omissions_;
};

}  // namespace

std::string accelerator_id(std::string_view provider, std::string_view instance, std::string_view catalog_name) {
  std::string name = ascii_lower(catalog_name);
  std::replace(name.begin(), name.end(), ' ', '-');
  static const std::map<std::string, std::string, std::less<>> kNames = {
      {"a100", "a100-40"},
      {"a100-80gb", "a100-80"},
      {"a100-80gb-sxm", "a100-80"},
      {"gaudi-hl-205", "gaudi1"},
      {"rtx4090", "rtx-4090"},
      {"rtx5090", "rtx-5090"},
      {"rtxpro6000", "rtx-pro-6000"},
      {"rtxpro6000s", "rtx-pro-6000-server"},
      {"rtxpro6000ws", "rtx-pro-6000-workstation"},
  };
  if (name == "h100") return h100_of(provider, ascii_lower(instance));
  const auto known = kNames.find(name);
  return known == kNames.end() ? name : known->second;
}

Result<CatalogImport> import_skypilot_catalog(std::string_view csv, std::string_view name,
                                              const CatalogOrigin& origin) {
  SS_TRY(const std::vector<CsvRow> lines, parse_csv(csv, name));
  return CatalogReader(name, origin).read(lines);
}

}  // namespace secondsource
