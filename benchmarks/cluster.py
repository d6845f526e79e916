"""Several replicas of the app behind the load balancer of deploy/haproxy.cfg, all on this machine.

It is the configuration that is deployed, unchanged. Inside Docker a name stands for the addresses of all replicas; here
a small name server answers, and each replica has a loopback address of its own (Linux has sixteen million of them).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.report import NotMeasured
from benchmarks.serving import PATIENCE, ROOT

CONFIGURATION = ROOT / "deploy" / "haproxy.cfg"
HAPROXY = shutil.which("haproxy", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
NAME = "app"  # of all replicas together


class Cluster:
    """Replicas, the proxy before them, and what can happen to each. `address` is where visitors come in."""

    def __init__(self, count: int, dns: str, folder: Path, environment: Mapping[str, str]):
        self.places = [f"127.0.0.{2 + number}" for number in range(count)]
        self.port = _free_port(self.places)
        self.bind = f"127.0.0.1:{_free_port(['127.0.0.1'])}"
        self.address = f"http://{self.bind}"
        self._environment = {**os.environ, **environment, "STREAMLIT_SERVER_COOKIE_SECRET": os.urandom(32).hex()}
        self._environment.setdefault("XDG_CACHE_HOME", str(folder))
        addresses = {"OPTVIZ_BIND": self.bind, "OPTVIZ_REPLICAS": f"{NAME}:{self.port}", "OPTVIZ_DNS": dns}
        self._of_proxy = {**os.environ, **addresses}
        self.replicas: list[subprocess.Popen] = [self._launched(place) for place in self.places]
        self.proxy = self._launched_proxy()

    def _launched(self, place: str) -> subprocess.Popen:
        command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless", "true"]
        command += ["--server.address", place, "--server.port", str(self.port)]
        return subprocess.Popen(
            command, cwd=ROOT, env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def _launched_proxy(self) -> subprocess.Popen:
        command = [str(HAPROXY), "-f", str(CONFIGURATION)]
        return subprocess.Popen(command, env=self._of_proxy, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers(self, place: str = "", within: float = PATIENCE) -> None:
        """Wait until a replica answers, or anybody through the proxy. Raises OSError if nobody does in that time."""
        address = f"http://{place}:{self.port}" if place else self.address
        end = time.monotonic() + within
        while True:
            try:
                urllib.request.urlopen(f"{address}/_stcore/health", timeout=2).close()
                return
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def all_known(self) -> None:
        """Wait until the proxy sends newcomers to every replica. Raises OSError if it does not."""
        seen, end = set(), time.monotonic() + PATIENCE
        while len(seen) < len(self.places):
            if time.monotonic() > end:
                raise OSError(f"the proxy knows {len(seen)} of {len(self.places)} replicas")
            with suppress(OSError), urllib.request.urlopen(f"{self.address}/_stcore/health", timeout=2) as answer:
                cookies = answer.headers.get_all("Set-Cookie") or []
                seen |= {one.partition(";")[0] for one in cookies if one.startswith("optviz=")}  # names the replica
            time.sleep(0.05)

    def kill(self, number: int) -> None:
        """A replica ends at once, as if the machine had run out of memory."""
        self.replicas[number].kill()
        self.replicas[number].wait()

    def hang(self, number: int) -> None:
        """A replica stops to answer, and keeps its connections."""
        self.replicas[number].send_signal(signal.SIGSTOP)

    def restart(self, number: int) -> None:
        """End a replica and start it again; it need not answer yet."""
        self.kill(number)
        self.replicas[number] = self._launched(self.places[number])

    def restart_proxy(self, away: float = 0.0) -> None:
        """End the proxy, and start it again `away` seconds later."""
        self.proxy.kill()
        self.proxy.wait()
        time.sleep(away)
        self.proxy = self._launched_proxy()

    def end(self) -> None:
        """Stop everything."""
        for process in (self.proxy, *self.replicas):
            process.kill()
            process.wait()


@contextmanager
def cluster(count: int, **environment: str) -> Iterator[Cluster]:
    """`count` replicas behind the proxy, as soon as all of them answer; `environment` is for the replicas.

    Raises NotMeasured where there is no HAProxy or no Linux, OSError if a replica does not answer.
    """
    if HAPROXY is None:
        raise NotMeasured("HAProxy is not installed")
    if sys.platform != "linux":
        raise NotMeasured("a replica needs a loopback address of its own, which only Linux has")
    with tempfile.TemporaryDirectory() as folder, _names() as (dns, addresses):
        together = Cluster(count, dns, Path(folder), environment)
        addresses += together.places
        try:
            for place in together.places:
                together.answers(place)
            together.answers()
            together.all_known()
            yield together
        finally:
            together.end()


@contextmanager
def _names() -> Iterator[tuple[str, list[str]]]:
    """A name server that knows one answer to all questions for an address of version 4, and where it is asked."""
    addresses: list[str] = []

    def serve() -> None:
        while True:
            question, asker = server.recvfrom(512)
            if not question:
                return
            server.sendto(_answer(question, addresses), asker)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        host, port = server.getsockname()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"{host}:{port}", addresses
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", (host, port))
            thread.join()


def _answer(question: bytes, addresses: list[str]) -> bytes:
    """The answer to one question of the domain name system (RFC 1035), with a second to live."""
    end = question.index(b"\0", 12) + 5  # the name, its type and its class
    wanted = addresses if question[end - 4 : end - 2] == b"\0\1" else []
    header = question[:2] + b"\x81\x80\0\1" + len(wanted).to_bytes(2, "big") + b"\0\0\0\0"
    records = (b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(address) for address in wanted)
    return header + question[12:end] + b"".join(records)


def _free_port(places: list[str]) -> int:
    """A port that is free at all of these addresses."""
    while True:
        with socket.socket() as first:
            first.bind((places[0], 0))
            port = first.getsockname()[1]
            try:
                for place in places[1:]:
                    with socket.socket() as other:
                        other.bind((place, port))
            except OSError:
                continue
            return port
