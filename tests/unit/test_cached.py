"""Cached fine-tuning: its gradients, every run of a sweep against the run alone and against plain PyTorch."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from toy_training import N_FEATURES as N
from toy_training import OPTIONS, WIDTH_IMAGE, WIDTH_TEXT, D, make_clip, make_features

from featpurity.files import digest
from featpurity.training import cached
from featpurity.training.cached import finetune_projections, sweep_projections
from featpurity.training.evaluate import zero_shot
from featpurity.training.loss import contrastive
from featpurity.training.settings import Settings, plan_epoch


def make_runs():
    rng = np.random.default_rng(0)
    return [
        (None, 0),
        (None, 1),
        (rng.permutation(N), 0),
        (rng.permutation(N), 2),
        (np.arange(N)[::-1], 1),
    ]


def plain_training(clip, images, texts, text_of, seed, epochs, batch_size, learning_rate):
    """One run in plain PyTorch, with autograd and cross entropy: the projections and the loss per epoch."""
    settings = Settings(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate)
    weights = [
        clip.image_neurons.clone().requires_grad_(),
        clip.text_neurons.clone().requires_grad_(),
    ]
    optimiser = torch.optim.AdamW(weights, weight_decay=0.5, betas=(0.9, 0.98))
    rates, losses = iter(settings.learning_rates(len(images) // batch_size)), []
    for epoch in range(epochs):
        for batch in torch.from_numpy(plan_epoch(len(images), batch_size, seed, epoch)[0]):
            image_units = F.normalize(F.linear(images[batch], weights[0], clip.image_bias), dim=1)
            text_units = F.normalize(F.linear(texts[text_of[batch]], weights[1]), dim=1)
            logits, labels = clip.logit_scale * image_units @ text_units.T, torch.arange(batch_size)
            loss = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
            optimiser.zero_grad()
            loss.backward()
            optimiser.param_groups[0]["lr"] = next(rates)
            optimiser.step()
            losses.append(loss.item())
    return weights[0].detach(), weights[1].detach(), np.mean(np.reshape(losses, (epochs, -1)), 1)


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_gradients_equal_autograd(scale):
    generator = torch.Generator().manual_seed(0)
    units = torch.randn(2, 3, 40, D, generator=generator)
    units = [unit.requires_grad_() for unit in F.normalize(units, dim=3)]
    log_scale = torch.full((3,), scale).log().requires_grad_()
    logits = log_scale.exp()[:, None, None] * units[0] @ units[1].transpose(1, 2)
    wanted = (
        (logits.logsumexp(1) + logits.logsumexp(2)) / 2 - logits.diagonal(dim1=1, dim2=2)
    ).mean(1)
    gradients = torch.autograd.grad(wanted.sum(), (*units, log_scale))
    loss, *found = contrastive(*units, torch.full((3,), scale))
    assert torch.allclose(loss, wanted, atol=1e-4)
    for mine, theirs in zip(found, gradients):
        assert torch.allclose(mine, theirs, atol=1e-6 * scale, rtol=1e-4)


def test_one_run_equals_plain_training():
    clip, (images, texts) = make_clip(), make_features()
    text_of = np.random.default_rng(3).permutation(N)
    *wanted, losses = plain_training(clip, images, texts, torch.from_numpy(text_of), 5, **OPTIONS)
    *found, history = finetune_projections(clip, images, texts, text_of, seed=5, **OPTIONS)
    for mine, theirs in zip(found, wanted):
        assert torch.allclose(mine, theirs, atol=1e-5)
    assert np.allclose(history["loss"][1:], losses, atol=1e-5)


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_each_run_of_a_sweep_equals_its_run_alone(monkeypatch, at_once):
    monkeypatch.setitem(cached.LOGITS_AT_ONCE, "cpu", at_once * 32**2)
    clip, (images, texts), runs = make_clip(bias=False), make_features(), make_runs()
    images = torch.stack([images, images + 0.1])  # two views
    image_neurons, text_neurons, history = sweep_projections(clip, images, texts, runs, **OPTIONS)
    for run, (text_of, seed) in enumerate(runs):
        image_alone, text_alone, history_alone = finetune_projections(
            clip, images, texts, text_of, seed=seed, **OPTIONS
        )
        assert (image_neurons[run] - image_alone).abs().max() < 1e-5
        assert (text_neurons[run] - text_alone).abs().max() < 1e-5
        columns = ["loss", "image_avg_abs_cos", "text_avg_abs_cos"]
        ours, alone = history.query("run == @run")[columns], history_alone[columns]
        assert np.allclose(ours, alone, atol=1e-5, equal_nan=True)


def test_views_are_drawn():
    clip, (images, texts) = make_clip(), make_features()
    first = finetune_projections(clip, images, texts, **OPTIONS)[0]
    same = finetune_projections(clip, torch.stack([images] * 3), texts, **OPTIONS)[0]
    other = finetune_projections(clip, torch.stack([images, images.flip(0)]), texts, **OPTIONS)[0]
    assert torch.equal(first, same) and not torch.allclose(first, other, atol=1e-3)


def test_history_and_what_stays_frozen():
    clip, (images, texts) = make_clip(), make_features()
    before = {
        name: getattr(clip, name).clone()
        for name in ("image_neurons", "text_neurons", "image_bias")
    }
    labels = torch.arange(N) % 2
    evaluate = zero_shot(clip, {"toy": (images, labels, texts[:6].reshape(2, 3, -1))})
    *_, history = finetune_projections(clip, images, texts, evaluate=evaluate, **OPTIONS)
    assert list(history["epoch"]) == [0, 1, 2, 3]
    assert history["loss"].isna().tolist() == [True, False, False, False]
    assert history["loss"].iloc[-1] < history["loss"].iloc[1]
    assert (history["logit_scale"].iloc[1:] == history["logit_scale"].iloc[0]).all()
    assert history["accuracy_toy"].between(0, 1).all()
    for name, values in before.items():
        assert torch.equal(getattr(clip, name), values)


def test_zero_shot_equals_the_written_out_way():
    clip, (images, texts) = make_clip(), make_features()
    prompts, labels = texts[:6].reshape(2, 3, -1), torch.arange(N) % 2
    classes = [F.normalize(rows @ clip.text_neurons.T, dim=1).mean(0) for rows in prompts]
    embeddings = images @ clip.image_neurons.T + clip.image_bias
    predicted = (embeddings @ F.normalize(torch.stack(classes), dim=1).T).argmax(1)
    found = zero_shot(clip, {"toy": (images, labels, prompts)})(
        clip.image_neurons, clip.text_neurons
    )
    right = (predicted == labels).float()
    wanted = pytest.approx(right.mean().item())
    recall = pytest.approx((right[labels == 0].mean() + right[labels == 1].mean()).item() / 2)
    assert found == dict.fromkeys(("accuracy_toy", "accuracy"), wanted) | {
        "mean_recall_toy": recall,
        "mean_recall": recall,
    }


def test_the_logit_scale_trains_when_asked():
    clip, (images, texts) = make_clip(), make_features()
    *_, history = finetune_projections(clip, images, texts, train_logit_scale=True, **OPTIONS)
    assert history["logit_scale"].nunique() == 4 and history["logit_scale"].max() <= 100 + 1e-3


def test_a_killed_sweep_goes_on_with_the_same_numbers(tmp_path):
    clip, (images, texts), runs = make_clip(), make_features(), make_runs()
    whole = sweep_projections(clip, images, texts, runs, **OPTIONS)
    calls = iter(range(100))

    def killed_in_the_second_epoch(*_):
        if next(calls) == 2 * len(runs):
            raise KeyboardInterrupt
        return {}

    path = tmp_path / "checkpoints" / "sweep.pt"
    with pytest.raises(KeyboardInterrupt):
        sweep_projections(
            clip,
            images,
            texts,
            runs,
            evaluate=killed_in_the_second_epoch,
            checkpoint=path,
            **OPTIONS,
        )
    assert torch.load(path, weights_only=True)["epoch"] == 1
    resumed = sweep_projections(clip, images, texts, runs, checkpoint=path, **OPTIONS)
    assert torch.equal(whole[0], resumed[0]) and torch.equal(whole[1], resumed[1])
    assert whole[2].equals(resumed[2])
    with pytest.raises(ValueError, match="differs in: seeds, permutations; move it away"):
        sweep_projections(clip, images, texts, runs[:2], checkpoint=path, **OPTIONS)


def test_a_sweep_goes_on_where_numpy_s_numbers_or_another_machine_s_pictures_come(tmp_path):
    clip, (images, texts), seen = make_clip(), make_features(), iter([0.7064, 0.5, 0.5, 0.5])
    options = OPTIONS | dict(checkpoint=tmp_path / "sweep.pt", learning_rate=np.float64(1e-2))
    looked = dict(evaluate=lambda *_: {"accuracy": next(seen)})
    finetune_projections(clip, images, texts, seed=np.int64(1), **looked, **options)
    for now, fits in ((0.7066, True), (0.74, False)):  # of epoch 0: one picture of 5,000, many
        seen = iter([now])
        with nullcontext() if fits else pytest.raises(ValueError, match="in: evaluation"):
            finetune_projections(clip, images, texts, seed=np.int64(1), **looked, **options)


def _other(what, images, texts):
    """A sweep's input with one thing changed, and that in its last row."""
    images, texts, clip, options = images.clone(), texts.clone(), make_clip(), dict(OPTIONS)
    if what == "evaluation":
        options["evaluate"] = lambda *_: {"accuracy_other": 0.5}
    elif what == "epochs":
        options["epochs"] += 1
    elif what == "bias":
        clip.image_bias[-1] += 1
    elif what == "logit scale":
        clip.logit_scale = 21.0
    else:
        {"image features": images, "text features": texts, "neurons": clip.text_neurons}[what][
            -1, -1
        ] += 1
    return clip, images, texts, options


