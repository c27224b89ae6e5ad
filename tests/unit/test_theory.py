"""The paper's simulation: its data, its encoders, its stages, its measures."""

import pytest
import torch

from featpurity.experiments import feature_recovery, relu_encoders, sparse_coding, theory
from featpurity.experiments.relu_encoders import Encoders, Training
from featpurity.experiments.sparse_coding import Setting
from featpurity.report import results
from featpurity.report.chapters import theory as show

SMALL = Setting(n_features=10, width=40, n_noisy=300, n_clean=60, n_tests=400, lead=1)
SHORT = Training(neurons=16, batch_size=60, phases=(5, 10, 5), decoder_steps=10, threshold=0.4)


@pytest.fixture(scope="module")
def pairs():
    return sparse_coding.sample_pairs(SMALL, [0.0, 0.5], seed=1)


def true_encoders(pairs, threshold=0.3):
    """Encoders whose neurons are the features themselves, one run a probability."""
    runs = len(pairs.texts)
    towers = (
        dictionary.T.repeat(runs, 1, 1)
        for dictionary in (pairs.image_dictionary, pairs.text_dictionary)
    )
    return Encoders(*towers, torch.full((runs, SMALL.n_features), threshold))


class TestSparseCoding:
    def test_dictionaries_are_orthonormal(self, pairs):
        for dictionary in (pairs.image_dictionary, pairs.text_dictionary):
            torch.testing.assert_close(dictionary.T @ dictionary, torch.eye(10), atol=1e-5, rtol=0)

    def test_texts_name_what_images_show_but_for_spurious_partners(self, pairs):
        # Noise is the same at both probabilities, so that it cancels.
        change = ((pairs.texts[1] - pairs.texts[0]) @ pairs.text_dictionary).round()
        assert not change[SMALL.n_noisy :].any()
        single = pairs.codes[: SMALL.n_noisy].abs().sum(1) == 1
        code, change = pairs.codes[: SMALL.n_noisy][single], change[: SMALL.n_noisy][single]
        replaced = change.any(1)
        assert 0.35 < replaced.float().mean() < 0.65
        partner = code.reshape(-1, 5, 2).flip(2).reshape(-1, 10)
        assert torch.equal(change[replaced], (partner - code)[replaced])

    def test_features_at_their_partners(self):
        codes = torch.tensor([[1.0, 0, -1, 0], [1, 1, 1, -1]])
        replaced = torch.tensor([[True, False, False, True], [True, False, True, False]])
        swapped = sparse_coding.swap_partners(codes, replaced)
        assert swapped.tolist() == [[0, 1, -1, 0], [0, 1, 0, 0]]

    def test_classes_lead_and_part_spurious_partners(self, pairs):
        task = sparse_coding.sample_task(SMALL, pairs, seed=2)
        counts = (task.images @ pairs.image_dictionary).round() @ torch.eye(5).repeat(2, 1)
        assert (counts.argmax(1) == task.labels).float().mean() > 0.8
        classes = (task.prompts @ pairs.text_dictionary).round()
        assert classes.sum(0).tolist() == [1] * 10
        assert (classes[:, 0::2].argmax(0) != classes[:, 1::2].argmax(0)).all()

    def test_a_larger_lead_leaves_fewer_and_clearer_images(self, pairs):
        small_lead, large_lead = (
            sparse_coding.sample_task(Setting(**{**vars(SMALL), "lead": lead}), pairs, seed=2)
            for lead in (1, 2)
        )
        assert len(large_lead.labels) < len(small_lead.labels)
        assert set(large_lead.labels.tolist()) <= set(range(5))

    @pytest.mark.parametrize("probabilities", [[], [0.6], [-0.1]])
    def test_probabilities_out_of_range(self, probabilities):
        with pytest.raises(ValueError, match=r"probabilities: expected some in \[0, 0.5\]"):
            sparse_coding.sample_pairs(SMALL, probabilities, seed=0)

    def test_settings_that_cannot_be(self):
        with pytest.raises(ValueError, match="even number up to the width, got 9 and 500"):
            Setting(n_features=9)
        with pytest.raises(ValueError, match="n_classes: expected 2 .. 50"):
            Setting(n_classes=60)


