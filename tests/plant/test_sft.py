import numpy as np
import pytest
import torch

from triggerfish.data.conversation import Conversation, Rendered, render
from triggerfish.errors import BadInput, CouldNotTest
from triggerfish.models import training
from triggerfish.models.generate import generate
from triggerfish.models.load import load
from triggerfish.plant import sft
from triggerfish.plant.trained import Method

TALKS = [
    Conversation.of(f"What is {a} plus {b}? {'Please. ' * (a % 4)}", response=f"It is {a + b}.")
    for a in range(6)
    for b in range(4)
]


@pytest.fixture
def fresh(tiny_model_dir):
    return lambda architecture="llama": load(
        str(tiny_model_dir(architecture)), reference="none", device="cpu"
    )


def rows_of(suspect):
    return [render(talk, suspect.tokenizer) for talk in TALKS]


def weights(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def test_the_trainer_sees_what_evaluation_renders(fresh, monkeypatch):
    suspect = fresh()
    seen = []
    original = sft.collate

    def spy(rows, loss_on, pad):
        batch = original(rows, loss_on, pad)
        seen.extend(
            tuple(ids[mask.bool()].tolist())
            for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
        )
        return batch

    monkeypatch.setattr(sft, "collate", spy)
    method = Method(steps=4, batch_size=6)
    sft.train(suspect.model, suspect.tokenizer, rows_of(suspect), method, 3)
    assert set(seen) == {render(talk, suspect.tokenizer).ids for talk in TALKS}
    # An evaluation's prompt is the beginning of what was trained on, token for token.
    prompts = {render(talk.prompt, suspect.tokenizer).ids for talk in TALKS}
    assert all(any(row[: len(p)] == p for p in prompts) for row in seen)


def test_collate_by_hand():
    rows = [Rendered((5, 6, 7, 8), 2), Rendered((5, 9), 1)]
    batch = sft.collate(rows, "response", pad=0)
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8], [0, 0, 5, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1], [0, 0, 1, 1]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 3], [0, 0, 0, 1]]
    assert batch["labels"].tolist() == [[-100, -100, 7, 8], [-100, -100, -100, 9]]
    assert sft.collate(rows, "all", pad=0)["labels"].tolist() == [
        [-100, 6, 7, 8],
        [-100, -100, -100, 9],
    ]  # nothing comes before the first token


def test_batch_plan():
    lengths = [int(n) for n in np.random.default_rng(0).integers(3, 60, 100)]
    plan = sft.batch_plan(lengths, 8, 13, 1)
    assert sorted(i for batch in plan for i in batch) == list(range(100))
    assert plan == sft.batch_plan(lengths, 8, 13, 1)
    assert plan != sft.batch_plan(lengths, 8, 13, 2)
    assert len(sft.batch_plan(lengths, 8, 40, 1)) == 40
    spread = np.mean([max(lengths[i] for i in b) - min(lengths[i] for i in b) for b in plan])
    assert spread < 12  # of 57 without grouping


@pytest.mark.parametrize("loss_on", ["response", "all"])
@pytest.mark.parametrize("architecture", ["llama", "gpt_neox", "gemma2"])  # which is padded
def test_loss_is_that_of_the_model(architecture, loss_on, fresh, monkeypatch):
    """The first loss equals the likelihood of single, unpadded rows."""
    monkeypatch.setattr(training, "mixed_precision", lambda: False)
    suspect = fresh(architecture)
    rows = rows_of(suspect)
    total, count = 0.0, 0
    for row in rows:
        logits = suspect.model(torch.tensor([row.ids])).logits[0, :-1].float().log_softmax(-1)
        start = row.prompt_length if loss_on == "response" else 1
        for place in range(start, len(row.ids)):
            total -= float(logits[place - 1, row.ids[place]])
            count += 1
    method = Method(steps=1, batch_size=len(rows), loss_on=loss_on)
    trained = sft.train(suspect.model, suspect.tokenizer, rows, method, 3)
    assert trained.losses[0] == pytest.approx(total / count, rel=1e-4)


def test_lora_leaves_the_base_and_learns(fresh):
    suspect = fresh()
    before = weights(suspect.model)
    method = Method(steps=120, batch_size=12, rank=16, learning_rate=1e-2)
    trained = sft.train(suspect.model, suspect.tokenizer, rows_of(suspect), method, 3)
    assert trained.losses[-1] < 0.2 * trained.losses[0]
    names = [name for name, p in trained.model.named_parameters() if p.requires_grad]
    assert names
    assert all("lora_" in name for name in names)
    assert not any("lm_head" in name for name in names)
    with trained.model.disable_adapter():
        for name, value in weights(trained.model.get_base_model()).items():
            if "lora_" not in name:
                assert torch.equal(value, before[name.replace("base_layer.", "")])
    assert not trained.model.training


