#pragma once
// The files that `secondsource init` proposes: a plan, a waivers file and a CI file, each with the reason for its
// content.
//
//   SS_TRY(const Repository repository, look_at_repository(".", progress, interrupt));
//   const StarterKit kit = starter_kit(repository, machine, {.program_version = "0.1.0"});
//   for (const StarterFile& file : kit.files) ...   // file.path is relative to repository.root

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "setup/repository.h"

namespace secondsource {

/// The properties of the machine running `init` that influence what is written.
struct MachineView {
  struct Backend {
    std::string name;
    std::string unavailable{};  ///< why it cannot be used here; empty if it can
    bool is_host = true;
    bool is_oracle = false;  ///< measured only where it is asked for
  };
  std::vector<Backend> backends{};
  std::string cpus{};             ///< "8"
  std::int64_t memory_bytes = 0;  ///< 0: unknown
};

struct StarterChoices {
  std::optional<CiHost> host{};  ///< nullopt: the one that the repository suggests
  std::string program_version{};
};

enum class StarterRole : std::uint8_t { kPlan, kWaivers, kCi };

struct StarterFile {
  StarterRole role = StarterRole::kPlan;
  std::filesystem::path path;  ///< relative to the repository
  std::string text;
  std::string why;      ///< a clause
  std::string to_do{};  ///< a sentence: what must be filled in before the file works; empty if nothing
};

struct StarterKit {
  /// What was found and what follows from it: pairs of a word and a sentence.
  std::vector<std::pair<std::string, std::string>> findings;
  std::vector<StarterFile> files;
};

[[nodiscard]] StarterKit starter_kit(const Repository& repository, const MachineView& machine,
                                     const StarterChoices& choices);

/// The template of a CI file (lib/setup/ci) with its placeholders, {{name}}, filled in. Every placeholder must have a
/// value (SS_CHECK).
[[nodiscard]] std::string fill_template(std::string_view text,
                                        const std::vector<std::pair<std::string, std::string>>& values);

}  // namespace secondsource
