"""Long sound is cut into blocks where it is quiet, and nothing of it is lost."""

import numpy as np
import pytest
from support import sounds

from watcher.engine.blocks import blocks
from watcher.engine.recognition import RATE


@pytest.mark.parametrize("seconds", [0.0, 0.5, 59.9, 60.0, 60.1, 200.0])
def test_no_sample_is_lost_and_no_block_is_too_long(seconds: float) -> None:
    sound = sounds.noise(seconds) if seconds else np.zeros(0, np.int16)

    found = list(blocks(np.array_split(sound, 7), longest=60))

    assert np.array_equal(np.concatenate([*found, np.zeros(0, np.int16)]), sound)
    assert all(0 < len(block) <= 60 * RATE for block in found)


def test_a_block_ends_where_it_is_quiet() -> None:
    sound = sounds.noise(70.0)
    sound[52 * RATE : 53 * RATE] = 0

    first, _ = blocks([sound], longest=60)

    assert 52 * RATE <= len(first) <= 53 * RATE
