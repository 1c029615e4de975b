#include "backend/check_graph.h"
#include "backend/check_kv.h"
#include "backend/op_access.h"
#include "backend_kit/workspace_plan.h"
#include "support/catch.h"
#include "support/result.h"

namespace secondsource {
namespace {

/// hidden = table[ids]; normed = norm(hidden); qkv = normed W; rope; attention in place; hidden += q Wo; logits.
struct ExampleGraph {
  StepGraph graph;
  std::vector<WeightSpec> weights;
  ExampleGraph() {
    graph.values = {{.cols = 8},   // 0 hidden
                    {.cols = 8},   // 1 normed
                    {.cols = 16},  // 2 qkv: 2 + 1 + 1 heads of 4
                    {.cols = 8},   // 3 q
                    {.rows = Rows::kLogits, .cols = 8},
                    {.rows = Rows::kLogits, .cols = 10}};
    graph.ropes = {{{1.0F, 0.01F}, 1.0F}};
    const HeadShape heads{2, 1, 4};
    graph.ops = {Embed{.table = WeightId{0}, .out = ValueId{0}},
                 RmsNorm{.x = ValueId{0}, .weight = WeightId{1}, .out = ValueId{1}},
                 Matmul{.x = ValueId{1}, .weight = WeightId{2}, .out = ValueId{2}},
                 RopeAppend{.qkv = ValueId{2}, .q_out = ValueId{3}, .layer = 0, .heads = heads, .rope = RopeId{0}},
                 Attention{.q = ValueId{3}, .out = ValueId{3}, .layer = 0, .heads = heads, .scale = 0.5F},
                 Matmul{.x = ValueId{3},
                        .weight = WeightId{3},
                        .out = ValueId{0},
                        .epilogue = Epilogue::kAddResidual,
                        .aux = ValueId{0}},
                 SelectRows{.x = ValueId{0}, .out = ValueId{4}},
                 Matmul{.x = ValueId{4}, .weight = WeightId{0}, .out = ValueId{5}},
                 Sample{.logits = ValueId{5}, .n_top = 2}};
    graph.labels = {"embed", "norm", "qkv", "rope", "attention", "output", "select", "head", "sample"};
    const auto weight = [](const char* name, std::int64_t n_rows, std::int64_t n_cols) {
      WeightSpec spec;
      spec.name = name;
      spec.n_rows = n_rows;
      spec.n_cols = n_cols;
      return spec;
    };
    weights = {weight("table", 10, 8), weight("norm", 1, 8), weight("qkv", 16, 8), weight("output", 8, 8)};
  }
  template <typename T>
  T& op(std::size_t index) {
    return std::get<T>(graph.ops[index]);
  }
};

/// A change that makes an example malformed, and a part of the error message that it must cause.
template <typename Example>
struct Change {
  const char* expected_part;
  void (*apply)(Example&);
};

template <typename Example>
void check_refused(const Change<Example>& change) {
  Example example;
  change.apply(example);
  INFO(change.expected_part);
  CHECK_ERROR(check_graph(example.graph), ErrorCode::kInvalidInput, change.expected_part);
}

TEST_CASE("a small transformer is accepted") {
  ExampleGraph example;
  REQUIRE_OK(check_graph(example.graph));
  REQUIRE_OK(check_graph_weights(example.graph, example.weights));
  REQUIRE_OK(check_graph_cache(example.graph, {.n_layers = 1, .n_kv_heads = 1, .head_dim = 4}));
}

/// ExampleGraph with V in value 6, computed by a matmul of its own; qkv then has 2 + 1 heads of 4.
struct ExampleWithValuesApart : ExampleGraph {
  ExampleWithValuesApart() {
    graph.values[2].cols = 12;
    graph.values.push_back({.cols = 4});
    op<RopeAppend>(3).v = ValueId{6};
    graph.ops.insert(graph.ops.begin() + 3, Matmul{.x = ValueId{1}, .weight = WeightId{4}, .out = ValueId{6}});
    graph.labels.insert(graph.labels.begin() + 3, "v");
    weights[2].n_rows = 12;
    weights.push_back(weights[2]);
    weights[4].name = "v";
    weights[4].n_rows = 4;
  }
};

TEST_CASE("the values of tokens may be a value of their own, which RopeAppend reads") {
  ExampleWithValuesApart example;
  REQUIRE_OK(check_graph(example.graph));
  REQUIRE_OK(check_graph_weights(example.graph, example.weights));
  REQUIRE_OK(check_graph_cache(example.graph, {.n_layers = 1, .n_kv_heads = 1, .head_dim = 4}));
  CHECK(op_access(example.graph.ops[4]).reads == std::vector<ValueId>{ValueId{2}, ValueId{6}});
  // The plan must give v memory of its own: neither qkv nor the rotated queries may overlap it.
  const WorkspacePlan plan = plan_workspace(example.graph, {16, 2, 2, 4}, 64);
  for (const std::size_t other : {2U, 3U}) {
    const bool overlaps = plan.offsets[6] < plan.offsets[other] + plan.sizes[other] &&
                          plan.offsets[other] < plan.offsets[6] + plan.sizes[6];
    CHECK_FALSE(overlaps);
  }
}

TEST_CASE("values of tokens that do not fit RopeAppend are refused") {
  const Change<ExampleWithValuesApart> changes[] = {
      {"rope (rope_append): value 2: expected rows of tokens and 12 columns, found rows of tokens and 16",
       [](ExampleWithValuesApart& e) { e.graph.values[2].cols = 16; }},
      {"rope (rope_append): value 2: expected rows of tokens and 16 columns, found rows of tokens and 12",
       [](ExampleWithValuesApart& e) { e.op<RopeAppend>(4).v = {}; }},
      {"rope (rope_append): value 6: expected rows of tokens and 4 columns, found rows of tokens and 8",
       [](ExampleWithValuesApart& e) { e.graph.values[6].cols = 8; }},
      {"rope (rope_append): value 7: expected rows of tokens and 4 columns, found rows of logits and 4",
       [](ExampleWithValuesApart& e) {
         e.graph.values.push_back({.rows = Rows::kLogits, .cols = 4});
         e.op<RopeAppend>(4).v = ValueId{7};
         e.graph.ops.insert(e.graph.ops.begin() + 4, SelectRows{.x = ValueId{6}, .out = ValueId{7}});
         e.graph.labels.insert(e.graph.labels.begin() + 4, "select");
       }},
      {"rope (rope_append): value 6: expected f32, found i32",
       [](ExampleWithValuesApart& e) {
         e.graph.values[6] = {.dtype = DType::kI32, .cols = 4};
         e.graph.values.push_back({.cols = 4});
         e.graph.ops[3] =
             Route{.x = ValueId{1}, .gate = WeightId{4}, .n_top = 4, .expert = ValueId{6}, .weight = ValueId{7}};
       }},
      {"rope (rope_append): value 6 is read before it is written",
       [](ExampleWithValuesApart& e) {
         std::swap(e.graph.ops[3], e.graph.ops[4]);
         std::swap(e.graph.labels[3], e.graph.labels[4]);
       }},
      {"rope (rope_append): value 6 may not be read and written in place here",
       [](ExampleWithValuesApart& e) {
         e.graph.values[2].cols = 8;
         e.op<RopeAppend>(4).heads = {1, 1, 4};
         e.op<RopeAppend>(4).q_out = ValueId{6};
       }},
  };
  for (const auto& change : changes) check_refused(change);
}

/// ExampleWithValuesApart with K in value 7, computed by a matmul of its own; qkv then has 2 heads of 4.
struct ExampleWithKeysApart : ExampleWithValuesApart {
  ExampleWithKeysApart() {
    graph.values[2].cols = 8;
    graph.values.push_back({.cols = 4});
    op<RopeAppend>(4).k = ValueId{7};
    graph.ops.insert(graph.ops.begin() + 3, Matmul{.x = ValueId{1}, .weight = WeightId{5}, .out = ValueId{7}});
    graph.labels.insert(graph.labels.begin() + 3, "k");
    weights[2].n_rows = 8;
    weights.push_back(weights[4]);
    weights[5].name = "k";
  }
};

TEST_CASE("where values are a value of their own, keys may be one, too") {
  ExampleWithKeysApart example;
  REQUIRE_OK(check_graph(example.graph));
  REQUIRE_OK(check_graph_weights(example.graph, example.weights));
  REQUIRE_OK(check_graph_cache(example.graph, {.n_layers = 1, .n_kv_heads = 1, .head_dim = 4}));
  CHECK(op_access(example.graph.ops[5]).reads == std::vector<ValueId>{ValueId{2}, ValueId{7}, ValueId{6}});
  const Change<ExampleWithKeysApart> changes[] = {
      {"rope (rope_append): k is a value of its own only where v is one",
       [](ExampleWithKeysApart& e) { e.op<RopeAppend>(5).v = {}; }},
      {"rope (rope_append): value 2: expected rows of tokens and 8 columns, found rows of tokens and 12",
       [](ExampleWithKeysApart& e) { e.graph.values[2].cols = 12; }},
      {"rope (rope_append): value 2: expected rows of tokens and 12 columns, found rows of tokens and 8",
       [](ExampleWithKeysApart& e) { e.op<RopeAppend>(5).k = {}; }},
      {"rope (rope_append): value 7: expected rows of tokens and 4 columns, found rows of tokens and 8",
       [](ExampleWithKeysApart& e) { e.graph.values[7].cols = 8; }},
      {"rope (rope_append): value 7 is read before it is written",
       [](ExampleWithKeysApart& e) {
         std::swap(e.graph.ops[3], e.graph.ops[5]);
         std::swap(e.graph.labels[3], e.graph.labels[5]);
       }},
      {"rope (rope_append): value 7 may not be read and written in place here",
       [](ExampleWithKeysApart& e) {
         e.graph.values[2].cols = 4;
         e.op<RopeAppend>(5).heads = {1, 1, 4};
         e.op<RopeAppend>(5).q_out = ValueId{7};
       }},
  };
  for (const auto& change : changes) check_refused(change);
}

TEST_CASE("a malformed graph is refused by the label of its operation") {
  const Change<ExampleGraph> changes[] = {
      {"embed (embed): expected a value in [0, 6), found 6", [](ExampleGraph& e) { e.op<Embed>(0).out = ValueId{6}; }},
      {"embed (embed): expected an output of one row a token",
       [](ExampleGraph& e) { e.op<Embed>(0).out = ValueId{4}; }},
      {"norm (rms_norm): value 2: expected 8 columns, found 16",
       [](ExampleGraph& e) { e.op<RmsNorm>(1).out = ValueId{2}; }},
      {"norm (rms_norm): value 0 may not be read and written",
       [](ExampleGraph& e) { e.op<RmsNorm>(1).out = ValueId{0}; }},
      {"norm (rms_norm): a residual goes with neither add nor sum_out",
       [](ExampleGraph& e) {
         e.op<RmsNorm>(1).residual = ValueId{0};
         e.op<RmsNorm>(1).sum_out = ValueId{0};
       }},
      {"norm (rms_norm): a bias goes with a norm that centers",
       [](ExampleGraph& e) { e.op<RmsNorm>(1).bias = WeightId{1}; }},
      {"norm (rms_norm): value 3 is read before it is written",
       [](ExampleGraph& e) { e.op<RmsNorm>(1).residual = ValueId{3}; }},
      {"output (rms_norm): value 2: expected 8 columns, found 16",
       [](ExampleGraph& e) {
         e.graph.ops[5] = RmsNorm{.x = ValueId{3}, .weight = WeightId{1}, .residual = ValueId{2}, .out = ValueId{0}};
       }},
      {"qkv (matmul): value 3 is read before it is written", [](ExampleGraph& e) { e.op<Matmul>(2).x = ValueId{3}; }},
      {"qkv (matmul): aux goes with kAddResidual", [](ExampleGraph& e) { e.op<Matmul>(2).aux = ValueId{0}; }},
      {"qkv (matmul): a bias goes with kBias, kGelu or a gated",
       [](ExampleGraph& e) { e.op<Matmul>(2).bias = WeightId{1}; }},
      {"qkv (matmul): expected a positive scale of activations with kInt8Static, kFp8Static and kNvfp4Static, else 0, found 0",
       [](ExampleGraph& e) { e.op<Matmul>(2).act = ActQuant::kFp8Static; }},
      {"qkv (matmul): expected a positive scale of activations with kInt8Static, kFp8Static and kNvfp4Static, else 0, found -1",
       [](ExampleGraph& e) {
         e.op<Matmul>(2).act = ActQuant::kInt8Static;
         e.op<Matmul>(2).act_scale = -1.0F;
       }},
      {"qkv (matmul): expected a positive scale of activations with kInt8Static, kFp8Static and kNvfp4Static, else 0, found 0",
       [](ExampleGraph& e) { e.op<Matmul>(2).act = ActQuant::kNvfp4Static; }},
      {"qkv (matmul): expected a positive scale of activations with kInt8Static, kFp8Static and kNvfp4Static, else 0, found 0.5",
       [](ExampleGraph& e) {
         e.op<Matmul>(2).act = ActQuant::kFp8PerRow;
         e.op<Matmul>(2).act_scale = 0.5F;
       }},
      {"qkv (matmul): expected a positive scale of activations with kInt8Static, kFp8Static and kNvfp4Static, else 0, found inf",
       [](ExampleGraph& e) {
         e.op<Matmul>(2).act = ActQuant::kFp8Static;
         e.op<Matmul>(2).act_scale = INFINITY;
       }},
      {"rope (rope_append): expected a rope in [0, 1), found 1",
       [](ExampleGraph& e) { e.op<RopeAppend>(3).rope = RopeId{1}; }},
      {"expected 2 frequencies, found 1", [](ExampleGraph& e) { e.graph.ropes[0].inv_freq.pop_back(); }},
      {"rope 0: expected a finite beta and a period of at least 0, found 0.1 and -1",
       [](ExampleGraph& e) {
         e.graph.ropes[0].query_growth = {0.1F, -1};
       }},
      {"multiple of KV heads",
       [](ExampleGraph& e) {
         e.op<Attention>(4).heads = {3, 2, 4};
       }},
      {"latents are appended by latent_append", [](ExampleGraph& e) { e.op<RopeAppend>(3).heads.latent_dim = 2; }},
      {"expected one KV head with a latent of at most 4, found 1 with 6",
       [](ExampleGraph& e) { e.op<Attention>(4).heads.latent_dim = 6; }},
      {"attention (attention): value 3: expected rows of tokens and 4 columns, found rows of tokens and 8",
       [](ExampleGraph& e) { e.op<Attention>(4).heads.latent_dim = 2; }},
      {"expected a latent and an even number of rotated elements behind it, found 3 of 4",
       [](ExampleGraph& e) {
         e.graph.ops[4] = LatentAppend{.latent = ValueId{2},
                                       .q = ValueId{3},
                                       .q_out = ValueId{3},
                                       .heads = {2, 1, 4, 3},
                                       .rope = RopeId{0},
                                       .norm = WeightId{1}};
       }},
      {"expected columns divisible by 3 heads, found 8 and 16",
       [](ExampleGraph& e) {
         e.graph.ops[2] = HeadMatmul{.x = ValueId{1}, .weights = WeightId{2}, .out = ValueId{2}, .n_heads = 3};
       }},
      {"expected at least one group and at most all, found 3 of 2",
       [](ExampleGraph& e) {
         e.graph.ops[2] = Route{.x = ValueId{1},
                                .gate = WeightId{2},
                                .n_top = 1,
                                .n_groups = 2,
                                .n_top_groups = 3,
                                .expert = ValueId{2},
                                .weight = ValueId{3}};
       }},
      {"a bias of the choice goes with kSigmoid",
       [](ExampleGraph& e) {
         e.graph.ops[2] = Route{.x = ValueId{1},
                                .gate = WeightId{2},
                                .n_top = 1,
                                .choice_bias = WeightId{1},
                                .expert = ValueId{2},
                                .weight = ValueId{3}};
       }},
      {"attention (attention): expected a window >= 0", [](ExampleGraph& e) { e.op<Attention>(4).window = -1; }},
      {"select (select_rows): expected rows of tokens in",
       [](ExampleGraph& e) { e.op<SelectRows>(6).out = ValueId{1}; }},
      {"head (matmul): value 5: expected rows of tokens", [](ExampleGraph& e) { e.op<Matmul>(7).x = ValueId{0}; }},
      {"sample (sample): expected n_top in [0, 10], found 11", [](ExampleGraph& e) { e.op<Sample>(8).n_top = 11; }},
      {"expected 9 labels, found 8", [](ExampleGraph& e) { e.graph.labels.pop_back(); }},
      {"value 1: expected f32 or i32, found bf16", [](ExampleGraph& e) { e.graph.values[1].dtype = DType::kBf16; }},
      {"value 2: expected columns, found 0", [](ExampleGraph& e) { e.graph.values[2].cols = 0; }},
      {"norm (rms_norm): value 1: expected f32, found i32",
       [](ExampleGraph& e) { e.graph.values[1].dtype = DType::kI32; }},
  };
  for (const auto& change : changes) check_refused(change);
}

/// ExampleGraph with the inputs of the output projection permuted into value 6.
struct ExampleWithColumns : ExampleGraph {
  ExampleWithColumns() {
    graph.values.push_back({.cols = 8});
    graph.column_lists = {{7, 0, 6, 1, 5, 2, 4, 3}};
    graph.ops.insert(graph.ops.begin() + 5,
                     SelectColumns{.x = ValueId{3}, .columns = ColumnListId{0}, .out = ValueId{6}});
    graph.labels.insert(graph.labels.begin() + 5, "order");
    op<Matmul>(6).x = ValueId{6};
  }
};

TEST_CASE("columns may be selected in any order, each once, several times or never") {
  ExampleWithColumns example;
  REQUIRE_OK(check_graph(example.graph));
  REQUIRE_OK(check_graph_weights(example.graph, example.weights));
  CHECK(op_access(example.graph.ops[5]).reads == std::vector<ValueId>{ValueId{3}});
  CHECK(op_access(example.graph.ops[5]).writes == std::vector<ValueId>{ValueId{6}});
  example.graph.column_lists = {{0, 0, 0, 0, 7, 7, 7, 7}};
  REQUIRE_OK(check_graph(example.graph));
}

TEST_CASE("a list of columns that does not fit its operation is refused, since kernels follow it") {
  const Change<ExampleWithColumns> changes[] = {
      {"order (select_columns): list 0: expected columns in [0, 8), found 8",
       [](ExampleWithColumns& e) { e.graph.column_lists[0][3] = 8; }},
      {"order (select_columns): list 0: expected columns in [0, 8), found -1",
       [](ExampleWithColumns& e) { e.graph.column_lists[0][7] = -1; }},
      {"order (select_columns): list 0: expected 8 columns, found 7",
       [](ExampleWithColumns& e) { e.graph.column_lists[0].pop_back(); }},
      {"order (select_columns): expected a list of columns in [0, 0), found 0",
       [](ExampleWithColumns& e) { e.graph.column_lists.clear(); }},
      {"order (select_columns): expected a list of columns in [0, 1), found -1",
       [](ExampleWithColumns& e) { e.op<SelectColumns>(5).columns = ColumnListId{-1}; }},
      {"order (select_columns): value 3 may not be read and written in place here",
       [](ExampleWithColumns& e) { e.op<SelectColumns>(5).out = ValueId{3}; }},
      {"order (select_columns): value 4: expected rows of tokens, found rows of logits",
       [](ExampleWithColumns& e) { e.op<SelectColumns>(5).out = ValueId{4}; }},
      {"order (select_columns): value 6: expected f32, found i32",
       [](ExampleWithColumns& e) { e.graph.values[6].dtype = DType::kI32; }},
  };
  for (const auto& change : changes) check_refused(change);
}

/// One matmul with two experts; each token is routed to one of them.
struct ExampleMixture {
  StepGraph graph;

