"""What an error means: PyTorch's and Python's words, and a sentence for a novice.

One table for all exercises; the first row that fits speaks. A row is the error's type
and message, as a pattern; what the line that raised it holds, as another ("" for any);
and the sentence, in which {0}, {1}, … are the groups of the first pattern.
"""

import re

FITS = "Axes are matched from the right, and an axis of size 1 stretches."

TABLE: tuple[tuple[str, str, str], ...] = (
    # ------------------------------------------------------------------ Python's own
    (
        r"^SystemExit",
        "",
        "exit(), quit() and sys.exit() end Python. Return a value instead, or raise an "
        "error that says what is wrong.",
    ),
    (
        r"^RecursionError",
        "",
        "The answer calls itself without end. Usual cause: a name of yours is also the "
        "name of what you meant to call.",
    ),
    (
        r"^NameError: name '(\w+)' is not defined",
        "",
        "Nothing here is called {0}: a slip in the name, or the cell that imports or "
        "defines it was not run.",
    ),
    (
        r"too many values to unpack|not enough values to unpack",
        "shape|size",
        "The tensor has another number of axes than the line has names for. Take the "
        "sizes that you need from the end, x.shape[-1]: that fits any number of axes.",
    ),
    (
        r"^TypeError: '(Tensor|int|float|Parameter)' object is not callable",
        "",
        "A {0} stands where a function or module should: arguments in another order "
        "than the task has them, or a name that is used twice.",
    ),
    (
        r"^TypeError: .*(?:takes|missing) .*positional argument",
        "",
        "The number of arguments does not fit. Compare the first line of the "
        "definition, def …, with the task: its arguments, in its order.",
    ),
    (
        r"^TypeError: .*(?:multiple values for|unexpected keyword) "
        r"(?:keyword )?argument '(\w+)'",
        "",
        "{0} does not stand where the task has it. Compare the first line of the "
        "definition with the task: its arguments, by its names, in its order.",
    ),
    (
        r"'NoneType' object|and 'NoneType'|'NoneType' and",
        "",
        "Something is None: an argument that may be left out, used without asking "
        "“is None” first, or what comes of a function without return.",
    ),
    (
        r"^AttributeError: '(int|float|bool|str|tuple|list)' object has no attribute "
        r"'(\w+)'",
        "",
        "A {0} has no .{1}; a tensor should stand there. Usual causes: arguments in "
        "another order than the task has them, or the whole of what a call returned "
        "where one part of it is meant.",
    ),
    # ------------------------------------------------------------ modules, gradients
    (
        r"before Module\.__init__\(\) call|no attribute '_(?:parameters|modules)'",
        "",
        "super().__init__() is missing. It must be the first line of __init__: before "
        "it, a module can keep neither layers nor parameters.",
    ),
    (
        r"leaf Variable that requires grad .*in-place",
        "",
        "A parameter was changed while autograd records. To set weights, do it inside "
        "“with torch.no_grad():”, or use load_state_dict.",
    ),
    (
        r"modified by an inplace operation",
        "",
        "A tensor that the gradient needs was changed in place: +=, -=, x[…] = … or a "
        "method ending in an underscore. Make a new tensor instead.",
    ),
    (
        r"does not require grad and does not have a grad_fn",
        "",
        "There is nothing to differentiate: .detach(), .item(), torch.tensor(…) or "
        "torch.no_grad() has cut the gradient off.",
    ),
    (
        r"numpy\(\) on Tensor that requires grad",
        "",
        "NumPy records no gradients. Stay with operations on the tensor itself.",
    ),
    # ----------------------------------------------------------------- device, dtype
    (
        r"on the same device",
        "",
        "A tensor made here lies on the CPU; make it where the input lies, "
        "device=x.device, or move it there, .to(x.device).",
    ),
    (
        r"same dtype|expected scalar type|type \(\w+\) and \w+ type \(\w+\) should",
        "",
        "Two tensors of different dtypes meet. Whatever you make takes its dtype from "
        "the input: dtype=x.dtype, x.new_zeros(…), torch.zeros_like(x), .to(x).",
    ),
    (
        r"could not infer output dtype|only supports? floating.point|"
        r"not implemented for '(?:Long|Int|Bool)'",
        "",
        "This needs numbers with a point, and the tensor holds whole numbers or truth "
        "values. Convert it to the dtype of the input: .to(x.dtype).",
    ),
    (
        r"only supports boolean masks|only implemented on integer and Boolean",
        "",
        "A mask must be boolean, True and False; yours holds numbers. A comparison "
        "gives one: mask == 0.",
    ),
    # -------------------------------------------------------------- tensors as numbers
    (
        r"Boolean value of Tensor",
        "",
        "if, and, or, not, max and min want one truth value; a tensor has one for each "
        "entry. Decide entry by entry with torch.where or masked_fill, or ask "
        "“is None” where you mean that.",
    ),
    (
        r"only one element tensors|cannot be converted to (?:Python )?[Ss]calar",
        "",
        "A tensor of several entries stands where one number should. The functions of "
        "math work on numbers; use those of torch on tensors.",
    ),
    (
        r"must be Tensor, not (?:int|float)",
        r"sqrt|exp|log|erf|cos|sin|tanh",
        "torch's functions want tensors, and this is a plain number. Use math's: "
        "math.sqrt(…), or number ** 0.5.",
    ),
    (
        r"must be Tensor, not (\w+)",
        "",
        "A {0} stands where a tensor should: arguments in another order, or the "
        "whole of what a call returned where one part of it is meant.",
    ),
    # ---------------------------------------------------------------------- shapes
    (
        r"(?:tuple of ints|type must be|as an integer|must be int|SymInt).*float|"
        r"'float' object cannot be interpreted as an integer|"
        r"(?:reshape|view|unflatten|zeros|ones|arange|split|chunk)\(.*float",
        "",
        "A size must be a whole number, and / gives a float even where it comes out "
        "even. Divide with //.",
    ),
    (
        r"^RuntimeError.*(?:must match|[Ee]xpected size|mismatch|cannot be multiplied)|"
        r"tensor\.T|x\.T",
        r"\.T\b",
        ".T reverses all axes, the batch too, not only the last two. Transpose the "
        "last two with .mT or .transpose(-2, -1).",
    ),
    (
        r"The size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\) at "
        r"non-singleton dimension (\d+)",
        "",
        "Two tensors do not fit: at axis {2} of the result one has size {0}, the other "
        f"{{1}}. {FITS} Usual cause: a mean, var, sum or amax without keepdim=True, "
        "which drops its axis instead of leaving size 1.",
    ),
    (
        r"[Tt]he expanded size of the tensor \((-?\d+)\) must match the existing size "
        r"\((\d+)\) at non-singleton dimension (\d+)",
        "",
        "Only an axis of size 1 can be expanded, and axis {2} has size {1}, not 1 or "
        "{0}. Look at the tensor's shape first.",
    ),
    (
        r"Sizes of tensors must match except in dimension (\d+)\. "
        r"Expected size (\d+) but got size (\d+)",
        "",
        "cat along axis {0} wants all other axes alike, and one has size {1} here, "
        "{2} there. It does not broadcast: .expand(len(x), -1, -1) gives every sample "
        "its own.",
    ),
    (
        r"Tensors must have same number of dimensions: got (\d+) and (\d+)",
        "",
        "cat wants tensors of equally many axes; here are {0} and {1}. Give the one "
        "with fewer the missing axes first: [None], unsqueeze or view, then expand.",
    ),
    (
        r"stack expects each tensor to be equal size",
        "",
        "stack adds an axis and wants tensors of one shape; cat joins them along an "
        "axis that they have.",
    ),
    (
        r"(?:mat1 and mat2 shapes cannot be multiplied|size mismatch|"
        r"[Ee]xpected size for first two dimensions of batch2)",
        "",
        "The last axis of the left factor must be as long as the last but one of the "
        "right. A weight is stored as (outputs, inputs): x @ weight.T, or F.linear(x, "
        "weight), which transposes by itself. Keys need .mT.",
    ),
    (
        r"shape '(\[[^\]]*\])' is invalid for input of size (\d+)",
        "",
        "A shape can be changed only to one with equally many entries, {1} here; {0} "
        "has another number.",
    ),
    (
        r"Provided sizes (\[[^\]]*\]) don't multiply up to the size of dim \S+ "
        r"\((\d+)\)",
        "",
        "The sizes {0} must multiply to that of the axis which they divide, {1}.",
    ),
    (
        r"view size is not compatible",
        "",
        "After transpose or permute the entries no longer lie in this order in memory: "
        "use reshape (or flatten) instead of view.",
    ),
    (
        r"Dimension out of range \(expected to be in range of \[(-?\d+), (-?\d+)\], "
        r"but got (-?\d+)\)",
        "",
        "There is no axis {2}: the tensor's axes run from {0} to {1}. Count from the "
        "end, dim=-1, where the number of axes may differ.",
    ),
    (
        r"index (-?\d+) is out of bounds for dimension (\d+) with size (\d+)",
        "",
        "Axis {1} has {2} entries, counted from 0; entry {0} is not among them.",
    ),
    (
        r"number of dimensions in the tensor input does not match the length of",
        "",
        "permute wants every axis once: as many numbers as the tensor has axes.",
    ),
    (
        r"einsum\(\)",
        "",
        "Each letter of the equation stands for one size, and each tensor needs one "
        "letter for every axis. Compare them with the shapes, tensor by tensor.",
    ),
)


def sentence(error: dict) -> str:
    """What an error in a reply means, "" where the table does not know it."""
    said = f"{error['type']}: {error['message']}"
    for pattern, line, means in TABLE:
        found = re.search(pattern, said)
        if found and re.search(line, error["line"]):
            return means.format(*found.groups())
    return ""
