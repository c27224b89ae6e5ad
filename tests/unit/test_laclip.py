"""LaCLIP checkpoints in their published layout: the numbers LaCLIP's own code computes, and where files come from."""

import html
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import open_clip
import pytest
import requests
import torch
from laclip_checkpoint import PUBLISHED, TINY, shapes, uniform, weights_of, write
from PIL import Image

from featpurity import load_model
from featpurity.models import laclip, names, split
from featpurity.models.weights import load_weights

TEXTS = [
    "a photo of a dog",
    "Caf&eacute; au lait,   it's   2 o'clock!! — naïve Résumé 犬",
    "a long caption that goes on and on about one dog, two cats, three birds, four fish, five horses, six cows, seven "
    "sheep, eight goats, nine pigs, ten hens, eleven ducks, twelve geese, thirteen mice, fourteen frogs, fifteen bees, "
    "sixteen ants, seventeen owls, eighteen crows, nineteen wolves and twenty foxes in a very green field under a very "
    "blue sky",
]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A tiny checkpoint, with the configuration beside it, since no shape tells its two text heads."""
    path = tmp_path_factory.mktemp("laclip") / "tiny.pt"
    weights = weights_of(TINY)
    path.with_suffix(".json").write_text(json.dumps(laclip.open_clip_config(weights, text_heads=2)))
    return write(path, weights)


def errors(clip, size, expected):
    """Largest differences from LaCLIP's own embeddings, of images and of texts."""
    images = torch.from_numpy(uniform(f"input.images.{size}", (2, 3, size, size)))
    tokens = clip.tokenizer([html.unescape(text) for text in TEXTS])
    return [
        (embeddings - torch.from_numpy(values)).abs().max().item()
        for embeddings, values in zip(
            [clip.encode_image(images), clip.encode_text(tokens)], expected
        )
    ]


@pytest.fixture(scope="module")
def expected():
    with np.load(Path(__file__).parents[1] / "data/laclip_tiny.npz") as stored:
        return stored["image"], stored["text"]


def test_tiny_embeddings_are_laclip_s_own(tiny, expected):
    clip = load_model(tiny)
    assert max(errors(clip, 64, expected)) < 2e-6
    assert (
        clip.image_neurons.shape == (48, 96)
        and clip.text_neurons.shape == (48, 64)
        and clip.image_bias is None
    )


@pytest.mark.parametrize("mistake", [{"quick_gelu": False}, {"heads": 4}])
def test_the_expected_numbers_tell_mistakes(tiny, expected, tmp_path, mistake):
    config = json.loads(tiny.with_suffix(".json").read_text())
    config["model_cfg"]["quick_gelu"] = mistake.get("quick_gelu", True)
    config["model_cfg"]["text_cfg"]["heads"] = mistake.get("heads", 2)
    (tmp_path / "tiny.json").write_text(json.dumps(config))
    (tmp_path / "tiny.pt").write_bytes(tiny.read_bytes())
    image, text = errors(load_model(tmp_path / "tiny.pt"), 64, expected)
    assert image < 2e-6 < 1e-5 < text


def test_the_generator_s_own_file_loads_to_the_expected_numbers(shared, tmp_path):
    reference, path = shared / "reference/laclip", tmp_path / "tiny.pt"
    options = ["--numpy1-names", "--cuda-tag", "--optimizer"]
    subprocess.run(
        [
            sys.executable,
            reference / "make_checkpoint.py",
            reference / "keys_tiny.json",
            path,
            *options,
        ],
        check=True,
    )
    path.with_suffix(".json").write_text(
        json.dumps(laclip.open_clip_config(weights_of(TINY), text_heads=2))
    )
    stored, clip = np.load(reference / "expected.npz"), load_model(path)
    assert max(errors(clip, 64, (stored["tiny_image_embed"], stored["tiny_text_embed"]))) < 2e-6
    assert torch.equal(clip.tokenizer(TEXTS), torch.from_numpy(stored["tokens"]))


@pytest.mark.skipif(
    "FEATPURITY_LARGE" not in os.environ, reason="1.2 GB and a minute: set FEATPURITY_LARGE=1"
)
def test_b16_embeddings_are_laclip_s_own(shared, tmp_path):
    stored = np.load(shared / "reference/laclip/expected.npz")
    clip = load_model(write(tmp_path / "b16.pt", weights_of(PUBLISHED["B"])))
    assert (
        max(errors(clip, 224, (stored["vitb16_image_embed"], stored["vitb16_text_embed"]))) < 1e-5
    )


