"""Exercise 4.2.5: torchvision's weights in a model with other names."""

import re

import torch

from labkit.checks.exercise import Cases, Draw, Exercise, Replies, looks_at
from labkit.checks.probes import Case, Layer
from labkit.exercises.lab_04_2_model_structure.model import RightModel

# How torchvision's vit_b_16 calls what this course calls otherwise.
NAMES = {
    "conv_proj.": "patch_embed.",
    "encoder.pos_embedding": "position",
    "encoder.layers.encoder_layer_": "blocks.",
    "ln_1.": "norm1.",
    "self_attention.": "attention.",
    "ln_2.": "norm2.",
    "mlp.0.": "fc1.",
    "mlp.3.": "fc2.",
    "encoder.ln.": "norm.",
    "heads.head.": "head.",
}


def ours(name: str, names: dict = NAMES) -> str:
    for theirs, own in names.items():
        name = name.replace(theirs, own)
    return name


def theirs(name: str) -> str:
    """torchvision's name of one of this course's parameters."""
    name = re.sub(r"^norm\.", "encoder.ln.", name)
    for own, other in (
        ("patch_embed.", "conv_proj."),
        ("position", "encoder.pos_embedding"),
        ("blocks.", "encoder.layers.encoder_layer_"),
        (".norm1.", ".ln_1."),
        (".attention.", ".self_attention."),
        (".norm2.", ".ln_2."),
        (".fc1.", ".mlp.0."),
        (".fc2.", ".mlp.3."),
        ("head.", "heads.head."),
    ):
        name = name.replace(own, other)
    return name


def renamed(state_dict, flatten=lambda kernels: kernels.flatten(1), names=NAMES):
    state = {ours(name, names): value for name, value in state_dict.items()}
    state["patch_embed.weight"] = flatten(state_dict["conv_proj.weight"])
    return state


@looks_at("error")
def a_wrong_name_is_said(cases: Cases, replies: Replies) -> str | None:
    for name, case in cases.items():
        if not case.raises:
            continue
        _, wrong, *_ = case.name.split()
        message = replies[name]["error"]["message"]
        if wrong not in message and ours(wrong) not in message:
            return (
                f"In the case “{name}”, an error was raised, as it should, but it does "
                f"not say which name is wrong ({wrong}): {message[:80]!r}."
            )
    return None


class TorchvisionWeights(Exercise):
    """load_torchvision_weights(model, state_dict): weights by other names."""

    number = "4.2.5"
    properties = (a_wrong_name_is_said,)

    @staticmethod
    def load_torchvision_weights(model, state_dict):
        state = renamed(state_dict)
        for name in sorted(set(model.state_dict()) ^ set(state)):
            raise KeyError(f"{name} is missing or unknown")
        model.load_state_dict(state)
        return model

    reference = {"load_torchvision_weights": load_torchvision_weights}

    def draw_cases(self, draw: Draw):
        target = "load_torchvision_weights"
        P, C, h, d = draw.sizes(4, low=2, high=5)
        sizes = {"image_size": 2 * P, "patch": P, "channels": C, "num_classes": 3}
        sizes |= {"dim": h * d, "heads": h, "hidden": h * d + 1}

        def case(name, depth, without=None, besides=None):
            """A model, and weights for it under torchvision's names, or almost."""
            with torch.device("meta"):
                mine = RightModel(depth=depth, **sizes).state_dict()
            model = {name: draw.normal(*v.shape) for name, v in mine.items()}
            state = {theirs(name): draw.normal(*v.shape) for name, v in mine.items()}
            kernels = state["conv_proj.weight"]
            state["conv_proj.weight"] = kernels.unflatten(1, (C, P, P))
            state = dict(sorted(state.items()))  # names tell them apart, not places
            state.pop(without, None)
            if besides:
                state[besides] = draw.normal(2)
            wrong = without or besides
            return Case(
                name,
                target,
                {"model": Layer("Module", state=model), "state_dict": state},
                fills=None if wrong else "model",
                raises=("KeyError", "ValueError", "RuntimeError") if wrong else (),
                gradients=False,
            )

        yield case("torchvision's names", depth=11)  # 10 comes before 2 as a word
        missing = "encoder.layers.encoder_layer_1.mlp.3.bias"
        yield case(f"without {missing}", depth=2, without=missing)
        unknown = "encoder.layers.encoder_layer_0.gate"
        yield case(f"with {unknown} besides", depth=2, besides=unknown)


