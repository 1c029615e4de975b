"""Converts the bundle's weights into a runtime's own form, once, and keeps the result in the user's cache."""
import hashlib
import os
import pathlib
import shutil
import tempfile


def converted_model(folder, kind, make):
    """Returns the folder with the converted model. Where there is none yet, make(new_folder) writes it. `kind` names all that
    decides what is written: the runtime, its version and the options that count."""
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
