// Checks the architecture of the source tree. This is the only place that defines which folder may include which.

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "support/catch.h"
#include "support/source_path.h"

namespace {

using Folder = std::string;

/// The folders that each folder of lib may include besides itself. apps may include all of them, backends only core,
/// backend, backend_kit and sensors. lib/README.md has the same table with a sentence about each folder.
const std::map<Folder, std::set<Folder>> kMayInclude = {
    {"core", {}},
    {"stats", {"core"}},
    {"backend", {"core"}},
    {"backend_kit", {"core", "backend"}},
    {"sensors", {"core", "backend", "backend_kit"}},
    {"fault", {"core", "backend", "backend_kit"}},
    {"tokenizer", {"core"}},
    {"jinja", {"core", "tokenizer"}},
    {"chat", {"core", "jinja"}},
    {"bundle", {"core", "backend", "tokenizer", "jinja", "chat"}},
    {"recorded", {"core", "tokenizer", "chat", "bundle"}},
    {"engine", {"core", "backend", "bundle"}},
    {"cost", {"core"}},
    {"record", {"core", "stats", "backend", "cost"}},
    {"serving", {"core", "record"}},
    {"hub", {"core", "bundle", "serving"}},
    {"summary", {"core", "stats", "cost", "record"}},
    {"clients", {"core", "record", "summary"}},
    {"host", {"core", "stats", "backend", "backend_kit", "record"}},
    {"golden", {"core", "backend", "bundle", "engine", "record"}},
    {"profile", {"core", "stats", "backend", "engine", "record"}},
    {"measure", {"core", "stats", "backend", "bundle", "host", "record"}},
    {"systems",
     {"core", "stats", "backend", "bundle", "tokenizer", "engine", "fault", "golden", "host", "measure", "profile",
      "record", "sensors", "serving"}},
    {"runner",
     {"core", "backend", "bundle", "engine", "fault", "host", "measure", "profile", "record", "serving", "summary",
      "systems"}},
    {"gate", {"core", "stats", "record", "summary"}},
    {"ab", {"core", "stats", "bundle", "gate", "host", "record", "runner", "serving", "summary"}},
    {"setup", {"core", "ab", "bundle", "runner"}},
    {"verify", {"core"}},
    {"history", {"core", "stats", "gate", "record", "summary"}},
    {"brief", {"core", "stats", "cost", "gate", "record", "summary"}},
    {"fit", {"core", "backend", "bundle", "cost", "record"}},
    {"report", {"core", "stats", "ab", "brief", "cost", "fit", "gate", "history", "record", "summary"}},
};

struct Include {
  std::string from;  ///< path relative to the source folder
  std::string to;
};

std::vector<Include> includes_below(const std::string& top) {
  std::vector<Include> result;
  const std::filesystem::path root = secondsource::test::source_path("");
  const std::regex pattern("^\\s*#include \"([^\"]+)\"");
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root / top)) {
    const std::string extension = entry.path().extension();
    if (extension != ".h" && extension != ".cpp" && extension != ".inc") continue;
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) {
      std::smatch match;
      if (std::regex_search(line, match, pattern)) {
        result.push_back({std::filesystem::relative(entry.path(), root).string(), match[1]});
      }
    }
  }
  return result;
}

std::string first_folder(const std::string& path) {
  return path.substr(0, path.find('/'));
}

}  // namespace

TEST_CASE("a library folder includes only what lies below it") {
  const auto includes = includes_below("lib");
  REQUIRE(includes.size() > 100);
  for (const Include& include : includes) {
    const std::string from = first_folder(include.from.substr(std::string("lib/").size()));
    const std::string to = first_folder(include.to);
    CAPTURE(include.from, include.to);
    REQUIRE(kMayInclude.contains(from));
    if (include.to.find('/') == std::string::npos) continue;  // a generated header of the same folder
    REQUIRE((to == from || kMayInclude.at(from).contains(to)));
  }
}

