// Exponentials and logarithms that do not depend on the device: GLSL's exp() may be wrong by 3 + 2 |x| units in the last place, which is
// too much for log-probabilities, and few GPUs have f64, in which sampling's rule is written (backend_kit/sampling.h).
//
//   exponential(x)            f32, with a relative error of about 1e-7
//   log_of_sum(total)         f32, of a sum in units of 2^-40
//   exp_of_minus(distance)    64-bit integers in units of 2^-63, with an error of a few of 2^-56
//   distance_below(a, b, s)   (a - b) / temperature of two f32 numbers, in units of 2^-57
//
// Source       exponential, log_of_sum: the polynomials of Cephes expf and logf (Moshier, public domain), as core/exp_nonpositive.h
//              exp_of_minus: own; 2^-t = 2^-n * (e^(-f ln(2) / 16))^16, with the Taylor series up to the eighth power

/// exp(x) for x up to 88; infinity from there on, exp(-87) for x below -87. NaN stays NaN.
float exponential(float x) {
  if (is_nan(x)) return x;
  if (x > 88.0) return uintBitsToFloat(0x7f800000u);
  precise const float bounded = x < -87.0 ? -87.0 : x;
  precise const float n = roundEven(bounded * 1.44269504088896341);
  precise const float head = bounded - n * 0.693359375;  // exact
  precise const float rest = head - n * -2.12194440e-4;
  precise float sum = 1.9875691500e-4;
  sum = sum * rest + 1.3981999507e-3;
  sum = sum * rest + 8.3334519073e-3;
  sum = sum * rest + 4.1665795894e-2;
  sum = sum * rest + 1.6666665459e-1;
  sum = sum * rest + 5.0000001201e-1;
  precise const float value = sum * rest * rest + rest + 1.0;
  return value * uintBitsToFloat(uint(int(n) + 127) << 23);
}

/// The place of the highest 1 of a number above 0.
int highest_bit(uint64_t value) {
  const uint high = uint(value >> 32);
  return high != 0u ? 32 + findMSB(high) : findMSB(uint(value));
}

const int kUnitBits = 40;  // sums of exponentials and masses are in units of 2^-40

/// A number in [0, 1] in units of 2^-40, rounded down.
uint64_t units_of(float value) {
  const uint bits = floatBitsToUint(value);
  const int shift = int(bits >> 23) - 150 + kUnitBits;
  const uint64_t mantissa = uint64_t((bits & 0x007fffffu) | 0x00800000u);
  return shift >= 0 ? mantissa << shift : mantissa >> min(-shift, 63);
}

/// log(total * 2^-40). `total` is at least 1.
float log_of_sum(uint64_t total) {
  int n = highest_bit(total);
  // The highest 32 bits, the first of which is 1. The others are the fraction of a number in [1, 2).
  const uint leading = uint((total << (63 - n)) >> 32);
  precise float f = float(leading & 0x7fffffffu) * (1.0 / 2147483648.0);
  if (leading > 0xb504f334u) {  // above the square root of 2: halved, f is negative
    f = -(float(0u - leading) * (1.0 / 4294967296.0));
    ++n;
  }
  precise const float square = f * f;
  precise float sum = 7.0376836292e-2;
  sum = sum * f - 1.1514610310e-1;
  sum = sum * f + 1.1676998740e-1;
  sum = sum * f - 1.2420140846e-1;
  sum = sum * f + 1.4249322787e-1;
  sum = sum * f - 1.6668057665e-1;
  sum = sum * f + 2.0000714765e-1;
  sum = sum * f - 2.4999993993e-1;
  sum = sum * f + 3.3333331174e-1;
  precise const float power = float(n - kUnitBits);
  precise const float small = sum * f * square + power * -2.12194440e-4 - 0.5 * square;
  precise const float value = f + small + power * 0.693359375;
  return value;
}

/// floor(a * b / 2^64)
uint64_t high_product(uint64_t a, uint64_t b) {
  const uint64_t a_low = a & 0xfffffffful;
  const uint64_t a_high = a >> 32;
  const uint64_t b_low = b & 0xfffffffful;
  const uint64_t b_high = b >> 32;
  const uint64_t first = a_high * b_low + (a_low * b_low >> 32);
  const uint64_t second = a_low * b_high + (first & 0xfffffffful);
  return a_high * b_high + (first >> 32) + (second >> 32);
}

