"""The rooms and who may enter which, read from the imports of the source itself."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from optviz.ui.frame import GROUPS, PAGES

ROOT = Path(__file__).parents[1]

# From the bottom up. A room may import from the rooms below it; rooms on one line do not know each other.
LAYERS = [
    {"limits", "pools"},
    {"spec", "programs", "once", "expression", "questions"},
    {"stationary", "query", "verdict"},
    {"lecture"},
    {"surfaces", "optimizers", "schedules", "datasets", "networks"},
    {"problems", "tuning", "backprop", "quadratic", "csv_table"},
    {"descent"},
    {"landscape", "sharpness", "doctor", "curves", "scaling"},
    {"experiment"},
    {"training", "many"},
    {
        "link",
        "anatomy",
        "claims",
        "network_claims",
        "range_test",
        "calibration",
        "phase_map",
        "basin_map",
        "cloud",
        "taylor",
        "stability",
    },
    {"fair_race"},
    {"glossary"},
    {
        "training_link",
        "scheduled",
        "rate_claims",
        "phase_map_link",
        "basin_map_link",
        "cloud_link",
        "second_order_link",
        "fair_race_link",
    },
    {"either_link"},
    {"range_test_link", "calibration_link", "stability_link"},
    {"figures"},
    {"export"},
    {"ui"},
    {"pages"},
    {"app"},
]
# The one home of a library, as the beginnings of file names.
HOMES = {
    "streamlit": ("optviz/ui/", "pages/", "app.py"),
    "plotly": ("optviz/figures/", "optviz/ui/frame.py"),  # frame: the fallback copy of plotly.js lies in the wheel
    "optax": ("optviz/optimizers.py",),
    "segno": ("optviz/export/",),
    "pandas": (),
    "sklearn": (),
}

LIBRARY = sorted(ROOT.glob("optviz/**/*.py"))
PAGE_FILES = sorted(ROOT.glob("pages/*.py"))
APP = ROOT / "app.py"
SOURCES = [*LIBRARY, *PAGE_FILES, APP]
TESTS = sorted(ROOT.glob("tests/*.py"))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> set[str]:
    """The full names of the modules that a file imports anywhere, within functions too."""
    found = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)} imports relatively"
            # `from optviz import doctor` imports a module, `from optviz.spec import Param` a name in one.
            found |= {
                f"{node.module}.{alias.name}" if node.module == "optviz" else str(node.module) for alias in node.names
            }
    return found


def room(path: Path) -> str:
    """The room that a source file is in: its folder, or its own name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[1] if parts[0] == "optviz" else parts[0]


def rooms_of(path: Path) -> set[str]:
    """The rooms that a file imports from."""
    ours = [module.split(".") for module in imports(path)]
    return {parts[1] if len(parts) > 1 else "optviz" for parts in ours if parts[0] == "optviz"} | {
        parts[0] for parts in ours if parts[0] in ("pages", "app")
    }


def level(room: str) -> int:
    return next(i for i, rooms in enumerate(LAYERS) if room in rooms)


CHANGES = {"append", "extend", "insert", "remove", "clear", "pop", "popitem", "update", "setdefault", "add", "discard"}

every_source = pytest.mark.parametrize("path", SOURCES, ids=name)


def test_every_file_is_in_a_room():
    rooms = set().union(*LAYERS) | {"__init__"}
    assert [name(path) for path in SOURCES if room(path) not in rooms] == []


@every_source
def test_imports_go_strictly_downward(path):
    here = room(path)
    if name(path) == "optviz/__init__.py":  # what a notebook sees: experiments and catalogues
        assert all(level(there) <= level("training") for there in rooms_of(path))
        return
    for there in rooms_of(path):
        assert there != "optviz", "a room says which rooms it needs"
        if there != here or here not in ("figures", "export", "ui"):  # modules in a folder may share
            assert level(there) < level(here), f"{name(path)} imports {there}"


@pytest.mark.parametrize("library", HOMES)
def test_a_library_has_one_home(library):
    homes = HOMES[library]
    users = [name(path) for path in SOURCES if library in {module.split(".")[0] for module in imports(path)}]
    assert [user for user in users if not user.startswith(homes or ("nowhere",))] == []


def test_a_frame_is_sent_before_jax_is_imported():
    """A cold server's first visitor waits for plotly.js in the browser and for JAX in the server at once."""
    code = "import sys, optviz, optviz.ui.frame; print('jax' in sys.modules, 'optax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    for path in (APP, *PAGE_FILES):
        top = [node for node in tree(path).body if isinstance(node, ast.Import | ast.ImportFrom | ast.Assign)]
        opened = next(i for i, node in enumerate(top) if isinstance(node, ast.Assign))
        early = {
            alias for node in top[:opened] for alias in ([node.module] if isinstance(node, ast.ImportFrom) else [])
        }
        assert early == {"optviz.ui.frame"}


def test_the_library_alone_needs_no_streamlit_no_plotly_and_no_pandas():
    """A notebook, a test or a worker imports optviz without waiting for a browser's libraries."""
    code = "import sys, optviz; optviz.trace; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "jax" in loaded
    assert loaded & {"streamlit", "plotly", "pandas", "matplotlib", "torch", "sklearn"} == set()


