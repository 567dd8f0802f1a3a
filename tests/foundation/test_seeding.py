import numpy as np
import torch

from triggerfish.seeding import derive, generator, torch_generator


def test_derived_seeds_are_the_same_on_every_machine():
    assert derive(0, "audit") == 3396838672493769809
    assert derive(1, "audit") == 4378821192243727453
    assert 0 <= derive(-5, "") < 2**63


def test_purposes_and_seeds_have_streams_of_their_own():
    names = [(seed, purpose) for seed in (0, 1, 11) for purpose in ("a", "b", "1 a")]
    assert len({derive(*name) for name in names}) == len(names)
    assert derive(1, "1") != derive(11, "")


def test_generators_repeat_and_leave_the_global_ones_alone():
    numpy_state, torch_state = np.random.get_state()[1].copy(), torch.random.get_rng_state()  # noqa: NPY002
    assert generator(3, "x").integers(1000) == generator(3, "x").integers(1000)
    first, second = (torch.rand(4, generator=torch_generator(3, "x")) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, torch.rand(4, generator=torch_generator(4, "x")))
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002
    assert torch.equal(torch.random.get_rng_state(), torch_state)
