"""Short texts pass a text tower over fewer places, and come out as over all of them."""

import open_clip
import pytest
import torch

from featpurity.models.short_texts import encode_text

SMALL = dict(
    embed_dim=16, vision_cfg=dict(layers=1, width=32, head_width=16, image_size=16, patch_size=8)
)
TEXT = dict(context_length=20, vocab_size=50, width=32, heads=2, layers=2)
END = 49  # the largest number of a vocabulary of 50 ends a text


def texts(*lengths):
    tokens = torch.zeros(len(lengths), TEXT["context_length"], dtype=torch.int64)
    generator = torch.Generator().manual_seed(0)
    for row, length in zip(tokens, lengths):
        row[: length - 1] = torch.randint(1, END, (length - 1,), generator=generator)
        row[length - 1] = END
    return tokens


def made(kind=open_clip.CLIP, **text):
    torch.manual_seed(0)
    model = kind(**SMALL, text_cfg=TEXT | text).eval()
    places = []
    tower = model.transformer if kind is open_clip.CLIP else model.text.transformer
    tower.register_forward_pre_hook(lambda _, inputs: places.append(inputs[0].shape[1]))
    return model, places


@torch.no_grad()
@pytest.mark.parametrize("lengths", [(2, 9, 5), (1,), (20, 3)])
def test_a_clip_reads_as_many_places_as_the_longest_text_takes(lengths):
    model, places = made()
    tokens = texts(*lengths)
    found = encode_text(model, tokens)
    torch.testing.assert_close(found, model.encode_text(tokens), atol=1e-6, rtol=1e-5)
    assert places == [max(lengths), TEXT["context_length"]]


@torch.no_grad()
@pytest.mark.parametrize(
    "kind, text",
    [
        (open_clip.CLIP, {"no_causal_mask": True}),
        (open_clip.CLIP, {"pool_type": "last"}),
        (open_clip.CustomTextCLIP, {}),
    ],
)
def test_a_tower_that_looks_elsewhere_reads_all_places(kind, text):
    model, places = made(kind, **text)
    tokens = texts(2, 9, 5)
    assert encode_text(model, tokens).equal(model.encode_text(tokens))
    assert places == [TEXT["context_length"]] * 2
