"""Exercise 4.1.4: the linear map of patches as a convolution."""

import torch
from torch import nn
from torch.nn import functional as F

from labkit.checks.exercise import Cases, Draw, Exercise, Replies, looks_at, not_three
from labkit.checks.probes import Case


def convolution(weight, bias, patch, channels, kernel=None, **options):
    """The right answer; another kernel or other options for the wrong ones."""
    kernel = weight.unflatten(1, (channels, patch, patch)) if kernel is None else kernel
    exact = {"dtype": weight.dtype, "device": weight.device}
    options = {"stride": patch, **exact, **options}
    conv = nn.Conv2d(channels, len(weight), patch, **options)
    conv.weight = nn.Parameter(kernel.to(conv.weight).contiguous())
    if bias is not None and conv.bias is not None:
        conv.bias = nn.Parameter(bias.to(conv.weight))
    return conv


@looks_at("made")
def returns_a_convolution(cases: Cases, replies: Replies) -> str | None:
    for name, case in cases.items():
        made = replies[name].get("made")
        if case.edge or made is None:
            continue
        if made["type"] != "Conv2d":
            return (
                f"embedding_as_convolution returned a {made['type']}; expected an "
                "nn.Conv2d."
            )
        D, entries = case.args["weight"].shape
        P, C = case.args["patch"], case.args["channels"]
        wanted = {"weight": (D, C, P, P), "bias": (D,)}
        shapes = {key: tuple(size) for key, size in made["parameters"].items()}
        if shapes != wanted:
            return f"The convolution's parameters are {shapes}; expected {wanted}."
        said = [made["numbers"].get(f"{way}_channels") for way in ("in", "out")]
        if said != [C, D]:
            return (
                f"The convolution says that it goes from {said[0]} to {said[1]} "
                f"channels; expected from {C} to {D}."
            )
    return None


class EmbeddingAsConvolution(Exercise):
    """embedding_as_convolution(…): the nn.Conv2d equal to the linear map of patches."""

    number = "4.1.4"
    fixed = {"length": "the weights say how many channels there are"}
    properties = (returns_a_convolution,)

    @staticmethod
    def embedding_as_convolution(weight, bias, patch, channels):
        return convolution(weight, bias, patch, channels)

    reference = {"embedding_as_convolution": embedding_as_convolution}

    def draw_cases(self, draw: Draw):
        B, C, P, rows, columns, D = draw.sizes(6, low=2, high=8)
        C, B = not_three(C, B)
        H, W = rows * P, columns * P

        def case(name, dtype, patch, *images, edge):
            # new layers are float32: copying into one should not fail in every case
            given = {
                "weight": draw.normal(D, C * patch * patch).to(dtype),
                "bias": draw.normal(D).to(dtype),
                "patch": patch,
                "channels": C,
            }
            inputs = {"images": draw.normal(*images).to(dtype)}
            name = f"{name}: {C} channels, patch {patch}, width {D}"
            target = "embedding_as_convolution"
            return Case(name, target, given, inputs=inputs, edge=edge)

        single, double = torch.float32, torch.float64
        yield case("float32", single, P, B, C, H, W, edge=False)
        yield case("other weights", single, P, 1, C, W, H, edge=False)
        yield case("float64", double, P, B, C, H, W, edge=True)
        yield case("patches of one pixel", single, 1, B, C, rows, columns, edge=True)


@EmbeddingAsConvolution.mistake
def fresh_convolution(weight, bias, patch, channels):
    """Your convolution has random weights: the given weight and bias were not copied
    into it."""
    conv = nn.Conv2d(channels, len(weight), patch, stride=patch)
    return conv.to(weight.device)


@EmbeddingAsConvolution.mistake
def bias_not_copied(weight, bias, patch, channels):
    """Your convolution keeps the random bias that it was made with: copy the given
    one."""
    conv = fresh_convolution(weight, bias, patch, channels)
    conv.weight = nn.Parameter(weight.unflatten(1, (channels, patch, patch)))
    return conv


@EmbeddingAsConvolution.mistake
def weight_not_copied(weight, bias, patch, channels):
    """Your convolution has the given bias but keeps the random weight that it was made
    with."""
    conv = fresh_convolution(weight, bias, patch, channels)
    conv.bias = nn.Parameter(bias)
    return conv


