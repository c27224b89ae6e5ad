"""The chapters on a card, or what stands for one: they run there, and no embeddings leave it."""

import pandas as pd
import pytest
import torch
from checkout import run_notebook
from ladder_models import write_pictures
from pretended_card import OnCard, card

PICTURES, TRAINING, PAIRS = 311, 157, 203  # no other number of the run
CHAPTERS = [
    "01_clip_vs_laclip",
    "02_neuron_pruning",
    "03_misalignment",
    "05_caption_filter",
    "06_online_and_cached",
    "08_what_cos_measures",
    "10_retrieval_and_probe",
    "11_neurons",
]


def test_the_pretended_card_refuses_what_a_card_refuses():
    on_processor = torch.ones(3)
    with card() as pretended:
        there = torch.ones(3, device="cuda:0")
        assert isinstance(there, OnCard) and there.device == torch.device("cuda:0")
        with pytest.raises(RuntimeError, match="found cuda:0 and cpu"):
            there + on_processor
        with pytest.raises(RuntimeError, match="found cuda:0 and cpu"):
            on_processor[there.long()]
        with pytest.raises(TypeError, match="to numpy"):
            there.numpy()
        assert (there + torch.tensor(1.0)).device == there.to(there.double()).device == there.device
        assert there[torch.tensor([0, 2])].sum().item() == 2 and pretended.taken == []
        assert there.cpu().device.type == "cpu" and [shape for shape, _ in pretended.taken] == [
            (3,)
        ]


def is_of_rows(shape, place):
    """Whether it holds a row of numbers for each picture or pair and had no reason to leave the card."""
    reasons = ("features/store.py", "experiments/probe.py")  # the disk; scikit-learn's regression
    rows = len(shape) > 1 and shape[0] in (PICTURES, TRAINING, PAIRS)
    return rows and not any(reason in place for reason in reasons)


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cuda:0", "mps:0"])
def test_chapters_run_on_a_card_and_leave_embeddings_there(tmp_path, device):
    for split, n in {"test": PICTURES, "train": TRAINING}.items():
        write_pictures(tmp_path / "pets" / split, n)
    settings = dict(
        datasets=["pets"],
        data_root=tmp_path,
        prompts="paper",
        pairs="scenes",
        n_pairs=PAIRS,
        online_pairs=PAIRS,
        n_views=2,
        spurious_captions=[0.2],
        mistaken=[0.2],
        atlas_pairs=PAIRS,
        ratios=[0.0, 0.8],
        kinds=["random"],
        seeds=[0, 1],
        epochs=1,
        batch_size=50,
        n_bootstrap=5,
        n_random_orders=3,
        n_rotations=2,
        device=device,
        results_dir=f"{tmp_path}/results",
        store_dir=f"{tmp_path}/store",
    )
    run_notebook("steps/swap.ipynb", **settings)
    with card(device) as pretended:
        for notebook in ["steps/finetune", *CHAPTERS]:
            run_notebook(f"{notebook}.ipynb", **settings)
    if device == "cuda:0":  # Apple's has no double precision: what is measured leaves it
        assert [place for shape, place in pretended.taken if is_of_rows(shape, place)] == []
    accuracy = pd.read_csv(tmp_path / "results/tables/01_accuracy_silhouette.csv")
    assert len(accuracy) == 2 and accuracy.accuracy.between(0, 1).all()
    probes = pd.read_csv(tmp_path / "results/tables/10_probes.csv")
    assert set(probes.test_images) == {PICTURES} and probes.training_images.max() == TRAINING
