"""Packs a kit: one folder that runs on a machine with a GPU, another distribution and no network.

    python3 pack.py --build build/gpu-kit --out build/gpu/kit

It holds the program, conformance and kernel_bench of that build, the modules that are named, their variants, the shared
libraries that they need, small bundles and the scripts. libc, libstdc++ and the vendor's driver and libraries come from
the machine. Packing fails if a symbol of these that is needed is newer than those of Ubuntu 22.04, or if the folder is larger than 40 MB.
The build of `./dev gpu kit` is small enough: it is without the client of servers, and nvcc compresses its GPU code
where it has the option for it.
"""

import argparse
import hashlib
import json
import pathlib
import re
import shutil
import subprocess
import sys

import symbols

HERE = pathlib.Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
PROGRAMS = ("secondsource", "conformance", "kernel_bench")
# Of every machine (manylinux has the same list), and of the vendor's driver or toolkit.
OF_THE_MACHINE = re.compile(r"(ld-linux.*|lib(c|m|dl|rt|pthread|util|resolv|stdc\+\+|gcc_s)|libcuda|libamdhip64|libhsa-runtime64)\.so.*")
# Ubuntu 22.04: glibc 2.35, libstdc++ of GCC 12.
ALLOWED = {"GLIBC": "2.35", "GLIBCXX": "3.4.30", "CXXABI": "1.3.13", "GCC": "12.0.0"}
MAX_MB = 40
# Small, with expected outputs for every variant, and with the head dimensions and the groups of real models.
BUNDLES = ("tiny-gqa8-hd64", "tiny-gqa8-hd128", "tiny-mixtral")

WRAPPER = """#!/bin/sh
# Runs the kit's program with the kit's shared libraries.
here=$(dirname "$(readlink -f "$0")")
LD_LIBRARY_PATH="$here/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" exec "$here/bin/NAME" "$@"
"""


class Unfit(Exception):
    """The kit would not be what it has to be; the message says why."""


def copy_stripped(file, to):
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, to)
    shutil.copymode(file, to)
    subprocess.run(["strip", "--strip-unneeded", str(to)], check=True)


def module_file(build, name):
    """The module of this name, in the build's programs or among those for proofs."""
    for folder in ("bin", "proof"):
        file = build / folder / f"libsecondsource-{name}.so"
        if file.exists():
            return file
    raise Unfit(f"{build} has no module {name}: its target secondsource_backend_{name} was not built")