@pytest.mark.parametrize("size", PUBLISHED)
def test_published_sizes_are_recognised_from_their_tensors(size):
    facts = PUBLISHED[size]
    weights = {name: torch.empty(shape, device="meta") for name, shape in shapes(**facts)}
    assert laclip.is_laclip(weights)
    config = laclip.open_clip_config(weights)
    with torch.device("meta"):
        model = split.build(config)
    load_weights(model, laclip.to_open_clip(weights), "meta")
    block, text = model.visual.trunk.blocks[0], model.transformer
    assert (
        len(model.visual.trunk.blocks) == facts["depth"] and block.attn.num_heads == facts["heads"]
    )
    assert block.attn.q_norm.eps == block.norm1.eps == 1e-6 and isinstance(
        block.mlp.act, torch.nn.GELU
    )
    assert text.resblocks[0].attn.num_heads == 8 and len(text.resblocks) == 12
    assert "QuickGELU" in repr(text.resblocks[0].mlp) and model.ln_final.eps == 1e-5
    assert model.visual.image_size == (224, 224) and model.context_length == 77


def test_its_own_preprocessing_is_native(tiny):
    picture = Image.new("RGB", (100, 70))
    clips = [load_model(tiny, preprocess=name) for name in ["native", "paper"]]
    native, paper = (clip.preprocess(picture)[:, 0, 0] for clip in clips)
    torch.testing.assert_close(
        native, -torch.tensor([0.485, 0.456, 0.406]) / torch.tensor([0.229, 0.224, 0.225])
    )
    torch.testing.assert_close(
        paper,
        -torch.tensor(open_clip.OPENAI_DATASET_MEAN) / torch.tensor(open_clip.OPENAI_DATASET_STD),
    )
    assert "bilinear" in repr(clips[0].preprocess) and "bilinear" in repr(clips[1].preprocess)


def test_the_twelve_names_have_addresses_and_architectures(shared):
    published = json.loads((shared / "reference/paper_results.json").read_text())[
        "laclip_checkpoints"
    ]
    assert laclip.URLS == {model["name"]: model["url"] for model in published}


def test_names_tell_architectures():
    found = {name: laclip.architecture_of(name) for name in laclip.URLS}
    assert all(value in open_clip.list_models() for value in found.values() if value)
    assert found["cc12m_laclip"] is None and found["laion400m_clip_vitl14"] == "ViT-L-14-quickgelu"
    assert (
        laclip.architecture_of("laion400m_laclip") == "ViT-B-32" == found["laion400m_laclip_vitb32"]
    )
    with pytest.raises(ValueError, match="did you mean 'cc12m_laclip'"):
        laclip.fetch("cc12m_laclipp")


@pytest.mark.parametrize("ask", [load_model, names.resolve])
@pytest.mark.parametrize(
    "architecture, file, wanted",
    [
        ("ViT-L-14", "laion400m_laclip_vitl14", "ViT-L-14-quickgelu"),
        ("ViT-L-14", "laion400m_clip_vitl14", "ViT-L-14-quickgelu"),
        ("ViT-B-16-quickgelu", "laion400m_clip_vitb16", "ViT-B-16"),
        ("ViT-B-32-quickgelu", "laion400m_laclip", "ViT-B-32"),
    ],
)
def test_a_published_file_under_another_activation_is_refused(
    tmp_path, ask, architecture, file, wanted
):
    path = tmp_path / f"{file}.pt"
    path.write_bytes(b"not to be read")
    with pytest.raises(ValueError) as error:
        ask(f"{architecture}:{path}")
    kinds = (
        ["QuickGELU", "plain GELU"]
        if wanted.endswith("-quickgelu")
        else ["plain GELU", "QuickGELU"]
    )
    assert str(error.value) == (
        f"{path} was trained as {wanted}, with {kinds[0]}, but {architecture} has {kinds[1]}: "
        f"load {wanted}:{path}"
    )
    assert names.files_of(f"{architecture}:{path}") == []
    found = names.resolve(f"{wanted}:{path}")
    assert (found.file, found.architecture) == (path, wanted)
    renamed = path.rename(tmp_path / "mine.pt")  # of which nothing is known
    found = names.resolve(f"{architecture}:{renamed}")
    assert (found.file, found.architecture) == (renamed, architecture)