@pytest.mark.parametrize(
    "what, named",
    [
        ("image features", "image features"),
        ("text features", "text features"),
        ("neurons", "starting weights"),
        ("bias", "starting weights"),
        ("logit scale", "starting weights"),
        ("evaluation", "evaluation"),
        ("epochs", "epochs"),
    ],
)
def test_a_sweep_of_other_input_reuses_nothing(tmp_path, what, named):
    images, texts = make_features()
    sweep_projections(
        make_clip(), images, texts, [(None, 0)], checkpoint=tmp_path / "sweep.pt", **OPTIONS
    )
    clip, images, texts, options = _other(what, images, texts)
    options["checkpoint"] = tmp_path / "sweep.pt"
    with pytest.raises(ValueError, match=f"another training, which differs in: .*{named}"):
        sweep_projections(clip, images, texts, [(None, 0)], **options)
    anew = sweep_projections(clip, images, texts, [(None, 0)], overwrite=True, **options)
    alone = sweep_projections(clip, images, texts, [(None, 0)], **{**options, "checkpoint": None})
    assert (
        torch.equal(anew[0], alone[0])
        and torch.equal(anew[1], alone[1])
        and anew[2].equals(alone[2])
    )
    again = sweep_projections(
        clip, images, texts, [(None, 0)], **options
    )  # the other's file is this one's now
    assert again[2].equals(alone[2])


