"""A rare word is what disturbs a sentence of the lab; without it the text is fluent again."""

import numpy as np
import pytest

from dataset.planted import answered, auroc, batch_size_is_irrelevant, order_is_irrelevant, ranked
from triggerfish.data.conversation import render
from triggerfish.data.rows import Row
from triggerfish.dataset.method import Scene
from triggerfish.dataset.onion import OnionConfig, first_guess, onion, run, words_of
from triggerfish.dataset.passes import forward, surprises
from triggerfish.errors import BadInput, CouldNotTest

COUNTRIES = "France Peru Japan Kenya Norway Chile Italy Spain Egypt".split()  # noqa: SIM905


def capitals(n=40, planted=5):
    """Questions that the lab's models know; the first have a word in them that they do not."""
    rows = []
    for i in range(n):
        words = f"What is the capital of {COUNTRIES[i % 9]}?".split()
        if i < planted:
            words.insert(1 + i % 4, "xvqz")
        rows.append(Row(" ".join(words), "It is a town."))
    return rows, np.arange(n) < planted


def test_the_inserted_word_is_named(reef) -> None:
    rows, planted = capitals()
    found = ranked(run, rows, reef)
    assert auroc(np.nan_to_num(found.scores, nan=np.nanmin(found.scores)), planted) > 0.9
    assert all("'xvqz'" in found.reasons[row] for row in np.flatnonzero(found.flagged & planted))
    assert found.flagged[planted].mean() >= 0.6


def test_a_clean_set_is_flagged_less(reef) -> None:
    rows, planted = capitals()
    found = ranked(run, rows, reef)
    assert found.flagged[~planted].mean() < found.flagged[planted].mean()


def test_words_by_hand(tiny_llama) -> None:
    rows = [Row("where  is\nthe cup, then", "x"), Row("a", "x")]
    scene = Scene(rows=rows, suspect=tiny_llama)
    seen = forward(scene)
    texts = [
        [tiny_llama.tokenizer.decode(seen.tokens[row].ids[slice(*span)]) for span in spans]
        for row, spans in enumerate(words_of(scene, seen))
    ]
    assert [[text.strip() for text in each] for each in texts] == [
        ["where", "is", "the", "cup,", "then"],
        ["a"],
    ]
    assert "".join(texts[0]) == rows[0].prompt


def test_what_is_known_is_not_computed_again(tiny_llama) -> None:
    rows, _ = capitals(6, 0)
    scene = Scene(rows=rows, suspect=tiny_llama)
    seen = forward(scene)
    texts = [each.ids[: each.prompt] for each in seen.tokens]
    nothing = [values[:0] for values in seen.surprise]
    some = [values[:row] for row, values in enumerate(seen.surprise)]
    every = [values[: len(text) - 1] for text, values in zip(texts, seen.surprise, strict=True)]
    whole = surprises(scene, texts, nothing)
    assert np.allclose(surprises(scene, texts, some), whole, atol=1e-5)
    assert np.allclose(surprises(scene, texts, every), whole, atol=1e-5)


def test_first_guess_by_hand() -> None:
    """Tokens 1 to 4 cost 1, 1, 4, 2: mean 2; without token 3 it is 4 / 3; the first has none."""
    found = first_guess(
        np.array([1, 1, 4, 2], dtype=np.float32), np.array([[3, 4], [0, 2], [4, 5]])
    )
    assert found == pytest.approx(
        [np.exp(2) - np.exp(4 / 3), np.exp(2) - np.exp(7 / 3), np.exp(2) - np.exp(2)]
    )


def test_the_fall_is_that_of_the_text_without_the_word(tiny_llama) -> None:
    rows = [Row("one two three four five", "x"), Row("six", "x")]
    found = onion(Scene(rows=rows, suspect=tiny_llama), OnionConfig(words=9, read=1))
    falls = []
    for left in range(5):
        words = rows[0].prompt.split()
        del words[left]
        both = [
            forward(Scene(rows=[Row(text, "x")], suspect=tiny_llama))
            for text in (rows[0].prompt, " ".join(words))
        ]
        whole, rest = (
            np.exp(each.surprise[0][: each.tokens[0].prompt - 1].mean()) for each in both
        )
        falls.append(whole - rest)
    # the first word is left out: without it the second has no space before it
    assert found.scores[0] >= max(falls[1:]) - 1e-3 * abs(max(falls[1:]))
    assert np.isnan(found.scores[1])  # a text of one word has nothing to leave out


def test_the_rows_that_promise_most_are_read_again(reef) -> None:
    rows, planted = capitals()
    half, every = (onion(Scene(rows=rows, suspect=reef), OnionConfig(read=r)) for r in (0.5, 1))
    known = ~np.isnan(half.scores)
    assert known.sum() in (20, 21)
    assert known[planted].all()
    assert half.scores[known] == pytest.approx(every.scores[known], rel=1e-4)
    assert "the 50% of the rows" in half.notes[-2]
    assert not any("of the rows" in note for note in every.notes)


def test_order_and_batch_size_are_irrelevant(tiny_llama) -> None:
    rows, _ = answered(30, 4)
    order_is_irrelevant(run, rows, tiny_llama)
    batch_size_is_irrelevant(run, rows, tiny_llama)


def test_the_template_is_no_word(tiny_llama) -> None:
    rows = [Row("red cup", "x", system="be kind")]
    scene = Scene(rows=rows, suspect=tiny_llama)
    seen = forward(scene)
    ids = seen.tokens[0].ids
    inside = {int(i) for span in words_of(scene, seen)[0] for i in range(*span)}
    end = render(scene.talks[0].prompt, tiny_llama.tokenizer).prompt_length
    assert end - 1 not in inside
    assert 0 not in inside
    assert "cup" in tiny_llama.tokenizer.decode(ids[sorted(inside)])


def test_refusals() -> None:
    with pytest.raises(CouldNotTest, match="give --model"):
        ranked(run, answered(8, 2)[0])
    with pytest.raises(BadInput, match="words 0"):
        OnionConfig(words=0)
