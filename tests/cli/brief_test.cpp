// Tests `secondsource brief` and the samples under reports/samples.

#include <fmt/format.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "expectations.h"
#include "schema_keys.h"
#include "support/program.h"
#include "support/result.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

namespace {

const std::string kReports = source_path("reports");
const std::string kTemplate = kReports + "/templates/demand.yaml";

/// Runs `brief` on the template, whose speeds are all quoted, with `more` arguments at the end.
ProgramRun brief_of_template(const std::string& out, const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = {"brief",
                                        "--prices",
                                        kReports + "/prices.yaml",
                                        "--quoted",
                                        kReports + "/quoted.yaml",
                                        "--demand",
                                        kTemplate,
                                        "--date",
                                        "2026-11-20",
                                        "--out",
                                        out};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return run_program(arguments);
}

}  // namespace

TEST_CASE("the sample briefs are what their committed command makes, byte for byte") {
  const ScratchFolder scratch;
  const std::string command = fmt::format("bash '{}/samples/make.sh' '{}' '{}' > '{}/out'", kReports,
                                          program_path().string(), scratch.path().string(), scratch.path().string());
  REQUIRE(std::system(command.c_str()) == 0);
  for (const char* sample : {"second-gpu-supplier", "cpu-serving"}) {
    for (const char* file : {"brief.md", "brief.html", "brief.json"}) {
      CAPTURE(sample, file);
      const auto committed = read_file(std::filesystem::path(kReports) / "samples" / sample / file);
      REQUIRE_OK(committed);
      const auto made = read_file(scratch.path() / sample / file);
      REQUIRE_OK(made);
      CHECK((*made == *committed));  // extra parentheses keep Catch2 from printing whole pages
    }
  }
}

TEST_CASE("brief prints its decision and writes the formats that were asked for") {
  const ScratchFolder scratch;
  const ProgramRun all = brief_of_template((scratch.path() / "all").string());
  CAPTURE(all.err);
  CHECK(all.status == 0);
  CHECK(is_one_line(all.out));
  for (const char* file : {"brief.md", "brief.html", "brief.json"})
    CHECK(std::filesystem::exists(scratch.path() / "all" / file));
  CHECK(contains(*read_file(scratch.path() / "all" / "brief.md"), all.out.substr(0, all.out.size() - 1)));
  CHECK(brief_of_template((scratch.path() / "one").string(), {"--format", "json"}).status == 0);
  CHECK_FALSE(std::filesystem::exists(scratch.path() / "one" / "brief.md"));
  const auto json = nlohmann::json::parse(*read_file(scratch.path() / "one" / "brief.json"));
  CHECK(json["date"] == "2026-11-20");
  // The template's speeds are only quoted, so the decision is provisional, on stdout as on the page.
  CHECK("Provisional: " + json["decision"]["line"].get<std::string>() + "\n" == all.out);
}

TEST_CASE("bad input of a brief ends with 2 and one line that says which file and where") {
  const ScratchFolder scratch;
  const std::string out = (scratch.path() / "out").string();
  const auto refused = [&](const std::vector<std::string>& more, const char* part) {
    check_refused(brief_of_template(out, more), part);
    CHECK_FALSE(std::filesystem::exists(out));
  };
  refused({"/nonexistent-run"}, "run.json");
  const std::string demand = (scratch.path() / "demand.yaml").string();
  std::string text = *read_file(kTemplate);
  REQUIRE_OK(write_file(demand, text.replace(text.find("batch_percent: 20"), 17, "batch_percent: 200")));
  const ProgramRun run =
      run_program({"brief", "--prices", kReports + "/prices.yaml", "--demand", demand, "--out", out});
  CHECK(run.status == 2);
  CHECK(contains(run.err, "demand.yaml:11: volume.batch_percent"));
  text = *read_file(kTemplate);
  REQUIRE_OK(write_file(demand, text.replace(text.find("model: llama2-70b"), 17, "model: lama2-70b")));
  check_refused(run_program({"brief", "--prices", kReports + "/prices.yaml", "--quoted", kReports + "/quoted.yaml",
                             "--demand", demand, "--date", "2026-11-20", "--out", out}),
                "(llama2-70b), found \"lama2-70b\"; did you mean llama2-70b?");
  CHECK_FALSE(std::filesystem::exists(out));
  check_refused(run_program({"brief", "--prices", kReports + "/prices.yaml", "--quoted", kReports + "/quoted.yaml",
                             "--demand", kTemplate, "--date", "9999-12-31", "--out", out}),
                "option \"Stay\": its timeline takes 91 days from 9999-12-31 on: expected that it ends by 9999-12-31");
  CHECK_FALSE(std::filesystem::exists(out));
  CHECK(run_program({"brief", "--out", out}).status == 2);
  CHECK(contains(run_program({"brief", "--help"}).out, "Example: secondsource brief"));
}

TEST_CASE("the published schemas of demands and quoted speeds have the keys that the readers take") {
  const ScratchFolder scratch;
  const std::string path = (scratch.path() / "file.yaml").string();
  const auto keys_taken = [&](const std::string& text, const char* flag) {
    REQUIRE_OK(write_file(path, text));
    std::vector<std::string> arguments = {"brief", "--prices", kReports + "/prices.yaml", "--out",
                                          (scratch.path() / "out").string()};
    if (std::string_view(flag) == "--quoted") arguments.insert(arguments.end(), {"--demand", kTemplate});
    arguments.insert(arguments.end(), {flag, path});
    return keys_in(run_program(arguments).err);
  };
  const auto quoted = nlohmann::json::parse(*read_file(kReports + "/schemas/quoted.schema.json"));
  CHECK(keys_taken("other: 1\n", "--quoted") == properties_of(quoted));
  CHECK(keys_taken("version: 1\nread_on: 2026-11-20\nrows: [{other: 1}]\n", "--quoted") ==
        properties_of(quoted["properties"]["rows"]["items"]));

  const auto demand = nlohmann::json::parse(*read_file(kReports + "/schemas/demand.schema.json"));
  const auto& parts = demand["properties"];
  CHECK(keys_taken("other: 1\n", "--demand") == properties_of(demand));
  // An unknown key in one part of an otherwise valid demand.
  const std::string good = *read_file(kTemplate);
  const auto with_other = [&](std::string_view before) {
    std::string text = good;
    const std::size_t at = text.find(before);
    REQUIRE(at != std::string::npos);
    return text.insert(at + before.size(), "other: 1, ");
  };
  CHECK(keys_taken(with_other("  - {"), "--demand") == properties_of(parts["context_mix"]["items"]));
  CHECK(keys_taken(with_other("slo: {"), "--demand") == properties_of(parts["slo"]));
  CHECK(keys_taken(with_other("weights: {"), "--demand") == properties_of(parts["weights"]));
  CHECK(keys_taken(with_other("sizing: {"), "--demand") == properties_of(parts["sizing"]));
  CHECK(keys_taken(with_other("quoted: {"), "--demand") ==
        properties_of(parts["skus"]["items"]["properties"]["quoted"]));
  CHECK(keys_taken(with_other("migration: {"), "--demand") == properties_of(demand["$defs"]["migration"]));
  const auto& options = parts["options"]["items"]["oneOf"];
  CHECK(keys_taken(with_other("{kind: stay, "), "--demand") == properties_of(options[0]));
  CHECK(keys_taken(with_other("{kind: shift, "), "--demand") == properties_of(options[1]));
}
