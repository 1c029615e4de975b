#!/usr/bin/env python3
"""A stand-in for podman: its "image" is stand_in.py, and its "containers" are processes.

It understands exactly the command lines of lib/runner/container_command.cpp and appends each to the file `calls` in the folder
SECONDSOURCE_TEST_PODMAN, which also has a file for each container. Nothing is isolated and nothing is pulled.
"""
import os
import pathlib
import signal
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
STATE = pathlib.Path(os.environ["SECONDSOURCE_TEST_PODMAN"])
IMAGE = "localhost/stand-in@sha256:" + "0123456789abcdef" * 4
words = sys.argv[1:]
with open(STATE / "calls", "a", encoding="utf-8") as calls:
    calls.write(" ".join(words) + "\n")


def container(name):
    path = STATE / ("container-" + name)
    if not path.exists():
        sys.exit("Error: no such container " + name)
    return path


def process_of(name):
    return int(container(name).read_text().split()[0])


def run(options):
    name, volumes = "", {}
    while options and options[0].startswith("--"):
        option = options.pop(0)
        if option == "--name":
            name = options.pop(0)
        elif option == "--volume":
            source, target, mode = options.pop(0).rsplit(":", 2)
            assert mode == "ro", "a model is mounted read-only"
            volumes[target] = source
        elif option == "--env":
            key, _, value = options.pop(0).partition("=")
            os.environ[key] = value
        elif option not in ("--pull=never", "--network=host") and not option.startswith(("--cpuset-cpus=", "--memory=")):
            sys.exit("Error: unknown flag: " + option)
    if options.pop(0) != IMAGE:
        sys.exit("Error: no such image")
    # The process cannot see /model, so the mounted files are linked into another folder.
    model = STATE / (name + "-model")
    model.mkdir()
    for target, source in volumes.items():
        assert target.startswith("/model/"), target
        (model / target.removeprefix("/model/")).symlink_to(source)
    arguments = [str(model) if word == "/model" else word for word in options]
    server = subprocess.Popen([sys.executable, str(HERE / "stand_in.py"), *arguments], stdin=subprocess.PIPE,
                              start_new_session=True)
    (STATE / ("container-" + name)).write_text(f"{server.pid} false")
    status = server.wait()
    was_oom = os.environ.get("STAND_IN_OOM", "false")
    (STATE / ("container-" + name)).write_text(f"{server.pid} {was_oom}")
    sys.exit(128 - status if status < 0 else status)


match words:
    case ["--version"]:
        print("podman version 4.3.1 (a stand-in)")
    case ["image", "inspect", "--format", "{{.Id}}", image]:
        if image != IMAGE:
            sys.exit("Error: no such image")
        print("feedbeef" * 8)
    case ["run", *options]:
        run(options)
    case ["stop", "--time", _, name]:
        os.kill(process_of(name), signal.SIGTERM)
    case ["kill", name]:
        os.kill(process_of(name), signal.SIGKILL)
    case ["inspect", "--format", "{{.State.Pid}}", name]:
        print(process_of(name))
    case ["inspect", "--format", "{{.State.OOMKilled}}", name]:
        print(container(name).read_text().split()[1])
    case ["rm", "--force", name]:
        container(name).unlink()
    case _:
        sys.exit("Error: unknown command")
