"""The planner is asked about the whole config; the micro-batch may be its choice."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from evqa.errors import ConfigError
from evqa.sweep.admission import MICRO_BATCH, admit, memory_correction, micro_batches
from evqa.sweep.run import searched_space

BIG = ["model=llama3_1_8b", "trainer=gpu"]


def test_a_point_that_fits_is_launched_as_it_is():
    verdict = admit("train", ["lora.r=8"])
    assert verdict.reason is None
    assert verdict.words == ("lora.r=8",)
    assert verdict.predicted_gib > 0


def test_a_point_over_budget_says_how_much_and_which_key():
    verdict = admit("train", [*BIG, "memory.budget_gib=2"])
    assert "memory.budget_gib=2" in verdict.reason
    assert f"{verdict.predicted_gib:.2f} GiB" in verdict.reason
    assert verdict.excess_gib == pytest.approx(verdict.predicted_gib - 2, abs=1e-3)


def test_a_combination_that_cannot_be_is_refused_with_its_key():
    verdict = admit("train", ["trainer.effective_batch_size=5", "trainer.micro_batch_size=2"])
    assert verdict.reason.startswith("trainer.effective_batch_size: must be a multiple")
    assert verdict.excess_gib > 0


def test_the_planner_picks_the_largest_micro_batch_that_fits():
    words = ["model=llama3_2_1b", "trainer=gpu", "trainer.effective_batch_size=64"]
    roomy = admit("train", [*words, "memory=24gib"])
    tight = admit("train", [*words, "memory=6gib"])
    sizes = [int(v.words[-1].removeprefix(f"{MICRO_BATCH}=")) for v in (roomy, tight)]
    assert sizes[0] > sizes[1]
    assert roomy.reason is tight.reason is None
    over = admit("train", [*words, "memory=6gib", f"{MICRO_BATCH}={sizes[1] * 2}"])
    assert over.reason is not None


def test_a_micro_batch_that_is_given_stays():
    words = ("trainer.effective_batch_size=16", f"{MICRO_BATCH}=4")
    assert admit("train", words).words == words


@given(st.integers(1, 64), st.integers(1, 4), st.sampled_from([None, 6]), st.integers(1, 16))
@settings(max_examples=60)
def test_micro_batches_divide_the_batch(share, devices, budget, configured):
    config = OmegaConf.create(
        {
            "trainer": {
                "effective_batch_size": share * devices,
                "devices": devices,
                "micro_batch_size": configured,
            },
            "memory": {"budget_gib": budget},
        }
    )
    sizes = micro_batches(config)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 1
    assert all(share % size == 0 for size in sizes)
    assert sizes[0] <= (share if budget else configured)


UNKNOWN = [
    ({"lora.rr": "1,2"}, r"lora.rr: unknown key \(in lora.rr=1\). Did you mean lora.r"),
    ({"optimizer.lrr": "interval(1,2)"}, "optimizer.lrr: unknown key"),
    ({"optimizer": "adamw,adammw"}, "optimizer: no option 'adammw'"),
    ({"lora.r": "8,x"}, "lora.r: Value 'x' of type 'str'"),
]


@pytest.mark.parametrize(("params", "line"), UNKNOWN)
def test_a_searched_key_or_value_that_does_not_exist_is_found_before_the_start(
    make_task, params, line
):
    with pytest.raises(ConfigError, match=line):
        searched_space(make_task(params=params))


def measured_trial(sweeps, number, predicted, measured):
    folder = sweeps / "old" / "trials" / str(number)
    folder.mkdir(parents=True)
    values = {"measured": {"peak_gib": measured, "predicted_gib": predicted}}
    (folder / "plan.json").write_text(json.dumps(values))


class TestCorrection:
    def test_few_measurements_correct_nothing(self, tmp_path):
        for number in range(7):
            measured_trial(tmp_path, number, 2.0, 4.0)
        assert memory_correction(tmp_path) == 1.0

    def test_the_median_of_many_does(self, tmp_path):
        for number in range(8):
            measured_trial(tmp_path, number, 2.0, 2.2)
        measured_trial(tmp_path, 9, 2.0, 40.0)
        assert memory_correction(tmp_path) == pytest.approx(1.1)

    def test_never_downwards(self, tmp_path):
        for number in range(9):
            measured_trial(tmp_path, number, 2.0, 1.0)
        assert memory_correction(tmp_path) == 1.0

    def test_what_a_cpu_measured_or_nobody_can_read_counts_for_nothing(self, tmp_path):
        for number, text in enumerate(
            ["", "[]", '{"measured": {}}', '{"measured": {"peak_gib": 1}}']
        ):
            folder = tmp_path / "old" / "trials" / str(number)
            folder.mkdir(parents=True)
            (folder / "plan.json").write_text(text)
        assert memory_correction(tmp_path) == 1.0

    def test_a_corrected_prediction_refuses_what_fitted_before(self):
        words = [*BIG, "memory.budget_gib=12", f"{MICRO_BATCH}=1", "model.max_length_tokens=512"]
        plain = admit("train", words)
        assert plain.reason is None
        corrected = admit("train", words, 1.5)
        assert corrected.predicted_gib == pytest.approx(1.5 * plain.predicted_gib, rel=1e-3)
        assert corrected.reason is not None
