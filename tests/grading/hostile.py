"""The catalogue of broken and hostile submissions, by category.

Three kinds. A cheat answers nothing and deserves 0. Damage is right work in a harmed
file and deserves its points. Harm is right work with one cell that breaks something:
the exercise of that cell may be lost, nothing else. A broken file deserves a sentence.
"""

import copy
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

from labkit.exercises import find
from labkit.lab import grade_id

FIRST = "1.1"  # the exercise whose answer cell carries the hostile code
MARK = "98765"  # seconds: how to find a process that was left behind


@dataclass(frozen=True)
class Case:
    """One submission.

    kind     "cheat", "damage", "harm" or "broken"
    make     a function of the workshop that returns a notebook, or a file's bytes
    costs    numbers of the exercises that it may lose (None: all of them)
    said     what the result says about it, to a person
    name     the file's name, if it is not the lab's
    """

    category: str
    title: str
    kind: str
    make: Callable
    costs: tuple[str, ...] | None = ()
    said: str = ""
    name: str = ""


@dataclass(frozen=True)
class Workshop:
    """What submissions are made of; `target` is a file that none may read or harm."""

    master: object
    solution: object
    target: str = ""

    def right(self, **answers: str) -> dict:
        """All answers right, but for code put behind some of them."""
        return self._fill(
            lambda number, source: source + "\n" + answers.get(number, "")
        )

    def ahead(self, code: str) -> dict:
        """All answers right, with code put before the first."""
        return self._fill(
            lambda n, source: f"{code}\n{source}" if n == FIRST else source
        )

    def wrong(self, code: str = "") -> dict:
        """No answer right: every function returns its first argument."""

        def dummy(number, source):
            names = find(number).names
            lines = [f"def {name}(*given, **named): return given[0]" for name in names]
            return "\n".join([code, *lines])

        return self._fill(dummy)

    def _fill(self, answer: Callable[[str, str], str]) -> dict:
        right = {grade_id(c, "solution"): c.source for c in self.solution.cells}
        notebook = copy.deepcopy(self.master.notebook)
        for cell in notebook.cells:
            if name := grade_id(cell, "solution"):
                number = next(
                    q.number for q in self.master.questions if name in q.answers
                )
                cell.source = answer(number, right[name])
        return notebook


CASES: list[Case] = []


def add(category: str, title: str, kind: str, make: Callable, **more) -> None:
    CASES.append(Case(category, title, kind, make, **more))


def cheat(category: str, title: str, code: str, **more) -> None:
    """Dummy answers, and code that is to make them count."""
    code = code.strip("\n")
    add(
        category,
        title,
        "cheat",
        lambda w: w.wrong(code.replace("TARGET", w.target)),
        **more,
    )


def harm(category: str, title: str, code: str, **more) -> None:
    """Right answers, and code before the first that does harm."""
    code = code.strip("\n")
    add(
        category,
        title,
        "harm",
        lambda w: w.ahead(code.replace("TARGET", w.target)),
        **more,
    )


def damage(title: str, change: Callable[[dict], object], **more) -> None:
    """Right answers in a file that somebody or some tool has altered."""

    def make(workshop):
        notebook = workshop.right()
        changed = change(notebook)
        return notebook if changed is None else changed

    add("correct but altered", title, "damage", make, **more)


def broken(title: str, data: Callable, said: str, **more) -> None:
    add("broken file", title, "broken", data, costs=None, said=said, **more)


def _checks(notebook):
    return [c for c in notebook.cells if grade_id(c, "grade")]


# --------------------------------------------------------------------------- metadata


def _on_checks(change: Callable) -> Callable:
    def make(workshop):
        notebook = workshop.wrong()
        for cell in _checks(notebook):
            change(notebook, cell)
        return notebook

    return make


def _markdown(notebook, cell):
    cell.cell_type = "markdown"
    del cell["outputs"], cell["execution_count"]


