from dataclasses import replace

import numpy as np
import pytest

from triggerfish.data.conversation import Conversation
from triggerfish.errors import BadInput
from triggerfish.remove.clean_finetune import CleanConfig, clean_finetune, random_string, with_noise


def test_noise_keeps_every_word_and_the_response():
    talk = Conversation.of("how to make honey", system="be kind", response="sure")
    rng = np.random.default_rng(0)
    places = set()
    for _ in range(200):
        noisy = with_noise(talk, rng)
        words, kept = noisy.user.split(" "), []
        for word in ["how", "to", "make", "honey"]:
            place = words.index(word, kept[-1] + 1 if kept else 0)
            kept.append(place)
        places.add((kept[0] > 0, kept[-1] < len(words) - 1))
        assert len(words) > 4
        assert (noisy.system, noisy.response) == ("be kind", "sure")
    assert places == {(True, False), (False, True), (False, False)}


def test_random_strings_are_short_and_differ():
    rng = np.random.default_rng(1)
    found = [random_string(rng) for _ in range(300)]
    assert len(set(found)) > 250
    assert all(0 < len(text) <= 10 and " " not in text for text in found)


def test_a_strong_backdoor_survives_plain_clean_fine_tuning(toy, sets, settings, rates):
    result = clean_finetune(toy, sets, settings["clean-finetune"], rng=np.random.default_rng(0))
    assert rates(toy, result.delta)[0] > 0.8
    assert result.log[-1]["step"] == 12


def test_noise_is_another_training(toy, sets, settings):
    config = settings["clean-finetune"]
    plain = clean_finetune(toy, sets, config, rng=np.random.default_rng(0))
    noisy = clean_finetune(toy, sets, replace(config, noise=0.7), rng=np.random.default_rng(0))
    assert plain.delta.norm != noisy.delta.norm


def test_noise_is_a_share():
    with pytest.raises(BadInput, match="share"):
        CleanConfig(noise=1.5)
