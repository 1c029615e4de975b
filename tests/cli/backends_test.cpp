// Tests `secondsource backends`: which backends exist, what they can do, and why one is not available.

#include "core/file.h"
#include "expectations.h"
#include "support/result.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

TEST_CASE("backends lists every module with its device, and what it does not support with the reason") {
  const ProgramRun run = run_program({"backends"});
  CHECK(run.status == 0);
  CHECK(run.err.empty());
  for (const std::string& name : available_backends()) {
    CAPTURE(name, run.out);
    const auto begin = run.out.find("\n" + name + " ");
    CHECK((begin != std::string::npos || run.out.starts_with(name + " ")));
  }
  for (const char* part : {"available", "device 0: ", "of memory", "operations: ", "matmul", "weights: ", "bf16"}) {
    CAPTURE(part);
    CHECK(contains(run.out, part));
  }
}

TEST_CASE("backends --json says the same for programs") {
  const ProgramRun run = run_program({"backends", "--json"});
  REQUIRE(run.status == 0);
  const auto answer = nlohmann::json::parse(run.out);
  CHECK(answer["schema"] == "secondsource-backends");
  CHECK(answer["version"] == 1);
  std::vector<std::string> names;
  for (const auto& backend : answer["backends"]) {
    CAPTURE(backend.dump());
    names.push_back(backend["name"]);
    if (!backend["available"].get<bool>()) {
      CHECK_FALSE(backend["unavailable"].get<std::string>().empty());
      continue;
    }
    CHECK(std::filesystem::exists(backend["path"].get<std::string>()));
    REQUIRE(backend["devices"].size() >= 1);
    CHECK(backend["devices"][0]["memory_bytes"].get<std::int64_t>() > 0);
    CHECK(backend["operations"]["matmul"]["supported"] == true);
    CHECK(backend["weights"]["bf16"]["supported"] == true);
    for (const auto& [operation, support] : backend["operations"].items()) {
      CAPTURE(operation);
      CHECK((support["supported"] == true || !support["reason"].get<std::string>().empty()));
    }
  }
  // Every build lists onednn. A build without it gives the reason.
  for (const char* name : {"cpu", "onednn", "reference"}) CHECK(std::count(names.begin(), names.end(), name) == 1);
}

TEST_CASE("a module that cannot be loaded is listed with the reason, and the others work") {
  const ScratchFolder scratch;
  REQUIRE_OK(write_file(scratch.path() / "libsecondsource-broken.so", "no shared object"));
  const ProgramOptions options{.input = {}, .environment = {{"SECONDSOURCE_MODULES", scratch.path().string()}}};
  const ProgramRun run = run_program({"backends"}, options);
  CHECK(run.status == 0);
  CHECK(contains(run.out, "broken     unavailable"));
  CHECK(contains(run.out, "why: "));
  CHECK(contains(run.out, "reference  available"));
  // Requesting the module by name is a failure.
  const ProgramRun named =
      run_program({"generate", source_path("bundles/default"), "--backend", "broken", "--prompt", "x"}, options);
  CHECK(named.status == 4);
  CHECK(is_one_line(named.err));
  CHECK(contains(named.err, "backend broken: unavailable: "));
}
