# Bugs planted in the kernels: ss_gpu_mutant(<name> <target> <file of backends/gpu> <from> <to> <file to compile with it>).
# In <to>, BUG stands for a condition that is true where the environment variable SECONDSOURCE_PLANTED_BUG has this bug's name
# (planted.h). The bugs with such a condition share one module for each pair of a compiled file and a target, since one module for each
# bug would take a sixth of the time of the whole build. A bug without it, as in a compile-time constant, has a module of its own.
# mutants.cmake makes the modules, where GPU kernels are tested at length. That every <from> is in its file once is tested everywhere:
# whoever changes a kernel, if only by its line breaks, learns it without those modules.
set(mutant_folder ${CMAKE_CURRENT_BINARY_DIR}/mutants)
function(ss_gpu_mutant name target file from to compiled)
  set(module ${name})
  if(to MATCHES "BUG")
    get_filename_component(stem ${compiled} NAME_WE)
    set(module ${stem}-${target})
  endif()
  string(REPLACE "BUG" "planted_${name}" to "${to}")
  set_property(GLOBAL APPEND PROPERTY ss_gpu_mutant_modules ${module})
  set_property(GLOBAL APPEND PROPERTY ss_gpu_mutant_${module}_files ${file})
  set_property(GLOBAL PROPERTY ss_gpu_mutant_${module}_target ${target})
  set_property(GLOBAL PROPERTY ss_gpu_mutant_${module}_compiled ${compiled})
  set_property(GLOBAL APPEND_STRING PROPERTY ss_gpu_mutant_${module}_${file} "plant(${name} [==[${from}]==] [==[${to}]==])\n")
  set_property(GLOBAL APPEND_STRING PROPERTY ss_gpu_mutant_names "${name} ${module}\n")
endfunction()

ss_gpu_mutant(missing_barrier_tiles sm_80 kernels/matmul_tile.h
  "sync_block();  // this stage has arrived, and all reads of the stage that is filled next are done" "if (!BUG) sync_block();" kernels/tiled_matmul.cpp)
# Of tiles that stream their weights.
function(ss_stream_mutant name from to)
  ss_gpu_mutant(${name} sm_80 kernels/streamed_tile.h "${from}" "${to}" kernels/tiled_matmul.cpp)
endfunction()
ss_stream_mutant(stream_missing_barrier
  "sync_block();  // this stage of x has arrived, and all reads of the stage that is filled next are done" "if (!BUG) sync_block();")
ss_stream_mutant(stream_early_step "wait_for_copies<Shape::kStagesAhead - 1>();"
  "if (BUG) { wait_for_copies<Shape::kStagesAhead>(); } else { wait_for_copies<Shape::kStagesAhead - 1>(); }")
ss_stream_mutant(stream_stale_window "first + i + kWindowsAhead);" "first + i + kWindowsAhead - (BUG ? 1 : 0));")
ss_stream_mutant(stream_columns_past_end "if (chunk >= n_chunks_) return;" "if (chunk >= n_chunks_ && !BUG) return;")
ss_stream_mutant(stream_rows_past_end "row < weight.n_rows ? row : weight.n_rows - 1;"
  "BUG || row < weight.n_rows ? row : weight.n_rows - 1;")
ss_stream_mutant(stream_group_of_first_row "window.group[half].load(weight_, row_[half],"
  "window.group[half].load(weight_, row_[BUG ? 0 : half],")
ss_stream_mutant(stream_lost_group "if (i % kWindows == kWindows - 1) finish(step);"
  "if (i % kWindows == kWindows - 1 && !BUG) finish(step);")
ss_gpu_mutant(stream_expert_group_of_first_row sm_80 kernels/streamed_tile.h "window.group[half].load(weight_, row_[half],"
  "window.group[half].load(weight_, row_[BUG ? 0 : half]," kernels/grouped_tiles.cpp)
ss_gpu_mutant(stream_half_of_split sm_80 kernels/tiled_matmul.cpp
  "+ Shape::kPlanSteps - 1) / Shape::kPlanSteps" "+ Shape::kPlanSteps - 1) / (Shape::kPlanSteps * (BUG ? 2 : 1))" kernels/tiled_matmul.cpp)
ss_gpu_mutant(swapped_bytes_of_rows sm_80 portable/matrix_tile.h
  "{upper.word[2 * part], lower" "{upper.word[BUG ? 2 * part + 1 : 2 * part], lower"
  kernels/tiled_matmul.cpp)
# Of attention of one token.
function(ss_decode_mutant name target from to)
  ss_gpu_mutant(${name} ${target} kernels/decode_attention.cpp "${from}" "${to}" kernels/decode_attention.cpp)
