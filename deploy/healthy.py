"""Whether a server of optviz answers, for the container's health check: status 0 if it does, 1 if not.

    python deploy/healthy.py [address]

The address is that of the server, with its base path if it has one; http://127.0.0.1:8501 unless it is given.
"""

import sys
import urllib.request


def healthy(address: str = "http://127.0.0.1:8501") -> bool:
    """Whether the server at `address` says within four seconds that it is well."""
    try:
        with urllib.request.urlopen(f"{address}/_stcore/health", timeout=4) as answer:
            return answer.status == 200
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(0 if healthy(*sys.argv[1:2]) else 1)
