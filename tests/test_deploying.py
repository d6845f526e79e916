"""What is deployed: the image's recipe, the replicas and the load balancer, as far as they can be tried without Docker.
That the load balancer shares visitors out and takes them on is in test_reliability.py."""

import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import distribution, packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.cluster import HAPROXY
from browsing import ROOT, Visitor, serving
from optviz.ui.frame import PAGES
from optviz.ui.warm import warm
from test_architecture import SOURCES, imports


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions and what they say, in order."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines if line.strip())]


def block(lines: list[tuple[int, str]]) -> Any:
    """The few forms of YAML that compose.yaml uses: mappings and lists by indentation, and plain or quoted words."""
    indent, is_list = lines[0][0], lines[0][1].startswith("- ")
    found: Any = [] if is_list else {}
    for i, (depth, text) in enumerate(lines):
        assert depth >= indent, text
        if depth > indent:
            continue
        if is_list:
            found.append(text.removeprefix("- "))
            continue
        key, colon, value = text.partition(":")
        assert colon, text
        assert key not in found, text
        rest = lines[i + 1 :]
        inner = rest[: next((j for j, (deep, _) in enumerate(rest) if deep <= indent), len(rest))]
        assert not (inner and value), text
        found[key] = block(inner) if inner else value.strip().strip('"')
    return found


def compose() -> dict[str, Any]:
    lines = (ROOT / "compose.yaml").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return block([(len(line) - len(line.lstrip()), line.strip()) for line in kept])


def test_the_image_runs_as_nobody_in_particular():
    words = [word for word, _ in instructions()]
    (base,) = [rest for word, rest in instructions() if word == "FROM"]
    assert re.fullmatch(r"python:3\.11-slim-\w+", base)  # one version, which constraints.txt is for
    assert words.count("USER") == 1
    assert "RUN" not in words[words.index("USER") :]
    assert "COPY" not in words[words.index("USER") :]
    (user,) = [rest for word, rest in instructions() if word == "USER"]
    assert f" {user}" in next(rest for word, rest in instructions() if word == "RUN" and "useradd" in rest)
    assert user not in ("root", "0")
    assert words[-1] == "CMD"
    assert "HEALTHCHECK" in words


