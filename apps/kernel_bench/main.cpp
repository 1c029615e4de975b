// kernel_bench: matmul, mixtures and attention of every backend at the shapes of known models, under Google Benchmark.
// Every case is compared with the reference backend before it is timed. README.md has the flags and how to read the
// output.

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <map>

#include "backend/module.h"
#include "bundle/variant.h"
#include "core/file.h"
#include "harness.h"
#include "host/machine_probe.h"
#include "limits_file.h"
#include "runner/plan_file.h"

namespace secondsource {
namespace {

// A cell that takes longer for one repetition is run once.
constexpr double kMinTimeS = 0.1;
// Copies of a weight together: several times a last-level cache of a CPU, or of a GPU (256 MiB, MI300X).
constexpr std::int64_t kMinRotatedBytes = std::int64_t{128} << 20;
constexpr std::int64_t kMinRotatedDeviceBytes = std::int64_t{512} << 20;

struct Flags {
  bool machine_only = false;
  bool probe_only = false;
  std::vector<std::string> backends;
  std::vector<std::string> variants;
  std::vector<std::string> models{"Llama-3.2-1B"};
  std::vector<std::int32_t> rows{1, 4, 16, 64, 512};
  std::vector<std::string> backend_options;  ///< BACKEND:KEY=VALUE
  std::string modules;
  std::string limits_file;
  std::string save_limits;
  std::int32_t n_threads = 0;
  bool with_heads = false;
};

/// What all registered benchmarks share.
struct Bench {
  Flags flags;
  std::vector<BackendOption> backend_options;
  std::vector<Module> modules;
  std::optional<MachineLimits> limits;
  std::optional<MachineProbe> probe;
  /// Of backends whose memory is a device's, in bytes; empty where the backend does not measure it.
  std::map<std::string, std::optional<double>> device_read_per_s;
  int n_wrong = 0;
  // The weights used last: cases of one weight follow each other, and two sets need not be in memory at once.
  std::string weights_key;
  std::shared_ptr<MatmulWeights> weights;
  std::string prepared_key;
  std::unique_ptr<PreparedCase> prepared;
};

BackendOptions options_of(const Bench& bench, const std::string& backend) {
  BackendOptions options;
  options.n_threads = bench.flags.n_threads;
  for (const BackendOption& option : bench.backend_options) {
    if (option.backend == backend) options.extra.emplace_back(option.key, option.value);
  }
  return options;
}

MakeBackend maker(const Bench& bench, const std::string& backend) {
  return [&bench, backend] { return create_backend(bench.modules, backend, options_of(bench, backend)); };
}

/// A reference whose cache holds integers where that of the timed backend does: rounding to them is a definition of its
/// own.
MakeBackend reference_maker(const Bench& bench, DType kv_dtype = DType::kF32) {
  BackendOptions options;
  if (kv_dtype == DType::kI8) options.extra = {{"kv", "int8"}};
  return [&bench, options] { return create_backend(bench.modules, "reference", options); };
}

/// The multiply-add rate that the variant's products could reach: that of the narrowest type that correctness allows.
double peak_of(const MachineLimits& limits, const std::string& variant) {
  if (quantizes_activations(variant) && limits.int8_all) return limits.int8_all->best;
  if (variant != "f16" && variant != "f32" && limits.bf16_all) return limits.bf16_all->best;
  return limits.f32_all.best;
}

struct Rates {
  double median_per_s = 0.0;
  double best_per_s = 0.0;
};

/// Operations per second over the repetitions of one benchmark.
Rates rates_of(std::vector<double> ns_per_operation) {
  std::ranges::sort(ns_per_operation);
  return {1e9 / ns_per_operation[ns_per_operation.size() / 2], 1e9 / ns_per_operation.front()};
}

/// Of two looks, before a measurement and after it, the better of each: other load only ever makes them worse.
MachineMoment better_of(const MachineMoment& a, const MachineMoment& b) {
  return {std::max(a.read_bytes_per_s, b.read_bytes_per_s), std::max(a.f32_flops, b.f32_flops)};
}

void set_counters(benchmark::State& state, const Bench& bench, const PreparedCase& prepared, const Rates& rates,
                  const std::string& variant, const std::optional<MachineMoment>& beside,
                  std::optional<double> device_read_per_s) {
  const double bytes = prepared.bytes_per_operation();
  const double flops = prepared.flops_per_operation();
  state.counters["GB/s"] = rates.median_per_s * bytes / 1e9;
  state.counters["GFLOP/s"] = rates.median_per_s * flops / 1e9;
  state.counters["us"] = 1e6 / rates.median_per_s;
  state.SetLabel(prepared.kernel());
  if (device_read_per_s) state.counters["of_read"] = rates.median_per_s * bytes / *device_read_per_s;
  if (!beside) return;
  // Of whichever limit is nearer: that is the one which binds. The peaks of other types move with the f32 one.
  const double of_read = bytes / beside->read_bytes_per_s;
  const double peak = peak_of(*bench.limits, variant) * beside->f32_flops / bench.limits->f32_all.best;
  const double of_peak = flops / peak;
  state.counters[of_read > of_peak ? "of_read" : "of_peak"] = rates.median_per_s * std::max(of_read, of_peak);
  state.counters["best"] = rates.best_per_s * std::max(of_read, of_peak);
  state.counters["read_GB/s"] = beside->read_bytes_per_s / 1e9;
}

using Prepare = std::function<Result<std::unique_ptr<PreparedCase>>()>;

void run_benchmark(benchmark::State& state, Bench& bench, const std::string& name, const Prepare& prepare,
                   const std::string& variant, bool is_host, std::optional<double> device_read_per_s) {
  if (bench.prepared_key != name) {
    bench.prepared.reset();
    bench.prepared_key.clear();
    auto prepared = prepare();
    if (!prepared) {
      if (prepared.error().code == ErrorCode::kInternal) ++bench.n_wrong;
      state.SkipWithError(prepared.error().message.c_str());
      return;
    }
    bench.prepared = std::move(prepared).value();
    bench.prepared_key = name;
  }
  std::optional<MachineMoment> beside;
  if (is_host && bench.probe) beside = bench.probe->look();
  std::vector<double> ns_per_operation;
  for ([[maybe_unused]] auto turn : state) {
    const auto repetition = bench.prepared->repeat();
    if (!repetition) {
      state.SkipWithError(repetition.error().message.c_str());
      return;
    }
    const double ns = static_cast<double>(repetition->ns) / static_cast<double>(repetition->n_operations);
    ns_per_operation.push_back(ns);
    state.SetIterationTime(static_cast<double>(repetition->ns) / 1e9);
  }
  if (beside) beside = better_of(*beside, bench.probe->look());
  set_counters(state, bench, *bench.prepared, rates_of(std::move(ns_per_operation)), variant, beside,
               device_read_per_s);
}

void register_case(Bench& bench, const std::string& name, const std::string& backend, const std::string& variant,
                   Prepare prepare) {
  const auto found = bench.device_read_per_s.find(backend);
  const bool is_host = found == bench.device_read_per_s.end();
  const std::optional<double> device_read_per_s = is_host ? std::nullopt : found->second;
  benchmark::RegisterBenchmark(
      name.c_str(),
      [&bench, name, variant, is_host, device_read_per_s, prepare = std::move(prepare)](benchmark::State& state) {
        run_benchmark(state, bench, name, prepare, variant, is_host, device_read_per_s);
      })
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond)
      ->MinTime(kMinTimeS);
}

void register_matmuls(Bench& bench, const std::string& backend, const std::vector<MatmulShape>& shapes,
                      const ProductVariant& variant) {
  const bool is_host = !bench.device_read_per_s.contains(backend);
  const std::int64_t rotated_bytes = is_host ? kMinRotatedBytes : kMinRotatedDeviceBytes;
  for (const MatmulShape& shape : shapes) {
    const std::string weights_key = fmt::format("{}/{}/k:{}/n:{}", backend, variant.name, shape.k, shape.n);
    for (const std::int32_t m : bench.flags.rows) {
      const std::string name =
          fmt::format("BM_matmul/{}/{}/m:{}/k:{}/n:{}", backend, variant.name, m, shape.k, shape.n);
      register_case(
          bench, name, backend, variant.name,
          [&bench, backend, shape, variant, m, weights_key, rotated_bytes]() -> Result<std::unique_ptr<PreparedCase>> {
            if (bench.weights_key != weights_key) {
              bench.weights.reset();
              bench.weights_key.clear();
              SS_TRY(bench.weights, MatmulWeights::prepare(maker(bench, backend), shape, variant, rotated_bytes));
              bench.weights_key = weights_key;
            }
            return prepare_matmul(bench.weights, shape, variant, m, reference_maker(bench));
          });
    }
  }
}

void register_mixtures(Bench& bench, const std::string& backend, const std::vector<MixtureShape>& shapes,
                       const ProductVariant& variant) {
  for (const MixtureShape& shape : shapes) {
    for (const std::int32_t m : bench.flags.rows) {
      const std::string name = fmt::format("BM_mixture/{}/{}/m:{}/experts:{}/top:{}/k:{}/n:{}", backend, variant.name,
                                           m, shape.n_experts, shape.n_top, shape.k, shape.n);
      register_case(bench, name, backend, variant.name, [&bench, backend, shape, variant, m] {
        return prepare_mixture(maker(bench, backend), shape, variant, m, reference_maker(bench));
      });
    }
  }
}

void register_attentions(Bench& bench, const std::string& backend, DType kv_dtype,
                         const std::vector<AttentionShape>& shapes) {
  for (const AttentionShape& shape : shapes) {
    const std::string name = fmt::format("BM_attention/{}/{}/seqs:{}/q:{}/kv:{}/heads:{}/kv_heads:{}/dim:{}", backend,
                                         to_string(kv_dtype), shape.n_seqs, shape.n_queries, shape.n_cached,
                                         shape.heads.n_heads, shape.heads.n_kv_heads, shape.heads.head_dim);
    register_case(bench, name, backend, std::string(to_string(kv_dtype)), [&bench, backend, shape, kv_dtype] {
      return prepare_attention(maker(bench, backend), shape, reference_maker(bench, kv_dtype));
    });
  }
}

/// Everything that was asked for and that the backends can do. Errors: kInvalidInput, kUnavailable.
Result<void> register_all(Bench& bench) {
  SS_TRY(const std::vector<MatmulShape> shapes, matmul_shapes(bench.flags.models, bench.flags.with_heads));
  SS_TRY(const std::vector<MixtureShape> mixtures, mixture_shapes(bench.flags.models));
  SS_TRY(const std::vector<AttentionShape> attentions, attention_shapes(bench.flags.models));
  std::vector<std::string> backends = bench.flags.backends;
  if (backends.empty()) {
    // The reference is checked against, and is thousands of times slower: timed only when it is named.
    for (const Module& module : bench.modules) {
      if (module.unavailable.empty() && module.name != "reference") backends.push_back(module.name);
    }
  }
  for (const std::string& backend : backends) {
    SS_TRY(const std::unique_ptr<Backend> probe, maker(bench, backend)());
    const DeviceInfo& device = probe->device();
    benchmark::AddCustomContext("backend." + backend, device.name);
    if (!device.is_host) {
      const Result<double> rate = probe->measure_read_rate();
      if (!rate && rate.error().code != ErrorCode::kUnsupported) return rate.error();
      bench.device_read_per_s[backend] = rate ? std::optional(*rate) : std::nullopt;
      benchmark::AddCustomContext("read." + backend,
                                  rate ? fmt::format("{:.1f} GB/s", *rate / 1e9) : rate.error().message);
    }
    for (const ProductVariant& variant : all_variants()) {
      const bool wanted = bench.flags.variants.empty() ||
                          std::ranges::find(bench.flags.variants, variant.name) != bench.flags.variants.end();
      if (!wanted) continue;
      if (const Support support = probe->supports_weight(variant.encoding, variant.act); !support.supported) {
        benchmark::AddCustomContext(fmt::format("declined.{}.{}", backend, variant.name), support.reason);
        continue;
      }
      register_matmuls(bench, backend, shapes, variant);
      register_mixtures(bench, backend, mixtures, variant);
    }
    register_attentions(bench, backend, device.kv_dtype, attentions);
  }
  return {};
}

Result<void> find_limits(Bench& bench) {
  const Flags& flags = bench.flags;
  if (!flags.limits_file.empty()) {
    SS_TRY(bench.limits, read_limits(flags.limits_file));
  } else {
    SS_TRY(bench.limits, measure_machine_limits({.n_threads = flags.n_threads}));
  }
  if (!flags.save_limits.empty()) SS_TRY_VOID(write_file(flags.save_limits, limits_to_json(*bench.limits)));
  if (flags.machine_only) {
    fmt::print("{}", limits_to_text(*bench.limits));
    return {};
  }
  fmt::print(stderr, "machine limits: {}", limits_to_text(*bench.limits));
  SS_TRY(bench.probe, MachineProbe::create(flags.n_threads, {}));
  return {};
}

/// --machine of backends that were named: what their devices read at. Errors: those of create_backend(); kUnsupported
/// for one that reads the host's memory.
Result<void> print_device_limits(const Bench& bench) {
  std::vector<DeviceLimits> limits;
  for (const std::string& name : bench.flags.backends) {
    SS_TRY(const std::unique_ptr<Backend> backend, maker(bench, name)());
    SS_TRY(const double rate, backend->measure_read_rate());
    limits.push_back({name, backend->device().name, rate});
    fmt::print("{}: {}: reads its memory at {:.1f} GB/s\n", name, backend->device().name, rate / 1e9);
  }
  if (!bench.flags.save_limits.empty()) {
    SS_TRY_VOID(write_file(bench.flags.save_limits, device_limits_to_json(limits)));
  }
  return {};
}

void add_flags(CLI::App& app, Flags& flags) {
  app.add_flag("--machine", flags.machine_only,
               "measure this machine's limits, with --backend those of its device, print them and end");
  app.add_flag("--probe", flags.probe_only, "take a short look at read rate and f32 rate, print them as JSON and end");
  app.add_option("--save-limits", flags.save_limits, "write the limits to this file, as JSON");
  app.add_option("--limits", flags.limits_file, "take the limits from this file instead of measuring");
  app.add_option("--backend", flags.backends, "backends to time (default: all but reference)")->delimiter(',');
  app.add_option("--variant", flags.variants,
                 "bf16, f16, int8, int8-g32, int4, int8-w8a8, int8-g32-w8a8 (default: all)")
      ->delimiter(',');
  app.add_option("--model", flags.models, "named shapes, see bundles/shapes (default: Llama-3.2-1B)")->delimiter(',');
  app.add_option("--rows", flags.rows, "row counts of the products (default: 1,4,16,64,512)")
      ->delimiter(',')
      ->check(CLI::Range(1, 512));
  app.add_option("--backend-option", flags.backend_options, "BACKEND:KEY=VALUE, as the backend's README documents");
  app.add_option("--modules", flags.modules, "folder with the backend modules");
  app.add_option("--threads", flags.n_threads, "threads of host backends and of the limits (default: all CPUs)");
  app.add_flag("--heads", flags.with_heads, "also the vocabulary projections, which need gigabytes");
  app.allow_extras();  // Google Benchmark's own
  app.footer(
      "Flags of Google Benchmark follow as usual, for example --benchmark_filter='matmul/cpu/.*/m:1/'.\n"
      "Example: kernel_bench --variant bf16,int8 --rows 1,512 --benchmark_out=kernels.json");
}

int run(int argc, char** argv) {
  Bench bench;
  CLI::App app{"Times matmul, mixtures and attention of every backend, verified against the reference first."};
  add_flags(app, bench.flags);
  CLI11_PARSE(app, argc, argv);
  const auto fail = [](const Error& error) {
    fmt::print(stderr, "kernel_bench: {}\n", error.message);
    return 2;
  };
  if (bench.flags.probe_only) {
    const auto probe = MachineProbe::create(bench.flags.n_threads, {});
    if (!probe) return fail(probe.error());
    fmt::print("{}", moment_to_json(probe->look()));
    return 0;
  }
  for (const std::string& text : bench.flags.backend_options) {
    auto option = parse_backend_option_flag(text);
    if (!option) return fail(option.error());
    bench.backend_options.push_back(std::move(option).value());
  }
  std::vector<std::filesystem::path> folders;
  if (!bench.flags.modules.empty()) folders.emplace_back(bench.flags.modules);
  if (folders.empty()) folders = module_folders(argv[0]);
  bench.modules = load_modules(folders);
  if (bench.flags.machine_only && !bench.flags.backends.empty()) {
    const auto printed = print_device_limits(bench);
    return printed ? 0 : fail(printed.error());
  }
  if (auto found = find_limits(bench); !found) return fail(found.error());
  if (bench.flags.machine_only) return 0;

  std::vector<std::string> rest = app.remaining();
  std::vector<char*> arguments{argv[0]};
  for (std::string& argument : rest) arguments.push_back(argument.data());
  int n_arguments = static_cast<int>(arguments.size());
  benchmark::Initialize(&n_arguments, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(n_arguments, arguments.data())) return 2;
  if (auto registered = register_all(bench); !registered) return fail(registered.error());
  const std::size_t n_run = benchmark::RunSpecifiedBenchmarks();
  bench.prepared.reset();
  bench.weights.reset();
  benchmark::Shutdown();
  if (n_run == 0) return fail({ErrorCode::kInvalidInput, "no benchmark matches"});
  if (bench.n_wrong > 0) {
    fmt::print(stderr, "kernel_bench: {} kernels gave wrong results and were not timed\n", bench.n_wrong);
    return 3;
  }
  return 0;
}

}  // namespace
}  // namespace secondsource

int main(int argc, char** argv) {
  return secondsource::run(argc, argv);
}