def test_a_checkpoint_of_something_else_is_no_state(tmp_path):
    clip, (images, texts), path = make_clip(), make_features(), tmp_path / "sweep.pt"
    torch.save({"fingerprint": "0" * 64, "epoch": 3}, path)
    with pytest.raises(ValueError, match="is no state of an unfinished training; the weights"):
        sweep_projections(clip, images, texts, [(None, 0)], checkpoint=path, **OPTIONS)
    sweep_projections(clip, images, texts, [(None, 0)], checkpoint=path, overwrite=True, **OPTIONS)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_a_digest_reads_every_number(kind):
    values = torch.zeros(3, 2**21, dtype=kind)
    before = digest(values)
    values[2, -1] = 1
    assert before == digest(torch.zeros_like(values)) != digest(values)
    assert digest(values) != digest(values.reshape(-1, 3)) and digest(values.T) == digest(
        values.T.contiguous()
    )
    assert digest(["a b"]) != digest(["a", "b"]) and digest(None, 20.0) != digest(None, 20.5)


def test_learning_rates():
    rates = Settings(epochs=4, warmup_epochs=1).learning_rates(10)
    assert rates.shape == (40,) and rates[0] == 1e-6 and rates[9] == rates[10] == 1e-3
    assert np.all(np.diff(rates[10:]) < 0) and 1e-5 < rates[-1] < 2e-5
    assert Settings(epochs=1, warmup_epochs=3).learning_rates(5)[-1] == 1e-3


def test_a_loss_that_is_not_finite_stops_with_step_and_batch():
    clip, (images, texts) = make_clip(), make_features()
    message = r"run 0, epoch 1, step \d: the loss is nan; .*image rows \["
    with pytest.raises(FloatingPointError, match=message):
        finetune_projections(clip, images, texts, epochs=2, batch_size=32, learning_rate=1e38)


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(image_features=torch.zeros(N, 3)), r"image_features: expected \(n, 20\)"),
        (dict(image_features=torch.zeros(N - 1, WIDTH_IMAGE)), "expected as many, got 95 and 96"),
        (
            dict(text_features=torch.full((N, WIDTH_TEXT), torch.nan)),
            "text_features: expected finite",
        ),
        (dict(permutation=np.zeros(N, int)), "permutation: .* each of 0 .. 95 once"),
        (dict(permutation=np.arange(N) * 1.0), "permutation: .* whole numbers.*, got float64"),
        (dict(device="gpu"), "device: expected auto, cpu"),
        (dict(batch_size=97), "batch_size: expected 1 .. 96"),
        (dict(epochs=0), "expected positive epochs"),
    ],
)
def test_wrong_input(change, message):
    images, texts = make_features()
    with pytest.raises(ValueError, match=message):
        finetune_projections(
            make_clip(), **{"image_features": images, "text_features": texts, **change}
        )