def test_the_image_gets_what_the_app_needs_and_no_more():
    sources = {source for word, rest in instructions() if word == "COPY" for source in rest.split()[:-1]}
    assert {"requirements.txt", "app.py", "optviz", "pages", ".streamlit"} <= sources
    assert not sources & {".", "tests", ".git", "benchmarks", "docs"}
    assert all((ROOT / source).exists() for source in sources)
    ignored = [line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    assert ignored[0] == "*"
    assert {source.partition("/")[0] for source in sources} <= {line[1:] for line in ignored if line.startswith("!")}


@pytest.mark.parametrize("options", [(), ("--server.baseUrlPath", "lab")])
def test_the_health_check_tells_a_server_that_answers(options):
    """The image's own command, on a real server."""
    script = next(rest for word, rest in instructions() if word == "HEALTHCHECK").split('"')[-2]
    check = [sys.executable, str(ROOT / script)]
    with serving(*options) as base:
        assert subprocess.run([*check, base], check=False).returncode == 0
    assert subprocess.run([*check, base], check=False).returncode == 1


def test_pages_are_compiled_before_anybody_opens_them(tmp_path, context):
    """What the image does when it is built: its server finds every program of the home page on disk."""
    command = [sys.executable, "-m", "optviz.ui.warm", PAGES[0].path]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    warmed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    assert re.fullmatch(r"app\.py: [\d.]+ s\n", warmed.stdout)
    programs = sorted(path.name for path in (tmp_path / "optviz" / "jax").iterdir())
    assert any(name.startswith("jit_run") for name in programs)
    with serving(XDG_CACHE_HOME=str(tmp_path)) as base:
        guest = Visitor(context.new_page(), base).open("/")
        guest.page.close()
    assert sorted(path.name for path in (tmp_path / "optviz" / "jax").iterdir()) == programs


def test_a_page_that_is_none_is_not_warmed():
    with pytest.raises(ValueError, match=r"there is no page 'pages/none\.py'; there are app\.py"):
        list(warm(["pages/none.py"]))


def test_replicas_are_many_small_and_shut_in():
    app, proxy = compose()["services"]["app"], compose()["services"]["proxy"]
    assert int(app["deploy"]["replicas"]) > 1
    assert app["deploy"]["resources"]["limits"]["memory"].endswith("M")
    assert app["networks"] == ["inside"]
    assert compose()["networks"]["inside"] == {"internal": "true"}
    for service in (app, proxy):
        assert service["read_only"] == "true"
        assert service["restart"] == "unless-stopped"
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
    assert app["environment"]["STREAMLIT_SERVER_COOKIE_SECRET"].startswith("${OPTVIZ_COOKIE_SECRET:?")
    used = set(re.findall(r"\$\{(\w+)\}", (ROOT / "deploy" / "haproxy.cfg").read_text(encoding="utf-8")))
    assert used == set(proxy["environment"])
    (volume,) = proxy["volumes"]
    assert (ROOT / volume.partition(":")[0]).is_file()
    name, port = proxy["environment"]["OPTVIZ_REPLICAS"].split(":")
    assert name in compose()["services"]
    assert ("EXPOSE", port) in instructions()


def test_docker_reads_the_recipe_of_the_replicas():
    """Docker's own opinion, where it is installed with its compose plugin; it needs no running daemon for that."""
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not installed")  # not in CI either: compose() above checks the same file
    environment = {**os.environ, "OPTVIZ_COOKIE_SECRET": "secret"}
    subprocess.run([docker, "compose", "config", "--quiet"], cwd=ROOT, env=environment, check=True)


def test_haproxy_reads_its_configuration():
    if HAPROXY is None and os.environ.get("OPTVIZ_CI") != "1":
        pytest.skip("HAProxy is not installed")  # on a contributor's machine; never in CI
    environment = {**os.environ, "OPTVIZ_BIND": ":8080", "OPTVIZ_REPLICAS": "app:1", "OPTVIZ_DNS": "127.0.0.11:53"}
    command = [str(HAPROXY), "-c", "-f", str(ROOT / "deploy" / "haproxy.cfg")]
    checked = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr


# Requirements -------------------------------------------------------------------------------------------------------


def required(path: Path) -> list[Requirement]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and line[0] not in "#-"]


def needed(requirement: Requirement, found: dict[str, str]) -> dict[str, str]:
    """The versions that are installed of a requirement and of all that it needs."""
    installed = distribution(requirement.name)
    name = canonicalize_name(requirement.name)
    if name not in found or requirement.extras:
        found[name] = installed.version
        for inner in map(Requirement, installed.requires or []):
            extras = ["", *requirement.extras]
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in extras):
                needed(inner, found)
    return found


RUNTIME = [r for r in required(ROOT / "requirements.txt") if r.marker is None or r.marker.evaluate()]
FIXED = {canonicalize_name(r.name): r.specifier for r in required(ROOT / "deploy" / "constraints.txt")}


@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the constraints are those of the image's Python, 3.11")
def test_the_image_and_the_audit_know_everything_that_is_installed():
    found: dict[str, str] = {}
    for requirement in RUNTIME:
        needed(requirement, found)
    assert sorted(found) == sorted(FIXED)
    assert [str(specifier) for specifier in FIXED.values() if not re.fullmatch(r"==[\w.]+", str(specifier))] == []
    for requirement in RUNTIME:
        version = str(FIXED[canonicalize_name(requirement.name)]).removeprefix("==")
        assert requirement.specifier.contains(version), requirement


def test_the_app_imports_nothing_that_is_not_audited():
    """A library comes with requirements.txt, or with what that needs (SciPy with JAX, Pillow with Streamlit)."""
    outside = {module.split(".")[0] for path in SOURCES for module in imports(path)}
    outside -= {*sys.stdlib_module_names, "optviz", "pages", "app"}
    brought = packages_distributions()
    assert {"jax", "numpy", "streamlit"} <= outside
    assert [name for name in sorted(outside) if not {canonicalize_name(d) for d in brought[name]} & set(FIXED)] == []
