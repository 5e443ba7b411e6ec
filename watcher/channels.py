"""Audio channels as PyAV gives them."""

from av.audio.codeccontext import AudioCodecContext


def forget_order(context: AudioCodecContext) -> None:
    """Have the decoder of PCM know how many channels there are, not which is where: all of them are mixed alike.

    AIFF, CAF and QuickTime give some, 7.1 for example, an order of their own, whose memory PyAV 18.1 frees whenever somebody has looked
    at it: once here, and never again.
    """
    if context.codec.name.startswith("pcm_") and (channels := context.channels) > 0:
        context.layout = f"{channels} channels"
