// What rope_append.comp and latent_append.comp share: sums over a head, the rotary embedding of op.h's RopeSpec, and the growth of queries.
// gpu/kernels/head_rotation.h is the same for CUDA and HIP.
//
// A workgroup is gl_WorkGroupSize.y heads of one token, each with gl_WorkGroupSize.x threads. Include this file after the local size.

shared float head_scratch[gl_WorkGroupSize.y * gl_WorkGroupSize.x];

/// The sum of the values of a head's threads. Every thread of the workgroup must call this, gets the sum of its own head, and may call it
/// again at once.
float sum_head(float value) {
  const int first = int(gl_LocalInvocationID.y * gl_WorkGroupSize.x);
  barrier();  // an earlier sum has been read by all
  head_scratch[first + int(gl_LocalInvocationID.x)] = value;
  barrier();
  float total = 0.0;
  for (int i = 0; i < int(gl_WorkGroupSize.x); ++i) total += head_scratch[first + i];
  return total;
}

/// The mean of the n values from the address x on. As with sum_head(), every thread must call this; n may differ between heads.
float mean_of(uint64_t x, int n) {
  float sum = 0.0;
  for (int i = int(gl_LocalInvocationID.x); i < n; i += int(gl_WorkGroupSize.x)) sum += F32(x).at[i];
  return sum_head(sum) / float(n);
}

/// 1 / sqrt(mean((x - center)^2) + eps): with a center of 0 the factor of an RMS norm, with the mean of x that of a LayerNorm. As with
/// mean_of(), every thread must call this.
float inverse_rms(uint64_t x, int n, float eps, float center) {
  float squares = 0.0;
  for (int i = int(gl_LocalInvocationID.x); i < n; i += int(gl_WorkGroupSize.x)) {
    const float value = F32(x).at[i] - center;
    squares += value * value;
  }
  return 1.0 / sqrt(sum_head(squares) / float(n) + eps);
}

/// An angle as a number of right angles and what is left of it, at most half a right angle.
struct ReducedAngle {
  float rest;
  uint n_right_angles;  ///< modulo 4
};

/// The bits of (2 / pi) / 4, the first word before the point. They suffice for angles below 2^63.
const uint kQuarterOfTwoOverPi[5] = uint[5](0u, 0x28be60dbu, 0x9391054au, 0x7f09d5f4u, 0x7d4d3770u);

/// Payne and Hanek, "Radian reduction for trigonometric functions", 1983, in integers, so that no compiler can change it: the angle is a
/// mantissa of 32 bits times a power of two, and only those bits of 2 / pi are multiplied by it that matter modulo 4 right angles. The
/// built-in functions of GLSL need not be accurate outside of [-pi, pi]. `angle`: in [0.5, 2^63).
ReducedAngle reduce_angle(float angle) {
  const uint bits = floatBitsToUint(angle);
  const uint mantissa = (bits << 8) | 0x80000000u;  // angle = mantissa / 2^32 * 2^exponent
  const uint exponent = (bits >> 23) - 126u;
  const uint word = exponent / 32u;
  const uint shift = exponent % 32u;
  uint high = kQuarterOfTwoOverPi[word];
  uint middle = kQuarterOfTwoOverPi[word + 1u];
  uint low = kQuarterOfTwoOverPi[word + 2u];
  if (shift != 0u) {
    high = (high << shift) | (middle >> (32u - shift));
    middle = (middle << shift) | (low >> (32u - shift));
    low = (low << shift) | (kQuarterOfTwoOverPi[word + 3u] >> (32u - shift));
  }
  // 64 bits, (turn, turn_low), of the fraction of angle / (2 pi). Whole turns overflow.
  uint carried;
  uint ignored;
  umulExtended(mantissa, low, carried, ignored);
  uint turn;
  uint turn_low;
  umulExtended(mantissa, middle, turn, turn_low);
  uint carry;
  turn_low = uaddCarry(turn_low, carried, carry);
  turn += carry + mantissa * high;
  // The nearest number of right angles, and the rest as sign and magnitude, in right angles of 2^62.
  const uint n_right_angles = (turn + 0x20000000u) >> 30;
  turn -= n_right_angles << 30;
  const bool is_negative = (turn & 0x80000000u) != 0u;
  if (is_negative) {
    turn_low = 0u - turn_low;
    turn = ~turn + (turn_low == 0u ? 1u : 0u);
  }
  if ((turn | turn_low) == 0u) return ReducedAngle(0.0, n_right_angles);
  // The first 32 bits of the magnitude from the highest one on, times pi / 2 = 0xc90fdaa2 / 2^31.
  uint n_zeros;  // before the highest one
  uint first_bits;
  if (turn != 0u) {
    n_zeros = uint(31 - findMSB(turn));  // at least 2, since the magnitude is at most 2^61
    first_bits = (turn << n_zeros) | (turn_low >> (32u - n_zeros));
  } else {
    n_zeros = uint(63 - findMSB(turn_low));
    first_bits = turn_low << (n_zeros - 32u);
  }
  uint radians;
  umulExtended(first_bits, 0xc90fdaa2u, radians, ignored);
  const float size = float(radians) * uintBitsToFloat((98u - n_zeros) << 23);  // radians / 2^(29 + n_zeros)
  return ReducedAngle(is_negative ? -size : size, n_right_angles);
}