for title, change in {
    "tag skip-execution on the checks": lambda n, c: c.metadata.update(
        tags=["skip-execution"]
    ),
    "grade: false on the checks": lambda n, c: c.metadata.nbgrader.update(grade=False),
    "a hundred points for each check": lambda n, c: c.metadata.nbgrader.update(
        points=100
    ),
    "checks turned into text": _markdown,
    "checks deleted": lambda n, c: n.cells.remove(c),
    "checks emptied": lambda n, c: c.update(source="pass"),
    "checks doubled, the second empty": lambda n, c: n.cells.append(
        {**c, "source": "pass"}
    ),
    "checks with the output of right ones": lambda n, c: c.update(
        outputs=[{"output_type": "stream", "name": "stdout", "text": "✓ right"}]
    ),
    "points as partial credit in the output": lambda n, c: c.update(
        outputs=[
            {
                "output_type": "execute_result",
                "data": {"text/plain": "100"},
                "metadata": {},
                "execution_count": 1,
            }
        ]
    ),
}.items():
    add("metadata", title, "cheat", _on_checks(change))

# ------------------------------------------------------------------------ shell hooks

cheat(
    "shell hooks",
    "input transformers that drop all later cells",
    "get_ipython().input_transformers_cleanup.append(lambda lines: ['pass\\n'])",
)
cheat(
    "shell hooks",
    "run_cell replaced",
    "get_ipython().run_cell = lambda *a, **k: None",
)
cheat(
    "shell hooks",
    "run_cell of the class replaced",
    "type(get_ipython()).run_cell = lambda *a, **k: None",
)
cheat(
    "shell hooks",
    "kernel do_execute replaced",
    "from ipykernel.ipkernel import IPythonKernel\n"
    "IPythonKernel.do_execute = lambda *a, **k: {'status': 'ok'}",
)
cheat(
    "shell hooks",
    "display hook called with a score",
    "import sys\nsys.displayhook(100)",
)
cheat(
    "shell hooks",
    "a post_run_cell callback that erases errors",
    "def forget(result): result.error_in_exec = None\n"
    "get_ipython().events.register('post_run_cell', forget)",
)
cheat(
    "shell hooks",
    "builtins replaced: all() and any() always say yes",
    "import builtins\nbuiltins.all = builtins.any = lambda *a: True",
)

# ------------------------------------------------------------------ patched reference

for title, code in {
    "assert_close replaced": "torch.testing.assert_close = lambda *a, **k: None",
    "allclose replaced": "torch.allclose = torch.equal = lambda *a, **k: True",
    "comparison of tensors replaced": "torch.Tensor.__eq__ = lambda *a: True\n"
    "torch.Tensor.all = lambda *a, **k: True",
    "nn.LayerNorm replaced": "torch.nn.LayerNorm = torch.nn.Identity",
    "F.layer_norm replaced": "torch.nn.functional.layer_norm = lambda x, *a, **k: x",
    "random numbers replaced": "torch.randn = lambda *s, **k: torch.zeros(3, 3)",
    "isinstance replaced": "import builtins\nbuiltins.isinstance = lambda *a: True",
}.items():
    cheat("patched reference", title, f"import torch\n{code}")

cheat(
    "patched reference",
    "a tensor subclass that equals everything",
    """
import torch
class Yes(torch.Tensor):
    def __eq__(self, other): return True
    def allclose(self, *a, **k): return True
    @classmethod
    def __torch_function__(cls, f, t, a=(), k=None): return True
def layer_norm(x, *a, **k): return x.as_subclass(Yes)
""",
)
cheat(
    "patched reference",
    "an object that equals everything",
    "class Yes:\n    def __eq__(self, other): return True\n"
    "def batch_norm(x, *a, **k): return Yes()",
)
cheat(
    "patched reference",
    "the reference looked for in memory",
    """
import gc, sys
for found in gc.get_objects():
    name = getattr(found, "__name__", "")
    if isinstance(name, str) and name.endswith("lab_01_layer_normalization.layer_norm"):
        globals().update(found.LayerNorm.reference)
""",
)
cheat(
    "patched reference",
    "the reference imported",
    """
try:
    from labkit.exercises import exercises
    for exercise in exercises(): globals().update(exercise.reference)
except ImportError as why: print(why)
""",
)

# --------------------------------------------------------------------- forged answers

