"""Exercise 4.2.5: legitimate answers that must pass, and wrong ones in other words."""

import re

import pytest
import torch

from labkit.exercises import find
from labkit.exercises.lab_04_2_model_structure import torchvision_weights
from labkit.exercises.lab_04_2_model_structure.model import RightModel

# -------------------------------------------------------------- legitimate alternatives


def load_by_copying(model, state_dict):
    """Parameter by parameter, through the list of blocks; a KeyError from the dict."""
    rest = dict(state_dict)

    def take(module, prefix, fit=lambda value: value):
        for name, parameter in module.named_parameters():
            parameter.copy_(fit(rest.pop(f"{prefix}.{name}")))

    with torch.no_grad():
        kernels = rest.pop("conv_proj.weight")
        model.patch_embed.weight.copy_(kernels.reshape(len(kernels), -1))
        model.patch_embed.bias.copy_(rest.pop("conv_proj.bias"))
        model.class_token.copy_(rest.pop("class_token"))
        model.position.copy_(rest.pop("encoder.pos_embedding"))
        for i, block in enumerate(model.blocks):
            prefix = f"encoder.layers.encoder_layer_{i}"
            for ours, theirs in (
                ("norm1", "ln_1"),
                ("attention", "self_attention"),
                ("norm2", "ln_2"),
                ("fc1", "mlp.0"),
                ("fc2", "mlp.3"),
            ):
                take(getattr(block, ours), f"{prefix}.{theirs}")
        take(model.norm, "encoder.ln")
        take(model.head, "heads.head")
    if rest:
        raise ValueError(f"unknown names: {', '.join(rest)}")
    return model


def load_by_our_names(model, state_dict):
    """From the model's names to torchvision's, with sets to see what is wrong."""
    wanted = {name: torchvision_weights.theirs(name) for name in model.state_dict()}
    if wrong := set(wanted.values()) ^ set(state_dict):
        raise RuntimeError(f"missing or unknown: {sorted(wrong)}")
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    new = {n: state_dict[t].reshape(shapes[n]) for n, t in wanted.items()}
    model.load_state_dict(new, strict=True)
    return model


ALTERNATIVES = [
    load_by_copying,
    load_by_our_names,
]


# ---------------------------------------------------- the same mistakes, in other words


def load_what_fits(model, state_dict):
    """Unknown and missing names are both skipped."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            value = state_dict.get(torchvision_weights.theirs(name))
            if value is not None:
                parameter.copy_(value.reshape(parameter.shape))
    return model


IN_OTHER_WORDS = [
    (load_what_fits, "load_with_wrong_names_let_pass"),
]


# -------------------------------------------------------- wrong, though nobody named it


def load_by_position(model, state_dict):
    """The names are checked, but then the order counts."""
    wanted = {torchvision_weights.theirs(name) for name in model.state_dict()}
    for wrong in wanted ^ set(state_dict):
        raise KeyError(wrong)
    with torch.no_grad():
        pairs = zip(model.parameters(), state_dict.values(), strict=True)
        for parameter, value in pairs:
            parameter.copy_(value.reshape(parameter.shape))
    return model


WRONG = [
    (load_by_position, "runs"),
]


# ------------------------------------------------------ what is said, and what is right


def test_a_name_taken_out_of_the_state_dict_is_told_as_that():
    def popping(model, state_dict):
        kernels = state_dict.pop("conv_proj.weight")
        return load_by_our_names(model, {**state_dict, "conv_proj.weight": kernels})

    report = find("4.2.5").examine({"load_torchvision_weights": popping})
    assert report.failure.property == "inputs unchanged"
    assert "state_dict in place. Usual causes: .pop, del" in report.failure.message


def test_an_error_without_the_name_is_not_enough():
    def silent(model, state_dict):
        try:
            return load_by_our_names(model, state_dict)
        except RuntimeError:
            raise ValueError("these weights do not fit") from None

    report = find("4.2.5").examine({"load_torchvision_weights": silent})
    assert report.failure.property == "a wrong name is said"
    assert "encoder_layer_1.mlp.3.bias" in report.text().replace("\n  ", "")


def test_names_and_shapes_are_torchvisions():
    """The table of exercise 4.2.5, against torchvision itself where it is installed."""
    models = pytest.importorskip("torchvision.models", reason="optional: CONTRIBUTING")
    with torch.device("meta"):
        theirs = models.vit_b_16().state_dict()
        ours = RightModel(224, 16, 3, 1000, 768, 12, 12, 3072)
    assert {torchvision_weights.theirs(n) for n in ours.state_dict()} == set(theirs)
    state = torchvision_weights.renamed(theirs)
    shapes = {name: value.shape for name, value in ours.state_dict().items()}
    assert shapes == {name: value.shape for name, value in state.items()}


def test_names_go_there_and_back():
    with torch.device("meta"):
        ours = RightModel(8, 2, 1, 10, 12, 11, 3, 20).state_dict()
    for name in ours:
        assert torchvision_weights.ours(torchvision_weights.theirs(name)) == name
    assert re.fullmatch(
        r"encoder\.layers\.encoder_layer_10\.mlp\.0\.bias",
        torchvision_weights.theirs("blocks.10.fc1.bias"),
    )