class Server(BaseHTTPRequestHandler):
    """Serves `content` at any address; breaks off after `limit` bytes once, or answers with a page."""

    def do_GET(self):
        server = self.server
        server.asked.append(self.headers.get("Range"))
        body, start = server.content, 0
        if self.headers.get("Range") and self.headers.get("If-Range") == server.tag:
            start = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
        if start and start == len(body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            self.end_headers()
            return
        self.send_response(server.status if not start else 206)
        self.send_header("Content-Type", server.kind)
        self.send_header("ETag", server.tag)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        stop, server.limit = server.limit or len(body), None
        self.wfile.write(body[start:stop])
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.content, server.tag, server.kind, server.status = (
        b"weights " * 50_000,
        '"one"',
        "application/binary",
        200,
    )
    server.asked, server.limit = [], None
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}/s/abc/published.pt?dl=1"
    monkeypatch.setitem(laclip.URLS, "cc3m_laclip", address)
    monkeypatch.setattr(laclip, "CHECKPOINTS", tmp_path / "checkpoints")
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def files_in(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def without_end(path):
    path.write_bytes(path.read_bytes()[:-1000])


FAULTS = {  # the fault told, and what is changed: weights, or the file
    "faulty.pt does not fit the model: it lacks visual.trunk.norm.bias$": {
        "visual.norm.bias": None
    },
    "faulty.pt: looks like a LaCLIP checkpoint, but lacks 'visual.pos_embed'": {
        "visual.pos_embed": None
    },
    "faulty.pt.*it has visual.trunk.extra, which": {"visual.extra": torch.ones(1)},
    r"faulty.pt.*text_projection \(48, 64\) instead": {"text_projection": torch.ones(48, 64)},
    "faulty.pt: NaN or infinity in ln_final.bias": {"ln_final.bias": torch.full((64,), torch.nan)},
    "faulty.pt: cut short or damaged": without_end,
    "faulty.pt: cut short, damaged or no checkpoint": lambda path: path.write_bytes(b""),
    "faulty.pt: a web page, not a checkpoint": lambda path: path.write_text(
        "<!DOCTYPE html><html></html>"
    ),
}


@pytest.mark.parametrize("downloaded", [False, True])
def test_faults_name_the_file(server, monkeypatch, tiny, tmp_path, downloaded):
    weights, path = weights_of(TINY), tmp_path / "faulty.pt"
    monkeypatch.setitem(laclip.URLS, "faulty", laclip.URLS["cc3m_laclip"])
    for message, change in FAULTS.items():
        changes = {} if callable(change) else change
        write(
            path, {name: value for name, value in (weights | changes).items() if value is not None}
        )
        if callable(change):
            change(path)
        folder = laclip.CHECKPOINTS if downloaded else tmp_path
        folder.mkdir(exist_ok=True)
        (folder / "faulty.json").write_bytes(tiny.with_suffix(".json").read_bytes())
        server.content = path.read_bytes()
        with pytest.raises(ValueError, match=f"^{folder}/{message}"):
            load_model("laclip:faulty" if downloaded else path)
        for old in laclip.CHECKPOINTS.glob("faulty.pt*"):
            old.unlink()
    assert len(server.asked) == len(FAULTS) * downloaded


def test_a_checkpoint_is_downloaded_once(server, tiny, capfd):
    server.content = tiny.read_bytes()
    path = laclip.fetch("cc3m_laclip")
    assert path.read_bytes() == server.content and path == laclip.CHECKPOINTS / "cc3m_laclip.pt"
    assert (
        files_in(path.parent) == ["cc3m_laclip.pt", "cc3m_laclip.pt.sha256"]
        and "100%" in capfd.readouterr().err
    )
    path.with_suffix(".json").write_bytes(tiny.with_suffix(".json").read_bytes())
    clip = load_model("laclip:cc3m_laclip")
    assert (
        clip.name == clip.base == "laclip:cc3m_laclip" and clip.d == 48 and server.asked == [None]
    )


def test_a_broken_download_is_gone_on_with(server):
    server.limit = 100_000
    with pytest.raises(requests.RequestException):
        laclip.fetch("cc3m_laclip")
    assert files_in(laclip.CHECKPOINTS) == ["published.pt.part", "published.pt.part.tag"]
    path = laclip.fetch("cc3m_laclip")
    assert path.read_bytes() == server.content and server.asked == [None, "bytes=65536-"]
    assert files_in(path.parent) == ["cc3m_laclip.pt", "cc3m_laclip.pt.sha256"]


def test_a_download_that_was_stopped_at_its_very_end_is_whole(server):
    laclip.CHECKPOINTS.mkdir()
    part = laclip.CHECKPOINTS / "published.pt.part"
    part.write_bytes(server.content)
    part.with_name(f"{part.name}.tag").write_text(server.tag)
    path = laclip.fetch("cc3m_laclip")
    assert path.read_bytes() == server.content
    assert server.asked == [f"bytes={len(server.content)}-"]


def test_a_download_of_another_version_starts_again(server):
    server.limit = 100_000
    with pytest.raises(requests.RequestException):
        laclip.fetch("cc3m_laclip")
    server.content, server.tag = b"another " * 30_000, '"two"'
    assert laclip.fetch("cc3m_laclip").read_bytes() == server.content


def test_a_web_page_or_an_error_is_no_checkpoint(server):
    server.kind = "text/html; charset=utf-8"
    with pytest.raises(ValueError, match="published.pt.* answered with a web page"):
        laclip.fetch("cc3m_laclip")
    server.kind, server.status = "application/binary", 404
    with pytest.raises(requests.HTTPError, match="404.*put the file there yourself: .*\\.pt"):
        laclip.fetch("cc3m_laclip")
    assert files_in(laclip.CHECKPOINTS) == []


def test_a_changed_file_is_noticed(server):
    path = laclip.fetch("cc3m_laclip")
    path.write_bytes(server.content[:-1] + b"!")
    with pytest.raises(
        ValueError, match="cc3m_laclip.pt: its SHA-256 is .*, but cc3m_laclip.pt.sha256 says"
    ):
        load_model("laclip:cc3m_laclip")
    path.unlink()
    server.content += b"more"
    with pytest.raises(
        ValueError, match="as cc3m_laclip.pt is another file than the one seen at first"
    ):
        laclip.fetch("cc3m_laclip")
    assert not path.exists()


def test_a_checkpoint_of_laion_400m_is_open_clip_s_own(tmp_path, monkeypatch):
    model = {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "patch_size": 16, "width": 64, "layers": 1},
        "text_cfg": {
            "context_length": 16,
            "vocab_size": 49408,
            "width": 32,
            "heads": 2,
            "layers": 1,
        },
    }
    (tmp_path / "toy-laion.json").write_text(json.dumps(model))
    open_clip.add_model_config(tmp_path / "toy-laion.json")
    monkeypatch.setitem(laclip._ARCHITECTURES, "vitb32", "toy-laion")
    monkeypatch.setattr(laclip, "CHECKPOINTS", tmp_path)
    weights = split.build({"model_cfg": model}).state_dict()
    path = write(tmp_path / "laion400m_laclip.pt", weights)
    clip = load_model("laclip:laion400m_laclip_vitb32")
    assert clip.name == "laclip:laion400m_laclip_vitb32" and clip.d == 24
    assert torch.equal(clip.image_neurons, weights["visual.proj"].T)
    path.with_name(f"{path.name}.sha256").unlink()
    write(path, weights | {"visual.extra": torch.ones(1)})
    with pytest.raises(ValueError, match=f"{path} does not fit the model: it has visual.extra"):
        load_model("laclip:laion400m_laclip_vitb32")


@pytest.mark.parametrize("file", ["cc3m_laclip.pt", "published.pt"])
def test_a_file_put_in_place_is_taken(server, file):
    laclip.CHECKPOINTS.mkdir()
    (laclip.CHECKPOINTS / file).write_bytes(b"mine")
    assert laclip.fetch("cc3m_laclip") == laclip.CHECKPOINTS / file and server.asked == []
    assert (laclip.CHECKPOINTS / f"{file}.sha256").read_text().split()[1] == file


def test_a_folder_of_checkpoints_that_is_read_only_is_read(server, monkeypatch):
    laclip.CHECKPOINTS.mkdir()
    (laclip.CHECKPOINTS / "cc3m_laclip.pt").write_bytes(b"mine")
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)
    assert laclip.fetch("cc3m_laclip") == laclip.CHECKPOINTS / "cc3m_laclip.pt"
    assert files_in(laclip.CHECKPOINTS) == ["cc3m_laclip.pt"]
