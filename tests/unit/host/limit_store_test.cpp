// Tests how measurements of a machine's limits ("looks") are combined and stored for later processes.

#include "host/limit_store.h"

#include <fstream>

#include "core/file.h"
#include "host/limit_looks.h"
#include "support/result.h"
#include "support/scratch_folder.h"

namespace secondsource {
namespace {

using test::ScratchFolder;

MachineLimits look(double cache, double memory, double f32) {
  MachineLimits limits;
  limits.n_threads = 2;
  limits.instruction_set = "avx2";
  limits.reads = {{1 << 20, cache}, {128 << 20, memory}, {256 << 20, memory - 1}};
  limits.f32_flops = f32;
  limits.disturbed = 0.5;
  return limits;
}

const std::vector<HostFact> kHost = {{"cpu_model", "a CPU", ""}, {"kernel", "6.1", ""}};

TEST_CASE("of several looks each limit keeps the two best, and a look does not agree with itself") {
  LimitLooks looks = add_look({}, look(100, 50, 200));
  CHECK(looks.best.f32_flops == 200);
  CHECK(looks.second.f32_flops == 0);
  CHECK_FALSE(adds_to(looks, look(100, 50, 200)));
  looks = add_look(looks, look(100, 50, 200));
  CHECK(looks.second.reads[0].bytes_per_s == 0);
  MachineLimits other = look(90, 60, 200.5);
  other.bf16_flops = 400;
  other.int4_ops = 800;
  other.disturbed = 0.1;
  CHECK(adds_to(looks, other));
  looks = add_look(looks, other);
  CHECK(looks.best.reads[0].bytes_per_s == 100);
  CHECK(looks.second.reads[0].bytes_per_s == 90);
  CHECK(looks.best.reads[1].bytes_per_s == 60);
  CHECK(looks.second.reads[1].bytes_per_s == 50);
  CHECK(looks.best.f32_flops == 200.5);
  CHECK(looks.second.f32_flops == 200);
  CHECK(looks.best.bf16_flops == 400);
  CHECK(looks.second.bf16_flops == 0);
  CHECK(looks.best.int4_ops == 800);
  CHECK(looks.second.int4_ops == 0);
  MachineLimits faster_codes = look(10, 10, 10);
  faster_codes.int4_ops = 810;
  CHECK(adds_to(looks, faster_codes));
  CHECK(looks.best.disturbed == 0.1);
  CHECK_FALSE(adds_to(looks, look(10, 10, 10)));
  // From a look with other buffer sizes, only the rates of operations are used.
  MachineLimits odd = look(500, 500, 300);
  odd.reads.pop_back();
  looks = add_look(looks, odd);
  CHECK(looks.best.reads[0].bytes_per_s == 100);
  CHECK(looks.best.f32_flops == 300);
}

TEST_CASE("looks are settled when the two best agree within 5 % in every limit and nobody else had the CPUs") {
  const auto calm = [](double cache, double memory, double f32) {
    MachineLimits limits = look(cache, memory, f32);
    limits.disturbed = 0;
    return limits;
  };
  CHECK_FALSE(is_settled({}));
  const LimitLooks once = add_look({}, calm(100, 50, 200));
  CHECK_FALSE(is_settled(once));
  CHECK(is_settled(add_look(once, calm(96, 48, 191))));
  CHECK_FALSE(is_settled(add_look(once, calm(94, 48, 191))));
  CHECK_FALSE(is_settled(add_look(once, calm(96, 48, 180))));
  LimitLooks with_bf16 = add_look(once, calm(96, 48, 191));
  with_bf16.best.bf16_flops = 400;
  CHECK_FALSE(is_settled(with_bf16));
  with_bf16.second.bf16_flops = 399;
  CHECK(is_settled(with_bf16));
  LimitLooks with_codes = add_look(once, calm(96, 48, 191));
  with_codes.best.int4_ops = 800;
  with_codes.second.int4_ops = 700;
  CHECK_FALSE(is_settled(with_codes));
  with_codes.second.int4_ops = 790;
  CHECK(is_settled(with_codes));
  CHECK_FALSE(is_settled(add_look(add_look({}, look(100, 50, 200)), look(96, 48, 191))));  // disturbed
}

TEST_CASE("a moment is a look at its own buffer") {
  const LimitLooks looks = add_look({}, look(100, 50, 200));
  const MachineLimits moment =
      look_of({.read_bytes_per_s = 70, .f32_flops = 250, .buffer_bytes = 128 << 20}, looks.best);
  const LimitLooks after = add_look(looks, moment);
  CHECK(after.best.reads[0].bytes_per_s == 100);
  CHECK(after.second.reads[0].bytes_per_s == 0);
  CHECK(after.best.reads[1].bytes_per_s == 70);
  CHECK(after.best.reads[2].bytes_per_s == 49);
  CHECK(after.second.reads[2].bytes_per_s == 0);
  CHECK(after.best.f32_flops == 250);
  CHECK(after.best.disturbed == 0.5);
}

TEST_CASE("a later process knows what earlier ones measured on this host, with these threads and CPUs") {
  const ScratchFolder cache;
  LimitStore first = LimitStore::for_host(cache.path(), kHost, 2, {});
  CHECK(first.looks().best.n_threads == 0);
  REQUIRE_OK(first.add(look(100, 50, 200)));
  LimitStore second = LimitStore::for_host(cache.path(), kHost, 2, {});
  CHECK(second.looks().best.f32_flops == 200);
  REQUIRE_OK(second.add(look(90, 60, 190)));
  REQUIRE_OK(second.add(look(1, 2, 1)));  // improves nothing, so it is not stored
  const LimitStore third = LimitStore::for_host(cache.path(), kHost, 2, {});
  CHECK(third.looks().best.reads[1].bytes_per_s == 60);
  CHECK(third.looks().second.reads[1].bytes_per_s == 50);
  CHECK(third.looks().second.f32_flops == 190);
  CHECK(LimitStore::for_host(cache.path(), kHost, 1, {}).looks().best.n_threads == 0);
  CHECK(LimitStore::for_host(cache.path(), kHost, 2, {0}).looks().best.n_threads == 0);
  CHECK(LimitStore::for_host(cache.path(), {{"cpu_model", "another", ""}}, 2, {}).looks().best.n_threads == 0);
  // After an update of the Linux kernel it is still the same host.
  CHECK(LimitStore::for_host(cache.path(), {{"cpu_model", "a CPU", ""}, {"kernel", "6.2", ""}}, 2, {})
            .looks()
            .best.f32_flops == 200);
}

TEST_CASE("what a run recorded is among the looks, once") {
  const ScratchFolder cache;
  LimitStore store = LimitStore::for_host(cache.path(), kHost, 2, {});
  REQUIRE_OK(store.add(look(100, 50, 200)));
  const LimitLooks known = store.looks();
  CHECK(LimitStore::for_host(cache.path(), kHost, 2, {}, known).looks().second.f32_flops == 0);
  CHECK(LimitStore::for_host(Error{ErrorCode::kInvalidInput, "no home"}, kHost, 2, {}, known).looks().best.f32_flops ==
        200);
}

TEST_CASE("damaged lines and impossible rates are left out, and a folder that cannot be written is said") {
  const ScratchFolder cache;
  LimitStore store = LimitStore::for_host(cache.path(), kHost, 2, {});
  REQUIRE_OK(store.add(look(100, 50, 200)));
  const auto file = std::filesystem::directory_iterator(limits_folder(cache.path()))->path();
  const auto text = read_file(file);
  REQUIRE_OK(text);
  std::string negative = *text;
  negative.replace(negative.find("200.0"), 5, "-1e30");
  std::ofstream(file, std::ios::app) << "\n{\"n_threads\": 2\n\n[]\n" << negative << text->substr(0, text->size() / 2);
  CHECK(LimitStore::for_host(cache.path(), kHost, 2, {}).looks().best.f32_flops == 200);

  const ScratchFolder other;
  std::ofstream(other.path() / "limits") << "a file";
  LimitStore blocked = LimitStore::for_host(other.path(), kHost, 2, {});
  CHECK_ERROR(blocked.add(look(100, 50, 200)), ErrorCode::kInvalidInput, "limits: cannot create: Not a directory");
  CHECK(blocked.looks().best.f32_flops == 200);
}

}  // namespace
}  // namespace secondsource
