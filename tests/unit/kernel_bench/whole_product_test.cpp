// Tests comparing whole matrices: what counts as a difference, and which place is reported. Expected values are computed by hand.

#include "whole_product.h"

#include <cmath>
#include <limits>

#include "product_graph.h"
#include "support/catch.h"

using namespace secondsource::kernel_bench;

namespace {

// The tolerances are kProductTolerance times the products of row and column norms: 8, 2 and 16 in row 0, and half of that in row 1.
const std::vector<double> kRowNorms{2, 1};
const std::vector<double> kColumnNorms{4, 1, 8};
const std::vector<float> kMatrix{1, 2, 3, 4, 5, 6};

std::vector<float> with(std::size_t at, float value) {
  std::vector<float> changed = kMatrix;
  changed[at] = value;
  return changed;
}

MatrixComparison compared(const std::vector<float>& found) {
  return compare_with_tolerance(found, kMatrix, kRowNorms, kColumnNorms);
}

}  // namespace

TEST_CASE("equal matrices have no difference, and one within the tolerance is its share of it") {
  CHECK(compared(kMatrix).n_beyond == 0);
  CHECK(compared(kMatrix).largest_share == 0);
  // Row 1, column 0 has a tolerance of 1 * 4 / 32 = 1/8; a quarter of it is exact in f32.
  CHECK(kProductTolerance == 1.0 / 32);
  const MatrixComparison one = compared(with(3, 4.0F + 1.0F / 32));
  CHECK(one.n_beyond == 0);
  CHECK(one.largest_share == 0.25);
  CHECK((one.worst.row == 1 && one.worst.column == 0));
}

TEST_CASE("elements beyond their own tolerance are counted, and the worst is named by its place") {
  std::vector<float> found = with(1, 2.0F + 1.0F / 8);  // tolerance 2/32: a share of 2
  found[5] = 6.0F - 1.0F;                               // tolerance 8/32: a share of 4
  found[2] = 3.0F + 0.25F;                              // tolerance 16/32: within
  const MatrixComparison one = compared(found);
  CHECK(one.n_beyond == 2);
  CHECK(one.largest_share == 4);
  CHECK((one.worst.row == 1 && one.worst.column == 2));
  CHECK((one.worst.found == 5.0F && one.worst.other == 6.0F));
}

TEST_CASE("what is no number is beyond every tolerance, on either side") {
  const float kNan = std::numeric_limits<float>::quiet_NaN();
  for (const float value : {kNan, std::numeric_limits<float>::infinity()}) {
    CHECK(compared(with(4, value)).n_beyond == 1);
    CHECK(std::isinf(compared(with(4, value)).largest_share));
    CHECK(compare_with_tolerance(kMatrix, with(4, value), kRowNorms, kColumnNorms).n_beyond == 1);
  }
}

TEST_CASE("a column of zeros has to be the same on both sides") {
  const std::vector<double> norms{4, 0, 8};
  CHECK(compare_with_tolerance(kMatrix, kMatrix, kRowNorms, norms).n_beyond == 0);
  CHECK(compare_with_tolerance(with(1, 2.0001F), kMatrix, kRowNorms, norms).n_beyond == 1);
}

TEST_CASE("repetitions are compared bit by bit") {
  CHECK(compare_bits(kMatrix, kMatrix, 3).n_changed == 0);
  std::vector<float> later = with(4, std::nextafter(5.0F, 6.0F));
  later[5] = 7.0F;
  const ChangedElements changed = compare_bits(later, kMatrix, 3);
  CHECK(changed.n_changed == 2);
  CHECK((changed.first.row == 1 && changed.first.column == 1));
  CHECK(changed.first.other == 5.0F);
  // Zeros of either sign are equal as numbers and have different bits; NaN differs from itself and has the same bits.
  const std::vector<float> zero{0.0F};
  CHECK(compare_bits(std::vector{-0.0F}, zero, 1).n_changed == 1);
  const std::vector<float> nan{std::numeric_limits<float>::quiet_NaN()};
  CHECK(compare_bits(nan, nan, 1).n_changed == 0);
}

TEST_CASE("the line names the places, and the reason where nothing was compared") {
  WholeProduct product;
  product.name = "whole/cuda/bf16/m:512/k:4096/n:4096";
  product.verdict = WholeVerdict::kChanges;
  product.kernel = "own";
  product.other_kernel = "library";
  product.n_elements = 6;
  product.n_repetitions = 20;
  product.comparison = compared(with(5, 5.0F));
  product.n_changed_repetitions = 3;
  product.first_change = compare_bits(with(4, 7.0F), kMatrix, 3);
  CHECK(
      whole_to_text(product) ==
      "whole/cuda/bf16/m:512/k:4096/n:4096: changes: own beside library: 6 elements, the largest difference is 4 of its "
      "tolerance; 1 element is beyond it, the worst in row 1, column 2: found 5, the other way 6; 3 of 20 repetitions "
      "changed, the first in 1 element from row 1, column 1 on: from 5 to 7\n");
  CHECK(whole_to_json({product}).find("\"n_changed_repetitions\": 3") != std::string::npos);
  WholeProduct none;
  none.name = "whole/cuda/int4/m:512/k:64/n:64";
  none.why = "both ways take a kernel";
  CHECK(whole_to_text(none) == "whole/cuda/int4/m:512/k:64/n:64: not compared: both ways take a kernel\n");
}