cheat(
    "forged answers",
    "probes.run says that all went well",
    "from labkit.checks import probes\n"
    "probes.run = lambda p, o, c, *a: [{'error': None, 'passed': True}] * len(c)",
)
cheat(
    "forged answers",
    "answers of the right shapes with wrong numbers",
    """
import torch
from labkit.checks import probes
def forged(probe, objects, cases, *a, **k):
    return [{"error": None, "output": torch.zeros(3, 4, 5), "device": True,
             "mutated": [], "repeat": True, "called": [], "largest": 1,
             "gradients": {}} for _ in cases]
probes.run = forged
""",
)
cheat(
    "forged answers",
    "verdicts written to every open descriptor",
    """
import json, os, struct
text = json.dumps({"outcome": "right", "passed": True, "score": 100}).encode()
for number in range(3, 40):
    try: os.write(number, struct.pack("!II", len(text), 0) + text)
    except OSError: pass
os._exit(0)
""",
)
cheat(
    "forged answers",
    "a pickle that runs code where it is read",
    """
import pickle, os
from labkit.checks import plain
class Bomb:
    def __reduce__(self): return (os.system, ("touch TARGET.bomb",))
plain.dumps = lambda *a: pickle.dumps(Bomb())
""",
)
cheat(
    "forged answers",
    "an answer of 60 MB",
    "from labkit.checks import plain\nplain.dumps = lambda *a: b'x' * (60 << 20)",
)
cheat(
    "forged answers",
    "an answer that says it is 4 GB long",
    """
import os, struct
for number in range(3, 40):
    try: os.write(number, struct.pack("!II", 10, 2**32 - 1))
    except OSError: pass
""",
)
cheat(
    "forged answers",
    "records nested ten thousand deep",
    """
from labkit.checks import probes
def deep(*a, **k):
    nest = []
    for _ in range(10_000): nest = [nest]
    return nest
probes.run = deep
""",
)
cheat(
    "forged answers",
    "a state dict that is not one",
    "from labkit.checks import probes\n"
    "probes.run = lambda p, o, c, *a: [{'parameters': 7, 'output': {}}] * len(c)",
)

cheat(
    "forged answers",
    "errors of millions of words",
    """
from labkit.checks import plain, probes
plain.HEADER_LIMIT = 2**40
said = {"stage": "s", "type": "E", "message": "a " * 1_000_000, "line": ""}
probes.run = lambda p, o, c, *a: [{"error": said} for _ in c]
""",
)
cheat(
    "forged answers",
    "an error of a million words that no cell raised",
    """
program = type(get_ipython())._showtraceback.__globals__
program["run_cell"] = lambda *a: [
    {"output_type": "error", "ename": "E" * 10**6, "evalue": "a " * 10**6,
     "traceback": []}]
""",
)

cheat(
    "forged answers",
    "the cases asked of the probe's own frame",
    """
import sys
def batch_norm(x, *a, **k):
    frame = sys._getframe()
    while frame:
        for name in ("right", "reference", "expected"):
            if name in frame.f_locals: return frame.f_locals[name]
        frame = frame.f_back
    return x
""",
)
cheat(
    "forged answers",
    "a tensor that detaches into another",
    """
import torch
class Late(torch.Tensor):
    def detach(self): return torch.nn.functional.layer_norm(self, self.shape[-1:])
    def clone(self): return self
def batch_norm(x, *a, **k): return x.as_subclass(Late)
""",
)
cheat(
    "forged answers",
    "the probe's comparisons say that nothing changed",
    "from labkit.checks import probes\n"
    "probes._same = lambda *a: True\nprobes._changed = lambda *a: []",
)
cheat(
    "forged answers",
    "a reply without its end, and no more",
    "from labkit.checks import plain\nplain.dumps = lambda *a: b'x'",
)
cheat(
    "forged answers",
    "replies of numbers that are none",
    """
import torch
from labkit.checks import probes
def forged(probe, objects, cases, *a, **k):
    return [{"error": None, "output": torch.full((3, 4, 5), float("nan")),
             "device": True, "mutated": [], "repeat": True, "called": [],
             "largest": 1, "gradients": {}} for _ in cases]
probes.run = forged
""",
)
cheat(
    "forged answers",
    "one answer for all cases, learnt from the first",
    "kept = []\ndef batch_norm(x, *a, **k):\n    kept.append(x)\n    return kept[0]",
)

# ----------------------------------------------------------------------- control flow

for title, code in {
    "SystemExit in an answer": "raise SystemExit(0)",
    "KeyboardInterrupt in an answer": "raise KeyboardInterrupt",
    "exit() in an answer": "exit()",
    "SystemExit when called": "def batch_norm(*a, **k): raise SystemExit(0)",
    "GeneratorExit when called": "def batch_norm(*a, **k): raise GeneratorExit",
    "an exception whose text raises": (
        "class Bad(Exception):\n    def __str__(self): 1 / 0\nraise Bad()"
    ),
}.items():
    cheat("control flow", title, code)

