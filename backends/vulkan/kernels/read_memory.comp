#version 460
// Reads memory, or a cache, as fast as the device delivers it: gpu/kernels/read_memory.cpp.
//
//   sums[thread] = sum of the 32-bit words that the thread read in n_passes, modulo 2^32
//
// Shapes       memory: n_vecs vectors of 16 bytes; sums: [n_blocks * 256]
// Types        uint32, wrapping; the sums show that every byte was read
//
// A grid-stride loop with eight 16-byte loads per thread in flight, neighbouring threads side by side. In each pass a workgroup reads
// what its neighbour read in the last one, so that it does not hit the processors' own caches.
#extension GL_GOOGLE_include_directive : require
#include "common.glsl"

layout(local_size_x = 256) in;
PARAMETERS(ReadMemoryParameters)

const int kLoadsInFlight = 8;
const uint64_t kVecBytes = 16;

uint sum_of(uvec4 words) { return words.x + words.y + words.z + words.w; }

void main() {
  const int n_blocks = p.n_blocks;
  const int n_passes = p.n_passes;
  const int thread = int(gl_LocalInvocationID.x);
  const uint64_t n_threads = uint64_t(gl_WorkGroupSize.x);
  const uint64_t n_vecs = p.n_vecs;
  const uint64_t n_readers = uint64_t(n_blocks) * n_threads;
  const uint64_t memory = p.memory;
  uint sum = 0u;
  int block = int(gl_WorkGroupID.x);
  for (int pass = 0; pass < n_passes; ++pass) {
    uint64_t vec = uint64_t(block) * n_threads + uint64_t(thread);
    for (; vec + uint64_t(kLoadsInFlight - 1) * n_readers < n_vecs; vec += uint64_t(kLoadsInFlight) * n_readers) {
      uvec4 loaded[kLoadsInFlight];
      [[unroll]] for (int i = 0; i < kLoadsInFlight; ++i) loaded[i] = U32x4(memory + (vec + uint64_t(i) * n_readers) * kVecBytes).at[0];
      [[unroll]] for (int i = 0; i < kLoadsInFlight; ++i) sum += sum_of(loaded[i]);
    }
    for (; vec < n_vecs; vec += n_readers) sum += sum_of(U32x4(memory + vec * kVecBytes).at[0]);
    block = block + 1 < n_blocks ? block + 1 : 0;
  }
  U32(p.sums).at[gl_WorkGroupID.x * gl_WorkGroupSize.x + gl_LocalInvocationID.x] = sum;
}
