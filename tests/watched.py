"""What a server keeps for its visitors, written down by the server itself: its process calls `begin(FILE)` first.

Every second FILE gets, as JSON, how many visitors are connected, how many of their trainings run, and how many maps
are kept for them.
"""

import gc
import json
import os
import sys
import threading
import time
from pathlib import Path

from streamlit import runtime


def watch(file: Path) -> None:
    """Write down what is kept, for ever."""
    while True:
        time.sleep(1)  # going through all objects holds everybody up
        jobs = list(getattr(sys.modules.get("optviz.ui.jobs"), "_jobs", ()))
        kind = getattr(sys.modules.get("optviz.ui.tiles"), "_Work", None)
        sessions = getattr(runtime.get_instance(), "_session_mgr", None) if runtime.exists() else None
        kept = {
            "connected": sessions.num_active_sessions() if sessions else 0,  # none while the server starts
            "running": sum(job._running for job in jobs),
            "maps": sum(type(one) is kind for one in gc.get_referrers(kind)),
        }
        new = file.with_suffix(".new")
        new.write_text(json.dumps(kept))
        os.replace(new, file)


def begin(file: str) -> None:
    """Watch from now on, beside the server."""
    threading.Thread(target=watch, args=(Path(file),), daemon=True).start()
