#include "setup/starter_kit.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <regex>

#include "ab/default_plan.h"
#include "core/check.h"
#include "core/shell_text.h"
#include "core/units.h"
#include "core/utf8.h"
#include "runner/plan_file.h"
#include "setup/ci_templates.h"

namespace secondsource {
namespace {

constexpr std::string_view kPlanName = "secondsource.yaml";
constexpr std::string_view kWaiversName = "waivers.yaml";
constexpr std::string_view kModulesFolder = "build/secondsource";

/// The part of the repository that a change can make slower or wrong and that is therefore measured.
enum class Subject : std::uint8_t { kSourceTree, kBackends, kModel, kNothing };

Subject subject_of(const Repository& repository) {
  if (repository.is_source_tree) return Subject::kSourceTree;
  if (!repository.projects.empty()) return Subject::kBackends;
  return repository.models.empty() ? Subject::kNothing : Subject::kModel;
}

/// The model for the measurement: backends need a bundle, which has expected outputs; a repository's own model is used
/// as it is.
const FoundModel* model_of(const Repository& repository) {
  if (repository.models.empty()) return nullptr;
  const FoundModel& first = repository.models.front();
  return subject_of(repository) == Subject::kBackends && !first.is_bundle ? nullptr : &first;
}

/// Quotes any text as a YAML scalar.
std::string yaml_text(const std::string& text) {
  return nlohmann::json(text).dump();
}

void replace_line(std::string& text, std::string_view begin, std::string_view line) {
  const auto at = text.find(begin);
  SS_CHECK(at != text.npos, "the default plan has no line that begins as expected");
  text.replace(at, text.find('\n', at) - at, line);
}

/// Shortens prompt and output to the context of a model that cannot take them as they are.
std::string fit_lengths(const std::string& plan, std::int64_t max_positions) {
  static const std::regex lengths("@([0-9]+)/([0-9]+)");
  std::string fitted;
  auto rest = plan.cbegin();
  for (auto at = std::sregex_iterator(plan.begin(), plan.end(), lengths); at != std::sregex_iterator(); ++at) {
    const std::int64_t n_output = std::stoll((*at)[2]);
    const std::int64_t n_prompt =
        std::min<std::int64_t>(std::stoll((*at)[1]), std::max<std::int64_t>(1, max_positions - n_output));
    fitted.append(rest, (*at)[0].first);
    fitted += fmt::format("@{}/{}", n_prompt, n_output);
    rest = (*at)[0].second;
  }
  return fitted.append(rest, plan.cend());
}

std::vector<std::string> backends_of(const Repository& repository) {
  std::vector<std::string> names;
  for (const BackendProject& project : repository.projects) {
    names.insert(names.end(), project.backends.begin(), project.backends.end());
  }
  return names;
}

/// The backends that the plan names. Where no build is compared, the job is `run`, which takes every backend that opens,
/// the oracle too, whose plain loops would take most of the time.
std::vector<std::string> planned_backends(const Repository& repository, const MachineView& machine) {
  const Subject subject = subject_of(repository);
  if (subject == Subject::kBackends) return backends_of(repository);
  std::vector<std::string> names;
  if (subject == Subject::kSourceTree) return names;
  for (const MachineView::Backend& backend : machine.backends) {
    if (!backend.is_oracle && backend.unavailable.empty()) names.push_back(backend.name);
  }
  return names;
}

std::string plan_text(const Repository& repository, const MachineView& machine) {
  const FoundModel* const model = model_of(repository);
  std::string text(default_plan_text());
  text.erase(0, text.find("version:"));
  const std::string bundle = model != nullptr ? model->folder.string() : std::string(kInstalledBundle) + "default";
  std::string head = fmt::format("version: 1\nbundles: [{}]", yaml_text(bundle));
  if (model == nullptr) head += "  # the one that comes with the program; name your own model's folder here";
  const std::vector<std::string> backends = planned_backends(repository, machine);
  if (!backends.empty()) {
    head += fmt::format("\nbackends: [{}]", fmt::join(backends, ", "));
    if (subject_of(repository) != Subject::kBackends) {
      head += "  # those that open here; without this line `run` measures every one, the reference, too";
    }
  }
  replace_line(text, "version:", head);
  std::string variant = "bf16";
  if (model != nullptr) {
    text = fit_lengths(text, model->max_positions);
    const bool has_bf16 =
        model->variants.empty() || std::ranges::find(model->variants, variant) != model->variants.end();
    if (!has_bf16) variant = yaml_text(model->variants.front());
  }
  // The default plan's line says which backends are taken where none are named.
  if (!backends.empty() || variant != "bf16") replace_line(text, "variants:", fmt::format("variants: [{}]", variant));
  // `gate` is the last key.
  text += fmt::format("  waivers: {}     # accepted regressions\n", kWaiversName);
  if (model != nullptr && !model->is_bundle) {
    text += "  allow_unverified: true    # no bundle: nothing says what its tokens should be\n";
  }
  return "# What `secondsource run` measures and `secondsource ab` compares; written by `secondsource init`. It is the default\n"
         "# plan of a pull request for this repository. Paths are relative to this file.\n" +
         text;
}

std::string waivers_text() {
  return "# Regressions that somebody accepted: up to which size, why, and until when. Reviewed like code, and checked by\n"
         "# `secondsource waiver check waivers.yaml`. One looks like this:\n"
         "#\n"
         "#   - id: W-1\n"
         "#     scope: {backend: cpu, variant: bf16, scenario: \"offline-*\", metric: cost}   # left out: any; * any part\n"
         "#     ceiling_percent: 25\n"
         "#     owner: kim@example.com\n"
         "#     reason: the new kernel copies twice; to be mended in the next release\n"
         "#     link: https://example.com/issues/812\n"
         "#     expires: 2030-12-31      # at most a year away\n"
         "waivers: []\n";
}

std::string what_is_measured(const Repository& repository) {
  switch (subject_of(repository)) {
    case Subject::kSourceTree:
      return "this program and its backends";
    case Subject::kBackends:
      return fmt::format("the {} {}", backends_of(repository).size() == 1 ? "backend" : "backends",
                         fmt::join(backends_of(repository), ", "));
    case Subject::kModel:
      return fmt::format("the model {}", shown(repository.models.front().folder.string()));
    case Subject::kNothing:
      return "the bundle that comes with the program";
  }
  return {};
}

std::string build_command(const Repository& repository) {
  std::string command;
  for (const BackendProject& project : repository.projects) {
    const std::string folder = single_quoted(project.folder.string());
    const std::string out = repository.projects.size() == 1
                                ? std::string(kModulesFolder)
                                : fmt::format("{}/{}", kModulesFolder, project.backends.front());
    command += fmt::format(
        "{0}cmake -S {1} -B {2} -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_LIBRARY_OUTPUT_DIRECTORY=\"$PWD/{3}\" && "
        "cmake --build {2}",
        command.empty() ? "" : " && ", folder, out, kModulesFolder);
  }
  return command;
}

bool has_gpu(const MachineView& machine) {
  return std::ranges::any_of(machine.backends, [](const MachineView::Backend& backend) {
    return !backend.is_host && backend.unavailable.empty();
  });
}

StarterFile ci_file(CiHost host, const Repository& repository, const MachineView& machine,
                    const StarterChoices& choices) {
  const Subject subject = subject_of(repository);
  const bool is_github = host == CiHost::kGithub;
  const bool on_gpu = has_gpu(machine);
  StarterFile file{
      .role = StarterRole::kCi, .path = ".github/workflows/performance.yml", .text = {}, .why = {}, .to_do = {}};
  // An existing pipeline has to include the new file.
  if (!is_github) file.path = repository.has_gitlab_file ? ".gitlab/secondsource.yml" : ".gitlab-ci.yml";
  CiTemplate which = is_github ? CiTemplate::kGithubMeasure : CiTemplate::kGitlabMeasure;
  if (subject == Subject::kBackends) which = is_github ? CiTemplate::kGithubCompare : CiTemplate::kGitlabCompare;
  if (subject == Subject::kSourceTree)
    which = is_github ? CiTemplate::kGithubSourceTree : CiTemplate::kGitlabSourceTree;
  std::string text(ci_template(which));
  if (subject == Subject::kSourceTree) {
    replace_line(text, "PLAN: ", fmt::format("PLAN: {}", kPlanName));
    file.text = std::move(text);
  } else {
    file.text = fill_template(
        text, {{"file", file.path.string()},
               {"what", what_is_measured(repository)},
               {"version", choices.program_version},
               {"build", yaml_text(build_command(repository))},
               {"modules", std::string(kModulesFolder)},
               {"runner", on_gpu ? "[self-hosted, gpu]" : "ubuntu-24.04"},
               {"runner_note", on_gpu ? "the labels of your machine with a GPU"
                                      : "a machine of your own with nothing beside this job tells smaller changes"},
               {"tags", on_gpu ? "  tags: [gpu]  # of your machine with a GPU\n" : ""}});
    file.to_do =
        fmt::format("Set PACKAGE in {}: it is empty, and the job installs secondsource from the {} that it names.",
                    file.path.string(), subject == Subject::kBackends ? ".deb" : "wheel");
  }
  file.why = subject == Subject::kModel || subject == Subject::kNothing
                 ? "measures each change: no build of it could be compared with that of its base"
                 : "builds base and change, and compares them in interleaved pairs";
  file.why += on_gpu ? "; on a runner with a GPU, because one opens here" : "";
  if (file.path == ".gitlab/secondsource.yml") {
    file.why += "; add to .gitlab-ci.yml: include: [{local: .gitlab/secondsource.yml}]";
  }
  return file;
}

std::optional<CiHost> host_of(const Repository& repository, const StarterChoices& choices, std::string& why) {
  const bool at_github = repository.remote_host.find("github") != std::string::npos;
  const bool at_gitlab = repository.remote_host.find("gitlab") != std::string::npos;
  if (choices.host) {
    why = "by --ci";
    return choices.host;
  }
  if (at_github || at_gitlab) {
    why = fmt::format("the remote is on {}", shown(repository.remote_host));
    return at_github ? CiHost::kGithub : CiHost::kGitlab;
  }
  if (repository.has_github_folder != repository.has_gitlab_file) {
    why = repository.has_github_folder ? "there is a folder .github" : "there is a .gitlab-ci.yml";
    return repository.has_github_folder ? CiHost::kGithub : CiHost::kGitlab;
  }
  why = repository.remote_host.empty()
            ? "no remote says where pull requests come from"
            : fmt::format("{} is neither GitHub nor GitLab by its name", shown(repository.remote_host));
  return std::nullopt;
}

std::string machine_sentence(const MachineView& machine) {
  std::vector<std::string> open, closed;
  for (const MachineView::Backend& backend : machine.backends) {
    if (backend.is_oracle) continue;
    if (backend.unavailable.empty()) {
      open.push_back(backend.name);
    } else {
      closed.push_back(fmt::format("{} does not ({})", backend.name, backend.unavailable));
    }
  }
  std::string text = machine.cpus.empty() ? "" : fmt::format("{} CPUs, ", machine.cpus);
  if (machine.memory_bytes > 0) text += fmt::format("{} of memory, ", format_bytes(machine.memory_bytes));
  text += open.empty() ? std::string("no backend opens here")
                       : fmt::format("{} {} here", fmt::join(open, ", "), open.size() == 1 ? "opens" : "open");
  for (const std::string& why : closed) text += "; " + why;
  return text;
}

std::string subject_sentence(const Repository& repository, const MachineView& machine) {
  const FoundModel* const model = model_of(repository);
  std::string text = what_is_measured(repository);
  if (subject_of(repository) == Subject::kBackends) {
    text += fmt::format(", of {}", shown(repository.projects.front().folder.string()));
    if (model == nullptr) text += ", on the bundle that comes with the program";
  }
  if (subject_of(repository) == Subject::kNothing) return text + ": there is no model and no backend of your own here";
  if (model == nullptr) return text;
  if (subject_of(repository) != Subject::kModel) text += fmt::format(", on {}", shown(model->folder.string()));
  text += fmt::format(" ({}, {} in bf16)", model->is_bundle ? "a bundle" : "a Hugging Face folder",
                      format_bytes(model->bytes));
  if (machine.memory_bytes > 0 && model->bytes > machine.memory_bytes) text += ", which does not fit into this memory";
  if (repository.models.size() > 1) text += fmt::format("; the first of {} models", repository.models.size());
  return text;
}

}  // namespace

std::string fill_template(std::string_view text, const std::vector<std::pair<std::string, std::string>>& values) {
  std::string filled;
  for (std::size_t at = 0; at < text.size();) {
    // GitHub's own expressions begin with a dollar sign.
    const std::size_t open = text.find("{{", at);
    if (open == text.npos) return filled.append(text.substr(at));
    const std::size_t close = text.find("}}", open);
    SS_CHECK(close != text.npos, "a place in a template does not end");
    const std::string_view name = text.substr(open + 2, close - open - 2);
    const bool is_theirs = open > 0 && text[open - 1] == '$';
    const auto value = std::ranges::find(values, name, [](const auto& pair) { return std::string_view(pair.first); });
    SS_CHECK(is_theirs || value != values.end(), "a place in a template has no value");
    filled.append(text.substr(at, open - at));
    filled.append(is_theirs ? text.substr(open, close + 2 - open) : std::string_view(value->second));
    at = close + 2;
  }
  return filled;
}

StarterKit starter_kit(const Repository& repository, const MachineView& machine, const StarterChoices& choices) {
  StarterKit kit;
  std::string why_host;
  const std::optional<CiHost> host = host_of(repository, choices, why_host);
  const FoundModel* const model = model_of(repository);
  kit.findings = {{"repository", repository.root.string() + (repository.is_git ? "" : ", outside of git")},
                  {"machine", machine_sentence(machine)},
                  {"measured", subject_sentence(repository, machine)}};
  for (const std::string& sentence : repository.passed_over) kit.findings.emplace_back("passed over", sentence);
  if (host) {
    kit.findings.emplace_back("CI", fmt::format("{}: {}", *host == CiHost::kGithub ? "GitHub" : "GitLab", why_host));
  } else {
    kit.findings.emplace_back("CI", fmt::format("no file: {}; --ci github or --ci gitlab writes one", why_host));
  }
  std::string why_plan = "the default plan of a pull request";
  if (model != nullptr && fit_lengths(std::string(default_plan_text()), model->max_positions) != default_plan_text()) {
    why_plan += fmt::format(", with prompts for its {} positions", model->max_positions);
  }
  if (model != nullptr && !model->is_bundle) why_plan += "; its tokens stay unverified until it is a bundle";
  kit.files.push_back({StarterRole::kPlan, std::string(kPlanName), plan_text(repository, machine), why_plan});
  kit.files.push_back(
      {StarterRole::kWaivers, std::string(kWaiversName), waivers_text(), "no regression is accepted yet"});
  if (host) kit.files.push_back(ci_file(*host, repository, machine, choices));
  return kit;
}

}  // namespace secondsource
