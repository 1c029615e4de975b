// Each bug planted in the source of the kernels (planted_bugs.cmake) must be found by the check that is intended for it. The
// search runs in a child process, because a read past the end of an allocation ends the process.

#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>

#include "backend/module.h"
#include "conformance/suite.h"
#include "gpu/workspace_case.h"
#include "support/catch.h"

namespace secondsource::conformance {
namespace {

struct GpuMutant {
  std::string name;  ///< the bug's name in planted_bugs.cmake; empty: no bug is active
  std::string target;
  std::string family;  ///< conformance family; empty: check_moved_workspace()
  std::string tiles = "auto";
};

/// Runs the search in a child process. Returns its finding: empty if nothing was found, "fault: ..." if a signal ended it.
std::string search(const std::string& folder, const GpuMutant& mutant, const std::string& order) {
  int pipe_ends[2];
  REQUIRE(pipe(pipe_ends) == 0);
  std::fflush(nullptr);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    close(pipe_ends[0]);
    std::signal(SIGSEGV, SIG_DFL);  // the test program's handler would report a failed test
    setenv("SECONDSOURCE_PLANTED_BUG", mutant.name.c_str(), 1);
    const std::vector<Module> modules = load_modules({folder});
    const MakeBackend make = [&] {
      return create_backend(
          modules, "gpu-shim",
          {.device_id = "", .extra = {{"target", mutant.target}, {"order", order}, {"tiles", mutant.tiles}}});
    };
    std::string finding;
    if (mutant.family.empty()) {
      finding = check_moved_workspace(make).value_or("");
    } else {
      SuiteOptions options;
      options.families = {mutant.family};
      options.stop_at_first = true;
      run_suite(make, options, [&](const CaseReport& report) {
        if (report.verdict == Verdict::kFailed) finding = report.name + ": " + report.text;
      });
    }
    (void)!write(pipe_ends[1], finding.data(), finding.size());
    _exit(0);
  }
  close(pipe_ends[1]);
  std::string finding;
  char piece[256];
  for (ssize_t n = 0; (n = read(pipe_ends[0], piece, sizeof(piece))) > 0;) {
    finding.append(piece, static_cast<std::size_t>(n));
  }
  close(pipe_ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? fmt::format("fault: signal {}", WTERMSIG(status)) : finding;
}

/// For each bug's name, the folder of the module that contains it.
std::map<std::string, std::string> planted_modules() {
  std::ifstream file(SECONDSOURCE_GPU_MUTANTS "/planted.txt");
  std::map<std::string, std::string> modules;
  for (std::string name, module; file >> name >> module;) modules[name] = SECONDSOURCE_GPU_MUTANTS "/" + module;
  return modules;
}

TEST_CASE("every bug planted in the GPU kernels is found, in every order of threads") {
  std::map<std::string, std::string> modules = planted_modules();
  REQUIRE_FALSE(modules.empty());
  // Each bug with a part of the expected finding: wrong numbers, an error, or a fault. Empty: any finding.
  const std::vector<std::pair<GpuMutant, std::string>> mutants = {
      {{"missing_barrier_tiles", "sm_80", "matmul"}, "nan"},
      {{"stream_missing_barrier", "sm_80", "matmul"}, ""},
      {{"stream_early_step", "sm_80", "matmul"}, ""},
      {{"stream_stale_window", "sm_80", "matmul_long"}, "outside"},
      {{"stream_columns_past_end", "sm_80", "matmul"}, ""},
      {{"stream_rows_past_end", "sm_80", "matmul"}, ""},
      {{"stream_group_of_first_row", "sm_80", "matmul_int4_zp"}, "outside"},
      {{"stream_lost_group", "sm_80", "matmul_fp8_g128"}, "outside"},
      {{"stream_expert_group_of_first_row", "sm_80", "grouped_matmul_int4_zp"}, "outside"},
      {{"stream_half_of_split", "sm_80", "matmul"}, "outside"},
      {{"swapped_bytes_of_rows", "sm_80", "matmul"}, "outside"},
      {{"missing_barrier_queries", "sm_80", "attention"}, ""},
      {{"missing_barrier_sums", "gfx90a", "attention"}, ""},
      {{"short_split", "sm_80", "attention_deep"}, "outside"},
      {{"rows_past_end", "sm_80", "attention"}, "outside"},
      {{"split_not_rescaled", "gfx90a", "attention_deep"}, "outside"},
      {{"lost_last_split", "gfx90a", "attention_deep"}, "outside"},
      {{"combined_too_early", "sm_80", "attention_deep"}, ""},
      {{"count_not_reset", "sm_80", "attention_long"}, ""},
      {{"latent_missing_barrier_queries", "gfx90a", "attention_latent"}, ""},
      {{"latent_missing_barrier_keys", "sm_80", "attention_latent"}, ""},
      {{"latent_missing_barrier_scores", "sm_80", "attention_latent"}, ""},
      {{"latent_missing_barrier_weights", "gfx90a", "attention_latent"}, ""},
      {{"latent_missing_barrier_tile", "gfx90a", "attention_latent"}, ""},
      {{"latent_missing_barrier_factors", "sm_80", "attention_latent"}, ""},
      {{"latent_missing_barrier_divisors", "gfx90a", "attention_latent"}, ""},
      {{"latent_early_keys", "sm_80", "attention_latent"}, ""},
      {{"latent_one_stage", "sm_80", "attention_latent"}, ""},
      {{"latent_part_lost", "gfx90a", "attention_latent"}, ""},
      {{"latent_not_rescaled", "sm_80", "attention_latent"}, ""},
      {{"latent_next_position_seen", "gfx90a", "attention_latent"}, ""},
      {{"latent_window_of_first_token", "sm_80", "attention_latent"}, ""},
      {{"latent_position_of_first_row", "gfx90a", "attention_latent"}, ""},
      {{"latent_rows_past_end", "sm_80", "attention_latent"}, ""},
      {{"latent_share_divided", "gfx90a", "attention_latent"}, ""},
      {{"latent_combined_twice", "sm_80", "attention_latent"}, ""},
      {{"latent_norm_of_whole", "sm_80", "latent_append"}, ""},
      {{"latent_query_not_grown", "sm_80", "latent_growth"}, ""},
      {{"head_weight_of_first", "sm_80", "head_matmul"}, ""},
      {{"head_outputs_past_end", "gfx90a", "head_matmul"}, ""},
      {{"head_token_past_end", "gfx90a", "head_matmul"}, ""},
      {{"head_copied_once", "sm_80", "head_matmul"}, ""},
      {{"head_rows_of_whole", "gfx90a", "head_matmul"}, ""},
      {{"early_read", "sm_80", "layer"}, "copies are under way"},
      {{"swapped_fragment_mma", "sm_80", "matmul"}, "outside"},
      {{"swapped_matrices", "sm_80", "matmul"}, "outside"},
      {{"short_int8_step", "sm_80", "matmul_w8a8"}, "not a multiple of it"},
      {{"swapped_int8_fragment", "gfx942", "matmul_w8a8"}, "outside"},
      {{"early_step", "sm_80", "matmul"}, ""},
      {{"late_store", "gfx90a", "matmul"}, ""},
      {{"missing_warp_barrier", "gfx1100", "matmul"}, ""},
      {{"lost_split", "sm_80", "matmul"}, "outside"},
      {{"split_overlaps", "sm_80", "matmul"}, "found"},
      {{"not_transposed", "sm_80", "attention_long"}, "outside"},
      {{"swapped_fragment_mfma", "gfx90a", "matmul"}, "outside"},
      {{"swapped_fragment_wmma", "gfx1100", "matmul"}, "outside"},
      {{"weight_read_past_end", "sm_80", "matmul"}, ""},  // a fault, or a read of unwritten bytes
      {{"unaligned_unit", "gfx90a", "matmul"}, "not a multiple of it"},
      {{"epilogue_not_aligned", "sm_80", "matmul"}, "not a multiple of it"},
      {{"epilogue_residual_of_first_row", "gfx90a", "matmul"}, "outside"},
      {{"epilogue_scale_of_first_row", "gfx1100", "matmul_w8a8"}, "outside"},
      {{"epilogue_scales_of_first_columns", "sm_80", "matmul_w8a8"}, "outside"},
      {{"epilogue_bias_as_weight", "gfx90a", "matmul_gated_bias"}, "outside"},
      {{"epilogue_other_line", "sm_80", "matmul"}, ""},
      {{"epilogue_columns_past_end", "sm_80", "matmul"}, ""},
      {{"epilogue_lines_past_end", "gfx1100", "matmul"}, ""},
      {{"epilogue_lost_columns", "sm_90a", "matmul", "wgmma128x256"}, ""},
      {{"wrong_swizzle", "sm_90a", "matmul", "wgmma128x128"}, "outside"},
      {{"wrong_stride", "sm_90a", "matmul", "wgmma128x256"}, ""},
      {{"missing_product_wait", "sm_90a", "matmul", "wgmma128x128"}, "under way"},
      {{"early_slot", "sm_90a", "matmul", "wgmma128x256"}, "written while a product could still read it"},
      {{"not_shown", "sm_90a", "matmul_w8a8", "wgmma128x128"}, "not shown to warpgroups"},
      {{"swapped_fragment_wgmma", "sm_90a", "matmul", "wgmma128x256"}, "outside"},
      {{"stream_k_missing_barrier", "sm_90a", "matmul_long", "streamk128x256"}, ""},
      {{"stream_k_early_step", "sm_90a", "matmul_long", "streamk128x256"}, ""},
      {{"stream_k_not_shown", "sm_90a", "matmul", "streamk128x256"}, "not shown to warpgroups"},
      {{"stream_k_missing_product_wait", "sm_90a", "matmul_long", "streamk128x256"}, "under way"},
      {{"stream_k_panel_not_advanced", "sm_90a", "matmul", "streamk128x256"}, ""},
      {{"stream_k_step_not_begun_again", "sm_90a", "matmul", "streamk128x256"}, ""},
      {{"stream_k_part_taken_as_whole", "sm_90a", "matmul_long", "streamk128x256"}, "nobody wrote"},
      {{"stream_k_last_part_lost", "sm_90a", "matmul_long", "streamk128x256"}, "outside"},
      {{"stream_k_own_part_lost", "sm_90a", "matmul_long", "streamk128x256"}, ""},
      {{"stream_k_one_part_too_few", "sm_90a", "matmul_long", "streamk128x256"}, ""},
      {{"stream_k_pass_in_first_columns", "sm_90a", "matmul", "streamk128x256"}, "outside"},
      {{"stream_k_missing_warp_barrier", "sm_90a", "matmul", "streamk128x256"}, ""},
      {{"stream_k_missing_barrier_of_part", "sm_90a", "matmul_long", "streamk128x256"}, ""},
      {{"stream_k_early_sums", "sm_90a", "matmul", "streamk128x256"}, ""},
      {{"stream_k_lines_past_end", "sm_90a", "matmul", "streamk128x256"}, ""},
      {{"stream_k_not_the_only_block", "sm_90a", "matmul_long", "streamk128x256"}, ""},
      {{"cluster_early_step", "sm_90a", "matmul_long", "cluster128x256"}, "to which a copy is under way"},
      {{"cluster_early_slot", "sm_90a", "matmul_long", "cluster128x256"}, ""},
      {{"cluster_early_return", "sm_90a", "matmul_long", "cluster128x256"}, ""},
      {{"cluster_missing_product_wait", "sm_90a", "matmul_long", "cluster128x128"}, "under way"},
      {{"cluster_one_block_told", "sm_90a", "matmul_long", "cluster128x256"}, "arrivals that never come"},
      {{"cluster_other_block_not_awaited", "sm_90a", "matmul_long", "cluster128x128"}, ""},
      {{"cluster_parity_not_turned", "sm_90a", "matmul_long", "cluster128x256"}, ""},
      {{"cluster_x_not_announced", "sm_90a", "matmul", "cluster128x256"}, ""},
      {{"cluster_not_shown", "sm_90a", "matmul", "cluster128x128"}, "was not shown"},
      {{"cluster_missing_first_barrier", "sm_90a", "matmul", "cluster128x256"}, "nobody has initialized"},
      {{"cluster_missing_last_barrier", "sm_90a", "matmul", "cluster128x256"}, "which has ended"},
      {{"cluster_part_of_other_block", "sm_90a", "matmul", "cluster128x256"}, "two copies at the same time"},
      {{"cluster_parts_in_one_place", "sm_90a", "matmul", "cluster128x256"}, "two copies at the same time"},
      {{"cluster_first_part_twice", "sm_90a", "matmul", "cluster128x128"}, "outside"},
      {{"cluster_same_panel", "sm_90a", "matmul", "cluster128x256"}, ""},
      {{"cluster_same_rows", "sm_90a", "matmul_tall", "cluster128x256"}, ""},
      {{"cluster_pairs_rounded_down", "sm_90a", "matmul_tall", "cluster128x128"}, ""},
      {{"cluster_x_for_both", "sm_90a", "matmul_tall", "cluster128x256"}, ""},
      {{"missing_count_barrier", "sm_80", "grouped_matmul_wide"}, ""},
      {{"sum_with_own_warp", "gfx90a", "grouped_matmul_wide"}, ""},
      {{"tiles_rounded_down", "gfx1100", "grouped_matmul_wide"}, ""},
      {{"expert_offset_off_by_one", "gfx90a", "grouped_matmul_wide"}, ""},
      {{"filler_stored", "sm_80", "grouped_matmul_wide"}, ""},
      {{"filler_not_marked", "sm_90a", "grouped_matmul_wide"}, "outside"},
      {{"wrong_expert", "sm_90a", "grouped_matmul_wide", "wgmma128x128"}, "outside"},
      {{"blocks_beyond_count", "sm_80", "grouped_matmul_wide"}, ""},
      {{"wrong_expert_scale", "gfx90a", "grouped_matmul_wide"}, "outside"},
      {{"slots_not_divided", "sm_80", "grouped_matmul_wide"}, ""},
      {{"expert_bias_of_first", "gfx1100", "grouped_matmul_bias"}, "outside"},
      {{"lost_expert", "gfx1100", "grouped_matmul_wide"}, "outside"},
      {{"attention_missing_barrier", "sm_90a", "attention_long"}, ""},
      {{"attention_not_shown", "sm_90a", "attention_long"}, "not shown to warpgroups"},
      {{"attention_early_copy", "sm_90a", "attention_long"}, ""},
      {{"attention_early_slot", "sm_90a", "attention_long"}, "written while a product could still read it"},
      {{"attention_early_scores", "sm_90a", "attention_long"}, ""},
      {{"attention_early_weights", "sm_90a", "attention_long"}, "written while a product"},
      {{"attention_divergent_wait", "sm_90a", "attention_long"}, "divergent warpgroup"},
      {{"attention_missing_fence", "sm_90a", "attention_long"}, "a product without a fence"},
      {{"attention_swapped_weights", "sm_90a", "attention"}, "outside"},
      {{"attention_wrong_half", "sm_90a", "attention_wide"}, "outside"},
      {{"attention_not_rescaled", "sm_90a", "attention_long"}, "outside"},
      {{"attention_mask_off_by_one", "sm_90a", "attention"}, "outside"},
      {{"attention_mask_left_out", "sm_90a", "attention"}, "outside"},
      {{"attention_overwritten_lines", "sm_90a", "attention_long"}, "outside"},
      {{"attention_other_head", "sm_90a", "attention"}, "nobody wrote"},
      {{"unfilled_samples", "sm_80", "protocol"}, "device-lost"},
      {{"sampling_lost_piece", "sm_80", "sample_wide"}, ""},
      {{"sampling_not_rescaled", "gfx90a", "sample_wide"}, "expected log"},
      {{"sampling_any_of_ties", "gfx1100", "sample_wide"}, ""},
      {{"sampling_not_finite_lost", "sm_80", "sample_wide"}, ""},
      {{"sampling_taken_twice", "sm_90a", "sample_wide"}, ""},
      {{"sampling_other_piece", "gfx90a", "sample_wide"}, ""},
      {{"sampling_not_aligned", "sm_80", "sample_wide"}, "not a multiple of it"},
      {{"sampling_pieces_overlap", "sm_80", "sample_wide"}, ""},
      {{"sampling_not_binned", "sm_80", "sample_wide"}, ""},
      {{"sampling_bins_not_begun", "gfx1100", "sample_wide"}, ""},
      {{"sampling_gathered_next_bin", "gfx90a", "sample_wide"}, ""},
      {{"sampling_lost_carry", "sm_90a", "sample_wide"}, ""},
      {{"route_missing_warp_barrier", "sm_80", "route_groups"}, ""},
      {{"route_taken_twice", "gfx1100", "route"}, ""},
      {{"route_second_slot_lost", "sm_90a", "route_bias"}, ""},
      {{"route_second_best_lost", "sm_80", "route_groups"}, ""},
      {{"route_expert_scored_once", "gfx90a", "grouped_matmul_wide"}, ""},
      {{"scales_of_first_group", "gfx90a", "matmul_g32_w8a8"}, "outside"},
      {{"late_scales", "sm_80", "matmul_g32_w8a8"}, ""},
      {{"sums_not_begun", "sm_80", "grouped_matmul_g32_w8a8"}, ""},
      {{"half_group", "gfx1100", "matmul_g32_w8a8"}, "outside"},
      {{"scale_read_past_end", "gfx942", "matmul_g32_w8a8"}, ""},
      {{"scale_of_first_row", "sm_80", "matmul_g32_w8a8"}, "outside"},
      {{"int4_wrong_zero", "sm_80", "matmul"}, "outside"},
      {{"fp8_steps_too_fine", "sm_80", "matmul_fp8"}, "outside"},
      {{"fp8_other_largest", "gfx90a", "matmul_fp8"}, "outside"},
      {{"fp8_sign_lost", "gfx1100", "matmul_fp8"}, "outside"},
      {{"fp8_codes_swapped", "sm_90a", "matmul_fp8", "wgmma128x128"}, "outside"},
      {{"fp8_scale_of_first_token", "gfx942", "grouped_matmul_fp8"}, "outside"},
      {{"fp8_inputs_not_scaled", "sm_80", "matmul_fp8"}, "outside"},
      {{"fp8_inputs_past_end", "gfx90a", "matmul_fp8"}, ""},
      {{"zero_of_first_group", "sm_80", "matmul_int4_zp"}, "outside"},
      {{"zero_of_upper_codes", "gfx90a", "matmul_int4_zp"}, "outside"},
      {{"zeros_of_first_expert", "gfx90a", "grouped_matmul_int4_zp"}, "outside"},
      {{"zeros_exchanged_at_load", "gfx1100", "matmul_int4_zp"}, "outside"},
      {{"e2m1_sign_of_last_columns", "gfx90a", "matmul_mxfp4"}, "outside"},
      {{"e2m1_in_wrong_place", "sm_80", "matmul_mxfp4"}, "outside"},
      {{"e2m1_not_scaled", "gfx1100", "matmul_mxfp4"}, "outside"},
      {{"power_of_first_group", "sm_80", "matmul_mxfp4"}, "outside"},
      {{"powers_of_first_expert", "gfx90a", "grouped_matmul_mxfp4"}, "outside"},
      {{"one_scale_of_two", "sm_80", "matmul_nvfp4"}, "outside"},
      {{"scale_pairs_of_first_expert", "gfx90a", "grouped_matmul_nvfp4"}, "outside"},
      {{"scales_of_first_chunk", "gfx1100", "matmul_nvfp4"}, "outside"},
      {{"e2m1_rounded_to_halves", "sm_80", "matmul_nvfp4"}, "outside"},
      {{"activations_of_nvfp4_without_their_scale", "gfx90a", "matmul_nvfp4"}, "outside"},
      {{"block_high_bits_misplaced", "sm_80", "matmul_q5_k"}, "outside"},
      {{"block_scale_of_first_part", "gfx1100", "matmul_q6_k"}, "outside"},
      {{"block_unit_of_first_block", "sm_80", "matmul_q4_k"}, "outside"},
      {{"block_minima_of_first_part", "gfx90a", "matmul_gguf"}, "outside"},
      {{"block_other_half_of_curve", "sm_80", "matmul_gguf"}, "outside"},
      {{"block_tiles_high_bits_of_first_pair", "sm_90a", "matmul_q6_k"}, "outside"},
      {{"block_tiles_without_minima", "gfx90a", "matmul_q4_k"}, "outside"},
      {{"block_tiles_unit_of_first_block", "gfx1100", "matmul_q4_k"}, "outside"},
      {{"block_curve_without_last_eight", "gfx90a", "matmul_gguf"}, "outside"},
      {{"block_minima_of_half_the_columns", "gfx90a", "matmul_q5_k"}, "outside"},
      {{"wide_scale_of_first_group", "sm_80", "matmul_fp8_g128"}, "outside"},
      {{"wide_group_lost", "gfx90a", "matmul_fp8_g128"}, "outside"},
      {{"wide_group_not_begun", "gfx90a", "matmul_fp8_g128"}, "outside"},
      {{"wide_scales_of_first_expert", "gfx90a", "grouped_matmul_fp8_g128"}, "outside"},
      {{"wide_scales_of_other_tokens", "gfx1100", "grouped_matmul_fp8_g128"}, ""},
      {{"wide_inputs_of_half_a_group", "sm_80", "matmul_fp8_g128"}, "outside"},
      {{"wide_input_scales_not_rounded", "gfx90a", "matmul_fp8_g128"}, "outside"},
      {{"static_input_scale_ignored", "gfx90a", "matmul_fp8"}, "outside"},
      {{"int8_static_scale_ignored", "gfx90a", "matmul_w8a8"}, "outside"},
      {{"int8_static_bounded_by_negative_127", "sm_80", "matmul_w8a8"}, "outside"},
      {{"wide_input_scales_doubled", "sm_80", "matmul_fp8_g128"}, "outside"},
      {{"next_expert_not_requested", "sm_80", "grouped_matmul_few"}, "outside"},
      {{"expert_steps_not_rounded", "gfx90a", "grouped_matmul_few"}, "outside"},
      {{"sums_of_first_expert", "gfx1100", "grouped_matmul_few"}, "outside"},
      {{"expert_inputs_not_stored", "sm_90a", "grouped_matmul_few"}, ""},
      {{"experts_past_eight_lost", "gfx942", "grouped_matmul_few"}, "outside"},
      {{"wide_input_scale_of_first_group", "sm_90a", "grouped_matmul_fp8_g128"}, "outside"},
      {{"wide_inputs_not_scaled", "gfx1100", "matmul_fp8_g128"}, "outside"},
      {{"head_not_centered", "gfx90a", "rope_layer_norm"}, "outside"},
      {{"head_variance_about_zero", "gfx90a", "rope_layer_norm"}, "outside"},
      {{"norm_weights_of_first_head", "gfx90a", "rope_layer_norm"}, "outside"},
      {{"values_in_rows_of_qkv", "sm_80", "rope_values_apart"}, ""},
      {{"keys_in_rows_of_qkv", "gfx90a", "rope_values_apart"}, ""},
      {{"values_behind_qkv", "gfx90a", "rope_values_apart"}, "outside"},
      {{"columns_sent_not_fetched", "sm_80", "select_columns"}, ""},
      {{"columns_in_rows_of_out", "gfx90a", "select_columns"}, ""},
      {{"columns_of_first_list", "sm_80", "select_columns"}, ""},
      {{"columns_of_first_expert", "sm_80", "select_columns_experts"}, ""},
      {{"columns_of_experts_not_shared", "gfx90a", "select_columns_experts"}, ""},
      {{"columns_of_last_experts_lost", "gfx90a", "select_columns_experts"}, ""},
      {{"tile_inputs_of_experts_shared", "sm_90a", "select_columns_experts"}, ""},
      {{"matvec_inputs_of_experts_shared", "gfx90a", "select_columns_experts"}, ""},
      {{"x_not_stored", "sm_80", "matmul"}, ""},
      {{"lost_column_warp", "gfx90a", "matmul"}, "outside"},
      {{"requested_again", "gfx1100", "matmul"}, "outside"},
      {{"stale_graph", "sm_80", ""}, "memory that was freed since"},
  };
  for (const auto& [mutant, expected] : mutants) {
    CAPTURE(mutant.name);
    const auto module = modules.extract(mutant.name);
    REQUIRE(module);
    for (const std::string order : {"forward", "reverse", "seeded"}) {
      const std::string finding = search(module.mapped(), mutant, order);
      fmt::print("{} in {} order: {}\n", mutant.name, order, finding.empty() ? "survived" : finding);
      CAPTURE(order, finding);
      CHECK_FALSE(finding.empty());
      CHECK(finding.find(expected) != std::string::npos);
    }
  }
  for (const auto& [name, module] : modules) FAIL_CHECK(name << " is planted, and nothing searches for it");
}

TEST_CASE("the control, the same search on the real module, finds nothing") {
  for (const std::string family : {"attention_long", ""}) {
    CAPTURE(family);
    CHECK(search(SECONDSOURCE_GPU_SHIM_FOLDER, {"", "sm_80", family}, "seeded").empty());
  }
}

TEST_CASE("the control, a module that holds planted bugs of which none is chosen, finds nothing") {
  const std::map<std::string, std::string> modules = planted_modules();
  CHECK(search(modules.at("swapped_matrices"), {"", "sm_80", "matmul"}, "seeded").empty());
  CHECK(search(modules.at("attention_wrong_half"), {"", "sm_90a", "attention_wide"}, "seeded").empty());
}

}  // namespace
}  // namespace secondsource::conformance