/// The rotation of one pair of elements.
struct PairRotation {
  float cosine;
  float sine;
};

/// cos and sin to about one unit in the last place, for angles in [0, 2^63); for others the results are not finite. The polynomials are
/// minimax approximations on [-pi / 4, pi / 4].
PairRotation rotation_by(float angle) {
  ReducedAngle reduced = ReducedAngle(angle, 0u);
  if (angle > 0.78539816 && angle < 9.2e18) reduced = reduce_angle(angle);
  precise const float rest = reduced.rest;
  precise const float square = rest * rest;
  precise float sine = 2.86567956e-6;
  sine = fma(sine, square, -1.98559923e-4);
  sine = fma(sine, square, 8.33338592e-3);
  sine = fma(sine, square, -1.66666672e-1);
  sine = fma(sine, rest * square, rest);
  precise float cosine = 2.44677067e-5;
  cosine = fma(cosine, square, -1.38877297e-3);
  cosine = fma(cosine, square, 4.16666567e-2);
  cosine = fma(cosine, square, -0.5);
  cosine = fma(cosine, square, 1.0);
  // Each right angle turns (cos, sin) into (-sin, cos).
  const bool is_odd = (reduced.n_right_angles & 1u) != 0u;
  const float turned_cosine = is_odd ? sine : cosine;
  const float turned_sine = is_odd ? cosine : sine;
  return PairRotation(((reduced.n_right_angles + 1u) & 2u) != 0u ? -turned_cosine : turned_cosine,
                      (reduced.n_right_angles & 2u) != 0u ? -turned_sine : turned_sine);
}

/// Without a frequency a pair stays as it is. The product of position and frequency is rounded to f32.
PairRotation pair_rotation(int position, float inv_freq, float attention_factor) {
  precise const float angle = float(position) * inv_freq;
  const float size = inv_freq == 0.0 ? 1.0 : attention_factor;
  const PairRotation rotation = rotation_by(angle);
  return PairRotation(size * rotation.cosine, size * rotation.sine);
}

/// The rotated pair (first, second), whose elements lie half of the rotated part apart.
vec2 rotate(PairRotation rotation, float first, float second) {
  return vec2(first * rotation.cosine - second * rotation.sine, second * rotation.cosine + first * rotation.sine);
}

/// What op.h's QueryGrowth multiplies a query by; 1 with a period of 0.
float query_growth(int position, float beta, int period) {
  return period > 0 ? 1.0 + beta * log(float(1 + position / period)) : 1.0;
}