def resolved_libraries(file):
    """Returns name -> path of the shared libraries that the loader finds for a file, with those that they need."""
    said = subprocess.run(["ldd", str(file)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False).stdout
    missing = [name for name in re.findall(r"^\s*(\S+) => not found", said, re.MULTILINE) if not OF_THE_MACHINE.fullmatch(name)]
    if missing:
        raise Unfit(f"{file.name} needs {missing[0]}, which was not found here")
    return dict(re.findall(r"^\s*(\S+) => (/\S+)", said, re.MULTILINE))


def copy_libraries(files, folder):
    """Copies what `files` need and the machine will not have, under the names by which the loader asks for them, with the
    licence of the package that each comes from."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for file in files:
        found |= resolved_libraries(file)
    # A library of the machine may need others of its own, such as those of a GPU's runtime, which are the machine's, too.
    wanted, queue = set(), [name for file in files for name in symbols.needed_libraries(file)]
    while queue:
        name = queue.pop()
        if name in wanted or OF_THE_MACHINE.fullmatch(name) or name not in found:
            continue
        wanted.add(name)
        queue += symbols.needed_libraries(found[name])
    for name in sorted(wanted):
        copy_stripped(pathlib.Path(found[name]).resolve(), folder / name)
        copy_licence(pathlib.Path(found[name]), folder)


def copy_licence(library, folder):
    if shutil.which("dpkg-query") is None:
        return
    owner = subprocess.run(["dpkg-query", "-S", f"*/{library.resolve().name}"], stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, text=True, check=False).stdout.partition(":")[0]
    licence = pathlib.Path(f"/usr/share/doc/{owner}/copyright")
    if owner and licence.exists():
        shutil.copyfile(licence, folder / f"{owner}.copyright")


def check_symbols(kit):
    """Returns the highest version of each family over all files. Errors: Unfit for a file that needs a newer one."""
    highest = {}
    for file in sorted(kit.rglob("*")):
        if file.is_symlink() or not file.is_file() or not symbols.is_elf(file):
            continue
        found = symbols.versions_of(file)
        for family, version in symbols.beyond(found, ALLOWED).items():
            raise Unfit(f"{file.relative_to(kit)} needs {family}_{version}: expected at most {ALLOWED[family]}, so that it runs "
                        "on Ubuntu 22.04 and newer")
        for family, version in found.items():
            if symbols.numbers(version) > symbols.numbers(highest.get(family, "0")):
                highest[family] = version
    return highest


def check_needs(kit):
    """Every library that a file needs has to be in the kit or of the machine."""
    for file in sorted([*kit.glob("bin/*"), *kit.glob("lib/*.so*"), *kit.glob("variants/*/*.so")]):
        for name in symbols.needed_libraries(file):
            if not OF_THE_MACHINE.fullmatch(name) and not (kit / "lib" / name).exists():
                raise Unfit(f"{file.relative_to(kit)} needs {name}, which is not in the kit")


def size_of(kit):
    return sum(file.lstat().st_size for file in kit.rglob("*") if file.is_file() and not file.is_symlink())


def hash_of(kit):
    """Of everything that a verdict depends on: programs, modules, libraries, steps."""
    total = hashlib.sha256()
    for file in sorted(file for part in ("bin", "variants", "lib", "scripts") for file in (kit / part).rglob("*")
                       if file.is_file()):
        total.update(str(file.relative_to(kit)).encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()[:12]


def cache_value(build, name):
    cache = build / "CMakeCache.txt"
    found = re.search(rf"^{name}:\w+=(.*)$", cache.read_text(encoding="utf-8"), re.MULTILINE) if cache.exists() else None
    return found[1] if found else ""


def commit():
    said = subprocess.run(["git", "-C", str(SOURCE), "describe", "--always", "--dirty", "--abbrev=12"], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True, check=False).stdout.strip()
    return said or "unknown"


def pack(build, kit, modules, variants, max_mb=MAX_MB):
    shutil.rmtree(kit, ignore_errors=True)
    for program in PROGRAMS:
        file = build / "bin" / program
        if not file.exists():
            raise Unfit(f"{build} has no {program}: its target was not built")
        copy_stripped(file, kit / "bin" / program)
        wrapper = kit / program
        wrapper.write_text(WRAPPER.replace("NAME", program), encoding="utf-8")
        wrapper.chmod(0o755)
    sources = [build / "bin" / program for program in PROGRAMS]
    for name in modules:
        sources.append(module_file(build, name))
        copy_stripped(sources[-1], kit / "bin" / sources[-1].name)
    for variant in variants:
        files = sorted((build / "variants" / variant).glob("libsecondsource-*.so"))
        if not files:
            raise Unfit(f"{build} has no variant {variant}: its target cuda_variants was not built with it")
        for file in files:
            sources.append(file)
            copy_stripped(file, kit / "variants" / variant / file.name)
    copy_libraries(sources, kit / "lib")
    share = kit / "share/secondsource"
    ignored = shutil.ignore_patterns("__pycache__")
    for bundle in BUNDLES:
        shutil.copytree(SOURCE / "bundles" / bundle, share / "bundles" / bundle, ignore=ignored)
    for script in sorted(HERE.glob("*.py")):
        (kit / "scripts").mkdir(exist_ok=True)
        shutil.copyfile(script, kit / "scripts" / script.name)
    shutil.copytree(SOURCE / "apps/peer_bench", kit / "scripts/peer_bench", ignore=ignored)
    shutil.copyfile(HERE / "run", kit / "run")
    (kit / "run").chmod(0o755)
    shutil.copyfile(HERE / "README.md", kit / "README.md")
    shutil.copyfile(SOURCE / "LICENSE", kit / "LICENSE")
    check_needs(kit)
    highest = check_symbols(kit)
    facts = {"id": hash_of(kit), "commit": commit(), "modules": modules, "variants": variants,
             "cuda_targets": cache_value(build, "SECONDSOURCE_CUDA_TARGETS"),
             "hip_targets": cache_value(build, "SECONDSOURCE_HIP_TARGETS") if "hip" in modules else "",
             "highest_symbols": highest, "bytes": size_of(kit)}
    (kit / "kit.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    if facts["bytes"] > 1e6 * max_mb:
        raise Unfit(f"the kit has {facts['bytes'] / 1e6:.1f} MB: expected at most {max_mb}")
    return facts


def main():
    comma = lambda text: [part for part in text.split(",") if part]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, required=True, help="build folder with programs and modules")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the kit, which is replaced")
    parser.add_argument("--modules", type=comma, default=["reference", "cuda"], help="default: reference,cuda")
    parser.add_argument("--variants", type=comma, default=[], help="folders of BUILD/variants")
    parser.add_argument("--max-mb", type=int, default=MAX_MB, help=f"the largest size of the kit (default: {MAX_MB})")
    options = parser.parse_args()
    if options.out.exists() and not (options.out / "kit.json").exists() and any(options.out.iterdir()):
        print(f"pack: {options.out} is not empty and no kit; it is not replaced", file=sys.stderr)
        return 2
    try:
        facts = pack(options.build, options.out, options.modules, options.variants, options.max_mb)
    except (Unfit, OSError, subprocess.CalledProcessError) as why:
        # Half a kit must not be taken for one.
        shutil.rmtree(options.out, ignore_errors=True)
        print(f"pack: {why}", file=sys.stderr)
        return 2
    print(f"{options.out}: {facts['bytes'] / 1e6:.1f} MB, needs glibc {facts['highest_symbols'].get('GLIBC', '-')} and "
          f"GLIBCXX {facts['highest_symbols'].get('GLIBCXX', '-')} or newer")
    return 0


if __name__ == "__main__":
    sys.exit(main())