@TorchvisionWeights.mistake
def nothing_returned(model, state_dict):
    """You fill the model but return nothing. Return it."""
    model.load_state_dict(renamed(state_dict))


@TorchvisionWeights.mistake
def load_without_no_grad(model, state_dict):
    """You write into parameters while autograd is watching. Use load_state_dict, or
    copy inside torch.no_grad()."""
    state = renamed(state_dict)
    for name, parameter in model.named_parameters():
        parameter.copy_(state[name])
    return model


@TorchvisionWeights.mistake
def kernel_not_flattened(model, state_dict):
    """You did not flatten torchvision's projection: conv_proj.weight is a convolution's
    (D, C, P, P), patch_embed.weight a linear layer's (D, C·P·P)."""
    model.load_state_dict(renamed(state_dict, lambda kernels: kernels))
    return model


@TorchvisionWeights.mistake
def kernel_with_channels_last(model, state_dict):
    """You flattened the projection with the channels last. A patch of this course is
    ordered channel, row, column, like the convolution's weight: flatten(1)."""

    def last(kernels):
        return kernels.permute(0, 2, 3, 1).flatten(1)

    model.load_state_dict(renamed(state_dict, last))
    return model


@TorchvisionWeights.mistake
def kernel_columns_first(model, state_dict):
    """You flattened the projection with rows and columns exchanged."""
    model.load_state_dict(renamed(state_dict, lambda kernels: kernels.mT.flatten(1)))
    return model


@TorchvisionWeights.mistake
def norms_confused(model, state_dict):
    """You exchanged the layer norms: ln_1 is norm1, ln_2 is norm2."""
    names = {**NAMES, "ln_1.": "norm2.", "ln_2.": "norm1."}
    model.load_state_dict(renamed(state_dict, names=names))
    return model


@TorchvisionWeights.mistake
def blocks_in_order_of_spelling(model, state_dict):
    """You sorted the layers as words: encoder_layer_10 comes before encoder_layer_2.
    Take the number out of the name."""
    numbers = {n.split(".")[2] for n in state_dict if "encoder_layer_" in n}
    new = {name: str(i) for i, name in enumerate(sorted(numbers))}

    def sorted_name(name):
        for old, number in new.items():
            name = name.replace(f"encoder.layers.{old}.", f"blocks.{number}.")
        return name

    moved = {sorted_name(name): value for name, value in state_dict.items()}
    model.load_state_dict(renamed(moved))
    return model


@TorchvisionWeights.mistake
def heads_rows_rearranged(model, state_dict):
    """You rearranged the rows of in_proj. torchvision uses nn.MultiheadAttention, as
    you do: the packed weights fit as they are."""
    state = renamed(state_dict)
    for name, value in state.items():
        if "in_proj" in name:
            q, k, v = value.chunk(3)
            state[name] = torch.cat([k, q, v])
    model.load_state_dict(state)
    return model


@TorchvisionWeights.mistake
def load_with_wrong_names_let_pass(model, state_dict):
    """You let a missing name pass in silence, and unknown ones too, perhaps
    (strict=False?): a model with half its weights random gives no error, only bad
    answers. Say which name it is."""
    flat = {n: v.flatten(1) if v.ndim == 4 else v for n, v in state_dict.items()}
    model.load_state_dict({ours(n): v for n, v in flat.items()}, strict=False)
    return model


@TorchvisionWeights.mistake
def unknown_names_let_pass(model, state_dict):
    """You say when a name is missing, but let a name pass that you do not know. It
    may be a part of the model that yours has not: say so."""
    state = renamed(state_dict)
    model.load_state_dict({n: state[n] for n in model.state_dict()})
    return model