  ExampleMixture() {
    graph.values = {{.cols = 8}, {.dtype = DType::kI32, .cols = 1}, {.cols = 1}, {.cols = 16}};
    graph.ops = {
        Embed{.table = WeightId{0}, .out = ValueId{0}},
        Route{.x = ValueId{0}, .gate = WeightId{1}, .n_top = 1, .expert = ValueId{1}, .weight = ValueId{2}},
        GroupedMatmul{.x = ValueId{0}, .expert = ValueId{1}, .weights = WeightId{2}, .out = ValueId{3}, .n_top = 1}};
    graph.labels = {"embed", "route", "experts"};
  }
  GroupedMatmul& product() { return std::get<GroupedMatmul>(graph.ops[2]); }
};

/// Both matmuls of three experts; each token is routed to two of them, and each expert has its own order of the inputs.
struct ExampleOrderedMixture {
  StepGraph graph;
  std::vector<WeightSpec> weights;

  ExampleOrderedMixture() {
    graph.values = {{.cols = 4},    {.dtype = DType::kI32, .cols = 2}, {.cols = 2}, {.cols = 2 * 4}, {.cols = 2 * 3},
                    {.cols = 2 * 3}};
    graph.column_lists = {{3, 0, 1, 2, 0, 1, 2, 3, 1, 3, 0, 2}, {2, 1, 0, 0, 1, 2, 1, 0, 2}};
    graph.ops = {
        Embed{.table = WeightId{0}, .out = ValueId{0}},
        Route{.x = ValueId{0}, .gate = WeightId{1}, .n_top = 2, .expert = ValueId{1}, .weight = ValueId{2}},
        SelectColumns{.x = ValueId{0}, .columns = ColumnListId{0}, .out = ValueId{3}, .expert = ValueId{1}, .n_top = 2},
        GroupedMatmul{.x = ValueId{3},
                      .expert = ValueId{1},
                      .weights = WeightId{2},
                      .out = ValueId{4},
                      .n_top = 2,
                      .x_per_expert = true},
        SelectColumns{.x = ValueId{4},
                      .columns = ColumnListId{1},
                      .out = ValueId{5},
                      .expert = ValueId{1},
                      .n_top = 2,
                      .x_per_expert = true},
        GroupedMatmul{.x = ValueId{5},
                      .expert = ValueId{1},
                      .weight = ValueId{2},
                      .weights = WeightId{3},
                      .out = ValueId{0},
                      .n_top = 2}};
    graph.labels = {"embed", "route", "up_columns", "up", "down_columns", "down"};
    const auto weight = [](const char* name, std::int64_t n_rows, std::int64_t n_cols, std::int64_t n_experts) {
      WeightSpec spec;
      spec.name = name;
      spec.n_rows = n_rows;
      spec.n_cols = n_cols;
      spec.n_experts = n_experts;
      return spec;
    };
    weights = {weight("table", 10, 4, 1), weight("gate", 3, 4, 1), weight("up", 3 * 3, 4, 3),
               weight("down", 3 * 4, 3, 3)};
  }
  template <typename T>
  T& op(std::size_t index) {
    return std::get<T>(graph.ops[index]);
  }
};

TEST_CASE("each expert may have columns of its own, which bring a token's input to its order") {
  ExampleOrderedMixture example;
  REQUIRE_OK(check_graph(example.graph));
  REQUIRE_OK(check_graph_weights(example.graph, example.weights));
  CHECK(op_access(example.graph.ops[2]).reads == std::vector<ValueId>{ValueId{0}, ValueId{1}});
  CHECK(op_access(example.graph.ops[2]).writes == std::vector<ValueId>{ValueId{3}});
  example.graph.column_lists[0].insert(example.graph.column_lists[0].end(),
                                       {0, 1, 2, 3});  // for an expert that is never chosen
  REQUIRE_OK(check_graph_weights(example.graph, example.weights));
}

TEST_CASE("columns of experts that do not fit their router, their list or their values are refused") {
  using Example = ExampleOrderedMixture;
  const Change<Example> changes[] = {
      {"up_columns (select_columns): n_top and x_per_expert go with an expert",
       [](Example& e) { e.op<SelectColumns>(2).expert = {}; }},
      {"up_columns (select_columns): expected n_top > 0 with an expert, found 0",
       [](Example& e) { e.op<SelectColumns>(2).n_top = 0; }},
      {"up_columns (select_columns): value 1: expected i32 of 3 columns, found i32 of 2",
       [](Example& e) { e.op<SelectColumns>(2).n_top = 3; }},
      {"up_columns (select_columns): value 2: expected i32 of 2 columns, found f32 of 2",
       [](Example& e) { e.op<SelectColumns>(2).expert = ValueId{2}; }},
      {"up_columns (select_columns): value 5 is read before it is written",
       [](Example& e) { e.op<SelectColumns>(2).expert = ValueId{5}; }},
      {"up_columns (select_columns): expected output columns divisible by n_top",
       [](Example& e) { e.graph.values[3].cols = 9; }},
      {"up_columns (select_columns): list 0: expected 5 columns for each expert, found 12 in all",
       [](Example& e) { e.graph.values[3].cols = 10; }},
      {"up_columns (select_columns): list 0: expected 4 columns for each expert, found 0 in all",
       [](Example& e) { e.graph.column_lists[0].clear(); }},
      {"up_columns (select_columns): list 0: expected columns in [0, 4), found 4",
       [](Example& e) { e.graph.column_lists[0][11] = 4; }},
      {"down_columns (select_columns): list 1: expected columns in [0, 3), found 3",
       [](Example& e) { e.graph.column_lists[1][8] = 3; }},
      {"down_columns (select_columns): expected input columns divisible by n_top",
       [](Example& e) {
         e.op<SelectColumns>(4).x = ValueId{0};
         e.graph.values[0].cols = 5;
       }},
      {"up (grouped_matmul): expected input columns divisible by n_top",
       [](Example& e) {
         e.op<GroupedMatmul>(3).x = ValueId{0};
         e.graph.values[0].cols = 5;
       }},
      {"down (grouped_matmul): x_per_expert goes with the first product, and the second has it anyway",
       [](Example& e) { e.op<GroupedMatmul>(5).x_per_expert = true; }},
  };
  for (const auto& change : changes) check_refused(change);

  const Change<Example> of_weights[] = {
      {"up_columns (select_columns): list 0: expected the columns of 4 experts, found those of 3",
       [](Example& e) { e.weights[1].n_rows = 4; }},
      {"up (grouped_matmul): weight up: expected 8 columns, found 4",
       [](Example& e) { e.op<GroupedMatmul>(3).x_per_expert = false; }},
  };
  for (const auto& change : of_weights) {
    Example example;
    change.apply(example);
    INFO(change.expected_part);
    REQUIRE_OK(check_graph(example.graph));
    CHECK_ERROR(check_graph_weights(example.graph, example.weights), ErrorCode::kInvalidInput, change.expected_part);
  }
}

TEST_CASE("products of experts have a stored scale of activations where these are quantized with one") {
  ExampleMixture example;
  REQUIRE_OK(check_graph(example.graph));
  example.product().act = ActQuant::kNvfp4Static;
  example.product().act_scale = 0.5F;
  REQUIRE_OK(check_graph(example.graph));
  const Change<ExampleMixture> changes[] = {
      {"experts (grouped_matmul): expected a positive scale of activations with kInt8Static, kFp8Static and kNvfp4Static, else 0, "
       "found 0",
       [](ExampleMixture& e) { e.product().act = ActQuant::kNvfp4Static; }},
      {"experts (grouped_matmul): expected a positive scale of activations with kInt8Static, kFp8Static and kNvfp4Static, else 0, "
       "found 0",
       [](ExampleMixture& e) { e.product().act = ActQuant::kInt8Static; }},
      {"experts (grouped_matmul): expected a positive scale of activations with kInt8Static, kFp8Static and kNvfp4Static, else 0, "
       "found 2",
       [](ExampleMixture& e) { e.product().act_scale = 2.0F; }},
  };
  for (const auto& change : changes) check_refused(change);
}

TEST_CASE("weights that do not fit their operation are refused by name") {
  const Change<ExampleGraph> changes[] = {
      {"qkv (matmul): expected a weight in [0, 4), found 9",
       [](ExampleGraph& e) { e.op<Matmul>(2).weight = WeightId{9}; }},
      {"weight table: expected 8 columns, found 9", [](ExampleGraph& e) { e.weights[0].n_cols = 9; }},
      {"weight norm: expected [1, 8], found [2, 8]", [](ExampleGraph& e) { e.weights[1].n_rows = 2; }},
      {"weight qkv: gives 12 outputs, the value has 16", [](ExampleGraph& e) { e.weights[2].n_rows = 12; }},
      {"weight qkv: a gated epilogue and the join",
       [](ExampleGraph& e) { e.weights[2].join = Join::kInterleaveGateUp; }},
      {"weight output: experts go with grouped_matmul", [](ExampleGraph& e) { e.weights[3].n_experts = 2; }},
      {"norm (rms_norm): weight qkv: expected [1, 8], found [16, 8]",
       [](ExampleGraph& e) {
         e.op<RmsNorm>(1).centers = true;
         e.op<RmsNorm>(1).bias = WeightId{2};
       }},
      {"attention (attention): weight norm: expected [1, 2], found [1, 8]",
       [](ExampleGraph& e) { e.op<Attention>(4).sinks = WeightId{1}; }},
      {"output (route): weight norm: expected [1, 10], found [1, 8]",
       [](ExampleGraph& e) {
         e.graph.values[3] = {.dtype = DType::kI32, .cols = 1};
         e.graph.values[4] = {.cols = 1};
         e.graph.ops[5] = Route{.x = ValueId{0},
                                .gate = WeightId{0},
                                .bias = WeightId{1},
                                .n_top = 1,
                                .expert = ValueId{3},
                                .weight = ValueId{4}};
       }},
      {"output (grouped_matmul): weight norm: expected [1, 16], found [1, 8]",
       [](ExampleGraph& e) {
         e.weights[2].n_experts = 2;
         e.graph.ops.resize(6);
         e.graph.ops[2] = e.graph.ops[1];
         e.graph.ops[5] = GroupedMatmul{.x = ValueId{0},
                                        .expert = ValueId{3},
                                        .weights = WeightId{2},
                                        .bias = WeightId{1},
                                        .out = ValueId{1},
                                        .n_top = 1};
       }},
      {"rope (rope_append): weight norm: expected [1, 4], found [1, 8]",
       [](ExampleGraph& e) { e.op<RopeAppend>(3).q_norm = WeightId{1}; }},
      {"rope (rope_append): weight norm: expected [1, 4], found [1, 8]",
       [](ExampleGraph& e) {  // one norm over all 8 values of q, one over all 4 of k
         e.op<RopeAppend>(3).q_norm = WeightId{1};
         e.op<RopeAppend>(3).k_norm = WeightId{1};
         e.op<RopeAppend>(3).head_norm = HeadNorm::kRmsOfAllHeads;
       }},
      {"rope (rope_append): weight norm: expected [1, 4], found [1, 8]",
       [](ExampleGraph& e) {
         e.op<RopeAppend>(3).k_norm = WeightId{1};
         e.op<RopeAppend>(3).head_norm = HeadNorm::kLayerNormOfHead;
       }},
  };
  for (const auto& change : changes) {
    ExampleGraph example;
    change.apply(example);
    INFO(change.expected_part);
    CHECK_ERROR(check_graph_weights(example.graph, example.weights), ErrorCode::kInvalidInput, change.expected_part);
  }
}

TEST_CASE("a graph that needs another cache is refused") {
  const ExampleGraph example;
  CHECK_ERROR(check_graph_cache(example.graph, {.n_layers = 1, .n_kv_heads = 2, .head_dim = 4}),
              ErrorCode::kInvalidInput, "rope (rope_append)");
  CHECK_ERROR(check_graph_cache(example.graph, {.n_layers = 1, .n_kv_heads = 1, .head_dim = 4, .latent_dim = 2}),
              ErrorCode::kInvalidInput, "rope (rope_append): needs latents of 0, found 2");
}

TEST_CASE("the workspace plan reuses dead values, never observed ones, never an input for its output") {
  ExampleGraph example;
  const Bucket bucket{16, 2, 2, 4};
  const auto overlaps = [](const WorkspacePlan& plan, std::size_t a, std::size_t b) {
    return plan.offsets[a] < plan.offsets[b] + plan.sizes[b] && plan.offsets[b] < plan.offsets[a] + plan.sizes[a];
  };
  const WorkspacePlan plan = plan_workspace(example.graph, bucket, 64);
  std::size_t sum = 0;
  for (const std::size_t size : plan.sizes) sum += size;
  CHECK(plan.total_bytes < sum);
  CHECK_FALSE(overlaps(plan, 0, 1));
  CHECK_FALSE(overlaps(plan, 1, 2));
  CHECK_FALSE(overlaps(plan, 2, 3));
  CHECK_FALSE(overlaps(plan, 0, 3));
  // An observed value keeps its bytes to the end, so no later value may be placed there.
  example.graph.values[1].observed = true;
  const WorkspacePlan observed = plan_workspace(example.graph, bucket, 64);
  for (const std::size_t later : {2U, 3U, 4U, 5U}) CHECK_FALSE(overlaps(observed, 1, later));
  const WorkspacePlan guarded = plan_workspace(example.graph, bucket, 64, 64);
  for (std::size_t a = 0; a < guarded.sizes.size(); ++a) {
    for (std::size_t b = a + 1; b < guarded.sizes.size(); ++b) CHECK_FALSE(overlaps(guarded, a, b));
  }
}

TEST_CASE("page copies and cache extents are checked") {
  CHECK_ERROR(check_page_copies(std::vector<PageCopy>{{0, 4}}, 4), ErrorCode::kInvalidInput, "found 4");
  CHECK_ERROR(check_page_copies(std::vector<PageCopy>{{0, 1}, {2, 1}}, 4), ErrorCode::kInvalidInput, "written twice");
  CHECK_ERROR(check_page_copies(std::vector<PageCopy>{{0, 1}, {1, 2}}, 4), ErrorCode::kInvalidInput,
              "read and written");
  REQUIRE_OK(check_page_copies(std::vector<PageCopy>{{0, 1}, {0, 2}}, 4));
  CHECK_ERROR(check_kv_spec({.n_layers = 0, .n_kv_heads = 1, .head_dim = 1}, 1), ErrorCode::kInvalidInput, "positive");
  CHECK_ERROR(check_kv_spec({.n_layers = 1, .n_kv_heads = 1, .head_dim = 1, .dtype = DType::kI16}, 1),
              ErrorCode::kInvalidInput, "expected f32, f16, bf16 or i8");
  CHECK_ERROR(check_kv_spec({.n_layers = 1, .n_kv_heads = 1, .head_dim = 1}, std::int64_t{1} << 31),
              ErrorCode::kInvalidInput, "2^31");
  const KvSpec spec{.n_layers = 3, .n_kv_heads = 2, .head_dim = 64, .page_tokens = 16, .dtype = DType::kBf16};
  CHECK(kv_page_bytes(spec) == 2 * 3 * 2 * 64 * 16 * 2);
  // A cache of latents (MLA) stores no separate V.
  KvSpec latents{.n_layers = 61, .n_kv_heads = 1, .head_dim = 576, .latent_dim = 512, .page_tokens = 16};
  CHECK(kv_page_bytes(latents) == 61 * 16 * 576 * 2);
  std::vector<float> rows(576);
  REQUIRE_OK(check_kv_range(latents, 1, {.n_slots = 1}, rows.size()));
  CHECK_ERROR(check_kv_range(latents, 1, {.values = true, .n_slots = 1}, rows.size()), ErrorCode::kInvalidInput,
              "no values of its own");
  latents.n_kv_heads = 2;
  CHECK_ERROR(check_kv_spec(latents, 1), ErrorCode::kInvalidInput, "expected one KV head with a latent of at most 576");
  KvSpec quantized = spec;
  quantized.dtype = DType::kI8;  // one byte per value, and four for the scale per token and head
  CHECK(kv_page_bytes(quantized) == 2 * 3 * 2 * (64 + 4) * 16);
}

}  // namespace
}  // namespace secondsource
