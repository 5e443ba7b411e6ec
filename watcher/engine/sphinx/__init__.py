"""Recognition by pocketsphinx: English, and nothing to download."""

from typing import Final

#: Frames per second; the unit of `Heard`.
FRAME_RATE: Final = 100

#: A token (a word of the dictionary, or a filler), its first frame, its last frame, its posterior probability.
Heard = tuple[str, int, int, float]
