"""House rules that a machine can hold: names, order, sizes, what outputs may say."""

import ast
import re
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml

from labkit.build import read_source, sources
from labkit.checks import MODULES, section_exercises
from labkit.validate import SANITIZE

ROOT = Path(__file__).parents[1]
SOURCES = sources(ROOT)
STORED = [path.with_suffix(".ipynb") for path in SOURCES]
NO_LAB = {"04_vision_transformer"}  # opens its chapter
FOLDERS = ("labkit", "tests", "chapters", "labs", "solutions", "experiments")
MASKED = r"(?<=\u2248 )-?\d+(,\d{3})*(\.\d+)?"  # the number of "≈ 88.4"
CELL_LINES, CLASS_LINES, LINE_LENGTH = 30, 40, 88
DIFFERS_BY_MACHINE = re.compile(
    r"tensor\(|cuda|device\(|\bat 0x[0-9a-f]+|/(home|tmp|usr|root|work)/"
    r"|\d (ms|seconds|secs)\b|\d s\b"
)


def name_of(path):
    return path.stem


def cells(path, kind=None):
    found = nbformat.read(path, as_version=4).cells
    return [c for c in found if kind in (None, c.cell_type)]


# ------------------------------------------------------------------ names and places


def test_stems_agree_across_the_folders():
    """A chapter, its lab, its solution and its checks carry the same name."""
    chapters = {p.stem for p in ROOT.glob("chapters/*.py")}
    solutions = {p.stem.removeprefix("lab_") for p in ROOT.glob("solutions/*.py")}
    labs = {p.stem.removeprefix("lab_") for p in ROOT.glob("labs/*.ipynb")}
    checks = {
        f"{'_'.join(part.zfill(2) if i == 0 else part for i, part in enumerate(parts))}"
        f"_{module}"
        for module, parts in ((m, s.split(".")) for s, m in MODULES.items())
    }
    assert chapters - NO_LAB == solutions == labs == checks
    assert all(p.stem.startswith("lab_") for p in ROOT.glob("labs/*"))


def test_every_notebook_stands_once_in_the_table_of_contents():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())

    def files(node):
        if isinstance(node, list):
            return [name for item in node for name in files(item)]
        if isinstance(node, dict):
            inner = [n for v in node.values() if isinstance(v, list) for n in files(v)]
            return [node[k] for k in ("root", "file") if k in node] + inner
        return []

    listed = files(toc)
    assert len(set(listed)) == len(listed)
    for name in listed:
        assert any((ROOT / f"{name}{end}").exists() for end in (".md", ".ipynb")), name
    notebooks = [*ROOT.glob("chapters/*.ipynb"), *ROOT.glob("labs/*.ipynb")]
    expected = {str(p.relative_to(ROOT).with_suffix("")) for p in notebooks}
    assert expected == {n for n in listed if (ROOT / f"{n}.ipynb").exists()}
    assert not any(name.startswith("solutions") for name in listed)


@pytest.mark.parametrize("section", MODULES)
def test_the_checks_and_the_lab_have_the_same_exercises(section):
    (source,) = ROOT.glob(f"solutions/lab_*_{MODULES[section]}.py")
    in_lab = re.findall(r"^## Exercise ([\d.]+) ", source.read_text(), re.MULTILINE)
    assert in_lab == [e.number for e in section_exercises(section)]
    assert all(n.rpartition(".")[0] == section for n in in_lab)


# --------------------------------------------------------------- what a reader meets


@pytest.mark.parametrize("source", SOURCES, ids=name_of)
def test_cells_are_short(source):
    """At most 30 lines, 40 for a single class; lines of at most 88 characters."""
    for cell in read_source(source).cells:
        lines = cell.source.split("\n")
        if cell.cell_type == "code":
            top = [line for line in lines if re.match(r"[^\s#)\]}@]", line)]
            one_class = len(top) == 1 and top[0].startswith("class ")
            # an answer's docstring says what the task needs: it is not code to read
            code = re.sub(r'""".*?"""', "", cell.source, flags=re.DOTALL).split("\n")
            assert len(code) <= (CLASS_LINES if one_class else CELL_LINES), lines[:2]
        too_long = [line for line in lines if len(line) > LINE_LENGTH]
        # a table row or a link cannot be broken
        too_long = [s for s in too_long if cell.cell_type == "code" or "|" not in s[:1]]
        assert not too_long