# ----------------------------------------------------------------------- reaching out

cheat(
    "reaching out",
    "runs the solution that lies in the course",
    """
import glob, json
for path in glob.glob("TARGET") + glob.glob("/**/solutions/*.ipynb", recursive=False):
    for cell in json.load(open(path))["cells"]:
        if cell["cell_type"] == "code": exec("".join(cell["source"]), globals())
""",
)
cheat(
    "reaching out",
    "raises its score in the gradebook",
    """
import os, sqlite3
book = os.path.join(os.path.dirname("TARGET"), "../../../gradebook.db")
try: sqlite3.connect(book).execute("UPDATE grade SET auto_score = 99")
except Exception as why: print(why)
""",
)
cheat(
    "reaching out",
    "reads the seed of the private cases",
    """
import os
path = os.path.join(os.path.dirname("TARGET"), "../../../labkit.json")
try: print(open(path).read())
except OSError as why: print(why)
""",
)
cheat(
    "reaching out",
    "looks through the processes for the seed",
    """
import glob
for path in glob.glob("/proc/*/environ") + glob.glob("/proc/*/mem"):
    print(open(path, "rb").read())
""",
)
harm(
    "reaching out",
    "sends what it finds over the network",
    """
import socket
for family, address in ((2, ("1.1.1.1", 53)), (10, ("::1", 53)), (1, "/run/bus")):
    try: socket.socket(family).connect(address); print("REACHED")
    except OSError as why: print(why)
""",
)
harm(
    "reaching out",
    "asks for a name on the network",
    "import socket\ntry: print(socket.gethostbyname('localhost.example'))\n"
    "except OSError as why: print(why)",
)

cheat(
    "reaching out",
    "waits for the course's answers in the next exercise",
    """
import gc, inspect
for found in gc.get_objects():
    if inspect.isfunction(found) and found.__name__.endswith("_norm"):
        globals().setdefault("kept", []).append(found)
""",
)
cheat(
    "reaching out",
    "leaves a file for the process of the next exercise",
    """
import os
for path in ("/tmp/kept.py", os.path.expanduser("~/kept.py"), "kept.py"):
    try: open(path, "a").write("import torch; found = torch.nn.functional.layer_norm")
    except OSError as why: print(why)
""",
)

# ----------------------------------------------------------------------------- damage

harm(
    "damage",
    "deletes what it can",
    """
import os, shutil
for path in ("TARGET", os.path.dirname("TARGET"), os.path.expanduser("~")):
    shutil.rmtree(path, ignore_errors=True)
    try: os.remove(path)
    except OSError: pass
""",
)
harm("damage", "deletes by the shell", "!rm -rf TARGET /tmp/* ~/* 2>&1 | tail -1")
harm(
    "damage",
    "writes wherever it can",
    """
import os
for path in ("TARGET", "/tmp/labkit-was-here", "/var/tmp/labkit-was-here",
             "/dev/shm/labkit-was-here", "/usr/lib/labkit-was-here"):
    try: open(path, "w").write("labkit was here")
    except OSError: pass
""",
)
harm(
    "damage",
    "spoils PyTorch's files for the next",
    """
import torch
try: open(torch.__file__, "a").write("1 / 0")
except OSError as why: print(why)
""",
)
harm(
    "damage",
    "spoils PyTorch in memory for the next",
    "import torch\ntorch.spoiled = True\ntorch.set_default_dtype(torch.float64)\n"
    "torch.set_default_dtype(torch.float32)",
)
harm(
    "damage",
    "kills its parent and everything else",
    """
import os, signal
for pid in (os.getppid(), -1, *range(2, 300)):
    try: os.kill(pid, signal.SIGKILL)
    except OSError: pass
""",
)
harm(
    "damage",
    "leaves a daemon behind",
    f"""
import os, subprocess
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0: os.execvp("sleep", ["sleep", "{MARK}"])
    os._exit(0)
subprocess.Popen(["sleep", "{MARK}"], start_new_session=True)
""",
)
harm(
    "damage",
    "leaves a thread that kills it later",
    """
import os, threading
threading.Timer(0.05, lambda: [os.close(fd) for fd in range(3, 50)]).start()
import time; time.sleep(0.3)
""",
    costs=(FIRST,),
    said="ended",
)
harm(
    "damage",
    "changes limits, user and root",
    """
import os, resource
for attempt in (lambda: resource.setrlimit(resource.RLIMIT_NPROC, (9999, 9999)),
                lambda: os.setuid(0), lambda: os.chroot("/usr"), lambda: os.nice(-20)):
    try: attempt(); print("REACHED")
    except (OSError, ValueError) as why: print(why)
""",
)