@EmbeddingAsConvolution.mistake
def channels_declared_exchanged(weight, bias, patch, channels):
    """You gave nn.Conv2d its channels in the wrong order: those of the images come
    first, then the width of a token. The weight that you put in hides it from the
    output; who reads conv.in_channels is told something wrong."""
    conv = convolution(weight, bias, patch, channels)
    conv.in_channels, conv.out_channels = len(weight), channels
    return conv


@EmbeddingAsConvolution.mistake
def bias_lost(weight, bias, patch, channels):
    """Your convolution has no bias. The linear map has one: pass it on."""
    return convolution(weight, None, patch, channels, bias=False)


@EmbeddingAsConvolution.mistake
def bias_zero(weight, bias, patch, channels):
    """Your convolution's bias is 0: copy the given one."""
    return convolution(weight, torch.zeros_like(bias), patch, channels)


@EmbeddingAsConvolution.mistake
def stride_forgotten(weight, bias, patch, channels):
    """Your kernel moves by one pixel at a time, the default, so its windows overlap.
    It should move by a whole patch: stride=patch."""
    return convolution(weight, bias, patch, channels, stride=1)


@EmbeddingAsConvolution.mistake
def fresh_and_overlapping(weight, bias, patch, channels):
    """Your kernel moves by one pixel at a time, the default: pass stride=patch. Then
    copy the given weight and bias into the convolution, whose own are random."""
    return nn.Conv2d(channels, len(weight), patch).to(weight.device)


