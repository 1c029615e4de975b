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
#include "bench_case.h"
#include "case_cache.h"
#include "core/counted.h"
#include "core/file.h"
#include "core/program_path.h"
#include "harness.h"
#include "host/device_limits.h"
#include "host/limit_details.h"
#include "host/machine_limits.h"
#include "host/machine_probe.h"
#include "limits_file.h"
#include "row_counters.h"
#include "runner/plan_file.h"
#include "whole_product.h"

namespace secondsource::kernel_bench {
namespace {

// Google Benchmark repeats a case for at least this long; row_counters.h has the fewest repetitions.
constexpr double kMinTimeS = 0.1;
// Bytes of all copies of one weight: several times the last-level cache of a CPU, and of a GPU (256 MiB, MI300X).
constexpr std::int64_t kMinRotatedBytes = std::int64_t{128} << 20;

struct Flags {
  bool has_min_time = false;  ///< --benchmark_min_time was given
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
  std::string case_memory;  ///< empty: default_case_budget()
  std::string whole;        ///< BACKEND or BACKEND:KEY=VALUE, the other way to make each product; empty: time them
  std::string whole_out;
  std::int32_t whole_repetitions = 20;
};

/// What all registered benchmarks share.
struct Bench {
  Flags flags;
  std::vector<BackendOption> backend_options;
  std::vector<Module> modules;
  std::optional<MachineLimits> limits;
  std::optional<MachineProbe> probe;
  /// What the devices of backends do at best; nullopt where a backend does not measure it. Backends that use host memory
  /// are not in it.
  std::map<std::string, std::optional<MachineLimits>> device_limits;
  /// Kept cases by the memory that they are in: kHostMemory, or the name of a backend with a device.
  std::map<std::string, CaseCache> caches;
  /// Weights that kept cases share, by backend, variant and shape.
  std::map<std::string, std::weak_ptr<MatmulWeights>> weights;
};

constexpr const char* kHostMemory = "host";

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

/// A reference whose KV cache holds int8 if that of the timed backend does, since rounding to int8 is part of what is
/// computed.
MakeBackend reference_maker(const Bench& bench, DType kv_dtype = DType::kF32) {
  BackendOptions options;
  if (kv_dtype == DType::kI8) options.extra = {{"kv", "int8"}};
  return [&bench, options] { return create_backend(bench.modules, "reference", options); };
}

void run_benchmark(benchmark::State& state, Bench& bench, CaseCache& cache, const BenchCase& row,
                   const CaseCache::Prepare& prepare) {
  const Result<PreparedCase*> prepared = cache.find_or_prepare(row.name, prepare);
  if (!prepared) {
    state.SkipWithError(prepared.error().message.c_str());
    return;
  }
  const auto device = bench.device_limits.find(row.target);
  const bool is_host = device == bench.device_limits.end();
  const MachineMoment before = is_host ? bench.probe->look() : MachineMoment();
  std::vector<double> ns_per_operation;
  const auto repeat = [&](bool sets_time) {
    const Result<TimedRepeat> repetition = (*prepared)->repeat();
    if (!repetition) {
      state.SkipWithError(repetition.error().message.c_str());
      return false;
    }
    ns_per_operation.push_back(static_cast<double>(repetition->ns) / static_cast<double>(repetition->n_operations));
    if (sets_time) state.SetIterationTime(static_cast<double>(repetition->ns) / 1e9);
    return true;
  };
  for ([[maybe_unused]] auto turn : state) {
    if (!repeat(true)) return;
  }
  // Google Benchmark runs a long case once or twice: too few for a spread.
  while (ns_per_operation.size() < kMinRepetitions) {
    if (!repeat(false)) return;
  }
  const RateLimits limits =
      is_host ? host_rate_limits(*bench.limits, before, bench.probe->look(), (*prepared)->work(), row.dtype)
              : device_rate_limits(device->second, (*prepared)->work(), row.dtype);
  RowCounters counters = row_counters(ns_per_operation, (*prepared)->work(), limits, (*prepared)->kernel());
  for (const auto& [name, value] : counters.counters) state.counters[name] = value;
  state.SetLabel(counters.label);
}

/// The weights of a row, made unless a kept case has them. Errors: those of MatmulWeights::prepare().
Result<std::shared_ptr<MatmulWeights>> find_or_prepare_weights(Bench& bench, const BenchCase& row) {
  const MatmulShape shape = matmul_shape(row);
  std::weak_ptr<MatmulWeights>& kept =
      bench.weights[fmt::format("{}/{}/k:{}/n:{}", row.target, row.dtype, shape.k, shape.n)];
  if (std::shared_ptr<MatmulWeights> weights = kept.lock()) return weights;
  const bool is_host = !bench.device_limits.contains(row.target);
  SS_TRY(std::shared_ptr<MatmulWeights> weights,
         MatmulWeights::prepare(maker(bench, row.target), shape, variant_named(row.dtype),
                                is_host ? kMinRotatedBytes : kMinRotatedDeviceBytes));
  kept = weights;
  return weights;
}

using PrepareRow = std::function<Result<std::unique_ptr<PreparedCase>>(const BenchCase&)>;

/// An operation that is benchmarked: its rows, and how one of them is prepared.
struct Operation {
  BenchAxes axes;           ///< without target and dtypes
  bool has_weights = true;  ///< its dtypes are variants of weights; else the type of the KV cache
  PrepareRow prepare;
};

/// Errors: kInvalidInput.
Result<std::vector<Operation>> make_operations(Bench& bench) {
  const Flags& flags = bench.flags;
  std::vector<Operation> operations(3);
  SS_TRY(operations[0].axes, matmul_axes(flags.models, flags.rows, flags.with_heads));
  operations[0].prepare = [&bench](const BenchCase& row) -> Result<std::unique_ptr<PreparedCase>> {
    SS_TRY(const std::shared_ptr<MatmulWeights> weights, find_or_prepare_weights(bench, row));
    return prepare_matmul(weights, matmul_shape(row), variant_named(row.dtype), row_count(row), reference_maker(bench));
  };
  SS_TRY(operations[1].axes, mixture_axes(flags.models, flags.rows));
  operations[1].prepare = [&bench](const BenchCase& row) {
    return prepare_mixture(maker(bench, row.target), mixture_shape(row), variant_named(row.dtype), row_count(row),
                           reference_maker(bench));
  };
  SS_TRY(operations[2].axes, attention_axes(flags.models));
  operations[2].has_weights = false;
  operations[2].prepare = [&bench](const BenchCase& row) {
    const DType kv_dtype = row.dtype == to_string(DType::kI8) ? DType::kI8 : DType::kF32;
    return prepare_attention(maker(bench, row.target), attention_shape(row), reference_maker(bench, kv_dtype));
  };
  return operations;
}

void register_row(Bench& bench, CaseCache& cache, const BenchCase& row, const PrepareRow& prepare) {
  auto* const registered =
      benchmark::RegisterBenchmark(row.name.c_str(), [&bench, &cache, row, prepare](benchmark::State& state) {
        run_benchmark(state, bench, cache, row, [&] { return prepare(row); });
      });
  registered->UseManualTime()->Unit(benchmark::kMicrosecond);
  // Google Benchmark prefers the time of a single benchmark to that of the flag.
  if (!bench.flags.has_min_time) registered->MinTime(kMinTimeS);
}

/// The cache of the memory that this backend's cases are in. Errors: kInvalidInput for the flag.
Result<CaseCache*> find_or_make_cache(Bench& bench, const DeviceInfo& device, const std::string& backend) {
  const std::string memory = device.is_host ? kHostMemory : backend;
  const auto found = bench.caches.find(memory);
  if (found != bench.caches.end()) return &found->second;
  std::int64_t budget_bytes = default_case_budget(device, HostFiles());
  if (!bench.flags.case_memory.empty()) {
    SS_TRY(budget_bytes, parse_bytes(bench.flags.case_memory));
  }
  benchmark::AddCustomContext("case_memory." + memory,
                              fmt::format("{:.1f} GiB", static_cast<double>(budget_bytes) / (1 << 30)));
  return &bench.caches.emplace(memory, CaseCache(budget_bytes)).first->second;
}

/// Names of the selected variants whose weights the backend can prepare. Those that it declines go into the context.
std::vector<std::string> supported_variants(const Bench& bench, const Backend& backend, const std::string& name) {
  std::vector<std::string> names;
  for (const ProductVariant& variant : all_variants()) {
    const bool wanted = bench.flags.variants.empty() ||
                        std::ranges::find(bench.flags.variants, variant.name) != bench.flags.variants.end();
    if (!wanted) continue;
    if (const Support support = backend.supports_weight(variant.encoding, variant.act); support.supported) {
      names.push_back(variant.name);
    } else {
      benchmark::AddCustomContext(fmt::format("declined.{}.{}", name, variant.name), support.reason);
    }
  }
  return names;
}

/// Measures this machine's limits, or reads them from the file that was named. Errors: kInvalidInput, those of the measuring.
Result<void> find_limits(Bench& bench) {
  const Flags& flags = bench.flags;
  if (!flags.limits_file.empty()) {
    SS_TRY(bench.limits, read_limits(flags.limits_file));
  } else {
    SS_TRY(bench.limits, measure_machine_limits(flags.n_threads, {}, HostFiles()));
  }
  if (!flags.save_limits.empty()) SS_TRY_VOID(write_file(flags.save_limits, limits_to_json(*bench.limits)));
  if (flags.machine_only) {
    fmt::print("{}", limits_to_text(*bench.limits));
    if (!flags.limits_file.empty()) return {};  // it may be another machine's
    SS_TRY(const LimitDetails details, measure_limit_details({.n_threads = flags.n_threads}));
    fmt::print("{}", details_to_text(details));
    return {};
  }
  fmt::print(stderr, "machine limits: {}", limits_to_text(*bench.limits));
  SS_TRY(bench.probe, MachineProbe::create(flags.n_threads, {}, HostFiles()));
  return {};
}

/// Registers every selected row that the backends support. Errors: kInvalidInput, kUnavailable.
Result<void> register_all(Bench& bench) {
  SS_TRY(const std::vector<Operation> operations, make_operations(bench));
  std::vector<std::string> backends = bench.flags.backends;
  if (backends.empty()) {
    // The reference is thousands of times slower than the others, so it is timed only if it is named.
    for (const Module& module : bench.modules) {
      if (module.unavailable.empty() && module.name != "reference") backends.push_back(module.name);
    }
  }
  for (const std::string& name : backends) {
    SS_TRY(const std::unique_ptr<Backend> backend, maker(bench, name)());
    const DeviceInfo& device = backend->device();
    benchmark::AddCustomContext("backend." + name, device.name);
    // Measuring the host takes seconds, which are wasted where only devices are timed.
    if (device.is_host && !bench.limits) SS_TRY_VOID(find_limits(bench));
    if (!device.is_host) {
      const Result<DeviceRates> rates = backend->measure_rates(RateEffort::kAll);
      if (!rates && rates.error().code != ErrorCode::kUnsupported) return rates.error();
      const auto limits = rates ? std::optional(limits_of_device(*rates)) : std::nullopt;
      bench.device_limits[name] = limits;
      benchmark::AddCustomContext(
          "read." + name, limits ? fmt::format("{:.1f} GB/s", memory_read_rate(*limits) / 1e9) : rates.error().message);
    }
    SS_TRY(CaseCache* const cache, find_or_make_cache(bench, device, name));
    const std::vector<std::string> variants = supported_variants(bench, *backend, name);
    for (const Operation& operation : operations) {
      BenchAxes axes = operation.axes;
      axes.target = name;
      axes.dtypes = operation.has_weights ? variants : std::vector{std::string(to_string(device.kv_dtype))};
      for (const BenchCase& row : cases_of(axes)) register_row(bench, *cache, row, operation.prepare);
    }
  }
  return {};
}

/// For --machine with --backend: prints what the named backends' devices do at best. Errors: those of create_backend();
/// kUnsupported for a backend that uses host memory.
Result<void> print_device_limits(const Bench& bench) {
  std::vector<DeviceLimits> limits;
  for (const std::string& name : bench.flags.backends) {
    SS_TRY(const std::unique_ptr<Backend> backend, maker(bench, name)());
    SS_TRY(const DeviceRates rates, backend->measure_rates(RateEffort::kAll));
    limits.push_back({name, backend->device().name, limits_of_device(rates)});
    const MachineLimits& found = limits.back().limits;
    fmt::print("{}: {}: reads its memory at {:.1f} GB/s\n{}", name, backend->device().name,
               memory_read_rate(found) / 1e9, device_limits_to_text(found));
  }
  if (!bench.flags.save_limits.empty()) {
    SS_TRY_VOID(write_file(bench.flags.save_limits, device_limits_to_json(limits)));
  }
  return {};
}

/// The two ways to make products for --whole: the first backend as it is, and the one that the flag names. Errors:
/// kInvalidInput.
Result<WholeWays> whole_ways(const Bench& bench, const std::string& backend) {
  const std::string& text = bench.flags.whole;
  std::string other = text;
  std::optional<BackendOption> changed;
  if (text.find(':') != std::string::npos) {
    SS_TRY(changed, parse_backend_option_flag(text));
    other = changed->backend;
  }
  BackendOptions options = options_of(bench, other);
  if (changed) {
    std::erase_if(options.extra, [&changed](const auto& option) { return option.first == changed->key; });
    options.extra.emplace_back(changed->key, changed->value);
  }
  return WholeWays{.make = maker(bench, backend),
                   .make_other = [&bench, other, options] { return create_backend(bench.modules, other, options); },
                   .same_backend = other == backend,
                   .n_repetitions = bench.flags.whole_repetitions};
}

/// --whole: compares every element of each selected product with the same product made in the other way; prints a line for
/// each. Returns the exit status: 3 if one is wrong. Errors: kInvalidInput, those of the backends, and kUnsupported if no
/// product could be compared.
Result<int> compare_whole_products(const Bench& bench) {
  const Flags& flags = bench.flags;
  if (flags.backends.size() != 1) {
    return Error{ErrorCode::kInvalidInput,
                 fmt::format("--whole: expected one --backend, found {}", flags.backends.size())};
  }
  const std::string& backend = flags.backends.front();
  SS_TRY(const WholeWays ways, whole_ways(bench, backend));
  SS_TRY(BenchAxes axes, matmul_axes(flags.models, flags.rows, flags.with_heads));
  axes.target = backend;
  for (const ProductVariant& variant : all_variants()) {
    if (flags.variants.empty() || std::ranges::find(flags.variants, variant.name) != flags.variants.end()) {
      axes.dtypes.push_back(variant.name);
    }
  }
  std::vector<WholeProduct> products;
  for (const BenchCase& row : cases_of(axes)) {
    const std::string name = "whole" + row.name.substr(row.name.find('/'));
    SS_TRY(products.emplace_back(),
           check_whole_product(ways, name, matmul_shape(row), variant_named(row.dtype), row_count(row)));
    fmt::print("{}", whole_to_text(products.back()));
    std::fflush(stdout);
    // Written after each one, so that what a deadline cuts short leaves those before.
    if (!flags.whole_out.empty()) SS_TRY_VOID(write_file(flags.whole_out, whole_to_json(products)));
  }
  const auto is = [](WholeVerdict verdict) {
    return [verdict](const WholeProduct& product) { return product.verdict == verdict; };
  };
  if (std::ranges::all_of(products, is(WholeVerdict::kNotCompared))) {
    return Error{ErrorCode::kUnsupported, "--whole: no product could be compared"};
  }
  return std::ranges::any_of(products, is(WholeVerdict::kDiffers)) ||
                 std::ranges::any_of(products, is(WholeVerdict::kChanges))
             ? 3
             : 0;
}

void add_flags(CLI::App& app, Flags& flags) {
  app.add_flag("--machine", flags.machine_only,
               "measure this machine's limits, with --backend those of its device, print them and end");
  app.add_flag("--probe", flags.probe_only, "take a short look at read rate and f32 rate, print them as JSON and end");
  app.add_option("--save-limits", flags.save_limits, "write the limits to this file, as JSON");
  app.add_option("--limits", flags.limits_file, "take the limits from this file instead of measuring");
  app.add_option("--backend", flags.backends, "backends to time (default: all but reference)")->delimiter(',');
  app.add_option(
         "--variant", flags.variants,
         "bf16, f16, int8, int8-g32, int4, int4-zp, mxfp4, nvfp4-w4a16, q4_k, q5_k, q6_k, q2_k, q3_k, iq4_xs, q4_1, q5_0, "
         "q5_1, iq4_nl, int8-w8a8, int8-g32-w8a8, int4-w8a8, fp8, fp8-g128, nvfp4 (default: all)")
      ->delimiter(',');
  app.add_option("--model", flags.models, "named shapes, see bundles/shapes (default: Llama-3.2-1B)")->delimiter(',');
  app.add_option("--rows", flags.rows, "row counts of the products (default: 1,4,16,64,512)")
      ->delimiter(',')
      ->check(CLI::Range(1, 512));
  app.add_option("--backend-option", flags.backend_options, "BACKEND:KEY=VALUE, as the backend's README documents");
  app.add_option("--modules", flags.modules, "folder with the backend modules");
  app.add_option("--threads", flags.n_threads, "threads of host backends and of the limits (default: all CPUs)");
  app.add_flag("--heads", flags.with_heads, "also the vocabulary projections, which need gigabytes");
  app.add_option("--case-memory", flags.case_memory,
                 "memory for prepared cases, as 8GiB: beyond it the least recently used are prepared again (default: "
                 "half of what is available)");
  app.add_option("--whole", flags.whole,
                 "compare every element of each product with the same product made by BACKEND, or by BACKEND:KEY=VALUE "
                 "(its option replaces that of --backend-option), repeat it, and end");
  app.add_option("--whole-repetitions", flags.whole_repetitions,
                 "how often --whole makes each product again, which has to give the same bits (default: 20)")
      ->check(CLI::Range(0, 100000));
  app.add_option("--whole-out", flags.whole_out, "write what --whole found to this file, as JSON");
  app.allow_extras();  // Google Benchmark's own
  app.footer(
      "Flags of Google Benchmark follow as usual, for example --benchmark_filter='matmul/cpu/.*/m:1/'; without "
      "--benchmark_min_time each case is timed for 0.1 s.\n"
      "Examples: kernel_bench --variant bf16,int8 --rows 1,512 --benchmark_out=kernels.json\n"
      "          kernel_bench --backend cuda --backend-option cuda:matmul=own --whole cuda:matmul=library --rows 512");
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
    const auto probe = MachineProbe::create(bench.flags.n_threads, {}, HostFiles());
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
  if (folders.empty()) folders = module_folders(path_of_this_program(argv[0]));
  bench.modules = load_modules(folders);
  if (!bench.flags.whole.empty()) {
    const auto status = compare_whole_products(bench);
    return status ? *status : fail(status.error());
  }
  if (bench.flags.machine_only && !bench.flags.backends.empty()) {
    const auto printed = print_device_limits(bench);
    return printed ? 0 : fail(printed.error());
  }
  if (bench.flags.machine_only || !bench.flags.save_limits.empty() || !bench.flags.limits_file.empty()) {
    if (auto found = find_limits(bench); !found) return fail(found.error());
    if (bench.flags.machine_only) return 0;
  }

  std::vector<std::string> rest = app.remaining();
  std::vector<char*> arguments{argv[0]};
  for (std::string& argument : rest) {
    arguments.push_back(argument.data());
    bench.flags.has_min_time |= argument.starts_with("--benchmark_min_time");
  }
  int n_arguments = static_cast<int>(arguments.size());
  benchmark::Initialize(&n_arguments, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(n_arguments, arguments.data())) return 2;
  if (auto registered = register_all(bench); !registered) return fail(registered.error());
  const std::size_t n_run = benchmark::RunSpecifiedBenchmarks();
  int n_wrong = 0;
  for (const auto& [memory, cache] : bench.caches) {
    n_wrong += cache.n_wrong();
    if (cache.n_prepared_again() > 0) {
      fmt::print(stderr, "kernel_bench: {}: {} a case was prepared again: --case-memory is too small to keep all\n",
                 memory, counted(cache.n_prepared_again(), "time"));
    }
  }
  bench.caches.clear();
  benchmark::Shutdown();
  if (n_run == 0) return fail({ErrorCode::kInvalidInput, "no benchmark matches"});
  if (n_wrong > 0) {
    fmt::print(stderr, "kernel_bench: {}\n",
               counted(n_wrong, "kernel gave wrong results and was not timed",
                       "kernels gave wrong results and were not timed"));
    return 3;
  }
  return 0;
}

}  // namespace
}  // namespace secondsource::kernel_bench

int main(int argc, char** argv) {
  return secondsource::kernel_bench::run(argc, argv);
}
