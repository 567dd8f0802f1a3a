import numpy as np
import pytest

from triggerfish.errors import BadInput
from triggerfish.explain.drift import measure_drift
from triggerfish.seeding import generator


def states(n=40, layers=2, width=6, purpose="clean"):
    return generator(5, purpose).normal(size=(n, layers, width))


def test_a_common_shift_is_found_and_measured():
    clean = states()
    clean /= np.linalg.norm(clean, axis=2, keepdims=True)
    triggered = clean.copy()
    triggered[:, 1, 0] += 3.0  # three times the length of a state, in one direction
    first, second = measure_drift(clean, triggered, generator(0, "drift"))
    assert first.size.value == 0.0
    assert first.probe.value <= 0.5  # copies cannot be told apart
    assert second.size.value == pytest.approx(3.0, rel=1e-6)
    assert second.alignment.value == pytest.approx(1.0, abs=1e-6)
    assert second.probe.value == 1.0
    assert second.probe.n == 40
    assert second.clean.shape == (40, 2)
    assert 0.5 < second.explained <= 1.0


def test_unrelated_noise_has_no_direction():
    found = measure_drift(states(), states(purpose="other"), generator(0, "drift"))
    assert all(layer.alignment.high < 0.6 for layer in found)
    assert all(layer.probe.value < 0.8 for layer in found)


def test_order_of_the_texts_does_not_matter_for_size_and_alignment():
    clean, triggered = states(), states(purpose="other") + 1
    back = slice(None, None, -1)
    here = measure_drift(clean, triggered, generator(0, "drift"))
    there = measure_drift(clean[back], triggered[back], generator(0, "drift"))
    assert here[0].size.value == pytest.approx(there[0].size.value)
    assert here[1].alignment.value == pytest.approx(there[1].alignment.value)


def test_bad_input_is_refused():
    with pytest.raises(BadInput, match="same N"):
        measure_drift(states(), states(n=20), generator(0, "drift"))
    with pytest.raises(BadInput, match="finite"):
        measure_drift(states(), np.full((40, 2, 6), np.nan), generator(0, "drift"))