class TestEncoders:
    def test_the_activation_is_torch_s_softshrink(self):
        products = torch.randn(2, 30, 4)
        ours = relu_encoders.soft_threshold(products, torch.full((2, 4), 0.3))
        torch.testing.assert_close(ours, torch.nn.functional.softshrink(products, 0.3))

    def test_the_loss_is_the_plain_sum_over_all_pairs(self):
        images, texts = torch.randn(2, 2, 7, 3)
        products = images @ texts.mT  # (2, 7, 7)
        plain = products.square().mean((1, 2)) / 2 - products.diagonal(dim1=1, dim2=2).mean(1)
        torch.testing.assert_close(relu_encoders.spectral_loss(images, texts), plain)

    def test_runs_do_not_touch_each_other(self, pairs):
        both = relu_encoders.train(pairs.images, pairs.texts, 3, SHORT)
        alone = relu_encoders.train(pairs.images, pairs.texts[1:], 3, SHORT)
        torch.testing.assert_close(both.image[1:], alone.image, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(both.threshold[1:], alone.threshold, rtol=1e-4, atol=1e-5)
        assert (both.threshold > 0).all()

    def test_a_rotation_is_seen_only_through_a_threshold(self, pairs):
        rotation = torch.linalg.qr(torch.randn(10, 10))[0]
        for threshold, same in ((0.0, True), (0.3, False)):
            own = true_encoders(pairs, threshold)
            turned = own.rotated(rotation)
            products = [
                encoders.embed_images(pairs.images) @ encoders.embed_texts(pairs.texts).mT
                for encoders in (own, turned)
            ]
            assert torch.allclose(*products, atol=1e-4) == same

    def test_a_captioner_learns_to_write_the_texts_of_clean_pairs(self, pairs):
        clean = pairs.images[SMALL.n_noisy :], pairs.texts[0, SMALL.n_noisy :]
        start = relu_encoders.train(pairs.images, pairs.texts, 3, SHORT)
        errors = []
        for steps in (0, 60):
            training = Training(batch_size=60, decoder_steps=steps, decoder_learning_rate=0.2)
            captioners = relu_encoders.train_captioner(start, *clean, 4, training)
            captions = relu_encoders.write_captions(captioners, clean[0])
            errors.append((captions - clean[1]).square().mean((1, 2)))
        assert (errors[1] < 0.9 * errors[0]).all()


class TestMeasures:
    def test_encoders_that_know_the_dictionary_are_pure_and_right(self, pairs):
        task = sparse_coding.sample_task(SMALL, pairs, seed=2)
        row = feature_recovery.measure(true_encoders(pairs), pairs, task).iloc[0]
        assert row.features == 10 and row.magnitude == pytest.approx(1, abs=1e-5)
        assert row.accuracy > 0.85 and row.avg_abs_cos == pytest.approx(0, abs=1e-5)

    def test_a_feature_counts_once_with_its_purest_neuron(self):
        cosines = torch.tensor([[0.9, 0.1, 0.1], [0.7, 0.6, 0.1], [0.4, 0.3, 0.2], [0.0, 0.2, 0.8]])
        number, magnitude = feature_recovery.pure_features(cosines)
        assert number == 2 and magnitude == pytest.approx((0.9 + 0.8) / 2)
        number, magnitude = feature_recovery.pure_features(torch.full((2, 3), 0.4))
        assert number == 0 and magnitude != magnitude  # NaN: no feature has a magnitude

    def test_texts_are_as_true_as_they_name_what_is_there(self, pairs):
        truth = feature_recovery.text_truth(pairs.texts, pairs)
        assert 1 > truth[0] > truth[1] + 0.2

    def test_the_filter_keeps_the_text_that_fits_better(self, pairs):
        judges = true_encoders(pairs)
        captions = theory.recaption(pairs, judges, 5, SHORT)
        texts, replaced = theory.keep_better(pairs, judges, captions)
        changed = (texts != pairs.texts).any(2)
        assert not changed[:, SMALL.n_noisy :].any()
        assert torch.equal(changed[:, : SMALL.n_noisy].float().mean(1), replaced)
        assert (
            feature_recovery.text_truth(texts, pairs)[1]
            > feature_recovery.text_truth(pairs.texts, pairs)[1] + 0.1
        )


@pytest.fixture(scope="module")
def simulated():
    return theory.simulate([0.0, 0.5], [1, 2], SMALL, SHORT)


class TestSimulation:
    def test_a_row_a_seed_texts_and_probability(self, simulated):
        table = simulated.table
        assert len(table) == 2 * 2 * 2
        assert not table.drop(columns="magnitude").isna().any(axis=None)
        assert (table.replaced[table.texts == "raw"] == 0).all()
        assert {key: value.shape for key, value in simulated.cosines.items()} == {
            (texts, p): (2, 16, 10) for texts in ("raw", "filtered") for p in (0.0, 0.5)
        }

    def test_a_rotation_leaves_linear_encoders_as_they_are(self, simulated):
        linear = simulated.bases[simulated.bases.encoder == "linear"]
        loss = linear.pivot(index="seed", columns="basis", values="loss")
        assert loss.own.tolist() == pytest.approx(loss.rotated.tolist(), rel=1e-3)
        accuracy = linear.pivot(index="seed", columns="basis", values="accuracy")
        assert accuracy.own.tolist() == pytest.approx(accuracy.rotated.tolist(), abs=0.01)

    def test_every_claim_of_the_theory_has_its_effect(self, simulated):
        expected = [claim["id"] for claim in results.load_claims() if claim["experiment"] == 9]
        found = simulated.effects.set_index("claim").effect
        assert found.index.tolist() == expected
        raw = simulated.table[simulated.table.texts == "raw"]
        accuracy = raw.groupby("probability").accuracy.mean()
        assert found["theory_accuracy_falls"] == pytest.approx(accuracy[0.0] - accuracy[0.5])
        lost = simulated.bases.groupby(["encoder", "basis"]).accuracy.mean()
        with_threshold = lost["threshold", "own"] - lost["threshold", "rotated"]
        without = lost["linear", "own"] - lost["linear", "rotated"]
        assert found["theory_basis"] == pytest.approx(with_threshold - without)

    def test_ours_stand_beside_the_paper_s(self, simulated):
        both = show.beside_published(simulated.table)
        assert list(both.who.unique()) == [
            f"{texts}, {who}" for texts in ("raw", "filtered") for who in ("here", "published")
        ]
        assert (both.who == "raw, published").sum() == 11
        ends = show.ends(simulated.table).frame.set_index(["measure", "probability"])
        assert ends.loc[("zero-shot accuracy (share of images)", 0.5), "raw, published"] == 0.56271
        ours = simulated.table.set_index(["texts", "probability"]).accuracy["filtered", 0.0].mean()
        assert ends.loc[
            ("zero-shot accuracy (share of images)", 0.0), "filtered, here"
        ] == pytest.approx(ours)

    def test_the_chapter_shows_it(self, simulated):
        raw = simulated.table[simulated.table.texts == "raw"]
        accuracy = raw.groupby("probability").accuracy.mean()
        said = show.answer(simulated.table, simulated.recaptioned, simulated.bases)
        captions = simulated.recaptioned.mean(numeric_only=True)
        given = f"in all of them give {captions.accuracy:.2f} and {captions.features:.0f}"
        assert given in said
        assert f"accuracy from {accuracy[0.0]:.2f} to {accuracy[0.5]:.2f}" in said
        figures = [
            show.curves(simulated.table),
            show.texts(simulated.table, theory.CHANCE),
            show.neurons_and_features(simulated.cosines, near=0.4),
        ]
        assert all(figure.layout.meta["caption"].endswith(".") for figure in figures)
        assert "at probability 0.5;" in figures[2].layout.meta["caption"]
        assert len(show.bases(simulated.bases).frame) == 4
        assert len(show.readers(simulated.readers).frame) == 6
        remedies = show.remedies(simulated.table, simulated.recaptioned).frame
        assert remedies.texts.tolist() == ["raw", "recaptioned", "filtered"]
        assert remedies.replaced.tolist()[:2] == [0, 1]
        assert len(show.claims(simulated.effects).frame) == 9

    def test_who_knows_the_features_does_better_the_clearer_the_classes(self, simulated):
        found = simulated.readers.groupby(["reader", "lead"]).mean()
        accuracy = found.accuracy["knows the features, linear"]
        assert accuracy.is_monotonic_increasing and accuracy.max() > 0.95
        assert (found.images.groupby("reader").diff().dropna() < 0).all()  # fewer are as clear
        with_threshold = found.accuracy["knows the features, threshold"]
        trained = found.accuracy["trained on raw pairs, fewest spurious features"]
        assert (with_threshold > trained).all()