TEST_CASE("a backend knows the boundary and nothing else of lib, nor any other backend") {
  for (const Include& include : includes_below("backends")) {
    const std::string own = first_folder(include.from.substr(std::string("backends/").size()));
    const std::string to = first_folder(include.to);
    CAPTURE(include.from, include.to);
    if (include.to.find('/') == std::string::npos) continue;
    // Code that CUDA, HIP and Vulkan share is in the folder gpu, which is not a backend.
    const bool shared = to == "gpu" && (own == "cuda" || own == "hip" || own == "vulkan");
    REQUIRE((to == own || to == "core" || to == "backend" || to == "backend_kit" || to == "sensors" || shared));
  }
}

TEST_CASE("nothing in lib names a concrete backend's folder") {
  for (const Include& include : includes_below("lib")) {
    CAPTURE(include.from, include.to);
    REQUIRE(include.to.rfind("backends/", 0) == std::string::npos);
    REQUIRE(include.to.rfind("apps/", 0) == std::string::npos);
  }
}

TEST_CASE("a third-party library is included where it is used, and nowhere else") {
  const std::map<std::string, std::set<std::string>> allowed = {
      {"CLI/", {"apps"}},
      {"yaml-cpp/", {"lib/core"}},
      {"zip.h", {"lib/bundle"}},
      {"pcre2.h", {"lib/tokenizer"}},
      {"utf8proc.h", {"lib/tokenizer"}},
      {"openssl/", {"lib/core"}},
      {"dnnl", {"backends/onednn"}},
      {"vulkan/", {"backends/vulkan"}},
      {"benchmark/benchmark.h", {"apps/kernel_bench"}},
  };
  const std::filesystem::path root = secondsource::test::source_path("");
  const std::regex pattern("^\\s*#include <([^>]+)>");
  for (const char* top : {"lib", "apps", "backends"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / top)) {
      if (entry.path().extension() != ".h" && entry.path().extension() != ".cpp") continue;
      const std::string from = std::filesystem::relative(entry.path(), root).string();
      std::ifstream file(entry.path());
      for (std::string line; std::getline(file, line);) {
        std::smatch match;
        if (!std::regex_search(line, match, pattern)) continue;
        for (const auto& [prefix, folders] : allowed) {
          if (match[1].str().rfind(prefix, 0) != 0) continue;
          bool is_allowed = false;
          for (const std::string& folder : folders) is_allowed = is_allowed || from.rfind(folder, 0) == 0;
          CAPTURE(from, match[1].str());
          REQUIRE(is_allowed);
        }
      }
    }
  }
}

TEST_CASE(
    "functions of std::filesystem that throw are not used: core/folder.h lists folders and asks without exceptions") {
  // The iterators' ++ throws even if they were created with an error_code. The other functions throw without an error_code.
  const std::regex throwing(
      "directory_iterator|(filesystem|fs)::(exists|is_directory|is_regular_file|is_empty|file_size|remove|remove_all|"
      "rename|create_directory|create_directories|canonical|last_write_time|relative|copy|copy_file|read_symlink|"
      "current_path|temp_directory_path)\\([^,()]*\\)");
  const std::filesystem::path root = secondsource::test::source_path("");
  int n_files = 0;
  for (const char* top : {"lib", "apps", "backends"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / top)) {
      if (entry.path().extension() != ".h" && entry.path().extension() != ".cpp") continue;
      const std::string from = std::filesystem::relative(entry.path(), root).string();
      if (from == "lib/core/folder.cpp") continue;
      ++n_files;
      std::ifstream file(entry.path());
      std::smatch match;
      for (std::string line; std::getline(file, line);) {
        // A function whose only argument is the error_code (`failed`) does not throw.
        if (!std::regex_search(line, match, throwing) || line.find("(failed)") != std::string::npos) continue;
        CAPTURE(from, line);
        CHECK_FALSE(match.ready());
      }
    }
  }
  CHECK(n_files > 300);
}