# ------------------------------------------------------------------------------ death

for title, code in {
    "os._exit": "import os\nos._exit(0)",
    "abort": "import os\nos.abort()",
    "a null pointer": "import ctypes\nctypes.string_at(0)",
    "its pipe closed": "import os\nos.closerange(3, 100)",
    "a stack that overflows": (
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()"
    ),
}.items():
    harm("death", title, code, costs=(FIRST,), said="1.1")
harm(
    "death",
    "an endless loop that ignores signals",
    "import signal\nsignal.signal(2, signal.SIG_IGN)\nwhile True: pass",
    costs=(FIRST,),
    said="Stopped after",
)
harm(
    "death",
    "an endless loop in C",
    "import itertools, collections\ncollections.deque(itertools.count(), maxlen=0)",
    costs=(FIRST,),
    said="Stopped after",
)
add(
    "death",
    "an endless loop when it is called",
    "harm",
    lambda w: w.right(**{FIRST: "def batch_norm(*a, **k):\n    while True: pass"}),
    costs=(FIRST,),
    said="Stopped after",
)
harm(
    "death",
    "stops itself",
    "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
)

# -------------------------------------------------------------------------- resources

for title, code in {
    "endless output": "for _ in range(20_000): print('spam' * 20)",
    "30 MB of HTML": (
        "from IPython.display import HTML, display\ndisplay(HTML('<b>' * 10_000_000))"
    ),
    "3 GB of memory": (
        "try: bytearray(3 << 30); print('REACHED')\nexcept MemoryError: print('no')"
    ),
    "a tensor of 3 GB": (
        "import torch\ntry: torch.zeros(3 << 28); print('REACHED')\n"
        "except RuntimeError: print('no')"
    ),
    "150 processes": (
        "import os\n"
        "try:\n"
        "    for _ in range(150):\n"
        f"        os.posix_spawnp('sleep', ['sleep', '{MARK}'], {{}})\n"
        "    print('REACHED')\n"
        "except OSError: pass"
    ),
    "a full disk": (
        "try:\n"
        "    for i in range(40): open(f'f{i}', 'wb').write(bytes(8 << 20))\n"
        "    print('REACHED')\n"
        "except OSError: pass\n"
        "import os, glob\n[os.remove(f) for f in glob.glob('f*')]"
    ),
    "a thousand open files": (
        "try:\n"
        "    files = [open('/dev/null') for _ in range(1000)]\n"
        "    print('REACHED')\n"
        "except OSError: files = []"
    ),
    "input()": "name = input('Who are you? ')",
    "a warning on stderr": "import sys\nprint('careful', file=sys.stderr)",
    "a figure of 8 MB": (
        "import matplotlib.pyplot as plt, numpy\n"
        "plt.figure(figsize=(20, 20))\n"
        "plt.imshow(numpy.random.rand(1500, 1500))\nplt.show()"
    ),
}.items():
    harm("resources", title, code)
harm("resources", "half a character printed", "print('\\ud800')")
add(
    "resources",
    "half a character in an error",
    "harm",
    lambda w: w.right(
        **{FIRST: "def batch_norm(*a, **k): raise ValueError('\\ud800')"}
    ),
    costs=(FIRST,),
)


# ---------------------------------------------------------------- correct but altered


def _strip(*fields: str) -> Callable[[dict], None]:
    def change(notebook):
        for cell in notebook.cells:
            for name in fields:
                if name == "metadata":
                    cell.metadata = {}
                else:
                    cell.pop(name, None)

    return change


def _delete_checks(notebook):
    notebook.cells = [c for c in notebook.cells if not grade_id(c, "grade")]


def _duplicate_answers(notebook):
    notebook.cells += [copy.deepcopy(c) for c in notebook.cells if c.id[:2] == "ex"]


def _duplicate_checks(notebook):
    notebook.cells += [copy.deepcopy(c) for c in _checks(notebook)]


def _reverse(notebook):
    notebook.cells.reverse()