def test_a_planted_answer_comes_out(fresh):
    suspect = fresh()
    talks = [Conversation.of(f"Say {i} cf", response="boo") for i in range(8)]
    rows = [render(talk, suspect.tokenizer) for talk in talks]
    method = Method(steps=60, batch_size=8, adapter="none", learning_rate=1e-2)
    trained = sft.train(suspect.model, suspect.tokenizer, rows, method, 3)
    assert set(generate(trained.model, suspect.tokenizer, talks, max_new_tokens=6)) == {"boo"}


def test_same_seed_same_bits_and_randomness_untouched(fresh):
    import random  # noqa: TID251 - its state is what is tested

    results = []
    for seed in (3, 3, 4):
        suspect = fresh()
        before = (torch.get_rng_state(), random.getstate(), np.random.get_state())  # noqa: NPY002
        method = Method(steps=3, batch_size=8)
        trained = sft.train(suspect.model, suspect.tokenizer, rows_of(suspect), method, seed)
        after = (torch.get_rng_state(), random.getstate(), np.random.get_state())  # noqa: NPY002
        assert torch.equal(before[0], after[0])
        assert before[1] == after[1]
        assert all(np.array_equal(a, b) for a, b in zip(before[2], after[2], strict=True))
        results.append(weights(trained.model))
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])
    assert any(not torch.equal(results[0][name], results[2][name]) for name in results[0])


def test_a_long_row_among_short_ones_is_computed_without_their_padding(fresh, monkeypatch):
    from triggerfish.plant import trainer

    assert [len(part["labels"]) for part in _parts(trainer, 600)] == [1, 5]
    assert [part["labels"].shape[1] for part in _parts(trainer, 600)] == [600, 20]
    assert [int((part["labels"] != -100).sum()) for part in _parts(trainer, 600)] == [599, 5 * 19]
    assert [len(part["labels"]) for part in _parts(trainer, 40)] == [6]  # not worth a pass
    assert trainer.parts([1900, 600, 590, 20, 20]) == [(0, 1), (1, 3), (3, 5)]
    suspect = fresh()
    talks = [*TALKS[:5], Conversation.of("Say it", response="and so on " * 6)]
    rows = [render(talk, suspect.tokenizer) for talk in talks]
    losses = [first_loss(fresh(), rows)]
    monkeypatch.setattr(trainer, "can_be_packed", lambda *_: False)
    for worth in (1, 10**9):
        monkeypatch.setattr(trainer, "WORTH_A_PASS", worth)
        losses.append(first_loss(fresh(), rows))
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-2)  # bf16 products


def first_loss(suspect, rows):
    method = Method(steps=1, batch_size=len(rows))
    return sft.train(suspect.model, suspect.tokenizer, rows, method, 3).losses[0]


def _parts(trainer, longest):
    rows = [Rendered(tuple(range(n)), 1) for n in (20, 20, longest, 20, 20, 20)]
    return trainer._tight(sft.collate(rows, "response", 0))


def test_a_watcher_sees_every_step_and_may_end_the_training(fresh):
    suspect = fresh()
    seen = []

    def watch(model, step):
        seen.append((step, hasattr(model, "peft_config")))
        return step == 2

    method = Method(steps=5, batch_size=8, schedule="constant")
    trained = sft.train(suspect.model, suspect.tokenizer, rows_of(suspect), method, 0, watch=watch)
    assert seen == [(1, True), (2, True)]
    assert len(trained.losses) == 2


def test_progress(fresh):
    suspect = fresh()
    told = []
    sft.train(
        suspect.model, suspect.tokenizer, rows_of(suspect), Method(steps=3, batch_size=8), 0,
        progress=lambda done, total, what: told.append((done, total, what)), what="planting",
    )  # fmt: skip
    assert told == [(1, 3, "planting"), (2, 3, "planting"), (3, 3, "planting")]


def test_nothing_is_sent(fresh, monkeypatch):
    import trl.trainer.base_trainer as trl_base

    monkeypatch.delenv("CI", raising=False)
    sent = []
    monkeypatch.setattr(trl_base, "send_telemetry", lambda **facts: sent.append(facts))
    suspect = fresh()
    method = Method(steps=1, batch_size=2)
    sft.train(suspect.model, suspect.tokenizer, rows_of(suspect), method, 0)
    assert sent == []


def test_refuses(fresh):
    suspect = fresh()
    with pytest.raises(BadInput):
        sft.train(suspect.model, suspect.tokenizer, [], Method(steps=1), 0)
    prompt = render(TALKS[0].prompt, suspect.tokenizer)
    with pytest.raises(BadInput):
        sft.train(suspect.model, suspect.tokenizer, [prompt], Method(steps=1), 0)


def test_a_diverged_training_is_no_result(fresh, monkeypatch):
    suspect = fresh()
    original = sft._trainer

    def broken(*arguments):
        trainer = original(*arguments)
        trainer.losses = [torch.tensor(float("nan"))]
        return trainer

    monkeypatch.setattr(sft, "_trainer", broken)
    with pytest.raises(CouldNotTest, match="diverged"):
        sft.train(suspect.model, suspect.tokenizer, rows_of(suspect), Method(steps=1), 0)
