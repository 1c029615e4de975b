// MB/s of the tokenizer under Google Benchmark, and how time grows with the length of one word (near-linear).
//
//   tokenizer_bench [--tokenizer FILE] [--text FILE] [Google Benchmark's flags]
//
// Without flags it times the default bundle's tokenizer on the repository's golden prompts. Before anything is timed, a
// byte-level tokenizer must give the text back when it decodes the ids.

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "core/file.h"
#include "core/folder.h"
#include "core/random.h"
#include "tokenizer/tokenizer.h"

namespace secondsource {
namespace {

namespace fs = std::filesystem;

struct Inputs {
  std::string tokenizer_path = SECONDSOURCE_SOURCE_DIR "/bundles/default/tokenizer.json";
  std::string text_path;
  std::string json;
  std::string text;
};

/// Takes our flags out of the command line, so that Google Benchmark sees only its own.
Inputs take_flags(int& argc, char** argv) {
  Inputs inputs;
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--tokenizer" && i + 1 < argc) {
      inputs.tokenizer_path = argv[++i];
    } else if (flag == "--text" && i + 1 < argc) {
      inputs.text_path = argv[++i];
    } else {
      argv[kept++] = argv[i];
    }
  }
  argc = kept;
  return inputs;
}

Result<std::string> read_prompts() {
  SS_TRY(const std::vector<fs::path> files, list_folder(SECONDSOURCE_SOURCE_DIR "/prompts"));
  std::string text;
  for (const fs::path& file : files) {
    if (file.extension() != ".yaml") continue;
    SS_TRY(const std::string content, read_file(file));
    text += content;
  }
  if (text.empty()) return Error{ErrorCode::kInvalidInput, "prompts: expected *.yaml, found none; name a --text"};
  return text;
}

Result<Tokenizer> load(Inputs& inputs) {
  SS_TRY(inputs.json, read_file(inputs.tokenizer_path));
  if (inputs.text_path.empty()) {
    SS_TRY(inputs.text, read_prompts());
  } else {
    SS_TRY(inputs.text, read_file(inputs.text_path));
  }
  SS_TRY(Tokenizer tokenizer, Tokenizer::from_json(inputs.json, inputs.tokenizer_path));
  const EncodeOptions plain{.add_special_tokens = false, .parse_special = false};
  SS_TRY(const std::vector<std::int32_t> ids, tokenizer.encode(inputs.text, plain));
  if (tokenizer.kind() == "byte-level BPE" && tokenizer.decode(ids) != inputs.text) {
    return Error{ErrorCode::kInternal, "decoding the ids does not give the text back"};
  }
  return tokenizer;
}

/// Encodes the whole text repeatedly; the word cache is warm after the first time.
void encode_text(benchmark::State& state, const Tokenizer& tokenizer, const std::string& text) {
  std::size_t n_ids = 0;
  for (auto _ : state) {
    const Result<std::vector<std::int32_t>> ids = tokenizer.encode(text);
    n_ids = ids->size();
    benchmark::DoNotOptimize(n_ids);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
  state.counters["bytes_per_token"] = static_cast<double>(text.size()) / static_cast<double>(n_ids);
}

/// Encodes with an empty word cache, as in a program that has just started. Loading is not timed.
void encode_text_cold(benchmark::State& state, const Inputs& inputs) {
  for (auto _ : state) {
    state.PauseTiming();
    const Result<Tokenizer> tokenizer = Tokenizer::from_json(inputs.json, inputs.tokenizer_path);
    state.ResumeTiming();
    benchmark::DoNotOptimize(tokenizer->encode(inputs.text)->size());
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(inputs.text.size()));
}

void decode_ids(benchmark::State& state, const Tokenizer& tokenizer, const std::string& text) {
  const std::vector<std::int32_t> ids = *tokenizer.encode(text);
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer.decode(ids).size());
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text.size()));
}

/// Encodes one word of n random letters: no cache helps, and all of the time is merging.
void encode_one_word(benchmark::State& state, const Tokenizer& tokenizer) {
  RandomStream random(1);
  std::string word;
  for (std::int64_t i = 0; i < state.range(0); ++i) word.push_back(static_cast<char>('a' + random.next_below(26)));
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer.encode(word)->size());
  state.SetBytesProcessed(state.iterations() * state.range(0));
  state.SetComplexityN(state.range(0));
}

void load_file(benchmark::State& state, const Inputs& inputs) {
  for (auto _ : state) benchmark::DoNotOptimize(Tokenizer::from_json(inputs.json, inputs.tokenizer_path)->vocab_size());
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(inputs.json.size()));
}

int run(int argc, char** argv) {
  Inputs inputs = take_flags(argc, argv);
  const Result<Tokenizer> tokenizer = load(inputs);
  if (!tokenizer) {
    fmt::print(stderr, "tokenizer_bench: {}\n", tokenizer.error().message);
    return 2;
  }
  benchmark::RegisterBenchmark("BM_encode/warm", encode_text, std::cref(*tokenizer), std::cref(inputs.text))
      ->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark("BM_encode/cold", encode_text_cold, std::cref(inputs))->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark("BM_decode", decode_ids, std::cref(*tokenizer), std::cref(inputs.text))
      ->Unit(benchmark::kMillisecond);
  benchmark::RegisterBenchmark("BM_encode_one_word", encode_one_word, std::cref(*tokenizer))
      ->RangeMultiplier(8)
      ->Range(1 << 9, 1 << 21)
      ->Complexity();
  benchmark::RegisterBenchmark("BM_load", load_file, std::cref(inputs))->Unit(benchmark::kMillisecond);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace secondsource

int main(int argc, char** argv) {
  return secondsource::run(argc, argv);
}
