// The rows of a workgroup of prefill attention. One query head of one token is a row. The rows of a KV head, token after token, have the
// same keys, so that a workgroup takes kRows of them, whatever their heads and tokens.
//
// Grid         (max_query_tiles, n_kv_heads, ceil(128 * n_heads / n_kv_heads / kRows)), workgroups of 256 threads
//
// The including kernel must include attention.glsl before this file, and declare the constant kRows.

const int kRowThreads = 256 / kRows;  ///< threads that share a row of the softmax

shared int row_numbers[kRows];  ///< token * n_heads + head; rows past the last one repeat it

struct QueryRows {
  int seq;
  int kv_head;
  int n_rows;
};

/// Finds the rows of this workgroup and stores their numbers. False if no row is left to compute: there is none, or they are of padding
/// tokens, whose results become zeros, which stay finite in later layers. Every thread of the workgroup calls it.
bool find_rows(out QueryRows rows) {
  const int tile_number = int(gl_WorkGroupID.x);
  if (tile_number >= I32(p.batch.n_query_tiles).at[0]) return false;
  const uint64_t query_tile = p.batch.query_tiles + uint64_t(tile_number) * 12;
  const int first_token = I32(query_tile).at[0];
  const int n_tokens = I32(query_tile).at[1];
  rows.seq = I32(query_tile).at[2];
  rows.kv_head = int(gl_WorkGroupID.y);
  const int group_heads = p.n_heads / p.kv.n_kv_heads;  // query heads of one KV head
  const int first_row = int(gl_WorkGroupID.z) * kRows;
  rows.n_rows = min(n_tokens * group_heads - first_row, kRows);
  if (rows.n_rows <= 0) return false;
  const int thread = int(gl_LocalInvocationID.x);
  if (thread < kRows) {
    const int row = first_row + min(thread, rows.n_rows - 1);
    const int token = row / group_heads;
    row_numbers[thread] = (first_token + token) * p.n_heads + rows.kv_head * group_heads + row - token * group_heads;
  }
  barrier();  // the numbers are stored
  if (rows.seq >= 0) return true;
  for (int i = thread; i < rows.n_rows * p.value_dim; i += 256) {
    const int row = i / p.value_dim;
    F32(p.result + uint64_t(row_numbers[row]) * uint64_t(p.value_dim) * 4).at[i - row * p.value_dim] = 0.0;
  }
  return false;
}

/// The position of a row's token.
int position_of_row(int row) { return I32(p.batch.positions).at[row_numbers[row] / p.n_heads]; }

/// The positions that some of the rows see: [begin, end). Positions of a sequence ascend, so that the first and last row determine them.
void find_positions(QueryRows rows, out int begin, out int end) {
  begin = p.window > 0 ? max(position_of_row(0) - p.window + 1, 0) : 0;
  end = position_of_row(rows.n_rows - 1) + 1;
}
