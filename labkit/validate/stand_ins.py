"""Stand-ins for machines that are not at hand: no other module knows of them.

LABKIT_VARIANT names one of labkit.validate.VARIANTS, and `install` makes this process
that machine. It comes first of all: in the kernels of `labkit validate` as an IPython
extension, in the tests from tests/conftest.py.

Two of them are made here. `OtherArithmetic` rounds as a GPU might. `Elsewhere` is a
pretend device: what a GPU would object to, found where there is none. Its tensors hold
their values on the CPU, so everything can be computed and compared, but they keep a
GPU's rules:

- an operation on tensors of two devices raises what CUDA raises;
- such a tensor becomes a NumPy array only by way of .cpu();
- random numbers drawn there are not those that the same seed gives on the CPU.

Only a GPU shows the speed and the limits of its own kernels.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.optim import optimizer
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import labkit.runtime as runtime

# A device type that every build of PyTorch knows and none has kernels for.
DEVICE = torch.device("lazy")
ATEN = torch.ops.aten
INDEXING = (ATEN.index, ATEN.index_put, ATEN.index_put_)

installed: str | None = None  # the variant that this process is


def install() -> None:
    """Make this process the machine that LABKIT_VARIANT names, for good.

    Without the variable nothing changes. Raises RuntimeError for an unknown name, and
    where the process has gone too far to become that machine.
    """
    global installed
    name = os.environ.get("LABKIT_VARIANT")
    if not name or name == installed:
        return
    if name not in MAKE:
        known = ", ".join(MAKE)
        raise RuntimeError(f"LABKIT_VARIANT is {name!r}; use one of {known}.")
    if installed:
        raise RuntimeError(f"this process is {installed} already, and not {name}")
    MAKE[name]()
    installed = name


def load_ipython_extension(shell: object) -> None:
    """What a kernel calls that is started with this extension."""
    install()


def _hold_threads() -> None:
    """As many threads as the variant says, whatever the notebook chooses."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    torch.set_num_threads = lambda _: None


def _need_plain_cpu() -> None:
    """PyTorch reads ATEN_CPU_CAPABILITY itself, when it computes for the first time."""
    if (capability := torch.backends.cpu.get_cpu_capability()) != "DEFAULT":
        raise RuntimeError(f"PyTorch computes with {capability}, not plainly")


def _disable_onednn() -> None:
    """PyTorch's own matrix products and convolutions."""
    torch.backends.mkldnn.enabled = False


def _perturb() -> None:
    OtherArithmetic().__enter__()


def _go_elsewhere() -> None:
    """labkit.runtime.device() answers with the pretend device from now on."""
    real = runtime.device
    for name, module in list(sys.modules.items()):
        if name.startswith("labkit.") and module is not runtime:
            if any(value is real for value in vars(module).values()):
                raise RuntimeError(f"{name} has the real device already")

    def device() -> torch.device:
        real()  # its settings
        return DEVICE

    runtime.device = device
    Elsewhere().__enter__()


# A key for each of labkit.validate.VARIANTS.
MAKE = {
    "one-thread": _hold_threads,
    "two-threads": _hold_threads,
    "plain-cpu": _need_plain_cpu,
    "no-onednn": _disable_onednn,
    "perturb": _perturb,
    "elsewhere": _go_elsewhere,
}


class OtherArithmetic(TorchDispatchMode):
    """Puts every matrix product and convolution slightly off, forward and backward.

    It stands in for the arithmetic of another device where there is none to test on:
    under it the stored outputs must still hold. The relative size is 1e-6 in float32,
    ten times what a GPU's other order of summation makes, and 1e-15 in float64.
    """

    SIZES = {torch.float32: 1e-6, torch.float64: 1e-15}

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(0)  # not the notebook's own

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name not in ("mm", "addmm", "bmm", "baddbmm", "convolution"):
            return out
        noise = torch.rand(out.shape, generator=self.generator).to(out) * 2 - 1
        return out + out * noise * self.SIZES.get(out.dtype, 0)


class Away(Tensor):
    """A tensor elsewhere; its values are `held` on the CPU."""

    # below __torch_function__ all operations look alike: catch them there
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: Tensor) -> "Away":
        return Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
        )

    def __init__(self, held: Tensor):
        self.held = held

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})

    @property
    def data(self) -> Tensor:
        return self.detach()

    @data.setter
    def data(self, new: Tensor) -> None:  # module.to(dtype) writes here
        Tensor.data.__set__(self, new)
        self.held = new.held

    # What PyTorch's own class does for a GPU's tensors, but for no subclass's:

    def __format__(self, form: str) -> str:
        return format(self.item(), form) if self.dim() == 0 else str(self)

    def tolist(self) -> list:
        return self.cpu().tolist()

    def numpy(self, **_):
        raise TypeError(
            "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to "
            "copy the tensor to host memory first."
        )


Away.__name__ = "Tensor"  # in PyTorch's error messages


