"""Every way a model arrives, and that trunk features x neurons is what the model itself computes."""

import json
import logging
import math
import os
import shutil
import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
import open_clip
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from featpurity import load_model
from featpurity.models import load, names, split
from featpurity.models.projections import save_projections

D, WIDTH = 24, 32
VIT = {"image_size": 32, "patch_size": 16, "width": 64, "layers": 1, "head_width": 32}
RESNET = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 4, "head_width": 32}
TEXT = {"context_length": 16, "vocab_size": 49408, "width": WIDTH, "heads": 2, "layers": 1}


def timm_tower(**settings):
    return {
        "timm_model_name": "test_vit",
        "image_size": 160,
        "timm_pool": "token",
        "timm_proj": "linear",
    } | settings


def config(vision=VIT, text=None, **settings):
    return {"embed_dim": D, "vision_cfg": vision, "text_cfg": TEXT | (text or {})} | settings


KINDS = {  # configuration and the expected widths of image and text neurons; bias or not
    "native ViT": (config(), 64, (False, False)),
    "ViT of 768 neurons": (config(embed_dim=768), 64, (False, False)),
    "ViT with attentional pooling": (
        config(VIT | {"attentional_pool": True, "attn_pooler_heads": 2}),
        D,
        (False, False),
    ),
    "modified ResNet": (config(RESNET), 128, (True, False)),
    "timm, projection": (config(timm_tower()), 64, (False, False)),
    "timm, projection with bias": (config(timm_tower(timm_proj_bias=True)), 64, (True, False)),
    "timm, the trunk's own classifier": (config(timm_tower(timm_proj=None)), 64, (True, False)),
    "timm, rotary attention pool": (
        config(
            timm_tower(
                timm_model_name="resnet10t", image_size=64, timm_pool="rot_attn", timm_proj=""
            )
        ),
        512,
        (True, False),
    ),
    "custom text": (config(custom_text=True), 64, (False, False)),
    "text projection as Linear": (config(text={"proj_bias": True}), 64, (False, True)),
    "custom text, Linear": (config(text={"proj_bias": True}, custom_text=True), 64, (False, True)),
    "custom text with class token": (
        config(text={"embed_cls": True}, custom_text=True),
        64,
        (False, False),
    ),
    "QuickGELU": (config(quick_gelu=True), 64, (False, False)),
    "CoCa": (
        config(
            VIT | {"attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True},
            {"embed_cls": True, "output_tokens": True},
            custom_text=True,
            multimodal_cfg={**TEXT, "attn_pooler_heads": 2},
        ),
        D,
        (False, False),
    ),
}


def write_folder(folder, settings, preprocess=None, half=False):
    """An open_clip folder with random weights; biases too, which start as zeros."""
    torch.manual_seed(0)
    model = split.build({"model_cfg": settings}).eval()
    for name, weights in model.named_parameters():
        if weights.ndim == 1:
            weights.data += 0.1 * torch.randn_like(weights)
        if name.startswith("text_decoder"):  # CoCa leaves some of it as the memory was
            weights.data = torch.randn_like(weights)
    folder.mkdir(parents=True, exist_ok=True)
    content = {"model_cfg": settings, "preprocess_cfg": preprocess or {}}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    weights = {
        name: (value.half() if half and value.is_floating_point() else value).contiguous()
        for name, value in model.state_dict().items()
    }
    save_file(weights, folder / "open_clip_model.safetensors")
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "resnet"
    write_folder(
        folder, config(RESNET), {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bilinear"}
    )
    return folder


def inputs(clip, n=3):
    size = clip.preprocess(Image.new("RGB", (50, 40))).shape[-1]
    images = torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(1))
    return images, clip.tokenizer(
        ["a dog", "a red square", "many words that go on and on and on"][:n]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_are_those_of_open_clip(tmp_path, kind):
    settings, width, (image_bias, text_bias) = KINDS[kind]
    model, d = write_folder(tmp_path / "model", settings), settings["embed_dim"]
    clip = load_model(tmp_path / "model")
    images, tokens = inputs(clip)
    assert clip.d == d and clip.name == "model"
    assert clip.image_neurons.shape == (d, width) and clip.text_neurons.shape == (d, WIDTH)
    assert (clip.image_bias is not None, clip.text_bias is not None) == (image_bias, text_bias)
    assert clip.image_trunk(images).shape == (3, width) and clip.text_trunk(tokens).shape == (
        3,
        WIDTH,
    )
    with torch.no_grad():
        for mine, theirs in [
            (clip.encode_image(images), model.encode_image(images, normalize=False)),
            (clip.encode_text(tokens), model.encode_text(tokens, normalize=False)),
        ]:
            torch.testing.assert_close(mine, theirs, atol=2e-6, rtol=1e-5)
    by_hand = clip.image_trunk(images)[0] @ clip.image_neurons[5] + (
        clip.image_bias[5] if image_bias else 0
    )
    assert abs(by_hand - clip.encode_image(images)[0, 5]) < 1e-5
    assert not clip.encode_image(images).requires_grad and clip.image_neurons.dtype == torch.float32
    assert clip.logit_scale == pytest.approx(1 / 0.07, rel=1e-5)


class Roberta(torch.nn.Module):
    """Stands in for a text tower of transformers: an embedding and a layer."""

    def __init__(self, settings, add_pooling_layer):
        super().__init__()
        self.embeddings = torch.nn.Embedding(settings.vocab_size, settings.hidden_size)
        self.layer = torch.nn.Linear(settings.hidden_size, settings.hidden_size)

    def forward(self, input_ids, attention_mask):
        return SimpleNamespace(last_hidden_state=self.layer(self.embeddings(input_ids)).tanh())


@pytest.mark.parametrize("projection", ["linear", "mlp"])
def test_a_text_tower_of_hugging_face_has_neurons_when_it_ends_in_a_linear_projection(
    tmp_path, monkeypatch, projection
):
    """With a stub in place of transformers, under open_clip's own adapter."""
    settings = SimpleNamespace(
        model_type="roberta",
        vocab_size=49408,
        hidden_size=WIDTH,
        max_position_embeddings=16,
        pad_token_id=0,
    )
    stub = SimpleNamespace(
        AutoConfig=SimpleNamespace(from_pretrained=lambda name: settings),
        AutoModel=SimpleNamespace(from_config=Roberta),
    )
    for name, value in {"transformers": stub, **vars(stub)}.items():
        monkeypatch.setattr(open_clip.hf_model, name, value, raising=False)
    monkeypatch.setattr(split.importlib.util, "find_spec", lambda name: stub)
    text = {
        "hf_model_name": "some/roberta",
        "hf_proj_type": projection,
        "hf_pooler_type": "mean_pooler",
    }
    model = write_folder(tmp_path / "model", config() | {"text_cfg": text})
    if projection == "mlp":
        with pytest.raises(
            ValueError, match="no linear projection, so no neurons: some/roberta ends in 'mlp'"
        ):
            load_model(tmp_path / "model")
        return
    clip = load_model(tmp_path / "model")
    _, tokens = inputs(clip)
    assert (
        clip.text_neurons.shape == (D, WIDTH) and clip.text_bias is None and tokens.shape == (3, 16)
    )
    assert torch.equal(clip.text_neurons, model.text.proj.weight.detach())
    with torch.no_grad():
        torch.testing.assert_close(
            clip.encode_text(tokens), model.encode_text(tokens), atol=2e-6, rtol=1e-5
        )


# Text towers whose shape only Hugging Face tells, which would be downloaded; the stub above stands for their kind.
DOWNLOADED = [
    "coca_roberta-ViT-B-32",
    "nllb-clip-base",
    "nllb-clip-base-siglip",
    "nllb-clip-large",
    "nllb-clip-large-siglip",
]


def refusals(settings):
    """Reason by tower, for those that an architecture's configuration leaves without a linear projection."""
    image, text, reasons = settings["vision_cfg"], settings["text_cfg"], {}
    if image.get("timm_proj") == "mlp":
        reasons["image"] = "it ends in an MLP head"
    elif image.get("timm_proj") == "none" and image["timm_pool"] == "map":
        reasons["image"] = "VisionTransformer ends in its pooling"
    if text.get("proj_type") == "none":
        reasons["text"] = "its last layer norm makes the embedding"
    return reasons


def check_projections_of(name, settings, kinds):
    """Projections of an architecture without numbers (on the meta device): the towers that are refused, with reasons."""
    with torch.device("meta"), torch.no_grad():
        model = split.build({"model_cfg": settings}).eval()
        places = {
            "image": split._image_projection(model.visual),
            "text": split._text_projection(model),
        }
        kind = tuple(
            type(part).__name__
            for part in [model, model.visual, *(place[0] for place in places.values())]
        )
        size, first = model.visual.image_size, kind not in kinds
        images = torch.empty(2, 3, *(size if isinstance(size, (tuple, list)) else (size, size)))
        inputs = {"image": images, "text": torch.zeros(2, model.context_length, dtype=torch.int64)}
        for tower, (owner, attribute, _reason) in places.items():
            if owner is None:
                continue
            encode = getattr(model, f"encode_{tower}")
            assert not first or encode(inputs[tower]).shape == (2, settings["embed_dim"]), name
            projection = split._take_off(owner, attribute)
            d, width = projection.neurons.shape
            assert d == settings["embed_dim"] and (
                projection.bias is None or projection.bias.shape == (d,)
            ), name
            assert not first or encode(inputs[tower]).shape == (2, width), name
        kinds[kind] += 1
    return {tower: reason for tower, (owner, _, reason) in places.items() if owner is None}


@pytest.mark.slow
def test_projections_are_found_for_every_architecture_of_open_clip_that_has_them(monkeypatch):
    """Shapes of all; for the first of each kind the towers also run, before the cut and after."""
    monkeypatch.setattr(
        split.importlib.util, "find_spec", lambda name: name
    )  # only tokenizers need transformers here
    for fill in [
        "normal_",
        "uniform_",
        "erfinv_",
        "clamp_",
        "fill_",
        "zero_",
    ]:  # in vain on the meta device, and slow
        monkeypatch.setattr(torch.Tensor, fill, lambda tensor, *_args, **_options: tensor)
    kinds, mlp, skipped, cut, refused = Counter(), [], [], [], []
    for name in open_clip.list_models():
        settings = open_clip.get_model_config(name)
        if name.startswith("toy-"):  # of other tests
            continue
        if settings["text_cfg"].get("hf_model_name"):
            if settings["text_cfg"].get("hf_proj_type") == "linear":
                skipped.append(name)
                continue
            with pytest.raises(
                ValueError, match=f"{name}: its text tower has no linear projection.* ends in 'mlp'"
            ):
                split.check_text_tower(name, settings["text_cfg"])
            mlp.append(name)
            continue
        split.check_text_tower(name, settings["text_cfg"])
        reasons = check_projections_of(name, settings, kinds)
        assert reasons == refusals(settings), name
        (refused if reasons else cut).append(name)
    print(
        f"\n{len(cut)} cut, {len(refused)} refused for their towers, {len(mlp)} for MLP heads on Hugging Face's, "
        f"{len(skipped)} not looked at: {', '.join(skipped)}\n{len(kinds)} kinds: {dict(kinds)}"
    )
    assert (
        len(cut) >= 106 and len(refused) >= 28 and len(mlp) >= 5 and set(skipped) <= set(DOWNLOADED)
    )


REFUSED = {
    "image tower has no linear projection.*MLP head": config(timm_tower(timm_proj="mlp")),
    "image tower has no linear projection.*pooling": config(
        timm_tower(timm_pool="avg", timm_proj="none")
    ),
    "text tower has no linear projection": config(text={"proj_type": "none"}, custom_text=True),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_model_without_linear_projections_is_refused(tmp_path, reason):
    write_folder(tmp_path / "model", REFUSED[reason])
    with pytest.raises(ValueError, match=reason):
        load_model(tmp_path / "model")


def test_a_projection_that_is_not_the_last_step_is_noticed(tmp_path):
    model = write_folder(tmp_path / "model", config())
    model.visual.register_forward_hook(lambda module, given, result: result.tanh())
    with pytest.raises(ValueError, match="proj of the image tower is not its last step"):
        split.cut(model.eval(), torch.ones(1, 16, dtype=torch.int64), "a model")


def test_a_tokenizer_of_more_words_than_the_tower_is_refused(tmp_path):
    write_folder(tmp_path / "model", config(text={"vocab_size": 500}))
    with pytest.raises(ValueError, match="tokens up to 49407.*500"):
        load_model(tmp_path / "model")


def test_half_precision_on_disk_is_float32_in_memory(tmp_path):
    write_folder(tmp_path / "model", config(RESNET), half=True)
    clip = load_model(tmp_path / "model")
    assert {weights.dtype for weights in clip.trunks.parameters()} == {torch.float32}


def test_weights_are_channels_last_and_the_keys_know_nothing_of_it(tmp_path):
    model = write_folder(tmp_path / "model", config(RESNET)).eval()
    clip = load_model(tmp_path / "model")
    kernels = [
        weights
        for weights in clip.trunks.parameters()
        if weights.ndim == 4 and min(weights.shape[1:]) > 1
    ]
    assert kernels and all(
        kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels
    )
    split.cut(model, torch.ones(1, 16, dtype=torch.int64), "as it came")
    assert model.visual.conv1.weight.is_contiguous()
    assert (
        split.digests(model, config(RESNET))
        == split.digests(clip.trunks, config(RESNET))
        == clip.trunk_keys
    )


def test_paths_to_one_model_agree(folder):
    clips = [
        load_model(source)
        for source in [folder, f"local-dir:{folder}", folder / "open_clip_model.safetensors"]
    ]
    assert len({(clip.image_key, clip.text_key) for clip in clips}) == 1
    images, tokens = inputs(clips[0])
    assert torch.equal(clips[0].encode_image(images), clips[2].encode_image(images))


def test_a_state_dict_loads_by_architecture_or_by_the_configuration_beside_it(tmp_path):
    open_clip.add_model_config(_written(tmp_path / "toy-ViT.json", config()))
    model = split.build({"model_cfg": config()}).eval()
    torch.save(
        {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}},
        tmp_path / "a.pt",
    )
    named = load_model(f"toy-ViT:{tmp_path / 'a.pt'}")
    with pytest.raises(ValueError, match="architecture is unknown"):
        load_model(tmp_path / "a.pt")
    _written(tmp_path / "a.json", config())
    beside = load_model(tmp_path / "a.pt")
    images, _ = inputs(named)
    with torch.no_grad():
        assert torch.equal(named.encode_image(images), beside.encode_image(images))
        torch.testing.assert_close(
            named.encode_image(images), model.encode_image(images), atol=2e-6, rtol=1e-5
        )
    with pytest.raises(ValueError, match="unknown to open_clip: no-such-ViT"):
        load_model(f"no-such-ViT:{tmp_path / 'a.pt'}")
    # How pictures are treated is read beside the weights also where the architecture is named.
    treated = {"mean": [0.5] * 3, "std": [0.25] * 3}
    _written(tmp_path / "a.json", {"model_cfg": config(), "preprocess_cfg": treated})
    again = load_model(f"toy-ViT:{tmp_path / 'a.pt'}")
    assert again.image_key == load_model(tmp_path / "a.pt").image_key != named.image_key
    _written(tmp_path / "a.json", config() | {"quick_gelu": True})
    with pytest.raises(ValueError, match="a.json and toy-ViT differ in quick_gelu"):
        load_model(f"toy-ViT:{tmp_path / 'a.pt'}")


def test_pictures_are_treated_as_all_published_weights_of_an_architecture_agree():
    squashed = load._config_of("a.pt", "PE-Core-T-16-384", None, None)["preprocess_cfg"]
    assert squashed["mean"] == (0.5, 0.5, 0.5) and squashed["resize_mode"] == "squash"
    with pytest.warns(UserWarning, match="a.pt: the published models of ViT-L-14 treat"):
        assert "preprocess_cfg" not in load._config_of("a.pt", "ViT-L-14", None, None)


def test_a_configuration_that_tells_nothing_of_pictures_leaves_them_to_the_published_ones(tmp_path):
    (tmp_path / "a.json").write_text(
        json.dumps(load.open_clip.get_model_config("PE-Core-T-16-384"))
    )
    beside = load._config_of("a.pt", "PE-Core-T-16-384", tmp_path / "a.json", None)
    assert beside == load._config_of("a.pt", "PE-Core-T-16-384", None, None)


def _written(path, content):
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    "source, hint",
    [
        ("ViT-B-32", "ViT-B-32 has "),
        ("ViT-B-32:no_such_tag", "ViT-B-32 has "),
        ("scenes_clop", "scenes_clip"),
        ("nothing/here.pt", "there is no file .*/nothing/here.pt"),
        ("local-dir:nothing", "open_clip_config.json"),
        ("laclip:cc99m_clip", "did you mean 'laclip:cc3m_clip'"),
    ],
)
def test_unknown_names_are_refused_with_a_hint(source, hint):
    with pytest.raises((ValueError, FileNotFoundError), match=hint):
        load_model(source)


@pytest.mark.parametrize(
    "source, better",
    [
        ("ViT-B-32:openai", ": load ViT-B-32-quickgelu:openai"),
        ("RN50:cc12m", ": load RN50-quickgelu:cc12m"),
    ],
)
def test_a_wrong_activation_for_a_known_tag_is_an_error(source, better):
    with pytest.raises(ValueError, match=f"trained with.*QuickGELU.*{better}$"):
        load_model(source)


@pytest.mark.parametrize("installed", [True, False])
def test_text_towers_of_hugging_face_are_checked_before_anything_is_downloaded(
    monkeypatch, installed, hub, tmp_path
):
    monkeypatch.setattr(split.importlib.util, "find_spec", lambda name: installed or None)
    with pytest.raises(
        ValueError, match="roberta-ViT-B-32.* no linear projection.*roberta-base ends in 'mlp'"
    ):
        load_model("roberta-ViT-B-32:laion2b_s12b_b32k")
    if installed:
        assert names.resolve("nllb-clip-base:v1").megabytes is None  # it may be downloaded
        return
    towerless = config(text={"hf_tokenizer_name": "some/tokenizer"})
    write_folder(tmp_path / "model", towerless)
    hub("org/tiny", "open_clip_config.json", json.dumps({"model_cfg": towerless}).encode())
    for source in ["nllb-clip-base:v1", f"local-dir:{tmp_path / 'model'}", "hf-hub:org/tiny"]:
        with pytest.raises(
            ValueError,
            match=r"transformers, which is not installed: pip install 'featpurity\[hf\]'",
        ):
            load_model(source)


class Hostile:
    """What runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("source", ["toy-hub:tag", "hf-hub:org/tiny"])
def test_a_known_model_loads_and_nothing_in_it_runs(source, hub, tmp_path, monkeypatch):
    """Through open_clip's own way to its downloads, from a cache as they leave it."""
    model = write_folder(tmp_path / "model", config())
    open_clip.add_model_config(_written(tmp_path / "toy-hub.json", config()))
    monkeypatch.setitem(
        open_clip.pretrained._PRETRAINED,
        "toy-hub",
        {"tag": open_clip.pretrained._pcfg(hf_hub="org/tiny/")},
    )
    hub(
        "org/tiny", "open_clip_config.json", (tmp_path / "model/open_clip_config.json").read_bytes()
    )
    torch.save({"state_dict": model.state_dict()}, tmp_path / "weights.bin")
    file = hub("org/tiny", "open_clip_pytorch_model.bin", (tmp_path / "weights.bin").read_bytes())
    clip = load_model(source)
    images, tokens = inputs(clip)
    with torch.no_grad():
        torch.testing.assert_close(
            clip.encode_image(images), model.encode_image(images), atol=2e-6, rtol=1e-5
        )
        torch.testing.assert_close(
            clip.encode_text(tokens), model.encode_text(tokens), atol=2e-6, rtol=1e-5
        )
    assert clip.name == clip.base == source
    torch.save({"state_dict": model.state_dict(), "more": Hostile(str(tmp_path / "ran"))}, file)
    with pytest.raises(ValueError, match=rf"{file}: refused: more than weights .*state_dict\("):
        load_model(source)
    assert not (tmp_path / "ran").exists()


@pytest.fixture
def published(hub, tmp_path, monkeypatch):
    """`published(route, kind)`: a name that leads by a route to a file of weights, that file, and its good weights."""

    def publish(route, kind):
        torch.manual_seed(0)
        weights = split.build({"model_cfg": config()}).state_dict()
        content, file = json.dumps({"model_cfg": config()}), tmp_path / f"mine.{kind}"
        open_clip.add_model_config(_written(tmp_path / "toy-hub.json", config()))
        if route == "tag" or route == "hf-hub":
            weights_name = (
                "open_clip_model.safetensors"
                if kind == "safetensors"
                else "open_clip_pytorch_model.bin"
            )
            file = hub("org/tiny", weights_name, b"")
            hub("org/tiny", "open_clip_config.json", content.encode())
            monkeypatch.setitem(
                open_clip.pretrained._PRETRAINED,
                "toy-hub",
                {"tag": open_clip.pretrained._pcfg(hf_hub="org/tiny/")},
            )
        elif route != "architecture":
            (tmp_path / ("mine.json" if route == "path" else "open_clip_config.json")).write_text(
                content
            )
        source = {
            "architecture": f"toy-hub:{file}",
            "path": str(file),
            "local-dir": f"local-dir:{tmp_path}",
            "folder": str(tmp_path),
            "tag": "toy-hub:tag",
            "hf-hub": "hf-hub:org/tiny",
        }[route]
        return source, file, weights

    return publish


def save(weights, file):
    """A state dict as safetensors or as what `torch.save` writes, by the name of the file."""
    weights = {
        name: value.contiguous() if isinstance(value, torch.Tensor) else value
        for name, value in weights.items()
    }
    save_file(weights, file) if file.suffix == ".safetensors" else torch.save(
        {"epoch": 1, "state_dict": weights}, file
    )


def changed(**changes):
    return lambda file, weights: save(
        {name: value for name, value in (weights | changes).items() if value is not None}, file
    )


def truncated(file, weights):
    save(weights, file)
    file.write_bytes(file.read_bytes()[:-1000])


FAULTS = {  # what writes the file, and the fault that is told, in our words or in PyTorch's
    "truncated": (truncated, "cut short"),
    "empty": (lambda file, weights: file.write_bytes(b""), "cut short"),
    "HTML page": (
        lambda file, weights: file.write_text("<!DOCTYPE html><html>Not found</html>"),
        "a web page",
    ),
    "missing key": (changed(text_projection=None), "(lacks|Missing key.*) .*text_projection"),
    "extra key": (changed(stranger=torch.ones(1)), "(has|Unexpected key.*) .*stranger"),
    "wrong shape": (
        changed(text_projection=torch.ones(WIDTH, D + 1)),
        "(shape: text_projection|size mismatch for text_projection)",
    ),
    "NaN": (
        changed(text_projection=torch.full((WIDTH, D), torch.nan)),
        "NaN or infinity in text_projection",
    ),
    "infinity": (changed(logit_scale=torch.tensor(torch.inf)), "NaN or infinity in logit_scale"),
}


@pytest.mark.parametrize("kind", ["pt", "safetensors"])
@pytest.mark.parametrize("route", ["architecture", "path", "local-dir", "folder", "tag", "hf-hub"])
def test_whichever_way_a_faulty_file_comes_it_is_named_with_its_fault(published, route, kind):
    source, file, weights = published(route, kind)
    for fault, (write, message) in FAULTS.items():
        write(file, weights)
        with pytest.raises(ValueError, match=f"(?s){file}.*{message}"):
            load_model(source)
            pytest.fail(f"{fault} went unnoticed")
    save(weights, file)
    assert torch.equal(load_model(source).image_neurons, weights["visual.proj"].T)


def text_config(**changes):
    return json.dumps(config(text=changes))


@pytest.mark.parametrize(
    "text, fault",
    [
        (json.dumps({"model_cfg": config()})[:-20], "cut short, damaged"),
        ("<html></html>", "cut short, damaged"),
        ("", "cut short"),
        ('{"model_cfg": {"embed_dim": 24}}', "expected a model's embed_dim, text_cfg, vision_cfg"),
        ("[1]", "expected a model's"),
        (json.dumps(config() | {"embed_dim": "24"}), "embed_dim: expected a number of neurons, "),
        (json.dumps(config() | {"vision_cfg": 3}), "vision_cfg: expected an object, got 3"),
        (text_config(width="x"), "no model can be made of it: TypeError: "),
        (text_config(tokenizer_kwargs={"trust_remote_code": True}), "tokenizer_kwargs: expected s"),
        (text_config(tokenizer_kwargs=[1]), "tokenizer_kwargs: expected some of .*, got .1"),
        (
            json.dumps(config(timm_tower(timm_model_name="hf-hub:a/b"))),
            "timm_model_name: expected a name of timm's",
        ),
        (json.dumps({"model_cfg": config(), "preprocess_cfg": "x"}), "preprocess_cfg: expected an"),
        (
            json.dumps({"model_cfg": config(), "preprocess_cfg": {"mean": [math.nan] * 3}}),
            "mean of preprocess_cfg: expected a list of numbers, got .nan",
        ),
        *[
            (json.dumps({"model_cfg": config(), "preprocess_cfg": {key: value}}), told)
            for key, value, told in (
                ("mean", [0.5] * 5, "mean of preprocess_cfg: expected a number for each of red"),
                ("std", [0.5, 0, 0.5], "std of preprocess_cfg: .* above 0, got"),
                ("interpolation", "nearest", "interpolation of .* one of bicubic, bilinear, ran"),
                ("resize_mode", "widest", "resize_mode of preprocess_cfg: expected one of short"),
            )
        ],
    ],
)
def test_a_faulty_configuration_is_named_with_its_fault(published, text, fault):
    source, file, weights = published("local-dir", "pt")
    save(weights, file)
    path = file.with_name("open_clip_config.json")
    path.write_text(text)
    with pytest.raises(ValueError, match=f"^{path}: {fault}"):
        load_model(source)


def test_no_tokenizer_runs_code_that_comes_with_it(published, monkeypatch):
    """With a stub in place of transformers."""
    asked = []

    def from_pretrained(name, **options):
        asked.append(options["trust_remote_code"])
        return lambda texts, **_: SimpleNamespace(input_ids=torch.ones(len(texts), 16).long())

    stub = SimpleNamespace(AutoTokenizer=SimpleNamespace(from_pretrained=from_pretrained))
    monkeypatch.setitem(sys.modules, "transformers", stub)
    monkeypatch.setattr(split.importlib.util, "find_spec", lambda name: stub)
    for route in ["local-dir", "path", "hf-hub"]:
        source, file, weights = published(route, "pt")
        save(weights, file)
        place = file.with_name("mine.json" if route == "path" else "open_clip_config.json")
        text = {"hf_tokenizer_name": "some/tokenizer"}
        place.write_text(json.dumps({"model_cfg": config(text=text), "preprocess_cfg": {}}))
        load_model(source)
        text |= {"tokenizer_kwargs": {"trust_remote_code": True}}
        place.write_text(json.dumps({"model_cfg": config(text=text), "preprocess_cfg": {}}))
        with pytest.raises(ValueError, match="tokenizer_kwargs: expected some of"):
            load_model(source)
    assert asked == [False] * 3


def test_no_weights_of_a_tower_are_asked_of_the_network(monkeypatch):
    asked, real = [], timm.create_model

    def create_model(name, pretrained, **options):
        asked.append(pretrained)
        return real(name, **options)

    monkeypatch.setattr(timm, "create_model", create_model)
    split.build({"model_cfg": config(timm_tower(timm_model_pretrained=True))})
    assert asked == [False]


def test_preprocessing_is_explicit(folder):
    picture = Image.fromarray(
        np.random.default_rng(0).integers(0, 256, (48, 60, 3), dtype=np.uint8)
    )
    clips = {
        name: load_model(folder, preprocess=name) for name in ["native", "paper", "paper-bicubic"]
    }
    pixels = {name: clip.preprocess(picture) for name, clip in clips.items()}
    assert all(tensor.shape == (3, 32, 32) for tensor in pixels.values())
    assert all(clip.preprocess_name == name for name, clip in clips.items())
    black = {
        name: clip.preprocess(Image.new("RGB", (32, 32)))[:, 0, 0] for name, clip in clips.items()
    }
    torch.testing.assert_close(black["native"], torch.full((3,), -2.0))
    openai = -torch.tensor(open_clip.OPENAI_DATASET_MEAN) / torch.tensor(
        open_clip.OPENAI_DATASET_STD
    )
    torch.testing.assert_close(black["paper"], openai)
    same_resize = (
        pixels["native"] * 0.25
        + 0.5
        - (pixels["paper"] - openai[:, None, None])
        * torch.tensor(open_clip.OPENAI_DATASET_STD)[:, None, None]
    )
    assert (
        same_resize.abs().max() < 1e-5
        and (pixels["paper"] - pixels["paper-bicubic"]).abs().max() > 0.05
    )
    assert (
        len({clip.image_key for clip in clips.values()}) == 3
        and len({clip.text_key for clip in clips.values()}) == 1
    )
    with pytest.raises(ValueError, match="preprocess: expected one of native, paper"):
        load_model(folder, preprocess="imagenet")


def test_keys_follow_weights_and_settings_but_no_projection(tmp_path, folder):
    base = load_model(folder)
    weights = load_file(folder / "open_clip_model.safetensors")
    changes = {
        "visual.attnpool.c_proj.weight": (0, 0),
        "text_projection": (0, 0),
        "logit_scale": (0, 0),
        "visual.conv1.weight": (1, 0),
        "ln_final.bias": (0, 1),
    }
    for name, (image, text) in changes.items():
        other = tmp_path / name
        other.mkdir()
        (other / "open_clip_config.json").write_bytes(
            (folder / "open_clip_config.json").read_bytes()
        )
        save_file(weights | {name: weights[name] + 0.5}, other / "open_clip_model.safetensors")
        clip = load_model(other)
        assert (clip.image_key != base.image_key, clip.text_key != base.text_key) == (
            image,
            text,
        ), name
    content = json.loads((folder / "open_clip_config.json").read_text())
    content["model_cfg"]["quick_gelu"] = True
    _written(tmp_path / "text_projection/open_clip_config.json", content)
    assert load_model(tmp_path / "text_projection").text_key != base.text_key


def test_fine_tuned_projections_come_back(tmp_path, folder):
    base = load_model(folder)
    image_neurons, text_neurons = base.image_neurons * 2, base.text_neurons + 1
    path = tmp_path / "runs/similarity_Cs30.safetensors"
    save_projections(path, base, image_neurons, text_neurons, 50.0)
    clip = load_model(path, preprocess="paper")
    images, tokens = inputs(clip)
    assert clip.logit_scale == 50.0 != base.logit_scale
    assert torch.equal(clip.image_neurons, image_neurons) and torch.equal(
        clip.text_neurons, text_neurons
    )
    assert (
        clip.text_key == base.text_key
        and clip.base == f"local-dir:{folder}"
        and clip.name == "similarity_Cs30"
    )
    assert path.stat().st_size < 50_000 and [file.name for file in path.parent.iterdir()] == [
        path.name
    ]
    torch.testing.assert_close(
        clip.encode_image(images) - base.image_bias,
        2 * (base.encode_image(images) - base.image_bias),
        atol=1e-5,
        rtol=1e-5,
    )
    assert not torch.equal(clip.encode_text(tokens), base.encode_text(tokens))
    again = tmp_path / "again.safetensors"
    save_projections(again, clip, clip.image_neurons, clip.text_neurons)
    assert load_model(again).base == f"local-dir:{folder}"


def test_fine_tuned_projections_find_their_base_from_another_folder(tmp_path, folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    base = load_model(f"local-dir:{folder.name}")
    save_projections(tmp_path / "tuned.safetensors", base, base.image_neurons, base.text_neurons)
    monkeypatch.chdir(tmp_path)
    assert load_model(tmp_path / "tuned.safetensors").base == f"local-dir:{folder}"


def test_fine_tuned_projections_and_their_base_move_together(tmp_path):
    shutil.copytree(names.BUNDLED / "scenes_clip", tmp_path / "here/models/base")
    base = load_model(tmp_path / "here/models/base")
    tuned = tmp_path / "here/runs/tuned.safetensors"
    save_projections(tuned, base, base.image_neurons * 2, base.text_neurons)
    (tmp_path / "here").rename(tmp_path / "there")
    clip = load_model(tmp_path / "there/runs/tuned.safetensors")
    assert clip.base == f"local-dir:{tmp_path / 'there/models/base'}" and clip.name == "tuned"
    assert torch.equal(clip.image_neurons, base.image_neurons * 2)
    assert {
        path.name for path in names.resolve(tmp_path / "there/runs/tuned.safetensors").files
    } == {"tuned.safetensors", "open_clip_model.safetensors", "open_clip_config.json", "bpe.txt.gz"}


def test_projections_whose_base_is_gone_say_so_and_take_another(tmp_path):
    shutil.copytree(names.BUNDLED / "scenes_clip", tmp_path / "base")
    base, tuned = load_model(tmp_path / "base"), tmp_path / "tuned.safetensors"
    save_projections(tuned, base, base.image_neurons * 2, base.text_neurons)
    (tmp_path / "base").rename(tmp_path / "moved")
    record = names.resolve(tuned)
    assert (record.kind, record.base, record.d, record.label) == ("projections", None, 128, "tuned")
    assert record.missing.startswith(f"it needs its base, local-dir:{tmp_path / 'base'}")
    with pytest.raises(
        FileNotFoundError, match="tuned.safetensors: it needs its base, .* base=..."
    ):
        load_model(tuned)
    for given in [tmp_path / "moved", base, "scenes_clip"]:
        clip = load_model(tuned, base=given, name="mine")
        assert clip.name == "mine" and torch.equal(clip.image_neurons, base.image_neurons * 2)
    with pytest.raises(ValueError, match="fine-tuned on other trunk weights than 'scenes_laclip'"):
        load_model(tuned, base="scenes_laclip")
    with pytest.raises(ValueError, match="base: only projections stand on another model"):
        load_model("scenes_clip", base="scenes_laclip")


@pytest.mark.parametrize("kind", ["timm, projection with bias", "text projection as Linear"])
def test_projections_keep_other_biases(tmp_path, kind):
    write_folder(tmp_path / "model", KINDS[kind][0])
    base = load_model(tmp_path / "model")
    biases = {"image_bias": torch.randn(D), "text_bias": torch.randn(D)}
    other = base.with_projections(base.image_neurons, base.text_neurons, **biases)
    path = tmp_path / "other.safetensors"
    save_projections(path, other, other.image_neurons, other.text_neurons)
    clip, (images, tokens) = load_model(path), inputs(other)
    assert torch.equal(clip.encode_image(images), other.encode_image(images))
    assert torch.equal(clip.encode_text(tokens), other.encode_text(tokens))


def test_a_model_is_one_line_and_has_the_name_it_was_given(folder):
    clip = load_model(folder, name="raw captions")
    assert repr(clip) == (
        "ClipModel('raw captions', d=24, widths=(128, 32), device='cpu', preprocess_name='native')"
    )


def test_a_device_that_is_not_there_is_told():
    with pytest.raises(ValueError, match="device: expected auto, cpu, cuda, .* got 'gpu'"):
        load_model("scenes_clip", "gpu")
    with pytest.raises(ValueError, match="device: expected auto, cpu, cuda, .* got 'meta'"):
        load_model("scenes_clip", "meta")
    if not torch.backends.mps.is_available():
        with pytest.raises(ValueError, match="device: mps, but PyTorch sees 0 of kind mps here"):
            load_model("scenes_clip", "mps")
    if not torch.cuda.is_available():
        with pytest.raises(
            ValueError, match="device: cuda:1, but PyTorch sees 0 of kind cuda here"
        ):
            load_model("scenes_clip", "cuda:1")


@pytest.mark.parametrize("lost", ["base", "image_key", "text_neurons"])
def test_a_file_of_projections_that_lacks_something_is_told(tmp_path, lost):
    header = {
        "kind": "featpurity projections",
        "base": "scenes_clip",
        "image_key": "a",
        "text_key": "b",
    }
    tensors = {"image_neurons": torch.ones(2, 3), "text_neurons": torch.ones(2, 3)}
    header.pop(lost, None), tensors.pop(lost, None)
    save_file(tensors, tmp_path / "tuned.safetensors", header)
    with pytest.raises(
        ValueError,
        match=f"tuned.safetensors: a file of fine-tuned projections, but it lacks {lost}$",
    ):
        load_model(tmp_path / "tuned.safetensors")


def test_projections_of_other_trunks_or_sizes_are_refused(tmp_path, folder):
    base = load_model(folder)
    write_folder(tmp_path / "model", config(RESNET))
    clip = load_model(tmp_path / "model")
    save_projections(tmp_path / "tuned.safetensors", clip, clip.image_neurons, clip.text_neurons)
    write_folder(tmp_path / "model", config(RESNET, text={"layers": 2}))
    with pytest.raises(ValueError, match="tuned.safetensors was fine-tuned on other trunk weights"):
        load_model(tmp_path / "tuned.safetensors")
    with pytest.raises(
        ValueError, match=r"image_neurons: expected .* \(24, 128\), got \(23, 128\)"
    ):
        base.with_projections(base.image_neurons[1:], base.text_neurons)
    with pytest.raises(ValueError, match="text_neurons.*NaN or infinity"):
        save_projections(
            tmp_path / "nan.safetensors", base, base.image_neurons, base.text_neurons * torch.nan
        )
    assert not (tmp_path / "nan.safetensors").exists()


def test_other_projections_leave_the_model_as_it_was(folder):
    base = load_model(folder)
    given = base.image_neurons.clone().requires_grad_()
    other = base.with_projections(given, base.text_neurons, name="other")
    other.image_neurons.zero_()
    assert other.trunks is base.trunks and other.name == "other" and base.name == "resnet"
    assert base.image_neurons.abs().sum() > 0 and given.abs().sum() > 0


def test_encodes_under_autocast(folder):
    clip = load_model(folder)
    images, tokens = inputs(clip)
    with torch.autocast("cpu", torch.bfloat16):
        image, text = clip.encode_image(images), clip.encode_text(tokens)
    assert image.dtype == text.dtype == torch.bfloat16
    assert (image.float() - clip.encode_image(images)).abs().max() < 0.05 * image.abs().max()


@pytest.mark.parametrize("scale", [-1.0, 0.0, float("nan"), float("inf")])
def test_a_scale_that_cannot_be_read_back_is_not_written(folder, tmp_path, scale):
    clip, path = load_model(folder), tmp_path / "tuned.safetensors"
    with pytest.raises(ValueError, match="logit_scale: expected a positive number"):
        save_projections(path, clip, clip.image_neurons, clip.text_neurons, scale)
    assert not path.exists()


def test_a_user_s_level_of_logging_stays(monkeypatch):
    monkeypatch.setattr(logging.root.manager, "disable", logging.INFO)
    assert names._weights_megabytes.__wrapped__("ViT-B-32") > 100
    assert logging.root.manager.disable == logging.INFO


def test_bundled_models_load():
    bundled = [path.name for path in sorted(names.BUNDLED.glob("*/"))]
    assert bundled, "no model is bundled"
    for name in bundled:
        clip = load_model(name)
        assert (
            clip.name == clip.base == name and clip.tokenizer(["a red square"]).dtype == torch.int64
        )
        assert clip.image_neurons.shape[0] == clip.text_neurons.shape[0] == clip.d
    assert load_model(bundled[0], device="auto").device.type in ("cpu", "cuda")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_embeddings(folder):
    on_cpu, on_gpu = load_model(folder), load_model(folder, "cuda")
    images, tokens = inputs(on_cpu)
    torch.testing.assert_close(
        on_gpu.encode_image(images).cpu(), on_cpu.encode_image(images), atol=1e-3, rtol=1e-3
    )
    torch.testing.assert_close(
        on_gpu.encode_text(tokens).cpu(), on_cpu.encode_text(tokens), atol=1e-3, rtol=1e-3
    )
