"""Right results from what the exercise asks to write out: refused where a witness of
the probe's sees it; where none does, a person is told."""

import nbformat
import pytest

from labkit import paths
from labkit.exercises import find
from labkit.grading import flags
from labkit.lab import Master, grade_id

from .conftest import LAB
from .test_course import gradebook, labkit, page, result, scores, submit

LABS = sorted((paths.root() / "solutions").glob("*.ipynb"))
HEAD = "def layer_norm(x, weight=None, bias=None, eps=1e-5):\n    import torch\n    "
SHAPE = "x.shape[-1:], weight, bias, eps"
DIRECT = f"return torch.nn.functional.layer_norm(x, {SHAPE})"
UNSEEN = "with torch._C.DisableTorchFunction():\n        "  # by the probe
LAYER = "torch.nn.LayerNorm(x.shape[-1], eps, False, dtype=x.dtype)"
AFFINE = (
    "y = y if weight is None else y * weight\n"
    "    return y if bias is None else y + bias"
)
SMUGGLED = {
    "_C": f"{UNSEEN}{DIRECT}",
    "getattr()": f"{UNSEEN}hidden = getattr(torch.nn.functional, 'layer' + '_norm')\n"
    f"        return hidden(x, {SHAPE})",
    "vars": f"{UNSEEN}named = vars(torch.nn.functional)\n"
    f"        return named['layer' + '_norm'](x, {SHAPE})",
    "jit": "source = 'def f(x, shape: list[int], weight: Optional[Tensor], bias: "
    "Optional[Tensor], eps: float):\\n return torch.layer_norm(x, shape, weight, bias, "
    f"eps)\\n'\n    return torch.jit.CompilationUnit(source).f(x, {SHAPE})",
    "LayerNorm": "class Row:\n        def __index__(self):  # the probe looks away\n"
    f"            self.y = {LAYER}(x)\n            return 0\n    row = Row()\n"
    f"    torch.arange(3)[row]\n    y = row.y\n    {AFFINE}",
    "concurrent": "from concurrent.futures import ThreadPoolExecutor\n"
    f"    y = ThreadPoolExecutor().submit({LAYER}, x).result()\n    {AFFINE}",
    "apply_": "y = []\n    torch.zeros(1, dtype=x.dtype).apply_(\n"
    f"        lambda _: y.append({LAYER}(x)) or 0\n    )\n    y, = y\n    {AFFINE}",
    "overrides": f"y = {LAYER}(x)\n    {AFFINE}\n"
    "from torch.overrides import TorchFunctionMode\n"
    "TorchFunctionMode.__enter__ = TorchFunctionMode.__exit__ = lambda *_: None",
    "register_hook": "y = []\n    one = torch.ones((), requires_grad=True)\n"
    f"    hook = torch.enable_grad()(lambda _: y.append({LAYER}(x)))\n"
    f"    one.register_hook(hook)\n    one.backward()\n    y, = y\n    {AFFINE}",
}


# Neither the calls nor the graph of autograd show it: only the source does.
HIDDEN = f"""class Norm(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            {UNSEEN}        y = torch.nn.functional.layer_norm(x, x.shape[-1:], eps=eps)
            variance = x.var(-1, unbiased=False, keepdim=True)
            ctx.save_for_backward(y, (variance + eps).rsqrt())
            return y

        @staticmethod
        def backward(ctx, g):
            y, scale = ctx.saved_tensors
            along = (g * y).mean(-1, keepdim=True)
            return scale * (g - g.mean(-1, keepdim=True) - y * along)

    y = Norm.apply(x)
    {AFFINE}"""


@pytest.mark.parametrize("tool", SMUGGLED)
def test_a_smuggled_operation_is_refused(mark, hand_in, tool):
    exercise = mark(hand_in({"1.2": HEAD + SMUGGLED[tool]})).by_number["1.2"]
    assert exercise["outcome"] == "wrong", exercise["feedback"]
    (verdict,) = [v for v in exercise["verdicts"] if v["passed"] is False]
    assert verdict["property"] == "written out" and "layer_norm" in verdict["message"]
    source, own = HEAD + SMUGGLED[tool], find("1.2").names
    assert tool in flags.found(source, find("1.2").off_limits, own)  # unseen or not


def test_what_no_witness_sees_is_flagged(mark, hand_in, master):
    found = mark(hand_in({"1.2": HEAD + HIDDEN}))
    exercise = found.by_number["1.2"]
    assert exercise["outcome"] == "right", exercise["feedback"]  # points stay
    assert found.score == master.max_score
    assert set(exercise["flags"]) == {"_C", "layer_norm"}
    assert [n for n in found.notes if n.startswith("1.2: ") and "_C" in n]