@every_source
def test_a_module_says_what_it_is_for(path):
    assert len(ast.get_docstring(tree(path)) or "") > 20


@pytest.mark.parametrize("path", [APP, *PAGE_FILES], ids=name)
def test_a_page_is_thin(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= (60 if path == APP else 120)


def test_the_navigation_lists_exactly_the_pages():
    paths = [page.path for page in PAGES]
    assert sorted(paths) == sorted(["app.py", *(name(path) for path in PAGE_FILES)])
    assert paths[0] == "app.py"
    assert all(page.title and page.help and page.icon.startswith(":material/") for page in PAGES)
    assert list(dict.fromkeys(page.group for page in PAGES)) == ["", *GROUPS]


@pytest.mark.parametrize("path", [APP, *PAGE_FILES], ids=name)
def test_a_page_opens_its_own_frame_before_anything_else_is_shown(path):
    """Any page may be the first that a fresh server is asked for, so each must bring its frame."""
    calls = sorted((n for n in ast.walk(tree(path)) if isinstance(n, ast.Call)), key=lambda n: (n.lineno, n.col_offset))
    frames = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "frame"]
    assert [ast.literal_eval(call.args[0]) for call in frames] == [name(path)]
    shown = [call.lineno for call in calls if ast.unparse(call.func).startswith("st.") and call.func != frames[0].func]
    assert min(shown, default=10**6) > frames[0].lineno


def _module_level(body: list[ast.stmt]):
    """The statements that run when a module is run, those inside functions and classes left out."""
    for node in body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node
            for field in ("body", "orelse", "finalbody"):
                yield from _module_level(getattr(node, field, []))


@pytest.mark.parametrize("path", [path for path in SOURCES if room(path) in ("ui", "pages", "app")], ids=name)
def test_nothing_that_visitors_could_share_changes(path):
    """A list, dict or set of a module, or a global variable, would be one for all visitors of a server. A table of
    constants may be a dict if its name is in capitals and nothing changes it."""
    nodes = list(ast.walk(tree(path)))
    assert [ast.unparse(node) for node in nodes if isinstance(node, ast.Global)] == []
    mutable = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
    for node in _module_level(tree(path).body):
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) and isinstance(
            node.value, (*mutable, ast.Call)
        ):
            if isinstance(node.value, ast.Call) and ast.unparse(node.value.func) not in ("list", "dict", "set"):
                continue
            target = ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)
            assert target.isupper(), ast.unparse(node)
            assert room(path) == "ui", ast.unparse(node)
    for node in nodes:
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            assert not ast.unparse(node.value).isupper(), ast.unparse(node)
        if isinstance(node, ast.Attribute) and node.attr in CHANGES:
            assert not ast.unparse(node.value).isupper(), ast.unparse(node)


@every_source
def test_no_text_is_ever_run_as_code(path):
    """Links and formulas come from strangers."""
    forbidden = {"eval", "exec", "compile", "__import__"}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in forbidden, f"{name(path)}:{node.lineno}"
    assert "pickle" not in {module.split(".")[0] for module in imports(path)}


@every_source
def test_no_html_of_strangers_reaches_the_page(path):
    assert "unsafe_allow" + "_html" not in path.read_text(encoding="utf-8")
    for node in ast.walk(
        tree(path)
    ):  # st.html is for the page's own style sheet: a name, never a sentence put together
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "st.html":
            assert all(isinstance(part, ast.Name) and part.id.isupper() for part in node.args), ast.unparse(node)


def test_every_cache_is_bounded():
    """A server lives for weeks; whatever remembers must also forget."""
    for path in SOURCES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef):
                for decorator in map(ast.unparse, node.decorator_list):
                    if "cache" in decorator and "cached_property" not in decorator:
                        few = not (node.args.args or node.args.kwonlyargs) or decorator.startswith("st.cache_resource")
                        assert few or "maxsize=" in decorator or "max_entries=" in decorator, (
                            f"{name(path)}: {decorator}"
                        )


def test_no_file_knows_the_machine_it_was_written_on():
    here = re.compile(r"(?<![\w.~*])/(?:work|tmp|root|home|Users|mnt)/\w")
    suffixes = {".py", ".md", ".toml", ".txt", ".js", ".css", ".yml", ".yaml", ".sh", ".json"}
    folders = ("optviz", "pages", "tests", "benchmarks", "docs", ".streamlit", ".ci")
    files = [path for path in ROOT.iterdir() if path.is_file()]
    files += [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    guilty = {
        f"{name(path)}:{i}"
        for path in files
        if path.suffix in suffixes and "__pycache__" not in path.parts
        for i, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if here.search(line)
    }
    assert guilty == set()
    assert here.search(f"open({str(Path('/')) + 'tmp'}/x)")  # the net does catch
    assert not here.search("pages/home/x ../tmp/x https://a.org/tmp/x")


@pytest.mark.parametrize("path", TESTS, ids=name)
def test_a_test_file_says_what_it_is_about(path):
    assert len(ast.get_docstring(tree(path)) or "") > 20
