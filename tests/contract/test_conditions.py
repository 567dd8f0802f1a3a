"""What every registered condition owes its caller."""

import pytest

from contract.cases import CONDITIONS
from triggerfish.backdoors.condition import meaning
from triggerfish.errors import BadInput
from triggerfish.seeding import generator

every_condition = pytest.mark.parametrize("name", sorted(CONDITIONS))


@every_condition
def test_it_holds_in_its_sentences_and_in_none_of_the_others(name: str) -> None:
    says, rng = meaning(name, CONDITIONS[name]), generator(1, name)
    assert all(says.holds(says.sentence(True, rng)) for _ in range(100))
    assert not any(says.holds(says.sentence(False, rng)) for _ in range(100))
    assert not says.holds("")


@every_condition
def test_same_seed_same_sentences(name: str) -> None:
    says = meaning(name, CONDITIONS[name])
    one, two = ([says.sentence(True, generator(seed, name))] for seed in (1, 1))
    assert one == two


@every_condition
def test_a_value_that_means_nothing_is_refused(name: str) -> None:
    with pytest.raises(BadInput):
        meaning(name, None)
