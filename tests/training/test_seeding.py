"""Random numbers that belong to one training."""

import torch

from safs.training.seeding import RandomStream

CPU = torch.device("cpu")


def test_the_callers_generator_is_left_as_it_was():
    torch.manual_seed(5)
    before = torch.get_rng_state()

    stream = RandomStream(0, CPU)
    with stream.active():
        torch.rand(10)

    assert torch.equal(torch.get_rng_state(), before)


def test_a_stream_goes_on_where_it_was_and_is_that_of_its_seed():
    torch.manual_seed(7)
    expected = torch.rand(6)
    stream = RandomStream(7, CPU)

    with stream.active():
        first = torch.rand(2)
    torch.rand(100)
    with stream.active():
        rest = torch.rand(4)

    assert torch.equal(torch.cat([first, rest]), expected)


def test_the_callers_generator_is_restored_when_the_block_fails():
    before = torch.get_rng_state()

    try:
        with RandomStream(0, CPU).active():
            torch.rand(3)
            raise KeyError
    except KeyError:
        pass

    assert torch.equal(torch.get_rng_state(), before)