/// exp(-distance): `distance` in units of 2^-57, up to kFarthest; the result in units of 2^-63, exactly 1 of 0.
uint64_t exp_of_minus(uint64_t distance) {
  const uint64_t kLog2OfE = 0x5c551d94ae0bf85dul;  // in units of 2^-62
  const uint64_t kLogOf2 = 0xb17217f7d1cf79abul;   // in units of 2^-64
  const uint64_t kOne = 0x8000000000000000ul;
  const uint64_t powers_of_two = high_product(distance, kLog2OfE);  // in units of 2^-55
  const int n = int(powers_of_two >> 55);
  const uint64_t x = high_product(powers_of_two << 9, kLogOf2) >> 4;  // in units of 2^-64, below 0.0434; the shift drops n
  uint64_t sum = kOne / 40320ul;
  sum = kOne / 5040ul - high_product(x, sum);
  sum = kOne / 720ul - high_product(x, sum);
  sum = kOne / 120ul - high_product(x, sum);
  sum = kOne / 24ul - high_product(x, sum);
  sum = kOne / 6ul - high_product(x, sum);
  sum = kOne / 2ul - high_product(x, sum);
  sum = kOne - high_product(x, sum);
  sum = kOne - high_product(x, sum);
  [[unroll]] for (int i = 0; i < 4; ++i) sum = high_product(sum, sum) << 1;
  return n < 64 ? sum >> n : 0ul;
}

/// What a division by a temperature needs.
struct Temperature {
  uint64_t reciprocal;  // floor(2^86 / mantissa): in (2^62, 2^63]
  int exponent;         // temperature = mantissa * 2^exponent, with a mantissa in [2^23, 2^24)
};

/// `temperature` is finite and above 0.
Temperature make_temperature(float temperature) {
  const uint bits = floatBitsToUint(temperature);
  const uint field = bits >> 23;
  const int shift = field != 0u ? 0 : 23 - findMSB(bits);  // of a subnormal number
  const uint mantissa = field != 0u ? (bits & 0x007fffffu) | 0x00800000u : bits << shift;
  const uint64_t whole = 0x8000000000000000ul / uint64_t(mantissa);
  const uint64_t rest = 0x8000000000000000ul - whole * uint64_t(mantissa);
  return Temperature((whole << 23) + (rest << 23) / uint64_t(mantissa), max(int(field), 1) - 150 - shift);
}

/// A distance of 32: farther tokens have no mass.
const uint64_t kFarthest = 0x4000000000000000ul;

/// (larger - smaller) / temperature in units of 2^-57, at most kFarthest. The arguments are the bits of finite f32 numbers. In spite of
/// rounding, the result never decreases when `smaller` does.
uint64_t distance_below(uint larger, uint smaller, Temperature temperature) {
  const int larger_field = max(int(larger >> 23 & 0xffu), 1);
  const int smaller_field = max(int(smaller >> 23 & 0xffu), 1);
  const int field = max(larger_field, smaller_field);
  const uint larger_mantissa = (larger & 0x007fffffu) | ((larger & 0x7f800000u) != 0u ? 0x00800000u : 0u);
  const uint smaller_mantissa = (smaller & 0x007fffffu) | ((smaller & 0x7f800000u) != 0u ? 0x00800000u : 0u);
  // Both in units of 2^(field - 188), which leaves 38 bits for the smaller exponent.
  const int64_t larger_size = int64_t(uint64_t(larger_mantissa) << 38 >> min(field - larger_field, 63));
  const int64_t smaller_size = int64_t(uint64_t(smaller_mantissa) << 38 >> min(field - smaller_field, 63));
  const int64_t difference =
      (larger >> 31 != 0u ? -larger_size : larger_size) - (smaller >> 31 != 0u ? -smaller_size : smaller_size);
  if (difference <= 0) return 0ul;
  const int zeros = 63 - highest_bit(uint64_t(difference));
  const uint64_t scaled = high_product(uint64_t(difference) << zeros, temperature.reciprocal);  // at least 2^61
  const int shift = field - 188 - zeros - temperature.exponent + 35;
  if (shift > 0) return kFarthest;
  const uint64_t distance = shift > -64 ? scaled >> -shift : 0ul;
  return distance < kFarthest ? distance : kFarthest;
}
