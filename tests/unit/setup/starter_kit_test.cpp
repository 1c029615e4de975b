#include "setup/starter_kit.h"

#include <algorithm>

#include "ab/default_plan.h"
#include "core/yaml.h"
#include "gate/waiver.h"
#include "runner/plan_file.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/text_parts.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

const MachineView kMachine{.backends = {{.name = "cpu"},
                                        {.name = "cuda", .unavailable = "no driver", .is_host = false},
                                        {.name = "reference", .is_oracle = true}},
                           .cpus = "8",
                           .memory_bytes = std::int64_t{16} << 30};

Repository with_model(bool is_bundle) {
  return {.root = "/r",
          .is_git = true,
          .remote_host = "github.com",
          .models = {{.folder = "models/a \"b\"",
                      .is_bundle = is_bundle,
                      .variants = {"bf16"},
                      .max_positions = 4096,
                      .bytes = 1 << 20}}};
}

StarterKit kit_of(const Repository& repository, const MachineView& machine = kMachine,
                  std::optional<CiHost> host = {}) {
  return starter_kit(repository, machine, {.host = host, .program_version = "1.2.3"});
}

const StarterFile& file_of(const StarterKit& kit, StarterRole role) {
  const auto found = std::ranges::find(kit.files, role, &StarterFile::role);
  REQUIRE(found != kit.files.end());
  return *found;
}

PlanFile plan_of(const StarterKit& kit) {
  auto plan = parse_plan(file_of(kit, StarterRole::kPlan).text, "/r/secondsource.yaml");
  REQUIRE_OK(plan);
  return *plan;
}

std::string said(const StarterKit& kit) {
  std::string text;
  for (const auto& [what, sentence] : kit.findings) text += what + ": " + sentence + "\n";
  return text;
}

}  // namespace

TEST_CASE("the plan is the default one of a pull request, with the repository's model and the waivers file") {
  const auto expected = parse_plan(default_plan_text(), "/r/secondsource.yaml");
  REQUIRE_OK(expected);
  const PlanFile plan = plan_of(kit_of(with_model(true)));
  REQUIRE(plan.request.bundles.size() == 1);
  CHECK(plan.request.bundles[0] == "/r/models/a \"b\"");
  CHECK(plan.gate.waivers == "/r/waivers.yaml");
  CHECK(plan.request.scenarios == expected->request.scenarios);
  CHECK(plan.request.variants == expected->request.variants);
  CHECK(plan.request.suite == expected->request.suite);
  CHECK(plan.request.settings.cell_budget_s == expected->request.settings.cell_budget_s);
  CHECK(plan.request.settings.max_time_s == expected->request.settings.max_time_s);
  CHECK(plan.gate.threshold_percent == expected->gate.threshold_percent);
  CHECK(plan.gate.max_pairs == expected->gate.max_pairs);
  CHECK_FALSE(plan.gate.allow_unverified);
}

TEST_CASE("the plan of a job that only measures names the backends that open here, and not the reference") {
  for (const Repository& repository : {with_model(true), Repository{.root = "/r"}}) {
    const StarterKit kit = kit_of(repository);
    CHECK(plan_of(kit).request.backends == std::vector<std::string>{"cpu"});
    CHECK(plan_of(kit).request.variants == std::vector<std::string>{"bf16"});
    const std::string& text = file_of(kit, StarterRole::kPlan).text;
    CHECK(contains(text, "without this line `run` measures every one, the reference, too"));
    CHECK_FALSE(contains(text, "all that the base has available"));
  }
  // If no backend opens on this machine, the plan names none, and a comment says which ones each command takes.
  const StarterKit none = kit_of(with_model(true), {});
  CHECK(plan_of(none).request.backends.empty());
  CHECK(contains(file_of(none, StarterRole::kPlan).text, "except the reference; `run` measures that, too"));
}

TEST_CASE("a plan fits the model: no longer prompts than it takes, a variant that it has, and no proof that it lacks") {
  Repository repository = with_model(false);
  repository.models[0].max_positions = 256;
  repository.models[0].variants = {"int8", "int4"};
  const PlanFile plan = plan_of(kit_of(repository));
  CHECK(plan.request.scenarios ==
        std::vector<std::string>{"single-stream@128/16", "offline:1+requests=1@248/8", "offline:8+requests=8@64/16"});
  CHECK(plan.request.variants == std::vector<std::string>{"int8"});
  CHECK(plan.gate.allow_unverified);
  CHECK(contains(said(kit_of(repository)), "a Hugging Face folder"));
}

TEST_CASE("without a model or a backend of its own, a repository measures the installed bundle") {
  const PlanFile plan = plan_of(kit_of({.root = "/r", .is_git = true}));
  CHECK(plan.request.bundles == std::vector<std::filesystem::path>{"installed:default"});
  CHECK(contains(said(kit_of({.root = "/r"})), "there is no model and no backend of your own here"));
}

