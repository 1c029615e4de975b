// The quotient of two f32 numbers, rounded to nearest even as IEEE 754 rounds it. GLSL's `/` may be wrong by 2.5 units in the last place,
// and its fma() may round twice, so that a quotient which decides a code of a quantized activation would come out otherwise than on
// other devices. The quotient is computed in integers: an estimate by `/` is corrected by its exact remainder. So neither the mode of
// subnormal numbers nor a compiler's liberties with floating point matter.

const uint kInfinityBits = 0x7f800000u;
const uint kNanBits = 0x7fc00000u;

/// A positive f32 number: mantissa * 2^exponent, with a mantissa in [2^23, 2^24).
struct Parts {
  uint mantissa;
  int exponent;
};

/// `magnitude`: the bits of a finite number above 0.
Parts parts_of(uint magnitude) {
  const uint field = magnitude >> 23;
  if (field != 0u) return Parts((magnitude & 0x007fffffu) | 0x00800000u, int(field) - 150);
  const int shift = 23 - findMSB(magnitude);
  return Parts(magnitude << shift, -149 - shift);
}

/// x / divisor. `divisor` is finite and above 0. An x that is infinite or NaN stays what it is.
float quotient(float x, float divisor) {
  const uint bits = floatBitsToUint(x);
  const uint sign_bit = bits & 0x80000000u;
  const uint magnitude = bits & 0x7fffffffu;
  if (magnitude == 0u || magnitude >= kInfinityBits) return x;
  const Parts a = parts_of(magnitude);
  const Parts b = parts_of(floatBitsToUint(divisor));
  // whole = floor(a.mantissa * 2^shift / b.mantissa) in [2^23, 2^24). The remainder of the estimate is small, so that 32 bits hold it
  // although they do not hold the products.
  const int shift = a.mantissa >= b.mantissa ? 23 : 24;
  uint whole = uint(float(a.mantissa) / float(b.mantissa) * (shift == 23 ? 8388608.0 : 16777216.0));
  const int step = int(b.mantissa);
  int remainder = int((a.mantissa << shift) - whole * b.mantissa);
  while (remainder < 0) {
    --whole;
    remainder += step;
  }
  while (remainder >= step) {
    ++whole;
    remainder -= step;
  }
  // Two bits more: whether half a unit is reached, and whether anything is left beyond that.
  const int twice = 2 * remainder;
  uint extended = whole << 2 | (twice >= step ? 2u : 0u) | (twice != 0 && twice != step ? 1u : 0u);
  int field = a.exponent - b.exponent - shift + 150;  // of the exponent in the bits of the quotient
  if (field >= 255) return uintBitsToFloat(sign_bit | kInfinityBits);
  if (field < 1) {  // a subnormal number has fewer bits
    const int fewer = min(1 - field, 31);
    extended = extended >> fewer | (extended << (32 - fewer) != 0u ? 1u : 0u);
    field = 1;
  }
  const uint rounded = (extended + 1u + (extended >> 2 & 1u)) >> 2;
  // The leading bit of a mantissa, or a carry beyond it, adds 1 to the field of the exponent.
  return uintBitsToFloat(sign_bit | ((uint(field - 1) << 23) + rounded));
}
