#include "runner/container_command.h"

#include "support/catch.h"

namespace secondsource {
namespace {

ManagedStart vllm_image() {
  ManagedStart managed;
  managed.image = "docker.io/vllm/vllm-openai@sha256:" + std::string(64, 'a');
  managed.engine = "podman";
  managed.engine_options = {"--device", "nvidia.com/gpu=all", "--publish={port}"};
  managed.start = {"--model", "{model}", "--port", "{port}"};
  managed.env = {{"HOME", "/tmp"}, {"BIND", "127.0.0.1:{port}"}};
  managed.stop_deadline_s = 2.5;
  return managed;
}

}  // namespace

TEST_CASE("a container has the host's network, the model's files read-only, and the limits of workers") {
  const ContainerRun run{
      .name = "secondsource-1",
      .model_files = {{"config.json", "/b/config.json"}, {"model.safetensors", "/b/model.safetensors"}},
      .places = {kModelInContainer, 8000},
      .limits = {.cpus = {0, 2, 3}, .memory_max_bytes = 1 << 30}};
  CHECK(container_run(vllm_image(), run) ==
        std::vector<std::string>{"podman",
                                 "run",
                                 "--name",
                                 "secondsource-1",
                                 "--pull=never",
                                 "--network=host",
                                 "--volume",
                                 "/b/config.json:/model/config.json:ro",
                                 "--volume",
                                 "/b/model.safetensors:/model/model.safetensors:ro",
                                 "--env",
                                 "HOME=/tmp",
                                 "--env",
                                 "BIND=127.0.0.1:8000",
                                 "--cpuset-cpus=0,2,3",
                                 "--memory=1073741824b",
                                 "--device",
                                 "nvidia.com/gpu=all",
                                 "--publish=8000",
                                 "docker.io/vllm/vllm-openai@sha256:" + std::string(64, 'a'),
                                 "--model",
                                 "/model",
                                 "--port",
                                 "8000"});
}

TEST_CASE("a container is stopped within whole seconds") {
  const ManagedStart managed = vllm_image();
  CHECK(container_stop(managed, "c") == std::vector<std::string>{"podman", "stop", "--time", "3", "c"});
  CHECK(container_remove(managed, "c") == std::vector<std::string>{"podman", "rm", "--force", "c"});
}

}  // namespace secondsource
