#pragma once
// Starts tests/serving/stand_in.py, a server that answers from a bundle's expected outputs and can be told to misbehave.
//
//   StandIn server({"--dialect", "vllm", "--fault", "reset"});
//   run_program({"run", bundle, "--system", "it=" + server.url() + ",preset=vllm"});

#include <string>
#include <utility>
#include <vector>

#include "core/child_process.h"
#include "core/clock.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/source_path.h"

namespace secondsource::test {

class StandIn {
 public:
  explicit StandIn(const std::vector<std::string>& options) : process_(started(options)) {
    const auto line = process_.receive(now_ns() + 60'000'000'000);
    REQUIRE_OK(line);
    REQUIRE(line->has_value());
    port_ = **line;
  }
  [[nodiscard]] std::string url() const { return "http://127.0.0.1:" + port_; }
  [[nodiscard]] const std::string& port() const { return port_; }
  void stop() { process_.kill(); }

 private:
  static ChildProcess started(const std::vector<std::string>& options) {
    ChildCommand command;
    command.program = "/usr/bin/env";
    command.arguments = {"python3", source_path("tests/serving/stand_in.py")};
    command.arguments.insert(command.arguments.end(), options.begin(), options.end());
    auto process = ChildProcess::start(command);
    REQUIRE_OK(process);
    return std::move(process).value();
  }

  ChildProcess process_;
  std::string port_;
};

}  // namespace secondsource::test
