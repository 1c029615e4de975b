"""Models in a form of a runtime's own, made from the bundle's weights once and kept in the user's cache."""
import hashlib
import os
import pathlib
import shutil
import tempfile


def converted_model(folder, kind, make):
    """The folder with the converted model; make(folder to write) makes it. `kind` has all that decides what is made: the
    runtime, its version and the options that count."""
    digest = hashlib.sha256(kind.encode())
    for path in sorted(pathlib.Path(folder).iterdir()):
        whole = path.resolve()
        digest.update(f"\n{path.name} {whole} {whole.stat().st_size} {whole.stat().st_mtime_ns}".encode())
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache", "secondsource", "converted")
    target = cache / digest.hexdigest()[:24]
    if target.exists():
        return str(target)
    cache.mkdir(parents=True, exist_ok=True)
    made = tempfile.mkdtemp(dir=cache)
    try:
        make(made)
        os.rename(made, target)
    except FileExistsError:
        pass  # another process was faster
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return str(target)
