"""Gives the programs that a test starts a separate cache instead of the user's (own_cache.h does the same in C++)."""

import os
from pathlib import Path


def own_cache(folder) -> dict[str, str]:
    """The environment variable that makes `folder` the cache. The folder links to the machine limits in the user's cache, because a
    program without them measures them for seconds."""
    known = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "secondsource/limits"
    known.mkdir(parents=True, exist_ok=True)
    own = Path(folder) / "secondsource"
    own.mkdir(parents=True)
    (own / "limits").symlink_to(known)
    return {"XDG_CACHE_HOME": str(folder)}
