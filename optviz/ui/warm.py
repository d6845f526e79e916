"""Compile before anybody waits: open pages as a visitor would, so that their programs lie in the cache on disk.

    python -m optviz.ui.warm                        # every page
    python -m optviz.ui.warm app.py pages/descent.py

A container's image runs it when it is built. The cache is the one that the server reads (`prepare_server`), in
$XDG_CACHE_HOME or ~/.cache. What a page opens with stands in the page, nowhere else, so nothing is listed here.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence

from streamlit.testing.v1 import AppTest

from optviz.ui.frame import PAGES, ROOT

PATIENCE = 600.0  # seconds that a page may take to open


def warm(paths: Sequence[str]) -> Iterator[tuple[str, float]]:
    """Open pages one after another, and say of each how many seconds it took.

    Raises ValueError for a path that is no page's, RuntimeError if a page shows an error.
    """
    known = [page.path for page in PAGES]
    for path in paths:
        if path not in known:
            raise ValueError(f"there is no page {path!r}; there are {', '.join(known)}")
    visitor = AppTest.from_file(str(ROOT / PAGES[0].path), default_timeout=PATIENCE)
    for path in paths:
        began = time.perf_counter()
        if path != PAGES[0].path:
            visitor.switch_page(path)
        if visitor.run().exception:
            raise RuntimeError(f"{path} shows an error: {visitor.exception[0].message}")
        yield path, time.perf_counter() - began
    for thread in threading.enumerate():
        if thread.name == "optviz warm-up":  # what the next visitor of a fresh server sees is compiled there
            thread.join()


if __name__ == "__main__":
    for path, took in warm(sys.argv[1:] or [page.path for page in PAGES]):
        print(f"{path}: {took:.1f} s", flush=True)