@EmbeddingAsConvolution.mistake
def padding_added(weight, bias, patch, channels):
    """You padded the image. Patches tile it exactly: no padding."""
    return convolution(weight, bias, patch, channels, padding=patch // 2)


@EmbeddingAsConvolution.mistake
def weight_channel_last(weight, bias, patch, channels):
    """You read a row of weight as row, column, channel. A patch is in the order
    channel, row, column, and so is Conv2d's kernel: one reshape is all it takes."""
    kernel = weight.unflatten(1, (patch, patch, channels)).permute(0, 3, 1, 2)
    return convolution(weight, bias, patch, channels, kernel)


@EmbeddingAsConvolution.mistake
def weight_transposed(weight, bias, patch, channels):
    """You transposed weight before you reshaped it. Like nn.Linear's it has one row for
    each output, and Conv2d's kernel has the outputs first too."""
    kernel = weight.T.reshape(-1, channels, patch, patch)
    return convolution(weight, bias, patch, channels, kernel)


@EmbeddingAsConvolution.mistake
def channels_reshaped_first(weight, bias, patch, channels):
    """You reshaped weight to (C, D, P, P) and exchanged the first two axes. Its rows
    are the outputs: reshape to (D, C, P, P) at once."""
    kernel = weight.reshape(channels, -1, patch, patch).transpose(0, 1)
    return convolution(weight, bias, patch, channels, kernel)


@EmbeddingAsConvolution.mistake
def kernel_on_its_side(weight, bias, patch, channels):
    """Your kernel lies on its side: rows and columns inside a patch are exchanged."""
    kernel = weight.unflatten(1, (channels, patch, patch)).mT
    return convolution(weight, bias, patch, channels, kernel)


@EmbeddingAsConvolution.mistake
def kernel_flipped(weight, bias, patch, channels):
    """You flipped the kernel, as a convolution in mathematics does. PyTorch's Conv2d
    does not flip: it is a cross-correlation."""
    kernel = weight.unflatten(1, (channels, patch, patch)).flip(2, 3)
    return convolution(weight, bias, patch, channels, kernel)


@EmbeddingAsConvolution.mistake
def kernel_averaged(weight, bias, patch, channels):
    """You divided the weight by the number of pixels in a patch. The convolution sums,
    as the linear map does."""
    kernel = weight.unflatten(1, (channels, patch, patch)) / patch**2
    return convolution(weight, bias, patch, channels, kernel)


@EmbeddingAsConvolution.mistake
def linear_returned(weight, bias, patch, channels):
    """What you returned applies the linear map to the images' last axis; a linear map
    wants patches. The convolution takes the images themselves: return an nn.Conv2d."""
    linear = nn.Linear(weight.shape[1], len(weight)).to(weight)
    linear.weight, linear.bias = nn.Parameter(weight), nn.Parameter(bias)
    return linear


@EmbeddingAsConvolution.mistake
def channels_exchanged(weight, bias, patch, channels):
    """You exchanged the channels, so that your kernel is (C, D, P, P). nn.Conv2d takes
    the number of input channels first (C), then that of output channels (D), and its
    weight is (D, C, P, P)."""
    conv = nn.Conv2d(len(weight), channels, patch, stride=patch)
    return conv.to(weight.device)


@EmbeddingAsConvolution.mistake
def channels_divided_to_floats(weight, bias, patch, channels):
    """You gave a shape with a float: / makes a float, even of numbers that divide
    exactly. Use //, or the argument channels."""
    kernel = weight.reshape(len(weight), weight.shape[1] / patch**2, patch, patch)
    return convolution(weight, bias, patch, channels, kernel)


@EmbeddingAsConvolution.mistake
def shape_not_changed(weight, bias, patch, channels):
    """You gave the convolution weight as it is, (D, C·P·P). Its kernel has four axes:
    reshape to (D, C, P, P)."""
    conv = nn.Conv2d(channels, len(weight), patch, stride=patch)
    conv.weight, conv.bias = nn.Parameter(weight), nn.Parameter(bias)
    return conv


@EmbeddingAsConvolution.mistake
def shape_not_changed_before_copying(weight, bias, patch, channels):
    """You copied weight, (D, C·P·P), into a kernel of four axes, (D, C, P, P): reshape
    it first."""
    conv = nn.Conv2d(channels, len(weight), patch, stride=patch)
    with torch.no_grad():
        conv.weight.copy_(weight)
    return conv


@EmbeddingAsConvolution.mistake
def shape_not_changed_before_loading(weight, bias, patch, channels):
    """You loaded weight, (D, C·P·P), into a kernel of four axes, (D, C, P, P): reshape
    it first."""
    conv = nn.Conv2d(channels, len(weight), patch, stride=patch)
    conv.load_state_dict({"weight": weight, "bias": bias})
    return conv


@EmbeddingAsConvolution.mistake
def copied_with_gradients_on(weight, bias, patch, channels):
    """You changed a parameter in place while gradients were recorded. Copy inside `with
    torch.no_grad():`, or assign a new nn.Parameter."""
    conv = nn.Conv2d(channels, len(weight), patch, stride=patch)
    conv.weight.copy_(weight.unflatten(1, (channels, patch, patch)))
    return conv


@EmbeddingAsConvolution.mistake
def tensor_assigned(weight, bias, patch, channels):
    """You assigned a plain tensor where the module keeps a parameter: wrap it in
    nn.Parameter(…)."""
    conv = nn.Conv2d(channels, len(weight), patch, stride=patch)
    conv.weight = weight.unflatten(1, (channels, patch, patch))
    return conv


@EmbeddingAsConvolution.mistake
def function_returned(weight, bias, patch, channels):
    """You returned a function. An nn.Conv2d holds weight and bias as parameters, so
    that an optimizer finds them."""
    kernel = weight.unflatten(1, (channels, patch, patch))
    return lambda images: F.conv2d(images, kernel, bias, stride=patch)


@EmbeddingAsConvolution.mistake
def sequence_returned(weight, bias, patch, channels):
    """What you returned gives the tokens as a sequence, (B, N, D). Return the nn.Conv2d
    alone: its output is (B, D, H/P, W/P), the tokens in their grid."""

    class Flattened(nn.Conv2d):
        def forward(self, images):
            return super().forward(images).flatten(2).mT

    D = len(weight)
    conv = Flattened(channels, D, patch, patch, dtype=weight.dtype).to(weight.device)
    conv.load_state_dict(convolution(weight, bias, patch, channels).state_dict())
    return conv


@EmbeddingAsConvolution.mistake
def nothing_returned(weight, bias, patch, channels):
    """Your function returns nothing. End it with the convolution: return conv."""


@EmbeddingAsConvolution.mistake
def always_float32(weight, bias, patch, channels):
    """Your convolution is made in float32, whatever weight is: pass dtype=weight.dtype
    and device=weight.device to nn.Conv2d, or assign nn.Parameter(…) of the reshaped
    weight."""
    return convolution(weight, bias, patch, channels, dtype=torch.float32)


@EmbeddingAsConvolution.mistake
def rounded_to_float32(weight, bias, patch, channels):
    """Your weights went through float32 and lost digits: a new nn.Conv2d is float32,
    and converting it afterwards does not bring them back. Pass dtype=weight.dtype when
    you make it."""
    conv = convolution(weight, bias, patch, channels, dtype=torch.float32)
    return conv.to(weight.dtype)
