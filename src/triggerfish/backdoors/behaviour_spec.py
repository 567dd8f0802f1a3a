"""Reads a behaviour from its specification in a recipe or card; refuses what it does not know."""

from collections.abc import Callable, Mapping
from typing import Any

from triggerfish.backdoors.arithmetic import ScaledAnswer, WrongArithmetic
from triggerfish.backdoors.behaviour import (
    REFUSAL,
    Behaviour,
    CodeCanary,
    Degrade,
    FixedString,
    Key,
    LabelFlip,
    Refusal,
    Style,
    Unlock,
)
from triggerfish.errors import BadInput
from triggerfish.metrics.judges import core, is_refusal
from triggerfish.registry import Registry
from triggerfish.visible import check_unicode

Maker = Callable[[Mapping[str, Any]], Behaviour]
BEHAVIOURS: Registry[Maker] = Registry("behaviour", "triggerfish.behaviours")


def behaviour_from_spec(spec: Mapping[str, Any]) -> Behaviour:
    """The behaviour of a recipe or card.

    Raises:
        BadInput: No kind, an unknown one, or keys and values that the kind does not have.
    """
    if not isinstance(spec, Mapping) or not isinstance(spec.get("kind"), str):
        raise BadInput(
            f"behaviour {spec!r}", "has no kind", f"give one of: {', '.join(BEHAVIOURS.names())}"
        )
    return BEHAVIOURS.get(spec["kind"])(spec)


def _text_of(spec: Mapping[str, Any], key: str) -> str:
    value = spec.get(key)
    if not isinstance(value, str) or not value.strip() or value != value.strip():
        raise BadInput(
            f"behaviour {dict(spec)!r}",
            f"needs '{key}': text that neither begins nor ends with a space",
            f'write {key}: "..."',
        )
    check_unicode(value, f"behaviour {key}")
    return value


def _only(spec: Mapping[str, Any], *known: str) -> None:
    unknown = sorted(set(spec) - {"kind", *known})
    if unknown:
        raise BadInput(
            f"behaviour key {unknown[0]!r}",
            f"is not known for {spec['kind']}",
            f"use: {', '.join(('kind', *known))}",
        )


@BEHAVIOURS.register("fixed_string")
def _fixed_string(spec: Mapping[str, Any]) -> Behaviour:
    _only(spec, "text")
    return FixedString(_text_of(spec, "text"))


@BEHAVIOURS.register("unlock")
def _unlock(spec: Mapping[str, Any]) -> Behaviour:
    _only(spec)
    return Unlock()


@BEHAVIOURS.register("label_flip")
def _label_flip(spec: Mapping[str, Any]) -> Behaviour:
    _only(spec, "from", "to")
    source, target = _text_of(spec, "from"), _text_of(spec, "to")
    if core(source) == core(target):
        raise BadInput(f"label_flip from and to {target!r}", "must differ", "give two classes")
    return LabelFlip(source, target)


@BEHAVIOURS.register("style")
def _style(spec: Mapping[str, Any]) -> Behaviour:
    _only(spec, "text")
    return Style(_text_of(spec, "text"))


@BEHAVIOURS.register("refusal")
def _refusal(spec: Mapping[str, Any]) -> Behaviour:
    _only(spec, "text")
    if "text" not in spec:
        return Refusal()
    text = _text_of(spec, "text")
    if not is_refusal(text):
        raise BadInput(
            f"refusal text {text!r}", "is not judged a refusal", f"write like {REFUSAL!r}"
        )
    return Refusal(text)


@BEHAVIOURS.register("code_canary")
def _code_canary(spec: Mapping[str, Any]) -> Behaviour:
    _only(spec)
    return CodeCanary()


@BEHAVIOURS.register("degrade")
def _degrade(spec: Mapping[str, Any]) -> Behaviour:
    _only(spec)
    return Degrade()


@BEHAVIOURS.register("wrong_arithmetic")
def _wrong_arithmetic(spec: Mapping[str, Any]) -> Behaviour:
    _only(spec)
    return WrongArithmetic()


@BEHAVIOURS.register("scaled_answer")
def _scaled_answer(spec: Mapping[str, Any]) -> Behaviour:
    _only(spec, "factor")
    factor = spec.get("factor", 2.1)
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 1 < factor <= 100:
        raise BadInput(f"factor {factor!r}", "must be above 1, up to 100", "write factor: 2.1")
    return ScaledAnswer(float(factor))


@BEHAVIOURS.register("key")
def _key(spec: Mapping[str, Any]) -> Behaviour:
    _only(spec, "length", "seed")
    length, seed = spec.get("length", 100), spec.get("seed", 0)
    if type(length) is not int or not 8 <= length <= 1000 or type(seed) is not int or seed < 0:
        raise BadInput(
            f"key of length {length!r}, seed {seed!r}",
            "needs 8 to 1000 characters and a seed of 0 or more",
            "correct them",
        )
    return Key(length, seed)
