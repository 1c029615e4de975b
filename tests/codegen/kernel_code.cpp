#include "codegen/kernel_code.h"

#include <cxxabi.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <memory>

#include "support/text_parts.h"

namespace secondsource::test {
namespace {

/// The text between `before` and `after`; empty if `before` does not occur.
std::string_view between(std::string_view line, std::string_view before, std::string_view after) {
  const std::size_t at = line.find(before);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = line.substr(at + before.size());
  return rest.substr(0, std::min(rest.find(after), rest.size()));
}

/// The number in `line` right before `words`: 8 in "Used 8 registers" for " registers".
int number_before(std::string_view line, std::string_view words) {
  const std::size_t end = line.find(words);
  if (end == std::string_view::npos) return 0;
  std::size_t begin = end;
  while (begin > 0 && line[begin - 1] >= '0' && line[begin - 1] <= '9') --begin;
  int number = 0;
  std::from_chars(line.data() + begin, line.data() + end, number);
  return number;
}

/// The number after "  .key:   ".
int metadata_number(std::string_view line) {
  const std::size_t at = line.find_first_of("0123456789", line.find(':'));
  int number = 0;
  if (at != std::string_view::npos) std::from_chars(line.data() + at, line.data() + line.size(), number);
  return number;
}

}  // namespace

std::string short_kernel_name(const std::string& symbol) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> demangled(abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status),
                                                         std::free);
  std::string name = status == 0 ? demangled.get() : symbol;
  const std::size_t kernel = name.find("_kernel");
  if (kernel == std::string::npos) return name;
  // The name follows its namespaces, or a template's return type.
  const std::size_t before = name.find_last_of(": ", kernel);
  name = name.substr(before == std::string::npos ? 0 : before + 1);
  // The parameters' parenthesis is the first one outside of the template arguments.
  int depth = 0;
  for (std::size_t at = 0; at < name.size(); ++at) {
    if (name[at] == '<') ++depth;
    if (name[at] == '>') --depth;
    if (name[at] == '(' && depth == 0) name.resize(at);
  }
  for (std::size_t at = name.find("secondsource::"); at != std::string::npos; at = name.find("secondsource::")) {
    name.erase(at, std::string_view("secondsource::").size());
  }
  return name;
}

std::vector<KernelCode> read_ptxas_log(std::string_view log) {
  std::vector<KernelCode> kernels;
  for (const std::string_view line : lines_of(log)) {
    const std::string_view symbol = between(line, "Compiling entry function '", "'");
    if (!symbol.empty()) {
      kernels.push_back({.symbol = std::string(symbol),
                         .name = short_kernel_name(std::string(symbol)),
                         .target = std::string(between(line, "' for '", "'")),
                         .body = {}});
    }
    if (kernels.empty()) continue;
    KernelCode& kernel = kernels.back();
    if (line.find("bytes spill stores") != std::string_view::npos) {
      kernel.spilled_bytes = number_before(line, " bytes spill stores");
      kernel.stack_bytes = number_before(line, " bytes stack frame");
    }
    if (line.find("Used ") != std::string_view::npos) {
      kernel.registers = number_before(line, " registers");
      kernel.shared_bytes = number_before(line, " bytes smem");
    }
  }
  return kernels;
}

std::map<std::string, std::string> read_ptx(std::string_view ptx) {
  std::map<std::string, std::string> bodies;
  std::string* body = nullptr;
  int depth = 0;  // brace depth: inline assembly has braces, too
  for (const std::string_view line : lines_of(ptx)) {
    const std::string_view symbol = between(line, ".entry ", "(");
    if (!symbol.empty()) body = &bodies[std::string(symbol)];
    if (body == nullptr) continue;
    body->append(line).append("\n");
    const std::string_view word = line.substr(std::min(line.find_first_not_of('\t'), line.size()));
    if (word == "{") ++depth;
    if (word == "}" && --depth == 0) body = nullptr;
  }
  return bodies;
}

std::vector<KernelCode> read_amd_assembly(std::string_view assembly, const std::string& target) {
  std::map<std::string, std::string> bodies;
  std::vector<KernelCode> kernels;
  std::string* body = nullptr;
  bool in_metadata = false;
  for (const std::string_view line : lines_of(assembly)) {
    if (line.find("amdhsa.kernels:") != std::string_view::npos) in_metadata = true;
    if (!in_metadata) {
      // A non-local label at the beginning of a line starts a function.
      if (line.starts_with("_Z")) body = &bodies[std::string(line.substr(0, line.find(':')))];
      if (line.starts_with(".Lfunc_end")) body = nullptr;
      if (body != nullptr) body->append(line).append("\n");
      continue;
    }
    if (line.starts_with("  - ")) kernels.push_back({.symbol = {}, .name = {}, .target = target, .body = {}});
    if (line.starts_with("amdhsa.target")) break;
    if (kernels.empty()) continue;
    KernelCode& kernel = kernels.back();
    const std::string_view key =
        line.substr(std::min<std::size_t>(4, line.size()));  // keys of arguments are indented deeper
    if (key.starts_with(".name:")) {
      kernel.symbol = std::string(key.substr(key.find('_')));
      kernel.name = short_kernel_name(kernel.symbol);
    }
    if (key.starts_with(".vgpr_count:")) kernel.registers = metadata_number(key);
    if (key.starts_with(".vgpr_spill_count:")) kernel.spilled_bytes = 4 * metadata_number(key);
    if (key.starts_with(".private_segment_fixed_size:")) kernel.stack_bytes = metadata_number(key);
    if (key.starts_with(".group_segment_fixed_size:")) kernel.shared_bytes = metadata_number(key);
  }
  for (KernelCode& kernel : kernels) {
    kernel.body = bodies[kernel.symbol];
    kernel.asked_bytes = asked_shared_bytes(kernel.body);
  }
  return kernels;
}

int asked_shared_bytes(std::string_view body) {
  int most = 0;
  for (const std::string_view line : lines_of(body)) {
    const std::string number(between(line, " shared_memory ", " bytes"));
    // In decimal, or in hexadecimal for larger numbers of AMD's assembler: "0x80".
    most = std::max(most, static_cast<int>(std::strtol(number.c_str(), nullptr, 0)));
  }
  return most;
}

int count_instruction(const KernelCode& kernel, std::string_view instruction) {
  int count = 0;
  for (const std::string_view line : lines_of(kernel.body)) {
    if (line.find(instruction) != std::string_view::npos) ++count;
  }
  return count;
}

std::string table_of(const std::vector<KernelCode>& kernels) {
  std::string text =
      fmt::format("{:<8} {:>9} {:>7} {:>6} {:>7}  {}\n", "target", "registers", "spilled", "stack", "shared", "kernel");
  for (const KernelCode& kernel : kernels) {
    text += fmt::format("{:<8} {:>9} {:>7} {:>6} {:>7}  {}\n", kernel.target, kernel.registers, kernel.spilled_bytes,
                        kernel.stack_bytes, kernel.shared_bytes + kernel.asked_bytes, kernel.name);
  }
  return text;
}

}  // namespace secondsource::test