TEST_CASE("a repository that builds backends compares them, on its own bundle or the installed one") {
  Repository repository{
      .root = "/r", .is_git = true, .remote_host = "github.com", .projects = {{"it's", {"mine", "other"}}}};
  PlanFile plan = plan_of(kit_of(repository));
  CHECK(plan.request.backends == std::vector<std::string>{"mine", "other"});
  CHECK(plan.request.bundles == std::vector<std::filesystem::path>{"installed:default"});
  const auto job = parse_yaml(file_of(kit_of(repository), StarterRole::kCi).text, "ci");
  REQUIRE_OK(job);
  CHECK(*job->at("env")->string("BUILD") ==
        "cmake -S 'it'\\''s' -B build/secondsource -G Ninja -DCMAKE_BUILD_TYPE=Release "
        "-DCMAKE_LIBRARY_OUTPUT_DIRECTORY=\"$PWD/build/secondsource\" && cmake --build build/secondsource");
  // Only a model with proven tokens is used to judge a backend.
  repository.models = with_model(false).models;
  CHECK(plan_of(kit_of(repository)).request.bundles == std::vector<std::filesystem::path>{"installed:default"});
  repository.models = with_model(true).models;
  CHECK(plan_of(kit_of(repository)).request.bundles == std::vector<std::filesystem::path>{"/r/models/a \"b\""});
}

TEST_CASE("the waivers file has no waiver, and its example is one") {
  const std::string text = file_of(kit_of(with_model(true)), StarterRole::kWaivers).text;
  const auto none = parse_waivers(text, "waivers.yaml");
  REQUIRE_OK(none);
  CHECK(none->empty());
  std::string example = "waivers:\n";
  for (std::size_t at = text.find("#   - id"); at != text.npos && text[at] == '#'; at = text.find('\n', at) + 1) {
    example += text.substr(at + 1, text.find('\n', at) - at);
  }
  const auto one = parse_waivers(example, "waivers.yaml");
  REQUIRE_OK(one);
  CHECK(one->size() == 1);
}

TEST_CASE("the CI file follows the flag, then the remote, then what lies there; where nothing says, there is none") {
  const auto path_of = [](const Repository& repository, std::optional<CiHost> host = {}) -> std::string {
    const StarterKit kit = kit_of(repository, kMachine, host);
    const auto found = std::ranges::find(kit.files, StarterRole::kCi, &StarterFile::role);
    return found == kit.files.end() ? "" : found->path.string();
  };
  const std::string github = ".github/workflows/performance.yml";
  CHECK(path_of({.root = "/r", .remote_host = "github.com"}) == github);
  CHECK(path_of({.root = "/r", .remote_host = "gitlab.example.com", .has_github_folder = true}) == ".gitlab-ci.yml");
  CHECK(path_of({.root = "/r", .remote_host = "github.com"}, CiHost::kGitlab) == ".gitlab-ci.yml");
  CHECK(path_of({.root = "/r", .remote_host = "git.example.com", .has_github_folder = true}) == github);
  CHECK(path_of({.root = "/r", .has_gitlab_file = true}) == ".gitlab/secondsource.yml");
  CHECK(path_of({.root = "/r", .has_github_folder = true, .has_gitlab_file = true}).empty());
  CHECK(path_of({.root = "/r"}).empty());
  CHECK(contains(said(kit_of({.root = "/r"})), "--ci github or --ci gitlab writes one"));
}

TEST_CASE("every CI file is YAML, says the version that wrote it, and runs on a GPU's machine where one opens here") {
  MachineView gpu = kMachine;
  gpu.backends[1].unavailable.clear();
  for (const CiHost host : {CiHost::kGithub, CiHost::kGitlab}) {
    for (Repository repository :
         {with_model(true), Repository{.root = "/r"}, Repository{.root = "/r", .projects = {{"kernels", {"mine"}}}},
          Repository{.root = "/r", .is_source_tree = true}}) {
      for (const MachineView& machine : {kMachine, gpu}) {
        const std::string text = file_of(kit_of(repository, machine, host), StarterRole::kCi).text;
        CAPTURE(text);
        REQUIRE_OK(parse_yaml(text, "ci"));
        const std::string own = text.substr(text.find('\n'));  // the first line may name the file
        if (repository.is_source_tree) {
          CHECK(contains(own, "PLAN: secondsource.yaml"));
          continue;
        }
        CHECK(contains(own, "1.2.3"));
        // Nothing is in an index under the program's name: whoever registers it first must not be installed.
        CHECK(contains(own, "PACKAGE: \"\"  # fill in"));
        CHECK_FALSE(contains(own, "secondsource=="));
        CHECK(contains(file_of(kit_of(repository, machine, host), StarterRole::kCi).to_do, "Set PACKAGE in "));
        const bool is_github = host == CiHost::kGithub;
        CHECK(contains(own, is_github ? "[self-hosted, gpu]" : "tags: [gpu]") ==
              machine.backends[1].unavailable.empty());
      }
    }
  }
}

TEST_CASE("the summary says what opens, what does not and why, and when the weights do not fit") {
  Repository repository = with_model(true);
  CHECK(contains(said(kit_of(repository)), "8 CPUs, 16.0 GiB of memory, cpu opens here; cuda does not (no driver)"));
  CHECK_FALSE(contains(said(kit_of(repository)), "does not fit"));
  repository.models[0].bytes = std::int64_t{32} << 30;
  repository.passed_over = {"x.gguf is a GGUF file"};
  CHECK(contains(said(kit_of(repository)), "does not fit into this memory"));
  CHECK(contains(said(kit_of(repository)), "passed over: x.gguf is a GGUF file"));
}

TEST_CASE("a template keeps the expressions of its host") {
  CHECK(fill_template("a {{x}} ${{ x }} {{y}}.", {{"x", "1"}, {"y", "{{x}}"}}) == "a 1 ${{ x }} {{x}}.");
}