def test_a_direct_one_is_not_right(mark, hand_in):
    exercise = mark(hand_in({"1.2": HEAD + DIRECT})).by_number["1.2"]
    assert exercise["outcome"] == "wrong" and exercise["flags"] == ["layer_norm"]
    assert "A person looks" not in exercise["feedback"]  # there are no points at stake
    (verdict,) = [v for v in exercise["verdicts"] if v["passed"] is False]
    assert verdict["property"] == "written out" and "layer_norm" in verdict["message"]


def test_result_page_and_report_say_so(
    course, hand_in, master, capsys, one_warm_process
):
    root = course
    submit(root, "ada", hand_in())
    submit(root, "eve", hand_in({"1.2": HEAD + HIDDEN}))
    assert labkit("grade", root) == 0
    said = capsys.readouterr().out
    assert "eve: 1.2: the answer uses layer_norm, _C; see why." in said
    assert scores(root) == dict.fromkeys(("ada", "eve"), master.max_score)
    flagged = {e["number"]: e["flags"] for e in result(root, "eve")["exercises"]}
    assert flagged.pop("1.2") == flagged.pop("1.3") == ["layer_norm", "_C"]
    assert not any(flagged.values())  # 1.3 builds on 1.2
    with gradebook(root) as book:  # and formgrader's queue shows both
        for student, queued in {
            "ada": set(),
            "eve": {"check-1-2", "check-1-3"},
        }.items():
            grades = book.find_submission_notebook(LAB, LAB, student).grades
            assert {g.name for g in grades if g.needs_manual_grade} == queued
    assert not any(e["flags"] for e in result(root, "ada")["exercises"])
    assert "A person looks at this answer too" in page(root, "eve")
    assert "A person looks" not in page(root, "ada")
    assert labkit("report", root) == 0
    assert "layer_norm _C\n" in (root / "report.csv").read_text()
    report = (root / "report.html").read_text()
    assert "the answer uses layer_norm, _C; see why." in report


@pytest.mark.parametrize("solution", LABS, ids=lambda path: path.stem)
def test_honest_answers_are_not_flagged(solution):
    cells = nbformat.read(solution, as_version=4).cells
    sources = {grade_id(c, "solution"): c.source for c in cells}
    questions = Master.from_solution(solution).questions
    own = [name for q in questions for name in find(q.number).names]
    for q in questions:
        source = "\n".join(sources[name] for name in q.answers)
        assert flags.found(source, find(q.number).off_limits, own) == []


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("getattr(x, 'layer_norm')", ["layer_norm"]),
        ("from torch import layer_norm as f", ["layer_norm"]),
        ("layer_norm(x)", []),  # one's own
        ("getattr(x, name)", ["getattr()"]),
        ("getattr(x, 'shape')", []),
        ("import torch.nn.functional as F; F.layer_norm", ["layer_norm"]),
        ("what does not parse (", []),
        ("%timeit 1\n!pip install x\ny = !ls", []),
        ("%%time\nx = 1", []),
        ("get_ipython()", ["get_ipython"]),
        ("F.layer_norm(x)", ["layer_norm"]),
        ("'Not the layer_norm of torch.'", []),
        ("g = getattr\ng(F, name)", ["getattr()"]),
        ("list(map(getattr, [F], names))", ["getattr()"]),
        ("getattr(F, 'layer' + '_norm')", ["getattr()", "layer_norm"]),
        ("match F:\n    case object(layer_norm=f): pass", ["layer_norm"]),
        ("e.__traceback__.tb_frame.f_back", ["f_back", "tb_frame", "__traceback__"]),
        ("from torch.nn.functional import *", ["from torch.nn.functional import *"]),
        ("import my_layers", ["import my_layers"]),
        ("import math, numpy as np, torch", []),
        ("class T(torch.Tensor):\n    pass", ["class T(Tensor)"]),
        ("x.as_subclass(T)", ["as_subclass"]),
        ("torch.mean = f", ["torch.mean ="]),
        ("T = torch.Tensor\nT.detach = f", ["T.detach ="]),
        ("self.weight = x\nlayer.weight = x", []),
        ("from labkit.checks import probes", ["checks", "probes"]),
        ("import labkit\nlabkit.checks.probes", ["checks", "probes"]),
        ("pydoc.locate('torch.nn.functional.layer_norm')", ["locate", "layer_norm"]),
        ("torch.nn.LayerNorm(3)", ["LayerNorm"]),
        ("from torch.nn import LayerNorm", ["LayerNorm"]),
        ("class LayerNorm(nn.Module):\n    def f(self): super(LayerNorm, self)", []),
    ],
)
def test_names_in_the_source(source, names):
    found = flags.found(source, ["layer_norm"], ["layer_norm", "LayerNorm"])
    assert sorted(found) == sorted(names)
    assert "getattr()" not in flags.found(source, [], [])


def test_a_source_too_long_to_look_through_is_flagged():
    source = "torch.nn.LayerNorm(3)  # " + 20_000 * "x"
    assert flags.found(source, ["layer_norm"], []) == ["more than 20,000 characters"]
