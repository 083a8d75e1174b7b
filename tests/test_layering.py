"""The rules that keep the code readable: imports run one way, files stay short, nothing hides."""

import ast
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "lanewise"

# A module imports from its own room and from those before it. "lanewise" is the package's front door, __init__.py.
ROOMS = (
    ("printable", "errors"),
    ("base",),
    ("parts", "parts.schedules", "parts.optimizers", "parts.norm", "parts.lora", "parts.groups"),
    ("recipe", "recipe.spaces"),
    (
        "data.arrays",
        "data.splitting",
        "data.encoding",
        "data.formats",
        "data.rows",
        "data.source",
        "data.tables",
        "data",
    ),
    ("metrics",),
    ("task",),
    (
        "lanes.machine",
        "lanes.compile",
        "lanes.attributes",
        "lanes.frozen",
        "lanes.model",
        "lanes.step",
        "lanes.packs",
        "lanes.training",
    ),
    ("statistics",),
    ("racing",),
    ("sampling",),
    ("verdict",),
    ("record",),
    ("study",),
    ("questions",),
    ("bridges",),
    ("report", "report.figures", "report.terminal", "report.page"),
    ("train",),
    ("predictor",),
    ("api",),
    ("lanewise",),
    ("cli",),
    ("__main__",),
)
DEPTH = {room: depth for depth, room in enumerate(room for row in ROOMS for room in row)}
MOST_FILES = 15
LONGEST = {"src": 350, "tests": 500, "bench": 500, "docs": 500}
# Written so that this file does not contain what it looks for. Letters before the slash belong to a URL.
MACHINE_PATH = re.compile(r"(?<![\w.~})-])/(?:home|Users|root|work|tmp|mnt|opt|private)/\w|[A-Za-z]:\\+Users\\")


def module_name(path: Path) -> str:
    """`lanewise.parts.norm` for `src/lanewise/parts/norm/__init__.py`."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str:
    """The folder that `module` lies in; modules at the top of the package are rooms of their own."""
    inside = module.partition(".")[2]
    if not inside:
        return module
    return inside if MODULES[module].name == "__init__.py" else inside.rpartition(".")[0] or inside


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}
STUB = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
"""What the public front imports, each name at its first use."""


def imported(module: str) -> Iterator[tuple[str, int]]:
    """The modules of the package that `module` imports, wherever in the file, with the line."""
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in chain(ast.walk(TREES[module]), ast.walk(STUB) if module == "lanewise" else ()):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names if is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [base])])
            if is_ours(base):
                for alias in node.names:
                    inner = f"{base}.{alias.name}"
                    yield inner if inner in MODULES else base, node.lineno


def is_ours(module: str) -> bool:
    """Whether `module` belongs to the package."""
    return module.split(".")[0] == "lanewise"


def python_files() -> list[Path]:
    """The Python files of the package, the tests, the benchmarks and the plots of the cards."""
    return [path for folder in ("src", "tests", "bench", "docs") for path in sorted((ROOT / folder).rglob("*.py"))]


def files_of_the_project() -> list[Path]:
    """The files git tracks or would take up, except those deleted but not yet committed so."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"not a git checkout: {error}")
    return sorted({path for name in listing.split("\0") if name and (path := ROOT / name).is_file()})


def test_rooms_are_those_of_the_package() -> None:
    rooms = {room(name) for name in MODULES if TREES[name].body}
    assert {name for name in rooms if name not in DEPTH} == {"lanes"}, "give these a place in ROOMS"
    assert not set(DEPTH) - rooms, "these do not exist"


def test_contributing_shows_the_rooms_in_this_order() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = guide.partition("| folder or module |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (`[^|]+`) \|", table, flags=re.MULTILINE)
    shown = [
        name.removesuffix(".py").rstrip("/").replace("/", ".") for row in rows for name in re.findall(r"`([^`]+)`", row)
    ]
    assert shown == [name.replace("lanewise", "__init__") for name in DEPTH]


def test_folders_are_small() -> None:
    files = [path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    counts = Counter(path.parent for path in files)
    assert not {str(folder.relative_to(PACKAGE)): count for folder, count in counts.items() if count > MOST_FILES}


@pytest.mark.parametrize("module", MODULES)
def test_imports_only_from_its_room_and_those_before(module: str) -> None:
    wrong = [
        f"line {line}: {other}"
        for other, line in imported(module)
        if DEPTH.get(room(other), len(DEPTH)) > DEPTH.get(room(module), -1)
    ]
    assert not wrong


def test_no_circle_of_imports() -> None:
    graph = {module: {other for other, _ in imported(module)} for module in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("module", MODULES)
def test_says_what_it_is(module: str) -> None:
    empty_front = MODULES[module].name == "__init__.py" and not TREES[module].body
    assert empty_front or ast.get_docstring(TREES[module])


@pytest.mark.parametrize("module", [name for name, path in MODULES.items() if path.name == "__init__.py"])
def test_front_holds_names_not_code(module: str) -> None:
    harmless = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign)
    texts = [node for node in TREES[module].body if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)]
    code = [node for node in TREES[module].body if not isinstance(node, harmless) and node not in texts]
    if module == "lanewise":
        # It alone imports its names at their first use (PEP 562), and sets what torch reads before that.
        lazy, called = ("__getattr__", "__dir__"), ("before_torch()",)
        code = [node for node in code if getattr(node, "name", None) not in lazy and ast.unparse(node) not in called]
    assert not [f"line {node.lineno}" for node in code]


@pytest.mark.parametrize("module", MODULES)
def test_hides_no_circle_from_the_interpreter(module: str) -> None:
    names = {node.attr for node in ast.walk(TREES[module]) if isinstance(node, ast.Attribute)}
    names |= {node.id for node in ast.walk(TREES[module]) if isinstance(node, ast.Name)}
    assert "TYPE_CHECKING" not in names


@pytest.mark.parametrize("module", [name for name in MODULES if room(name).split(".")[0] not in ("cli", "report")])
def test_leaves_printing_to_the_command_line(module: str) -> None:
    calls = [node for node in ast.walk(TREES[module]) if isinstance(node, ast.Call)]
    assert not [f"line {call.lineno}" for call in calls if ast.unparse(call.func) == "print"]


def test_files_are_short() -> None:
    files = {path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines()) for path in python_files()}
    assert not {str(path): count for path, count in files.items() if count > LONGEST[path.parts[0]]}


def test_names_no_place_on_somebodys_machine() -> None:
    found = []
    for path in files_of_the_project():
        text = path.read_bytes().decode("utf-8", errors="replace")
        if "\0" not in text:
            lines = enumerate(text.splitlines(), start=1)
            found += [f"{path.relative_to(ROOT)}:{number}" for number, line in lines if MACHINE_PATH.search(line)]
    assert not found


@pytest.mark.parametrize("line", ["see /ho" + "me/ann", '"/tm' + 'p/run"', "C:" + "\\Users\\ann", "(/wor" + "k/ann)"])
def test_machine_paths_are_recognised(line: str) -> None:
    assert MACHINE_PATH.search(line)


@pytest.mark.parametrize("line", ["https://example.org/home/ann", "a/wor" + "k/b", "runs/tmp/x", "1/root"])
def test_other_paths_are_not_mistaken(line: str) -> None:
    assert not MACHINE_PATH.search(line)


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=lambda path: path.stem)
def test_tests_reach_lanes_through_one_helper(path: Path) -> None:
    if path.parts[-2:] != ("lanes", "cases.py"):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert not [line for line in lines if re.search(r"(?<!param)\.groups\[", line)], "see tests/lanes/cases.py"
