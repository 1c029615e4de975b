// A rank packs a number and its index into one integer, so that the candidate to choose is the one with the largest rank: the one with the
// largest number, and of equal numbers the one with the lowest index (gpu/kernels/rank.h). 0 is the rank of nothing; every number that is
// not NaN has a larger one. Numbers are handled by their bits, so that subnormal numbers keep their order on every device.

/// Order-preserving key: larger numbers have larger unsigned keys; -0 and 0 have the same.
uint key_of(uint bits) {
  if (bits == 0x80000000u) return 0x80000000u;
  return (bits & 0x80000000u) != 0u ? ~bits : bits | 0x80000000u;
}

/// The bits of the number of a key.
uint bits_of_key(uint key) { return (key & 0x80000000u) != 0u ? key & 0x7fffffffu : ~key; }

uint64_t rank_of(uint bits, int index) { return uint64_t(key_of(bits)) << 32 | uint64_t(~uint(index)); }
int index_of_rank(uint64_t rank) { return int(~uint(rank & 0xfffffffful)); }
uint bits_of_rank(uint64_t rank) { return bits_of_key(uint(rank >> 32)); }
