#!/usr/bin/env python3
"""Starts one of the adapters that come with secondsource: serve.py RUNTIME. It speaks the protocol of docs/adapters.md."""
import importlib
import pkgutil
import sys

from secondsource_adapters import protocol, runtimes


def main():
    names = sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(runtimes.__path__))
    name = sys.argv[1] if len(sys.argv) == 2 else ""

    def make(options):
        if name not in names:
            raise protocol.Refusal("invalid-input", f"expected one of the adapters {', '.join(names)}, found {name!r}")
        module = importlib.import_module(f"secondsource_adapters.runtimes.{name.replace('-', '_')}")
        return module.Adapter(options)

    return protocol.serve(make)


if __name__ == "__main__":
    sys.exit(main())
