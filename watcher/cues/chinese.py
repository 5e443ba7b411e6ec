"""Find the words of Chinese text, which are written without blanks.

Of all ways to divide a run of Chinese characters into words of a list, the most likely one is taken. The list
(``chinese.txt``) has the 30,000 most frequent words, by which a frequent character is a word, too. How likely a word is
follows from its place in the list (Zipf's law: the n-th word is 1/n as frequent as the first). Traditional characters are looked up
as simplified ones (``traditional.txt``) where the list does not have the word as it is written.
"""

import math
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

from watcher.cues.text import HAN

#: Words that are younger than the list, and as likely as the one at this place in it.
_YOUNGER: Final = """
    点赞 微信 微博 抖音 淘宝 快手 支付宝 公众号 朋友圈 小程序 直播 主播 博主 网红 网友 粉丝 弹幕 短视频 视频号 下期 上期 小伙伴 吐槽 打卡 种草 点评
    外卖 快递 扫码 高铁 地铁站 充电宝 大数据 云计算 区块链 人工智能 机器人 机器学习 深度学习 大模型 新能源 电动车 智能手机 自媒体 互联网 疫情 新冠 核酸 口罩 疫苗
"""
_PLACE_OF_YOUNGER: Final = 8000
#: From here on in the list, a character is rather a part of a word than a word.
_PLACE_OF_RARE: Final = 2000
_LONGEST: Final = 4
_RUN: Final = re.compile(f"[{HAN}]+")


def words(text: str) -> Iterator[tuple[int, str, bool]]:
    """Yield the words of all runs of Chinese characters: the place in the text, the word in simplified characters, and whether it is sure.

    It is not sure for a rare character alone: that is probably part of a word that the list does not have.
    """
    for run in _RUN.finditer(text):
        start = run.start()
        for at, word, known in _divided(run[0]):
            yield start + at, word, known


def _divided(run: str) -> list[tuple[int, str, bool]]:
    costs, simplified = _costs(), run.translate(_simplified())
    same = simplified == run
    unknown, rare = costs[""], costs[" "]
    # The least cost of all ways to divide the run up to each place, and the length of the last word.
    least, lengths = [0.0], [0]
    for end in range(1, len(run) + 1):
        best, length = least[-1] + unknown, 1
        for begin in range(end - 1, max(0, end - _LONGEST) - 1, -1):
            cost = costs.get(run[begin:end])
            if cost is None and not same:
                cost = costs.get(simplified[begin:end])
            if cost is not None and least[begin] + cost < best:
                best, length = least[begin] + cost, end - begin
        least.append(best)
        lengths.append(length)
    found: list[tuple[int, str, bool]] = []
    end = len(run)
    while end:
        begin = end - lengths[end]
        known = min(costs.get(run[begin:end], math.inf), costs.get(simplified[begin:end], math.inf))
        found.append((begin, simplified[begin:end], known < (rare if end - begin == 1 else math.inf)))
        end = begin
    found.reverse()
    return found


@lru_cache(maxsize=1)
def _costs() -> dict[str, float]:
    """Return the cost of each word, which is lower the more frequent it is.

    Under "" is that of an unknown character, under " " that of a rare one.
    """
    listed = _list("chinese.txt")
    # The share of the n-th word is 1/n of the sum of all of these.
    total = math.log(sum(1 / place for place in range(1, len(listed) + 1)))
    costs = {word: math.log(place) + total for place, word in enumerate(listed, 1)}
    costs |= dict.fromkeys(_YOUNGER.split(), math.log(_PLACE_OF_YOUNGER) + total)
    costs |= {"": math.log(len(listed)) + total, " ": math.log(_PLACE_OF_RARE) + total}
    return costs


@lru_cache(maxsize=1)
def _simplified() -> dict[int, str]:
    return {ord(pair[0]): pair[1] for pair in _list("traditional.txt")}


def _list(name: str) -> list[str]:
    """Return the entries of a list; its first lines say where it is from."""
    text = Path(__file__).with_name(name).read_text(encoding="utf-8")
    return [entry for line in text.splitlines() if not line.startswith("#") for entry in line.split(" ")]