class Elsewhere(TorchDispatchMode):
    """While it is active, the pretend device exists."""

    def __enter__(self) -> "Elsewhere":
        self.made = _MadeFromNumbers().__enter__()
        self.seed, torch.manual_seed = torch.manual_seed, self._seed_both
        self.fused = optimizer._get_fused_kernels_supported_devices
        optimizer._get_fused_kernels_supported_devices = self._with_fused_kernels
        _reseed(0)
        return super().__enter__()

    def __exit__(self, *failure) -> None:
        super().__exit__(*failure)
        torch.manual_seed = self.seed
        optimizer._get_fused_kernels_supported_devices = self.fused
        self.made.__exit__(*failure)

    def _seed_both(self, seed: int) -> torch.Generator:
        """As torch.manual_seed does for the CPU and every GPU."""
        _reseed(seed)
        return self.seed(seed)

    def _with_fused_kernels(self) -> list[str]:
        """The devices on which optimizers take fused=True: a GPU is one of them."""
        return [*self.fused(), DEVICE.type]

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


class _MadeFromNumbers(TorchFunctionMode):
    """Tensors made from lists of numbers: made on the CPU, then moved."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor) and _is_elsewhere(kwargs):
            return func(*args, **{**kwargs, "device": "cpu"}).to(DEVICE)
        if func is Tensor.new_tensor and type(args[0]) is Away:
            wanted = {"dtype": args[0].dtype, "device": DEVICE, **kwargs}
            return torch.tensor(*args[1:], **{**wanted, "device": "cpu"}).to(
                wanted["device"]
            )
        if func in (Tensor.__getitem__, Tensor.__setitem__) and type(args[0]) is Away:
            args = (args[0], _as_tensors(args[1]), *args[2:])
        return func(*args, **kwargs)


def _as_tensors(index: object) -> object:
    """An index with tensors in the place of lists."""
    if isinstance(index, tuple):
        return tuple(_as_tensors(part) for part in index)
    return torch.tensor(index) if isinstance(index, list) else index


def _is_elsewhere(kwargs: dict) -> bool:
    wanted = kwargs.get("device")
    return wanted is not None and torch.device(wanted) == DEVICE


def _run(func, args: tuple, kwargs: dict) -> object:
    """One operation: refuse to mix devices, compute on the CPU, send back."""
    given: list[Tensor] = []
    held_args = _held(args, given)
    held_kwargs = {name: _held(value, given) for name, value in kwargs.items()}
    away = {id(t.held): t for t in given if type(t) is Away}
    if len(away) < len(given):
        _refuse_to_mix(func, args, given)
    there = bool(away) if kwargs.get("device") is None else _is_elsewhere(kwargs)
    if _is_elsewhere(kwargs):
        held_kwargs["device"] = torch.device("cpu")
    random = torch.Tag.nondeterministic_seeded in func.tags
    if there and random and kwargs.get("generator") is None:
        with _other_numbers():
            out = func(*held_args, **held_kwargs)
    else:
        out = func(*held_args, **held_kwargs)
    if there and torch.Tag.inplace_view in func.tags:
        args[0].data = Away(args[0].held)  # it shows another shape now
    here = {id(t) for t in given if type(t) is not Away}
    return _sent(out, away, here, there)


def _held(value: object, given: list[Tensor]) -> object:
    """The values that tensors elsewhere hold; all tensors are added to `given`."""
    if isinstance(value, Tensor):
        given.append(value)
        return value.held if type(value) is Away else value
    if isinstance(value, list | tuple):
        return type(value)([_held(item, given) for item in value])
    return value


def _sent(out: object, away: dict[int, Away], here: set[int], there: bool) -> object:
    """What came out, where it belongs; a tensor changed in place is still itself."""
    if isinstance(out, Tensor):
        if id(out) in away:
            return away[id(out)]
        return Away(out) if there and id(out) not in here else out
    if isinstance(out, list | tuple):
        return type(out)([_sent(item, away, here, there) for item in out])
    return out


def _refuse_to_mix(func, args: tuple, given: list[Tensor]) -> None:
    """Raise what CUDA raises for tensors of two devices.

    Allowed there, and here: copying; a number in a CPU tensor without axes; a CPU
    tensor as index.
    """
    packet = func.overloadpacket
    if packet in INDEXING and type(args[0]) is Away:
        given = [t for t in given if not any(t is index for index in args[1])]
    there = [t for t in given if type(t) is Away]
    here = [t for t in given if type(t) is not Away]
    if not there or not here or packet in (ATEN.copy_, ATEN._to_copy):
        return
    changed_here = func._schema.is_mutable and args and any(args[0] is t for t in here)
    listed = bool(args) and isinstance(args[0], list | tuple)  # cat, stack
    if changed_here or listed or any(t.dim() for t in here):
        raise RuntimeError(
            "Expected all tensors to be on the same device, but found at least two "
            f"devices, {DEVICE.type}:0 and cpu! (when calling {packet})"
        )


_state = torch.Generator().get_state()


def _reseed(seed: int) -> None:
    global _state
    _state = torch.Generator().manual_seed(seed + 1).get_state()


@contextmanager
def _other_numbers() -> Iterator[None]:
    """Draw from the pretend device's generator, and leave the CPU's as it was."""
    global _state
    before = torch.get_rng_state()
    torch.set_rng_state(_state)
    try:
        yield
    finally:
        _state = torch.get_rng_state()
        torch.set_rng_state(before)