@pytest.mark.parametrize("source", SOURCES, ids=name_of)
def test_headings_and_opening(source):
    notebook = read_source(source)
    text = "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    levels = [len(h) for h in re.findall(r"^(#+) ", text, re.MULTILINE)]
    assert levels[0] == 1 and levels.count(1) == 1
    steps = zip(levels, levels[1:], strict=False)
    assert all(after <= before + 1 for before, after in steps), "a level is skipped"
    opening = notebook.cells[0].source
    if source.stem not in NO_LAB:
        assert all(word in opening for word in ("You will", "You need", "Time"))
        end = "## Summary" if source.parent.name == "chapters" else "## What you built"
        assert end in text


@pytest.mark.parametrize("source", SOURCES, ids=name_of)
def test_one_setup_cell_with_the_same_lines_everywhere(source):
    code = [c.source for c in read_source(source).cells if c.cell_type == "code"]
    assert "seed_everything(0)\ndevice = device()" in code[0]
    # an import after the set-up cell surprises whoever runs cells one by one
    assert not [c for c in code[1:] if re.search(r"^(import|from) ", c, re.MULTILINE)]


@pytest.mark.parametrize("source", SOURCES, ids=name_of)
def test_links_go_to_files_that_are_there_and_never_to_solutions(source):
    texts = [c for c in read_source(source).cells if c.cell_type == "markdown"]
    for cell in texts:
        for target in re.findall(r"\]\(([^)\s]+)\)", cell.source):
            if not target.startswith(("http", "#")):
                file = (source.parent / target.partition("#")[0]).resolve()
                assert file.exists(), target
            assert "solutions" not in target


# ------------------------------------------------------- what a stored output may say


@pytest.mark.parametrize("path", STORED, ids=name_of)
def test_every_code_cell_was_executed_in_order(path):
    """nbval compares no cell that was never run."""
    code = cells(path, "code")
    assert [c.execution_count for c in code] == list(range(1, len(code) + 1))


@pytest.mark.parametrize("path", STORED, ids=name_of)
def test_outputs_say_nothing_that_differs_by_machine(path):
    ignored = 0
    for cell in cells(path, "code"):
        if "nbval-ignore-output" in cell.metadata.get("tags", []):
            ignored += 1
            assert cell.source.startswith("# "), "say why the output is not compared"
            continue
        for output in cell.outputs:
            assert output.output_type != "error" or "raises-exception" in (
                cell.metadata.get("tags", [])
            )
            assert output.get("name") != "stderr", cell.source
            text = output.get("text", "") + output.get("data", {}).get("text/plain", "")
            assert not DIFFERS_BY_MACHINE.search(text), text
    assert ignored <= 1


@pytest.mark.parametrize("path", STORED, ids=name_of)
def test_figures_have_words_and_a_number_beside_them(path):
    """nbval compares no PNG: a printed number beside it stands in."""
    for cell in cells(path, "code"):
        data = [output.get("data", {}) for output in cell.outputs]
        if any("image/png" in d or "image/svg+xml" in d for d in data):
            figure = cell.metadata.get("mystnb", {})
            assert len(figure["image"]["alt"]) > 20, cell.source
            assert figure["figure"]["name"] and figure["figure"]["caption"]
            printed = "".join(o.get("text", "") for o in cell.outputs)
            assert re.search(r"\d", printed), "a figure without a printed number"


DRAWS = {"rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial"}
DRAWS |= {"rand_like", "randn_like", "randint_like"}
# In place these draw where their tensor lies; nn.init draws before a module is moved.
DRAWS_IN_PLACE = re.compile(r"(normal|uniform|bernoulli|exponential|random)_$")


@pytest.mark.parametrize("source", SOURCES, ids=name_of)
def test_random_numbers_come_from_the_cpu(source):
    """The same seed gives other numbers on a GPU: draw on the CPU, then move."""
    for cell in read_source(source).cells:
        if cell.cell_type != "code":
            continue
        calls = [n for n in ast.walk(ast.parse(cell.source)) if isinstance(n, ast.Call)]
        for call in (c for c in calls if isinstance(c.func, ast.Attribute)):
            owner, name = ast.unparse(call.func.value), call.func.attr
            there = [k for k in call.keywords if k.arg == "device"]
            text = ast.unparse(call)
            if name in DRAWS and owner == "torch":
                assert not there and "_like" not in name, text
            if name == "Generator":
                assert not there, text
            if DRAWS_IN_PLACE.match(name):
                assert owner in ("nn.init", "init"), text


def test_nothing_is_hidden_from_the_comparison():
    """Only the number behind ≈, and only tags, counted above, exempt a cell."""
    rules = [p for f in FOLDERS for p in ROOT.glob(f"{f}/**/*") if p.suffix == ".cfg"]
    assert rules == [SANITIZE]
    lines = SANITIZE.read_text("ascii").splitlines()
    lines = [line for line in lines if not line.startswith("#")]
    assert lines == ["[about]", f"regex: {MASKED}", "replace: ..."]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert "addopts" not in settings["tool"]["pytest"]["ini_options"]
    for path in STORED:
        for cell in cells(path, "code"):
            assert not re.search(r"#\s*(NBVAL|PYTEST_VALIDATE)_", cell.source)
            assert "nbval-skip" not in cell.metadata.get("tags", [])


# ----------------------------------------------------------------------- front matter


def test_the_readme_is_short_and_its_links_resolve():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 60
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    assert len(targets) >= 5
    for target in targets:
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_the_readme_lists_every_lesson():
    text = (ROOT / "README.md").read_text()
    for path in [*ROOT.glob("chapters/*.ipynb"), *ROOT.glob("labs/*.ipynb")]:
        assert f"({path.relative_to(ROOT)})" in text


def test_make_has_the_promised_verbs():
    """Each verb is one line that a person can read."""
    text = (ROOT / "Makefile").read_text()
    for verb in "install book test notebooks lab validate robust grade bench".split():
        assert re.search(rf"^{verb}:", text, re.MULTILINE)
    recipes = re.findall(r"^[\w./]+:.*\n((?:\t.*\n)+)", text, re.MULTILINE)
    assert len(recipes) >= 8
    assert all(recipe.count("\n") == 1 for recipe in recipes)


# What the note says, by section: how many claims the course has to judge.
CLAIMS = {
    "1_layer_normalization": 6,
    "2_feed_forward": 3,
    "3_multi_head_attention": 2,
    "4_1_image_to_sequence": 2,
    "4_2_model_structure": 7,
    "4_3_class_token": 5,
}


@pytest.mark.parametrize(
    "chapter, number", [(c, n) for c, k in CLAIMS.items() for n in range(1, k + 1)]
)
def test_every_claim_has_its_verdict_its_experiment_and_a_reference(chapter, number):
    """One row, one section with code that runs, and a paper to read."""
    claim = "S" + ".".join(re.findall(r"\d+", chapter)) + f".{number}"
    notebook = read_source(ROOT / "chapters" / f"0{chapter}.py")
    text = "\n\n".join(
        c.source if c.cell_type == "markdown" else "<code>" for c in notebook.cells
    )
    sections = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    named = re.compile(rf"## .*{re.escape(claim)}\b")
    own = [section for section in sections if named.match(section)]
    assert own and all("<code>" in section for section in own)
    (row,) = (line for line in text.split("\n") if line.startswith(f"| {claim} |"))
    assert any("{cite}" in part for part in [row, *own])


def test_figures_have_names_of_their_own():
    names = [
        name
        for source in SOURCES
        for name in re.findall(r"^#\| name: (\S+)", source.read_text("utf-8"), re.M)
    ]
    assert sorted(set(names)) == sorted(names)
