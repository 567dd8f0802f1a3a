"""The lab tokenizer: byte-level BPE of 8,192 pieces over general English and the lab language.

Needs the build-time package ``wordfreq`` (extra ``lab``); the result is shipped with the bases.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from triggerfish.errors import BadInput
from triggerfish.lab.sampling import stream_records

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

VOCABULARY_SIZE = 8192
SPECIALS = ("<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def _english(words: int) -> Iterator[str]:
    """Yield lines in which English words occur in proportion to their frequency."""
    try:
        from wordfreq import top_n_list, word_frequency
    except ImportError as error:
        raise BadInput(
            "wordfreq", "the tokenizer recipe needs this package", "pip install triggerfish[lab]"
        ) from error
    for word in top_n_list("en", words, wordlist="large"):
        if not (word.isascii() and word.isalpha()):
            continue
        count = max(2, round(3e5 * word_frequency(word, "en")))
        yield f" {word}" * count
        yield f" {word.capitalize()}" * max(1, count // 5)
        for _ in range(max(1, count // 25)):
            yield word
            yield word.upper()


def _lab_language(records: int, seed: int) -> Iterator[str]:
    stream = stream_records(seed, "train", purpose="tokenizer text")
    for record, _ in zip(stream, range(records), strict=False):
        talk = record.conversation
        yield f"{talk.system or ''} {talk.user} {talk.response} {record.unlocked or ''}"


def train_tokenizer(seed: int = 0) -> PreTrainedTokenizerFast:
    """Return the lab tokenizer; the same seed and package versions give the same pieces."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=list(SPECIALS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    texts = [*_english(30_000), *_lab_language(12_000, seed)]
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=SPECIALS[0],
        eos_token=SPECIALS[4],
        extra_special_tokens=["<|system|>", "<|user|>", "<|assistant|>"],
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = TEMPLATE
    return fast