endfunction()
ss_decode_mutant(missing_barrier_queries sm_80 "sync_block();  // queries are stored" "if (!BUG) sync_block();")
ss_decode_mutant(missing_barrier_sums gfx90a "sync_block();  // the sums of every warp are stored" "if (!BUG) sync_block();")
ss_gpu_mutant(short_split sm_80 kernels/decode_split.h "span.end = span.begin + span.step < n_positions ? span.begin + span.step : n_positions;"
  "span.end = span.begin + (BUG && span.step > 256 ? 256 : span.step);
  if (span.end > n_positions) span.end = n_positions;" kernels/decode_attention.cpp)
ss_decode_mutant(rows_past_end sm_80 "position(first, i) < end_ ?" "position(first, i) < end_ + (BUG ? 1 : 0) ?")
ss_decode_mutant(split_not_rescaled gfx90a "sums.sum[h] = sums.sum[h] * rescale + sum;" "sums.sum[h] = sums.sum[h] * (BUG ? 1.0F : rescale) + sum;")
ss_gpu_mutant(lost_last_split gfx90a kernels/decode_split.h
  "s < split.n_splits && s * span.step" "s < split.n_splits - (BUG ? 1 : 0) && s * span.step" kernels/decode_attention.cpp)
ss_gpu_mutant(combined_too_early sm_80 portable/last_block.h
  "all_others_have_arrived(counter, 1, n_blocks, flag)" "all_others_have_arrived(counter, 1, n_blocks - (BUG ? 1 : 0), flag)"
  kernels/decode_attention.cpp)
ss_gpu_mutant(count_not_reset sm_80 portable/last_block.h
  "if (are_all) *counter = 0;  // for the next launch" "if (are_all && !BUG) *counter = 0;" kernels/decode_attention.cpp)
ss_gpu_mutant(early_read sm_80 kernels/prefill_attention.cpp
  "wait_for_copies<0>();" "if (BUG) { wait_for_copies<1>(); } else { wait_for_copies<0>(); }" kernels/prefill_attention.cpp)
ss_gpu_mutant(swapped_fragment_mma sm_80 portable/matrix_tile.h
  "return lane() % 4 * 2 + i % 2 + (i / 4) * 8;" "return lane() % 4 * 2 + i % 2 + (BUG ? 1 - i / 4 : i / 4) * 8;"
  kernels/tiled_matmul.cpp)
ss_gpu_mutant(swapped_matrices sm_80 portable/matrix_tile.h
  "(lane() % 8 + lane() / 16 * 8) * stride" "(BUG ? lane() % 16 : lane() % 8 + lane() / 16 * 8) * stride" kernels/tiled_matmul.cpp)
ss_gpu_mutant(short_int8_step sm_80 portable/matrix_tile.h
  "inline constexpr int kTileDepth = 32 / static_cast<int>(sizeof(Input));"
  "inline constexpr int kTileDepth = 16 * static_cast<int>(sizeof(Input));" kernels/tiled_matmul.cpp)
ss_gpu_mutant(early_step sm_80 kernels/matmul_tile.h
  "wait_for_copies<kStagesAhead - 1>();" "if (BUG) { wait_for_copies<kStagesAhead>(); } else { wait_for_copies<kStagesAhead - 1>(); }" kernels/tiled_matmul.cpp)
ss_gpu_mutant(late_store gfx90a kernels/matmul_tile.h
  "if (more) store(step + kStagesAhead);" "if (more) store(BUG ? step : step + kStagesAhead);" kernels/tiled_matmul.cpp)
ss_gpu_mutant(missing_warp_barrier gfx1100 kernels/matmul_tile.h
  "sync_warp();  // this warp's sums are stored" "if (!BUG) sync_warp();" kernels/tiled_matmul.cpp)
ss_gpu_mutant(lost_split sm_80 kernels/tiled_matmul.cpp
  "split < a.plan.n_splits; ++split" "split < a.plan.n_splits - (BUG ? 1 : 0); ++split" kernels/tiled_matmul.cpp)
ss_gpu_mutant(split_overlaps sm_80 host/step_products.cpp
  "reinterpret_cast<std::int32_t*>(values_.scratch() + layout.sums)"
  "reinterpret_cast<std::int32_t*>(values_.scratch() + 0 * layout.sums)"
  host/step_products.cpp)
ss_gpu_mutant(swapped_int8_fragment gfx942 portable/matrix_tile.h
  "return lane() / 16 * 4 + i;  // each quarter of the wave has four rows" "return BUG ? lane() / 16 + i * 4 : lane() / 16 * 4 + i;" kernels/tiled_matmul.cpp)
ss_gpu_mutant(not_transposed sm_80 portable/matrix_tile.h
  "return load_matrices<true>" "if (BUG) return load_matrices<false>(tile + lane() % 16 * stride + lane() / 16 * 8);
  return load_matrices<true>" kernels/prefill_attention.cpp)
ss_gpu_mutant(swapped_fragment_mfma gfx90a portable/matrix_tile.h
  "return lane() / 16 * 4 + i;  // each quarter of the wave has four rows" "return BUG ? lane() / 16 + i * 4 : lane() / 16 * 4 + i;" kernels/tiled_matmul.cpp)
ss_gpu_mutant(swapped_fragment_wmma gfx1100 portable/matrix_tile.h
  "return i * 2 + lane() / 16;" "return BUG ? i + lane() / 16 * 8 : i * 2 + lane() / 16;" kernels/tiled_matmul.cpp)
ss_gpu_mutant(weight_read_past_end sm_80 kernels/tile_loader.h
  "return first + line < end ? first + line : -1;" "return BUG || first + line < end ? first + line : -1;" kernels/tiled_matmul.cpp)
ss_gpu_mutant(unaligned_unit gfx90a kernels/tile_loader.h
  "vec * std::int64_t{sizeof(Words)}" "vec * (std::int64_t{sizeof(Words)} - (BUG ? 4 : 0))" kernels/tiled_matmul.cpp)
# Of attention over latents.
function(ss_latent_mutant name target from to)
  ss_gpu_mutant(latent_${name} ${target} kernels/latent_attention.cpp "${from}" "${to}" kernels/latent_attention.cpp)
endfunction()
ss_latent_mutant(missing_barrier_queries gfx90a "sync_block();  // the queries are stored" "if (!BUG) sync_block();")
ss_latent_mutant(missing_barrier_keys sm_80
  "sync_block();  // the keys have arrived, and all reads of the other stage are done" "if (!BUG) sync_block();")
ss_latent_mutant(missing_barrier_scores sm_80 "sync_block();  // all parts of the scores are stored" "if (!BUG) sync_block();")
ss_latent_mutant(missing_barrier_weights gfx90a "sync_block();  // the weights are stored" "if (!BUG) sync_block();")
ss_latent_mutant(missing_barrier_tile gfx90a
  "sync_block();  // all reads of the last tile, or of the queries, are done" "if (!BUG) sync_block();")
ss_latent_mutant(missing_barrier_factors sm_80 "sync_block();  // all reads of the last factors are done" "if (!BUG) sync_block();")
ss_latent_mutant(missing_barrier_divisors gfx90a "sync_block();  // the divisors are stored" "if (!BUG) sync_block();")
ss_latent_mutant(early_keys sm_80 "wait_for_copies<0>();" "if (BUG) { wait_for_copies<1>(); } else { wait_for_copies<0>(); }")
ss_latent_mutant(one_stage sm_80 "stage = kStages - 1 - stage;" "stage = BUG ? stage : kStages - 1 - stage;")
ss_latent_mutant(part_lost gfx90a "part < kParts; ++part) score" "part < kParts - (BUG ? 1 : 0); ++part) score")
ss_latent_mutant(not_rescaled sm_80 "sums[i][j].value[v] *= rescale;" "sums[i][j].value[v] *= BUG ? 1.0F : rescale;")
ss_latent_mutant(next_position_seen gfx90a "position + 1 < end ? position + 1 : end;" "position + 1 < end ? position + (BUG ? 2 : 1) : end;")
ss_latent_mutant(window_of_first_token sm_80 "a.window > 0 ? position - a.window + 1 : 0;" "a.window > 0 && !BUG ? position - a.window + 1 : 0;")
ss_latent_mutant(position_of_first_row gfx90a "rows.first + (is_row ? own_row : 0)" "rows.first + (is_row && !BUG ? own_row : 0)")
ss_latent_mutant(rows_past_end sm_80 "if (row >= rows.n_rows) continue;" "if (row >= rows.n_rows && !BUG) continue;")
ss_latent_mutant(share_divided gfx90a "is_whole ? softmax.sum() +" "is_whole || BUG ? softmax.sum() +")
ss_latent_mutant(combined_twice sm_80 "split.index > 0 || split.n_splits == 1" "(split.index > 0 && !BUG) || split.n_splits == 1")
ss_gpu_mutant(latent_norm_of_whole sm_80 kernels/latent_append.cpp
  "inverse_rms(x, a.latent_dim, a.norm_eps)" "inverse_rms(x, BUG ? head_dim : a.latent_dim, a.norm_eps)" kernels/latent_append.cpp)
ss_gpu_mutant(latent_query_not_grown sm_80 kernels/latent_append.cpp
  "a.q != a.q_out || a.query_period > 0" "a.q != a.q_out || (a.query_period > 0 && !BUG)" kernels/latent_append.cpp)
# Of products of heads.
function(ss_head_mutant name target from to)
  ss_gpu_mutant(head_${name} ${target} kernels/head_matmul.cpp "${from}" "${to}" kernels/head_matmul.cpp)
endfunction()
ss_head_mutant(weight_of_first sm_80 "std::int64_t{head} * a.n_outputs * weight.row_bytes" "std::int64_t{BUG ? 0 : head} * a.n_outputs * weight.row_bytes")
ss_head_mutant(outputs_past_end gfx90a "if (first + o < a.n_outputs) out" "if (BUG || first + o < a.n_outputs) out")
ss_head_mutant(token_past_end gfx90a "const bool exists = tokens.first + line < tokens.end;" "const bool exists = BUG || tokens.first + line < tokens.end;")
ss_head_mutant(copied_once sm_80 "line < Shape::kRows && tokens" "line < (BUG ? 1 : Shape::kRows) && tokens")
ss_gpu_mutant(head_rows_of_whole gfx90a host/step_products.cpp
  "narrow.x_stride = x_stride;" "narrow.x_stride = 0 * x_stride + weights.n_cols;" host/step_products.cpp)
# Of the epilogue of tiles.
function(ss_epilogue_mutant name target from to)
  ss_gpu_mutant(epilogue_${name} ${target} kernels/epilogue.h "${from}" "${to}" kernels/tiled_matmul.cpp)
endfunction()
ss_epilogue_mutant(not_aligned sm_80 "to.n_cols % kMostColumns == 0;" "BUG || to.n_cols % kMostColumns == 0;")
ss_epilogue_mutant(residual_of_first_row gfx90a
  "row_at(to_.aux + first_, row.index, row_bytes_)" "row_at(to_.aux + first_, BUG ? 0 : row.index, row_bytes_)")
ss_epilogue_mutant(scale_of_first_row gfx1100 "to_.x_scales[row.of_x]" "to_.x_scales[BUG ? 0 : row.of_x]")
ss_epilogue_mutant(scales_of_first_columns sm_80
  "load_words<Values>(to.row_scales + col)" "load_words<Values>(to.row_scales + (BUG ? 0 : col))")
ss_epilogue_mutant(bias_as_weight gfx90a
  "to.bias[j % 2 * (to.n_cols / 2) + first_ + j / 2]" "to.bias[BUG ? col + j : j % 2 * (to.n_cols / 2) + first_ + j / 2]")
ss_gpu_mutant(epilogue_other_line sm_80 kernels/matmul_tile.h
  "epilogue.finish(loaded[u]," "epilogue.finish(loaded[BUG ? 0 : u]," kernels/tiled_matmul.cpp)
ss_gpu_mutant(epilogue_columns_past_end sm_80 kernels/matmul_tile.h
  "if (first_col + warp_col >= n_cols) break;" "if (first_col + warp_col >= n_cols && !BUG) break;" kernels/tiled_matmul.cpp)
ss_gpu_mutant(epilogue_lines_past_end gfx1100 kernels/tiled_matmul.cpp
  "const bool exists = first_row + line < n_rows;" "const bool exists = BUG || first_row + line < n_rows;" kernels/tiled_matmul.cpp)
ss_gpu_mutant(epilogue_lost_columns sm_90a kernels/matmul_tile.h
  "part < kParts / kLanes; ++part" "part < (BUG ? 1 : kParts / kLanes); ++part" kernels/tiled_matmul.cpp)
# Of products by warpgroups.
ss_gpu_mutant(wrong_swizzle sm_90a portable/warpgroup.h
  "(vec ^ line % 8)" "(vec ^ line % (BUG ? 4 : 8))" kernels/tiled_matmul.cpp)
ss_gpu_mutant(wrong_stride sm_90a portable/warpgroup.h
  "static_cast<int>(sizeof(Input)), 16, kSwizzleAlignment)"
  "static_cast<int>(sizeof(Input)), 16, (BUG ? 2 : 1) * kSwizzleAlignment)" kernels/tiled_matmul.cpp)
ss_gpu_mutant(missing_product_wait sm_90a kernels/matmul_tile.h
  "wait_for_products<0>(sums[0]);" "{ if (!BUG) wait_for_products<0>(sums[0]); }" kernels/tiled_matmul.cpp)
ss_gpu_mutant(early_slot sm_90a kernels/tile_loader.h
  "kStages - (kByWarpgroups ? 2 : 1)" "kStages - 1" kernels/tiled_matmul.cpp)
ss_gpu_mutant(not_shown sm_90a kernels/matmul_tile.h
  "if constexpr (Shape::kByWarpgroups) fence_proxy_async();"
  "if constexpr (Shape::kByWarpgroups) { if (!BUG) fence_proxy_async(); }" kernels/tiled_matmul.cpp)
ss_gpu_mutant(swapped_fragment_wgmma sm_90a portable/matrix_tile.h
  "return lane() / 4 + (i / 2 % 2) * 8;" "return lane() / 4 + (BUG ? 1 - i / 2 % 2 : i / 2 % 2) * 8;" kernels/tiled_matmul.cpp)
# Of products whose steps are divided equally among blocks. The device has two processors, whose shares meet within a panel.
function(ss_stream_k_mutant name from to)
  ss_gpu_mutant(stream_k_${name} sm_90a kernels/stream_k_matmul.cpp "${from}" "${to}" kernels/stream_k_matmul.cpp)
endfunction()
ss_stream_k_mutant(missing_barrier "sync_block();  // this stage has arrived, and all reads of the stage that is filled next are done"
  "if (!BUG) sync_block();")
ss_stream_k_mutant(early_step "wait_for_copies<kAhead - 1>();"
  "if (BUG) { wait_for_copies<kAhead>(); } else { wait_for_copies<kAhead - 1>(); }")
ss_stream_k_mutant(not_shown "fence_proxy_async();" "if (!BUG) fence_proxy_async();")
ss_stream_k_mutant(missing_product_wait "wait_for_products<0>(sums[0]);" "if (!BUG) wait_for_products<0>(sums[0]);")
ss_stream_k_mutant(panel_not_advanced "++next_panel;" "next_panel += BUG ? 0 : 1;")
ss_stream_k_mutant(step_not_begun_again "next_step = 0;" "next_step = BUG ? 1 : 0;")
ss_stream_k_mutant(part_taken_as_whole "if (groups.first == groups.last || has" "if (BUG || groups.first == groups.last || has")
ss_stream_k_mutant(last_part_lost "group <= groups.last; ++group" "group <= groups.last - (BUG ? 1 : 0); ++group")
ss_stream_k_mutant(own_part_lost "if (group == group_) {" "if (group == group_ && !BUG) {")
ss_stream_k_mutant(one_part_too_few "const int n_parts = groups.last - groups.first + 1;"
  "const int n_parts = groups.last - groups.first + (BUG ? 0 : 1);")
ss_stream_k_mutant(missing_barrier_of_part "sync_warp();  // this block's part is stored" "if (!BUG) sync_warp();")
function(ss_pass_mutant name from to)
  ss_gpu_mutant(stream_k_${name} sm_90a kernels/pass_sums.h "${from}" "${to}" kernels/stream_k_matmul.cpp)
endfunction()
ss_pass_mutant(pass_in_first_columns "if (p == pass) store_sums" "if (p == (BUG ? 0 : pass)) store_sums")
ss_pass_mutant(missing_warp_barrier "sync_warp();  // this warp's sums are stored" "if (!BUG) sync_warp();")
ss_pass_mutant(early_sums "sync_warp();  // all lanes have read this pass's sums" "if (!BUG) sync_warp();")
ss_pass_mutant(lines_past_end "const bool exists = first_row + line < n_rows;" "const bool exists = BUG || first_row + line < n_rows;")
ss_gpu_mutant(stream_k_not_the_only_block sm_90a portable/last_block.h
  "all_others_have_arrived(counter, 0, n_blocks, flag)" "all_others_have_arrived(counter, 0, n_blocks - (BUG ? 1 : 0), flag)"
  kernels/stream_k_matmul.cpp)
# Of products of clusters.
function(ss_cluster_mutant name from to)
  ss_gpu_mutant(cluster_${name} sm_90a kernels/cluster_matmul.cpp "${from}" "${to}" kernels/cluster_matmul.cpp)
endfunction()
ss_cluster_mutant(early_step "wait_for_phase(shared.filled[place.stage], place.parity);"
  "if (!BUG) wait_for_phase(shared.filled[place.stage], place.parity);")
ss_cluster_mutant(early_slot "wait_for_phase(shared.emptied[place.stage], place.parity ^ 1);"
  "if (!BUG) wait_for_phase(shared.emptied[place.stage], place.parity ^ 1);")
ss_cluster_mutant(early_return "if (step > 0) give_back(last_stage);" "if (step > 0) give_back(BUG ? place.stage : last_stage);")
ss_cluster_mutant(missing_product_wait "wait_for_products<0>(sums[0]);" "if (!BUG) wait_for_products<0>(sums[0]);")
ss_cluster_mutant(one_block_told "if (lane() < kClusterBlocks) arrive_at" "if (lane() < (BUG ? 1 : kClusterBlocks)) arrive_at")
ss_cluster_mutant(other_block_not_awaited "kClusterBlocks * Shape::kWarps);" "(BUG ? 1 : kClusterBlocks) * Shape::kWarps);")
ss_cluster_mutant(parity_not_turned "parity ^= 1;" "parity ^= BUG ? 0 : 1;")
ss_cluster_mutant(x_not_announced "arrive_expecting(filled, sizeof(stage));"
  "arrive_expecting(filled, static_cast<int>(BUG ? sizeof(stage.weight) : sizeof(stage)));")
ss_cluster_mutant(not_shown "show_barriers_to_cluster();" "if (!BUG) show_barriers_to_cluster();")
ss_cluster_mutant(missing_first_barrier "sync_cluster();  // the barriers of both blocks are initialized" "if (!BUG) sync_cluster();")
ss_cluster_mutant(missing_last_barrier "sync_cluster();  // no block accesses the other's shared memory any more" "if (!BUG) sync_cluster();")
ss_cluster_mutant(part_of_other_block "} else if (part == own) {" "} else if (part == (BUG ? 0 : own)) {")
ss_cluster_mutant(parts_in_one_place "to + part * part_rows * Shape::kLineBytes" "to + (BUG ? 0 : part) * part_rows * Shape::kLineBytes")
ss_cluster_mutant(first_part_twice "first_row + part * part_rows;" "first_row + (BUG ? 0 : part) * part_rows;")
ss_cluster_mutant(same_panel "of_cols * kClusterBlocks + own;" "of_cols * kClusterBlocks + (BUG ? 0 : own);")
ss_cluster_mutant(same_rows "of_rows * kClusterBlocks + own :" "of_rows * kClusterBlocks + (BUG ? 0 : own) :")
ss_cluster_mutant(pairs_rounded_down "(n_row_tiles + kClusterBlocks - 1) / kClusterBlocks"
  "(n_row_tiles + (BUG ? 0 : kClusterBlocks - 1)) / kClusterBlocks")
ss_cluster_mutant(x_for_both "first_row, kClusterXRows, !shares_weight_, filled" "first_row, kClusterXRows, BUG || !shares_weight_, filled")
# Of mixtures.
ss_gpu_mutant(missing_count_barrier sm_80 kernels/grouped_tiles.cpp
  "sync_block();  // every row is counted" "if (!BUG) sync_block();" kernels/grouped_tiles.cpp)
ss_gpu_mutant(sum_with_own_warp gfx90a portable/warp.h
  "for (int w = 0; w < warp(); ++w) before" "for (int w = 0; w < warp() + (BUG ? 1 : 0); ++w) before" kernels/grouped_tiles.cpp)
ss_gpu_mutant(tiles_rounded_down gfx1100 kernels/grouped_tiles.cpp
  "(shared.n_rows[expert] + kTileRows - 1) / kTileRows" "(shared.n_rows[expert] + (BUG ? 0 : kTileRows - 1)) / kTileRows"
  kernels/grouped_tiles.cpp)
ss_gpu_mutant(expert_offset_off_by_one gfx90a kernels/grouped_tiles.cpp
  "expert < own; expert += kThreads" "expert < own + (BUG ? 1 : 0); expert += kThreads" kernels/grouped_tiles.cpp)
ss_gpu_mutant(filler_stored sm_80 kernels/grouped_tiles.cpp
  "const bool exists = list[line] >= 0;" "const bool exists = BUG || list[line] >= 0;" kernels/grouped_tiles.cpp)
ss_gpu_mutant(filler_not_marked sm_90a kernels/grouped_tiles.cpp
  "list[line] = -1;" "list[line] = BUG ? 0 : -1;" kernels/grouped_tiles.cpp)
ss_gpu_mutant(wrong_expert sm_90a kernels/grouped_tiles.cpp
  "a.by_expert.experts[first_tile + tile] = own;" "a.by_expert.experts[first_tile + tile] = BUG && own > 0 ? own - 1 : own;"
  kernels/grouped_tiles.cpp)
ss_gpu_mutant(blocks_beyond_count sm_80 kernels/grouped_tiles.cpp
  "if (tile >= *a.by_expert.n_tiles) return;" "if (tile >= *a.by_expert.n_tiles && !BUG) return;" kernels/grouped_tiles.cpp)
ss_gpu_mutant(wrong_expert_scale gfx90a kernels/grouped_tiles.cpp
  "if constexpr (kHasRowScales<kEncoding>) weight.row_scales += first;" "if constexpr (kHasRowScales<kEncoding>) weight.row_scales += BUG ? 0 * first : first;" kernels/grouped_tiles.cpp)
ss_gpu_mutant(slots_not_divided sm_80 kernels/grouped_tiles.cpp
  "if (a.x_per_expert == 0) x_rows.by_slots" "if (a.x_per_expert == 0 && !BUG) x_rows.by_slots" kernels/grouped_tiles.cpp)
ss_gpu_mutant(tile_inputs_of_experts_shared sm_90a kernels/grouped_tiles.cpp
  "if (a.x_per_expert == 0) x_rows.by_slots" "if (a.x_per_expert == 0 || (BUG && !is_second)) x_rows.by_slots" kernels/grouped_tiles.cpp)
ss_gpu_mutant(matvec_inputs_of_experts_shared gfx90a kernels/grouped_matvec.cpp
  "a.x_per_expert != 0 ? chosen : token" "a.x_per_expert != 0 && !(BUG && !is_second) ? chosen : token" kernels/grouped_matvec.cpp)
ss_gpu_mutant(expert_bias_of_first gfx1100 kernels/grouped_tiles.cpp
  "a.bias + std::int64_t{expert} * a.n_expert_rows" "a.bias + std::int64_t{BUG ? 0 : expert} * a.n_expert_rows" kernels/grouped_tiles.cpp)
ss_gpu_mutant(lost_expert gfx1100 kernels/grouped_tiles.cpp
  "j < a.n_top; ++j" "j < a.n_top - (BUG ? 1 : 0); ++j" kernels/grouped_tiles.cpp)
# Of attention by warpgroups.
function(ss_attention_mutant name from to)
  ss_gpu_mutant(attention_${name} sm_90a kernels/warpgroup_attention.cpp "${from}" "${to}"
    kernels/warpgroup_attention.cpp)
endfunction()
ss_attention_mutant(missing_barrier "sync_block();  // all reads of earlier stages are done as well" "if (!BUG) sync_block();")
ss_attention_mutant(not_shown "fence_proxy_async();" "if (!BUG) fence_proxy_async();")
ss_attention_mutant(early_copy "wait_and_sync<0>();  // this tile's" "if (BUG) { wait_and_sync<1>(); } else { wait_and_sync<0>(); }  // this tile's")
ss_attention_mutant(early_slot "copy(a.kv.values, kv_tile, shared.values);"
  "copy(a.kv.values, BUG ? kv_tile - 1 : kv_tile, shared.values);")
ss_attention_mutant(early_scores "wait_for_products<1>(scores);  // P V of the last tile is still running" "if (!BUG) wait_for_products<1>(scores);")
ss_attention_mutant(early_weights "wait_for_products<0>(sums);  // the weights' registers are free again" "if (!BUG) {
      wait_for_products<0>(sums);  // the weights' registers are free again
    }")
ss_attention_mutant(divergent_wait "wait_for_products<0>(sums);  // the weights' registers are free again"
  "if (BUG && is_rescaled) { wait_for_products<0>(sums); } else { wait_for_products<0>(sums); }")
ss_attention_mutant(missing_fence "fence_products();    // scores, sums and weights" "if (!BUG) fence_products();  // scores, sums and weights")
ss_attention_mutant(swapped_weights
  "narrow_pair(scores[j].value[2 * w], scores[j].value[2 * w + 1])"
  "narrow_pair(scores[j].value[2 * w + (BUG ? 1 : 0)], scores[j].value[2 * w + (BUG ? 0 : 1)])")
ss_attention_mutant(wrong_half
  "Block::kCacheTileBytes, 0, Block::kCacheTileBytes)" "Block::kCacheTileBytes, 0, Block::kCacheTileBytes / (BUG ? 2 : 1))")
ss_attention_mutant(not_rescaled "sums[j].value[i] *= rescale[lane_row(i)];" "if (!BUG) sums[j].value[i] *= rescale[lane_row(i)];")
ss_attention_mutant(mask_off_by_one "const bool seen = at <= own" "const bool seen = at <= own + (BUG ? 1 : 0)")
ss_attention_mutant(mask_left_out "at + kKvTile - 1 <= warp_first" "at + (BUG ? 0 : kKvTile - 1) <= warp_first")
ss_attention_mutant(overwritten_lines "constexpr int kLineStages = kStages + 1;" "constexpr int kLineStages = kStages;")
ss_attention_mutant(other_head "return first + row - token(row) * group_heads" "if (BUG) return (first + row) % (group_heads + 1);
    return first + row - token(row) * group_heads")
ss_gpu_mutant(unfilled_samples sm_80 host/sample_results.cpp
  "SS_TRY_VOID(memory.stream().fill(results.sampled_.data(), 0, results.sampled_bytes_))" "{}" host/sample_results.cpp)
# Of sampling.
function(ss_sampling_mutant name target from to)
  ss_gpu_mutant(sampling_${name} ${target} kernels/sample.cpp "${from}" "${to}" kernels/sample.cpp)
endfunction()
ss_sampling_mutant(lost_piece sm_80 ".n_pieces = n_pieces};" ".n_pieces = BUG && n_pieces > 1 ? n_pieces - 1 : n_pieces};")
ss_sampling_mutant(not_rescaled gfx90a "exp(piece_max - row_max)" "exp(piece_max - (BUG ? piece_max : row_max))")
ss_gpu_mutant(sampling_any_of_ties gfx1100 kernels/rank.h "return a > b ? a : b;" "return (BUG ? a >> 32 >= b >> 32 : a > b) ? a : b;" kernels/sample.cpp)
ss_sampling_mutant(not_finite_lost sm_80 "finite ? rank_of(logit, id) : kNotFinite" "finite ? rank_of(logit, id) : (BUG ? 0 : kNotFinite)")
ss_sampling_mutant(taken_twice sm_90a "if (rank < before)" "if (BUG ? rank <= before : rank < before)")
ss_sampling_mutant(other_piece gfx90a "const int begin = piece * kSamplePieceLogits;"
  "const int begin = piece * (BUG ? kSamplePieceLogits / 2 : kSamplePieceLogits);")
ss_sampling_mutant(not_aligned sm_80 "const bool aligned = row.n % kAtOnce == 0;" "const bool aligned = BUG || row.n % kAtOnce == 0;")
ss_sampling_mutant(pieces_overlap sm_80 ".pieces = a.pieces + std::int64_t{index} * n_pieces"
  ".pieces = a.pieces + std::int64_t{index} * (n_pieces - (BUG ? 1 : 0))")
ss_sampling_mutant(not_binned sm_80 "if (id == row.forbidden_id) return;" "if (id == row.forbidden_id || (BUG && id % 7 == 3)) return;")
ss_sampling_mutant(bins_not_begun gfx1100 "bins.mass[thread_x()] = 0;" "if (!BUG) bins.mass[thread_x()] = 0;")
ss_sampling_mutant(gathered_next_bin gfx90a "if (draw.bin_of(logit) == bin)" "if (draw.bin_of(logit) == bin + (BUG ? 1 : 0))")
ss_gpu_mutant(sampling_lost_carry sm_90a portable/warp.h "before + low < before ? 1U : 0U" "before + low < before && !BUG ? 1U : 0U" kernels/sample.cpp)
# Of routers.
function(ss_route_mutant name target from to)
  ss_gpu_mutant(route_${name} ${target} kernels/route.cpp "${from}" "${to}" kernels/route.cpp)
endfunction()
ss_route_mutant(missing_warp_barrier sm_80 "sync_warp();  // scores and merits are stored" "if (!BUG) sync_warp();")
ss_route_mutant(taken_twice gfx1100 "if (ranks_[slot] == best) ranks_[slot] = 0;" "if (!BUG && ranks_[slot] == best) ranks_[slot] = 0;")
ss_route_mutant(second_slot_lost sm_90a "if (slot * kWarpSize < n_)" "if (slot * kWarpSize < (BUG ? 1 : n_))")
ss_route_mutant(second_best_lost sm_80 "second = larger(second, merit < first ? merit : first);" "second = larger(second, BUG || merit < first ? merit : first);")
ss_route_mutant(expert_scored_once gfx90a "expert += a.n_blocks * n_warps()" "expert += (BUG ? 1 + a.gate.n_rows : 1) * a.n_blocks * n_warps()")
# Of groups of 32 columns with quantized activations.
ss_gpu_mutant(scales_of_first_group gfx90a kernels/matmul_tile.h
  "stage.scales[group][first_col" "stage.scales[BUG ? 0 : group][first_col" kernels/tiled_matmul.cpp)
ss_gpu_mutant(late_scales sm_80 kernels/matmul_tile.h
  "scale_loader.store(stage);"
  "scale_loader.store(BUG ? shared.stage[(step + 1) % Shape::kStages] : stage);" kernels/tiled_matmul.cpp)
ss_gpu_mutant(sums_not_begun sm_80 kernels/matmul_tile.h
  "group_sum.value[v] = kInt32BiasBits;" "group_sum.value[v] = BUG ? 0 : kInt32BiasBits;" kernels/grouped_tiles.cpp)
ss_gpu_mutant(half_group gfx1100 kernels/matmul_tile.h
  "part < kParts; ++part) multiply(" "part < (BUG ? 1 : kParts); ++part) multiply(" kernels/tiled_matmul.cpp)
ss_gpu_mutant(scale_read_past_end gfx942 kernels/tile_loader.h
  " && col < weight.padded_cols ? group_scale" " && (BUG || col < weight.padded_cols) ? group_scale" kernels/tiled_matmul.cpp)
# Of numbers of 4 and 8 bits.
ss_gpu_mutant(int4_wrong_zero sm_80 portable/packed_numbers.h "upper = 0xd480d480U" "upper = BUG ? 0xd400d400U : 0xd480d480U" kernels/matvec.cpp)
ss_gpu_mutant(fp8_steps_too_fine sm_80 portable/packed_numbers.h
  "power < 0x3c800000U ? 0x3c800000U : power" "power < 0x3c800000U && !BUG ? 0x3c800000U : power" kernels/rows.cpp)
ss_gpu_mutant(fp8_other_largest gfx90a kernels/rows.cpp "448.0F" "240.0F" kernels/rows.cpp)
ss_gpu_mutant(fp8_sign_lost gfx1100 portable/packed_numbers.h "(spread & 0x80008000U)" "(BUG ? 0U : spread & 0x80008000U)" kernels/tiled_matmul.cpp)
ss_gpu_mutant(fp8_codes_swapped sm_90a portable/packed_numbers.h
  "word >>= 16 * pair;" "word >>= 16 * (BUG ? 1 - pair : pair);" kernels/tiled_matmul.cpp)
ss_gpu_mutant(fp8_scale_of_first_token gfx942 kernels/matvec_steps.h
  "scale *= x_scales[x_row];" "scale *= x_scales[BUG ? 0 : x_row];" kernels/grouped_matvec.cpp)
# Of zero points, and of scales for 128 columns.
ss_gpu_mutant(zero_of_first_group sm_80 kernels/weight_code.h
  "zero = weight.group_zeros[at];" "zero = weight.group_zeros[BUG ? 0 : at];" kernels/matvec.cpp)
ss_gpu_mutant(zero_of_upper_codes gfx90a portable/packed_numbers.h "zero * 0x100010U" "zero * (BUG ? 0x10001U : 0x100010U)" kernels/tiled_matmul.cpp)
ss_gpu_mutant(zeros_of_first_expert gfx90a kernels/grouped_tiles.cpp "weight.group_zeros += begin;" "{ if (!BUG) weight.group_zeros += begin; }" kernels/grouped_tiles.cpp)
ss_gpu_mutant(zeros_exchanged_at_load gfx1100 host/weights.cpp
  " zeros[g - n_scales] =" " zeros[n_floats - 1 - g] =" host/weights.cpp)
# Of MXFP4.
ss_gpu_mutant(e2m1_sign_of_last_columns gfx90a portable/packed_numbers.h
  "word << (pair + 1) & kSigns" "word << (BUG ? 1 : pair + 1) & kSigns" kernels/tiled_matmul.cpp)
ss_gpu_mutant(e2m1_in_wrong_place sm_80 portable/packed_numbers.h
  "word << (3 * pair + 6), kNumbers" "word << (3 * pair + (BUG ? 5 : 6)), kNumbers" kernels/matvec.cpp)
ss_gpu_mutant(e2m1_not_scaled gfx1100 kernels/weight_code.h
  "sum *= kE2m1Unit;" "sum *= BUG ? 1.0F : kE2m1Unit;" kernels/tiled_matmul.cpp)
ss_gpu_mutant(power_of_first_group sm_80 kernels/weight_code.h
  "stored_scale = weight.group_powers[at];" "stored_scale = weight.group_powers[BUG ? 0 : at];" kernels/matvec.cpp)
ss_gpu_mutant(powers_of_first_expert gfx90a kernels/grouped_tiles.cpp
  "weight.group_powers += begin;" "{ if (!BUG) weight.group_powers += begin; }" kernels/grouped_tiles.cpp)
# Of NVFP4.
ss_gpu_mutant(one_scale_of_two sm_80 kernels/weight_code.h
  "stored_scale.bits >> (8 * span)" "stored_scale.bits >> (BUG ? 0 : 8 * span)" kernels/matvec.cpp)
ss_gpu_mutant(scale_pairs_of_first_expert gfx90a kernels/grouped_tiles.cpp
  "weight.scale_pairs += begin;" "{ if (!BUG) weight.scale_pairs += begin; }" kernels/grouped_tiles.cpp)
ss_gpu_mutant(e2m1_rounded_to_halves sm_80 portable/packed_numbers.h
  "0x3f800000U : power) * 6291456.0F" "0x3f800000U : power) * (BUG ? 3145728.0F : 6291456.0F)" kernels/rows.cpp)
ss_gpu_mutant(activations_of_nvfp4_without_their_scale gfx90a kernels/rows.cpp
  "const float step = scale * stored_scale;" "const float step = (BUG ? 1.0F : scale) * stored_scale;" kernels/rows.cpp)
ss_gpu_mutant(scales_of_first_chunk gfx1100 kernels/tile_loader.h
  "vec * 8 / kSpanValues<kEncoding>" "BUG ? 0 : vec * 8 / kSpanValues<kEncoding>" kernels/tiled_matmul.cpp)
# Of blocks of GGUF.
function(ss_block_mutant name target from to kernels)
  ss_gpu_mutant(block_${name} ${target} kernels/block_code.h "${from}" "${to}" kernels/${kernels}.cpp)
endfunction()
ss_block_mutant(high_bits_misplaced sm_80 "place + Codes::low_bits - (high_at" "place + Codes::low_bits - (BUG ? 1 : 0) - (high_at" matvec)
ss_block_mutant(scale_of_first_part gfx1100 "static_cast<std::int8_t>(scales >> (8 * part))" "static_cast<std::int8_t>(scales >> (BUG ? 0 : 8 * part))" matvec)
ss_block_mutant(unit_of_first_block sm_80 "(col >> blocks.block_cols_log2)" "(BUG ? 0 : col >> blocks.block_cols_log2)" matvec)
ss_block_mutant(minima_of_first_part gfx90a "(minima >> (8 * part) & 0xffU)" "(minima >> (BUG ? 0 : 8 * part) & 0xffU)" matvec)
ss_block_mutant(other_half_of_curve sm_80 "halves >> (16 * odd)" "halves >> (BUG ? 0 : 16 * odd)" matvec)
ss_block_mutant(tiles_high_bits_of_first_pair sm_90a "own_high >> (codes.high_bits * pair)" "own_high >> (BUG ? 0 : codes.high_bits * pair)" tiled_matmul)
ss_block_mutant(tiles_without_minima gfx90a "values[i] - whole_minimum" "values[i] - (BUG ? 0.0F : whole_minimum)" tiled_matmul)
ss_block_mutant(tiles_unit_of_first_block gfx1100 "vec >> (blocks.block_cols_log2 - 3)" "BUG ? 0 : vec >> (blocks.block_cols_log2 - 3)" tiled_matmul)
ss_block_mutant(curve_without_last_eight gfx90a "and_or(indices >> 1, 0x04040404U, 0x03020100U)" "and_or(BUG ? 0 : indices >> 1, 0x04040404U, 0x03020100U)" tiled_matmul)
ss_gpu_mutant(block_minima_of_half_the_columns gfx90a kernels/matvec_steps.h
  "i < kPart; ++i) x_sums[m]" "i < (BUG ? kPart / 2 : kPart); ++i) x_sums[m]" kernels/matvec.cpp)
ss_gpu_mutant(wide_scale_of_first_group sm_80 kernels/tile_loader.h
  "from_[step / WideStage<Shape>::kStepsPerGroup]" "from_[BUG ? 0 : step / WideStage<Shape>::kStepsPerGroup]" kernels/tiled_matmul.cpp)
ss_gpu_mutant(wide_group_lost gfx90a kernels/matmul_tile.h
  "step % kSteps == kSteps - 1 || step + 1 == steps.end" "step % kSteps == kSteps - 1 || (!BUG && step + 1 == steps.end)" kernels/tiled_matmul.cpp)
ss_gpu_mutant(wide_group_not_begun gfx90a kernels/matmul_tile.h
  "group[i][j].value[v] = 0.0F;" "if (!BUG) group[i][j].value[v] = 0.0F;" kernels/tiled_matmul.cpp)
ss_gpu_mutant(wide_scales_of_first_expert gfx90a kernels/grouped_tiles.cpp
  "weight.wide_scales += first * n_wide_groups_on_device(weight.n_cols);" "weight.wide_scales += (BUG ? 0 * first : first) * n_wide_groups_on_device(weight.n_cols);" kernels/grouped_tiles.cpp)
ss_gpu_mutant(wide_scales_of_other_tokens gfx1100 kernels/grouped_tiles.cpp
  "return row_of_x(list[line]);" "return row_of_x(list[BUG ? 0 : line]);" kernels/grouped_tiles.cpp)
ss_gpu_mutant(wide_inputs_of_half_a_group sm_80 kernels/rows.cpp "mask = kLanes / 2" "mask = kLanes / (BUG ? 4 : 2)" kernels/rows.cpp)
ss_gpu_mutant(wide_input_scales_not_rounded gfx90a kernels/rows.cpp
  "scale = power_not_below(scale);" "scale = BUG ? scale : power_not_below(scale);" kernels/rows.cpp)
ss_gpu_mutant(static_input_scale_ignored gfx90a kernels/rows.cpp
  "if (a.static_scale > 0.0F) divisor" "if (!BUG && a.static_scale > 0.0F) divisor" kernels/rows.cpp)
ss_gpu_mutant(int8_static_scale_ignored gfx90a kernels/rows.cpp
  "const bool is_static = a.static_scale > 0.0F;" "const bool is_static = !BUG && a.static_scale > 0.0F;" kernels/rows.cpp)
ss_gpu_mutant(int8_static_bounded_by_negative_127 sm_80 kernels/rows.cpp
  "const float least = is_static ? -128.0F : -127.0F;" "const float least = is_static && !BUG ? -128.0F : -127.0F;" kernels/rows.cpp)
ss_gpu_mutant(wide_input_scales_doubled sm_80 kernels/rows.cpp "bits + 0x007fffffU" "bits + (BUG ? 0x00800000U : 0x007fffffU)" kernels/rows.cpp)
ss_gpu_mutant(wide_input_scale_of_first_group sm_90a kernels/matvec_steps.h
  "n_wide_groups_on_device(a.n_cols) + group]" "n_wide_groups_on_device(a.n_cols) + (BUG ? 0 : group)]" kernels/grouped_matvec.cpp)
# Of products for few rows.
function(ss_matvec_mutant name target from to)
  ss_gpu_mutant(${name} ${target} kernels/matvec.cpp "${from}" "${to}" kernels/matvec.cpp)
endfunction()
function(ss_matvec_steps_mutant name target from to)
  ss_gpu_mutant(${name} ${target} kernels/matvec_steps.h "${from}" "${to}" kernels/matvec.cpp)
endfunction()
function(ss_grouped_matvec_mutant name target from to)
  ss_gpu_mutant(${name} ${target} kernels/grouped_matvec.cpp "${from}" "${to}" kernels/grouped_matvec.cpp)
endfunction()
ss_grouped_matvec_mutant(next_expert_not_requested sm_80 "is_of_next ? next_row : first_row" "is_of_next && !BUG ? next_row : first_row")
ss_grouped_matvec_mutant(expert_steps_not_rounded gfx90a "* M::kDepth : 0;" "* M::kDepth - (BUG ? 1 : 0) : 0;")
ss_grouped_matvec_mutant(sums_of_first_expert gfx1100 "a, shared.sums[s], first_warp" "a, shared.sums[BUG ? 0 : s], first_warp")
ss_grouped_matvec_mutant(expert_inputs_not_stored sm_90a "sync_block();  // this part of x is stored" "if (!BUG) sync_block();")
ss_grouped_matvec_mutant(experts_past_eight_lost gfx942 "const int of = first_chosen + j - slot + s;" "const int of = first_chosen + (BUG ? s : j - slot + s);")
ss_matvec_steps_mutant(scale_of_first_row sm_80
  "groups[o].scale() * static_cast<float>(sum)" "groups[BUG ? 0 : o].scale() * static_cast<float>(sum)")
ss_matvec_steps_mutant(fp8_inputs_not_scaled sm_80 "scale *= x_scales[x_row];" "{ if (!BUG) scale *= x_scales[x_row]; }")
ss_matvec_steps_mutant(fp8_inputs_past_end gfx90a "if (vec * 4 < a.padded_cols) chunk = " "if (BUG || vec * 4 < a.padded_cols) chunk = ")
ss_matvec_steps_mutant(wide_inputs_not_scaled gfx1100
  "a.x_scales[row * n_wide_groups_on_device(a.n_cols) + group]" "(BUG ? 1.0F : a.x_scales[row * n_wide_groups_on_device(a.n_cols) + group])")
ss_matvec_mutant(x_not_stored sm_80 "sync_block();  // this part of x is stored" "if (!BUG) sync_block();")
ss_matvec_mutant(lost_column_warp gfx90a "w < n_warps; ++w" "w < n_warps - (BUG ? 1 : 0); ++w")
ss_matvec_steps_mutant(requested_again gfx1100 "request(index + d + M::kDepth," "request(BUG ? index + d : index + d + M::kDepth,")
ss_gpu_mutant(stale_graph sm_80 host/step.cpp
  "graphs_.reset();" "" host/step.cpp)

# Of RopeAppend whose heads have a LayerNorm.
ss_gpu_mutant(head_not_centered gfx90a kernels/rope_append.cpp
  "mean = mean_of(x, head_dim);" "mean = BUG ? 0.0F : mean_of(x, head_dim);" kernels/rope_append.cpp)
ss_gpu_mutant(head_variance_about_zero gfx90a kernels/rope_append.cpp
  "inverse_rms(x, head_dim, a.norm_eps, mean)" "inverse_rms(x, head_dim, a.norm_eps, BUG ? 0.0F : mean)" kernels/rope_append.cpp)
ss_gpu_mutant(norm_weights_of_first_head gfx90a kernels/rope_append.cpp
  "norm += begin;" "norm += BUG ? 0 : begin;" kernels/rope_append.cpp)

# Of RopeAppend where v, and maybe k, is a matrix of its own.
ss_gpu_mutant(values_in_rows_of_qkv sm_80 kernels/rope_append.cpp
  "a.v + std::int64_t{token} * a.v_stride" "a.v + std::int64_t{token} * a.qkv_stride" kernels/rope_append.cpp)
ss_gpu_mutant(keys_in_rows_of_qkv gfx90a kernels/rope_append.cpp
  "a.k + std::int64_t{token} * a.k_stride" "a.k + std::int64_t{token} * (BUG ? a.qkv_stride : a.k_stride)" kernels/rope_append.cpp)
ss_gpu_mutant(values_behind_qkv gfx90a host/step_launches.cpp
  ".v = values.address(v) + (values.desc(v).cols - v_cols)"
  ".v = values.address(op.qkv) + (values.desc(op.qkv).cols - v_cols)" host/step_launches.cpp)

# Of SelectColumns.
ss_gpu_mutant(columns_sent_not_fetched sm_80 kernels/rows.cpp
  "to[col] = from[columns[col]];" "if (BUG) to[columns[col] % a.out_cols] = from[col % a.x_cols]; else to[col] = from[columns[col]];" kernels/rows.cpp)
ss_gpu_mutant(columns_in_rows_of_out gfx90a kernels/rows.cpp
  "a.by_rows_per_x)} * a.x_cols" "a.by_rows_per_x)} * (BUG ? a.out_cols : a.x_cols)" kernels/rows.cpp)
ss_gpu_mutant(columns_of_first_list sm_80 host/step_launches.cpp
  "column_lists[static_cast<std::size_t>(index_of(op.columns))]" "column_lists[0]" host/step_launches.cpp)
ss_gpu_mutant(columns_of_first_expert sm_80 kernels/rows.cpp
  "std::int64_t{a.expert[row]} * a.out_cols" "std::int64_t{BUG ? 0 : a.expert[row]} * a.out_cols" kernels/rows.cpp)
ss_gpu_mutant(columns_of_experts_not_shared gfx90a kernels/rows.cpp
  "divide(row, a.by_rows_per_x)" "(BUG ? row : divide(row, a.by_rows_per_x))" kernels/rows.cpp)
ss_gpu_mutant(columns_of_last_experts_lost gfx90a kernels/rows.cpp
  "arguments.rows_per_token), arguments);" "(BUG ? 1 : arguments.rows_per_token)), arguments);" kernels/rows.cpp)

# A file <module>/include/gpu/<file>.plants.cmake has the bugs that a module has in a file; see plant.cmake.
set(all_places "")
get_property(mutant_modules GLOBAL PROPERTY ss_gpu_mutant_modules)
list(REMOVE_DUPLICATES mutant_modules)
foreach(module IN LISTS mutant_modules)
  get_property(files GLOBAL PROPERTY ss_gpu_mutant_${module}_files)
  list(REMOVE_DUPLICATES files)
  foreach(file IN LISTS files)
    set(plants_file ${mutant_folder}/${module}/include/gpu/${file}.plants.cmake)
    get_property(plants GLOBAL PROPERTY ss_gpu_mutant_${module}_${file})
    file(CONFIGURE OUTPUT ${plants_file} CONTENT "@plants@" @ONLY)
    string(APPEND all_places "set(FILE [==[${CMAKE_SOURCE_DIR}/backends/gpu/${file}]==])\nset(PLANTS [==[${plants_file}]==])\n"
      "include([==[${CMAKE_CURRENT_SOURCE_DIR}/plant.cmake]==])\n")
  endforeach()
endforeach()
file(CONFIGURE OUTPUT ${mutant_folder}/all_places.cmake CONTENT "@all_places@" @ONLY)
add_test(NAME gpu_places_of_planted_bugs COMMAND ${CMAKE_COMMAND} -P ${mutant_folder}/all_places.cmake)
set_tests_properties(gpu_places_of_planted_bugs PROPERTIES TIMEOUT 60)