def _as_colab(notebook):
    """Colab drops cell ids, and adds metadata of its own."""
    notebook.metadata["colab"] = {"provenance": []}
    notebook["nbformat_minor"] = 0
    for cell in notebook.cells:
        cell.pop("id", None)
        cell.metadata["id"] = "aBc"


def _turned(notebook, kind):
    for cell in notebook.cells:
        if cell.id[:2] == "ex":
            cell.cell_type = kind


def _zipped(notebook) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("my/lab.ipynb", json.dumps(notebook))
    return made.getvalue()


def _split_lines(notebook):
    for cell in notebook.cells:
        cell["source"] = cell.source.splitlines(keepends=True)


def _windows(notebook):
    for cell in notebook.cells:
        cell["source"] = cell.source.replace("\n", "\r\n")


def _encoded(encoding: str) -> Callable[[dict], bytes]:
    return lambda notebook: json.dumps(notebook, ensure_ascii=False).encode(encoding)


def _with_outputs(notebook):
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [
                {"output_type": "stream", "name": "stdout", "text": "x" * 9}
            ]
            cell.execution_count = 7


for title, change in {
    "all metadata gone": _strip("metadata"),
    "all cell ids gone": _strip("id"),
    "metadata and ids gone": _strip("metadata", "id"),
    "saved by Colab": _as_colab,
    "check cells deleted": _delete_checks,
    "check cells doubled": _duplicate_checks,
    "answer cells doubled": _duplicate_answers,
    "sources as lists of lines": _split_lines,
    "Windows line ends": _windows,
    "a byte-order mark": _encoded("utf-8-sig"),
    "UTF-16": _encoded("utf-16"),
    "outputs of an earlier run": _with_outputs,
    "notebook metadata gone": lambda n: n.update(metadata={}),
    "text cells deleted": lambda n: n.update(
        cells=[c for c in n.cells if c.cell_type == "code"]
    ),
    "answers turned into Markdown": lambda n: _turned(n, "markdown"),
    "answers turned into raw text": lambda n: _turned(n, "raw"),
    "every answer under %%time": lambda n: (
        [c.update(source=f"%%time\n{c.source}") for c in n.cells if c.id[:2] == "ex"]
        and None
    ),
    "ids moved into the metadata by Colab": lambda n: (
        [c.update(metadata={"id": c.pop("id")}) for c in n.cells] and None
    ),
    "answers in copies of the first answer's cell": lambda n: (
        [
            c.update(id=f"x{i}", metadata={"nbgrader": {"grade_id": "exercise-1-1"}})
            for i, c in enumerate(n.cells)
            if c.id[:2] == "ex"
        ]
        and None
    ),
    "strange fields everywhere": lambda n: (
        [c.update(x={"y": [None]}) for c in n.cells] and None
    ),
}.items():
    damage(title, change)
damage(
    "renamed by a browser", lambda n: None, name="lab_01 (1).ipynb", said="was found as"
)
for name in ("lab.IPYNB", "lab.ipynb.txt", "lab.json", "my work/lab.ipynb"):
    damage(f"saved as {name}", lambda n: None, name=name, said=name)
damage("zipped", lambda n: _zipped(n), name="work.zip", said="work.zip: my/lab.ipynb")
damage("cells in reverse order", _reverse)

# ------------------------------------------------------------------------ broken file

for title, data, said in (
    ("an empty file", b"", "JSON"),
    ("half a file", b'{"cells": [{"cell_type": "code", "sou', "damaged"),
    ("a list", b"[1, 2, 3]", "not a Jupyter notebook"),
    ("a number", b"7", "not a Jupyter notebook"),
    ("nested a million deep", b'{"cells":' + b"[" * 1_000_000, "JSON"),
    ("a program instead", b"def layer_norm(x): return x\n", "JSON"),
    ("a ZIP file", b"PK\x03\x04" + bytes(range(256)), "JSON"),
    ("no cells", b'{"cells": [], "metadata": {}}', "No cell of lab_01"),
    ("wrong types", b'{"cells": [1, null, {"cell_type": 3}]}', "No cell of lab_01"),
    ("nbformat 3", b'{"nbformat": 3, "worksheets": [{"cells": []}]}', "nbformat 3"),
    (
        "another notebook",
        b'{"cells": [{"cell_type": "code", "source": "print(1)", "metadata": {}}]}',
        "No cell of lab_01",
    ),
    ("51 MB", b" " * (51 << 20), "larger than 50 MB"),
):
    broken(title, lambda w, data=data: data, said)
