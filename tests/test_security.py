"""What SECURITY.md promises of the server: it talks to nobody but its visitors, and its configuration gives nothing
away. What a visitor's browser asks for is watched in every test of a page (browsing.py); hostile links, formulas and
files are in the tests of their rooms."""

import ipaddress
import json
import tomllib

from browsing import ROOT, Visitor, serving

# Everything that Python code of the server asks of the network, its libraries' code included, from its first line on.
EARS = """
import json, os, sys
log = open(os.environ["OPTVIZ_TEST_LOG"], "a", buffering=1)
def listen(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        log.write(json.dumps([event, str(arguments[1])]) + "\\n")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        log.write(json.dumps([event, str(arguments[0])]) + "\\n")
    elif event in ("subprocess.Popen", "os.system", "os.exec"):
        log.write(json.dumps([event, str(arguments[0])]) + "\\n")
sys.addaudithook(listen)
"""


def stays(event: str, whom: str) -> bool:
    """Whether what was asked for stays on this machine."""
    address = whom.strip("('").partition("'")[0]
    if address in ("localhost", "None") or whom.startswith("/"):
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def test_the_server_speaks_to_nobody_but_its_visitors(tmp_path, context):
    log = tmp_path / "asked"
    context.clear_cookies()  # of other servers of this machine: a cookie knows no port
    with serving(before=EARS, OPTVIZ_TEST_LOG=str(log)) as base:
        guest = Visitor(context.new_page(), base).open("/descent")
        guest.nudge("Learning rate")
        guest.settled()
        guest.open("/training")
        assert {cookie["name"] for cookie in context.cookies(base)} <= {"_streamlit_xsrf"}
        assert guest.problems == []  # nor did the page ask anybody else
        guest.page.close()
        asked = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [(event, whom) for event, whom in asked if not stays(event, whom)] == []


def test_the_ears_hear(tmp_path):
    """The test above can fail: a server that asks a stranger is heard."""
    log = tmp_path / "asked"
    speak = (
        "import contextlib, socket\nwith contextlib.suppress(OSError), socket.socket(type=socket.SOCK_DGRAM) as s:\n"
    )
    speak += "    s.connect(('192.0.2.1', 9))\n"
    with serving(before=EARS + speak, OPTVIZ_TEST_LOG=str(log)):
        asked = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert [(event, whom) for event, whom in asked if not stays(event, whom)] == [
        ("socket.connect", "('192.0.2.1', 9)")
    ]


def test_the_configuration_gives_nothing_away():
    configuration = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    assert configuration["browser"]["gatherUsageStats"] is False
    assert configuration["browser"]["serverAddress"] == "localhost"
    assert configuration["client"]["showErrorDetails"] == "none"
    assert configuration["client"]["showErrorLinks"] is False
    assert "enableXsrfProtection" not in configuration["server"]  # on, unless somebody turns it off
    assert "enableCORS" not in configuration["server"]
