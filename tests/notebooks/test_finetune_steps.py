"""The notebooks that fine-tune: settings that changed train anew, whatever an earlier run left."""

import numpy as np
import pandas as pd
import pytest
from checkout import run_notebook

from featpurity.training import cached, online
from featpurity.training.settings import plan_epoch


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, table, kept, module",
    [
        ("steps/finetune.ipynb", "03_history.csv", "checkpoints/sweep.pt", cached),
        ("06_online_and_cached.ipynb", "06_curves.csv", "online/random_Cs50_seed1/last.pt", online),
    ],
)
def test_a_notebook_with_changed_settings_trains_anew(
    tmp_path, monkeypatch, name, table, kept, module
):
    """Finished, killed or left by other settings: what lies in the results never stops or answers another run."""
    settings = dict(
        pairs="scenes",
        n_pairs=160,
        online_pairs=160,
        n_views=1,
        datasets=["scenes_size"],
        ratios=[0.0, 0.5],
        kinds=["random"],
        seeds=[1],
        batch_size=20,
        store_dir=str(tmp_path / "store"),
        epochs=2,
        device="cpu",
    )

    def epochs_after(folder, **changed):
        chosen = {**settings, **changed, "results_dir": str(tmp_path / folder)}
        if name == "steps/finetune.ipynb":
            run_notebook("steps/swap.ipynb", **chosen)
        run_notebook(name, **chosen)
        assert not (tmp_path / folder / kept).exists()
        return pd.read_csv(tmp_path / folder / "tables" / table)

    first = epochs_after("one")
    assert first["epoch"].max() == 2 and epochs_after("one", epochs=3)["epoch"].max() == 3
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(
            module, "plan_epoch", lambda *draw: plan_epoch(*draw) if draw[-1] == 0 else _killed()
        )
        epochs_after("two", ratios=[0.5, 0.5])
    assert (tmp_path / "two" / kept).is_file()
    anew, changed = (
        epochs_after("two", learning_rate=1e-2),
        epochs_after("three", learning_rate=1e-2),
    )
    assert np.allclose(anew["loss"], changed["loss"], equal_nan=True) and not np.allclose(
        anew["loss"], first["loss"]
    )


def _killed():
    raise KeyboardInterrupt
