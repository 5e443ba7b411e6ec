"""Find word borders in scripts without blanks between words: Chinese, Japanese, Thai and related scripts.

Chinese words are found by a list (`watcher.cues.chinese`). For the others, the few hundred most common words, the change of
script in Japanese (a phrase ends in hiragana and the next begins with kanji or katakana) and the vowels that begin a Thai
syllable find most of the borders; elsewhere a break is possible but poor.
"""

import re
from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache
from itertools import accumulate
from typing import Final, NamedTuple

from watcher.cues.chinese import words
from watcher.text import UNSPACED

#: Vowels of Thai and Lao that are written before their consonant, and those that are written behind it.
LEADING_VOWELS: Final = "เแโใไເແໂໃໄ"
FOLLOWING_VOWELS: Final = "ะาำๅๆฯະາຳຽໆຯ"
#: Signs that continue a Japanese word: small kana, the long vowel mark, iteration marks.
CONTINUING_KANA: Final = "ヽヾゝゞ々ーァィゥェォッャュョヮヵヶぁぃぅぇぉっゃゅょゎゕゖㇰㇱㇲㇳㇴㇵㇶㇷㇸㇹㇺㇻㇼㇽㇾㇿ"


class Border(IntEnum):
    """Kinds of borders before a token."""

    #: The inside of a word, or a particle that belongs to the word before.
    NONE = 0
    #: A word begins that the word before belongs to.
    BOUND = 1
    #: Perhaps a word begins.
    MAYBE = 2
    #: A word begins.
    WORD = 3
    #: A clause begins.
    CLAUSE = 4


def borders(texts: Sequence[str]) -> list[Border]:
    """Return for each token of one segment the kind of border before it; blanks between tokens are ignored."""
    kinds = _kinds("".join(texts))
    return [_KINDS[kinds[at] & ~_GUESS] for at in accumulate(map(len, texts[:-1]), initial=0)] if texts else []


def border(before: str, after: str) -> Border:
    """Return the kind of border between two segments: a word begins there, unless a known word or a syllable reaches over it."""
    if before[-1:] in LEADING_VOWELS or after[:1] in FOLLOWING_VOWELS + CONTINUING_KANA:
        return Border.NONE
    kind = _kinds(before + after)[len(before)]
    return Border.WORD if kind & _GUESS else _KINDS[kind]


def meet(before: str, after: str) -> bool:
    """Return whether letters of scripts without blanks between words meet at the border between two texts."""
    return not after[0].isascii() and bool(_UNSPACED.match(before[-1]) and _UNSPACED.match(after))


_UNSPACED: Final = re.compile(f"[{UNSPACED}]")


def _kinds(text: str) -> bytes:
    """Return the kind of border at each place of a text, and at its end; `_GUESS` is added where nothing is known of it."""
    return (_known if len(text) <= _WORTH_KEEPING else _found)(text)


#: Longest text (characters) of which the borders are cached: each is looked at when it is cut into tokens and when breaks are priced, for
#: the captions and again for the paragraphs.
_WORTH_KEEPING: Final = 256


def _found(text: str) -> bytes:
    starts, unknown = _starts(text)
    kinds = bytearray([unknown | _GUESS]) * (len(text) + 1)
    for at, kind in starts.items():
        kinds[at] = kind
    return bytes(kinds)


_known: Final = lru_cache(maxsize=4096)(_found)
_KINDS: Final = tuple(Border)
_GUESS: Final = 8


def _starts(text: str) -> tuple[dict[int, Border], Border]:
    """Return the known borders by offset, and the kind of all others."""
    if _THAI_OR_LAO.search(text):
        starts = _matched(text, _THAI)
        for at in _leading_vowels(text):
            starts.setdefault(at, Border.MAYBE)
        return starts, Border.NONE
    if _KANA.search(text):
        return _japanese(text), Border.NONE
    return _chinese(text), Border.MAYBE


_THAI_OR_LAO: Final = re.compile("[\u0e01-\u0eff]")
_KANA: Final = re.compile("[\u3041-\u30fa]")


class _Lexicon(NamedTuple):
    """The most common words of a language."""

    #: Finds the longest known word at each position.
    words: re.Pattern[str]
    clauses: frozenset[str]
    particles: frozenset[str]


def _lexicon(*, clauses: str, particles: str, words: str) -> _Lexicon:
    every = sorted(f"{clauses} {particles} {words}".split(), key=len, reverse=True)
    return _Lexicon(re.compile("|".join(every)), frozenset(clauses.split()), frozenset(particles.split()))


def _matched(text: str, lexicon: _Lexicon) -> dict[int, Border]:
    """Match the longest known word at each position; return the known borders by offset."""
    starts: dict[int, Border] = {}
    behind = 0
    for found in lexicon.words.finditer(text):
        if 0 < behind < found.start():
            starts[behind] = Border.WORD
        word, at, behind = found[0], found.start(), found.end()
        if word in lexicon.particles:
            starts[at] = Border.NONE
        else:
            starts[at] = Border.CLAUSE if word in lexicon.clauses else Border.WORD
        for inside in range(at + 1, behind):
            starts[inside] = Border.NONE
    if 0 < behind < len(text):
        starts[behind] = Border.WORD
    return starts


def _chinese(text: str) -> dict[int, Border]:
    starts: dict[int, Border] = {}
    behind, before, sure = 0, "", False
    for at, word, known in words(text):
        before = before if at == behind else ""
        if word in _CHINESE_PARTICLES or (word == before and len(word) == 1):
            starts[at] = Border.NONE
        elif word in _CHINESE_CLAUSES:
            starts[at] = Border.CLAUSE
        elif before in _CHINESE_BINDS:
            starts[at] = Border.BOUND
        elif len(word) == len(before) == 1 and not (known and sure) and before not in _CHINESE_PARTICLES:
            starts[at] = Border.MAYBE
        else:
            starts[at] = Border.WORD
        behind, before, sure = at + len(word), word, known
        for inside in range(at + 1, behind):
            starts[inside] = Border.NONE
        starts[behind] = Border.WORD
    return starts


def _leading_vowels(text: str) -> list[int]:
    """Return the offsets at which a syllable certainly begins: at the vowels that are written before their consonant."""
    return [found.start() for found in _LEADING_VOWEL.finditer(text)]


_LEADING_VOWEL: Final = re.compile(f"[{LEADING_VOWELS}]")


def _japanese(text: str) -> dict[int, Border]:
    starts: dict[int, Border] = {}
    for index in range(1, len(text)):
        before, after = _script(text[index - 1]), _script(text[index])
        rest = text[index : index + 4]
        if after == _HIRAGANA:
            known = rest.startswith(_JAPANESE_STARTS) and not text.endswith(_JAPANESE_NOT_AFTER, 0, index)
            if known or text[index - 1] == "を":
                starts[index] = Border.WORD
        elif before == _HIRAGANA:
            ends_clause = text.endswith(_JAPANESE_CLAUSE_ENDS, 0, index)
            starts[index] = Border.CLAUSE if ends_clause else Border.WORD
            if text[index - 1] in "おご" and after == _KANJI and (index < 2 or _script(text[index - 2]) != _HIRAGANA):  # noqa: PLR2004
                starts[index] = Border.NONE  # the honorific prefix
        elif before not in {after, _LETTERS}:
            starts[index] = Border.MAYBE
    return starts


_HIRAGANA: Final = "hiragana"
_KATAKANA: Final = "katakana"
_KANJI: Final = "kanji"
_LETTERS: Final = "letters"


def _script(character: str) -> str:
    if "\u3041" <= character <= "\u309f":
        return _HIRAGANA
    if "\u30a1" <= character <= "\u30ff" or "\uff66" <= character <= "\uff9f":
        return _KATAKANA
    return _KANJI if character >= "\u3005" else _LETTERS


_JAPANESE_STARTS: Final = tuple(
    """
    しかし そして だから それ これ あれ どれ この その あの どの ここ そこ あそこ こんな そんな どんな こう
    そう どう もう まだ また とても すぐ ずっと やっと みんな みな わたし あなた ぼく たくさん ちょっと
    もっと いつ なぜ どこ だれ なに ところ とき ため もの こと ほど さん ください いろいろ おそらく たぶん
    つまり
    """.split()  # noqa: SIM905 -- read as words, not as a column of quotes
)
#: "というこ|と", "だったそ|う": these look like the start of a word but continue one.
_JAPANESE_NOT_AFTER: Final = ("おも", "ほ", "い", "ど", "こ", "そ", "あ")
_JAPANESE_CLAUSE_ENDS: Final = (
    "ので",
    "から",
    "けど",
    "けれど",
    "けれども",
    "のに",
    "たら",
    "れば",
    "ながら",
    "ても",
    "でも",
)

#: In simplified characters.
_CHINESE_CLAUSES: Final = frozenset(
    """
    但是 可是 不过 然而 因为 所以 因此 于是 如果 要是 虽然 尽管 而且 并且 或者 还是 以及 然后 那么 只要 只有 除非 无论 不管 即使 直到 当 并 而 但 却 其实 另外 同时 比如 例如
    """.split()  # noqa: SIM905 -- read as words, not as a column of quotes
)
#: They belong to the word before.
_CHINESE_PARTICLES: Final = frozenset("的 了 着 过 吗 呢 吧 啊 呀 们 得 地 嘛 哦 之 者 性 化 里 上 下 中 后".split())  # noqa: SIM905
#: They belong to the word behind: negations, adverbs, auxiliaries, prepositions, "and", numbers and "this".
_CHINESE_BINDS: Final = frozenset(
    """
    不 没 没有 别 未 也 都 就 还 又 再 才 只 很 太 最 更 越 非常 十分 比较 会 能 要 想 可以 可能 应该 必须 需要 能够 是 有 在 把 被 从 向 对 给 为 让 使 和 与
    或 跟 比 由 于 以 将 用 到 关于 对于 由于 根据 按照 为了 除了 通过 一 一个 一些 一种 这 那 这个 那个 这些 那些 这种 那种 每 每个 各 某 第 几 两 多 如何 怎么
    """.split()  # noqa: SIM905
)
_THAI: Final = _lexicon(
    clauses="""
        และ แต่ หรือ เพราะ เพราะว่า เพื่อ ถ้า หาก เมื่อ แม้ ซึ่ง ที่ ว่า จึง ดังนั้น แล้วก็ แล้ว จนกระทั่ง
        เนื่องจาก โดย ส่วน
    """,
    particles="""
        ครับ ค่ะ คะ นะ นะคะ นะครับ จ้ะ ละ ล่ะ สิ เลย ด้วย
    """,
    words="""
        ผม ฉัน ดิฉัน เขา เธอ เรา พวกเรา พวกเขา คุณ ท่าน มัน ใคร อะไร ที่ไหน ไหน เมื่อไร เมื่อไหร่ ทำไม
        อย่างไร ยังไง เท่าไร นี้ นั้น โน้น นี่ นั่น ที่นี่ ที่นั่น เป็น อยู่ คือ มี ไม่ ไม่มี ไม่ได้ ได้ ให้
        ไป มา จะ กำลัง เคย ต้อง ควร อาจ อาจจะ สามารถ อยาก ต้องการ ชอบ รัก เที่ยว ท่องเที่ยว เดินทาง
        ออกเดินทาง ตั้งแต่ ประมาณ กลับ ค่อย อร่อย มากมาย เช่น ผลไม้ สวน เรือ นั่งเรือ พา ออก เข้า ขึ้น ลง
        ไกล ใกล้ รู้ รู้จัก คิด เห็น ดู ฟัง พูด บอก ถาม ตอบ อ่าน เขียน เรียน ทำ ทำงาน ทำให้ ใช้ กิน ดื่ม นอน
        ตื่น เดิน วิ่ง นั่ง ยืน ซื้อ ขาย เปิด ปิด เริ่ม จบ ช่วย รอ พบ เจอ หา ถึง จาก ใน บน ใต้ ข้าง หน้า
        หลัง ระหว่าง กับ ของ สำหรับ ตาม ต่อ จน ก่อน หลังจาก ก็ ยัง อีก มาก น้อย หลาย ทุก บาง ทั้ง ทั้งหมด
        เท่านั้น เพียง กว่า ที่สุด ดี ใหญ่ เล็ก ใหม่ เก่า สวย งาม เร็ว ช้า ง่าย ยาก คน เด็ก ผู้ชาย ผู้หญิง
        ผู้ พ่อ แม่ พี่ น้อง เพื่อน ครู นักเรียน บ้าน โรงเรียน โรงพยาบาล ร้าน ตลาด เมือง ประเทศ ประเทศไทย
        ไทย กรุงเทพ โลก น้ำ อาหาร ข้าว เงิน บาท เวลา วัน วันนี้ พรุ่งนี้ เมื่อวาน เดือน ปี ชั่วโมง นาที เช้า
        เย็น กลางคืน ตอน ตอนนี้ ครั้ง เรื่อง สิ่ง การ ความ ปัญหา งาน ชีวิต หนังสือ ภาษา อากาศ ฝน ร้อน หนาว
        สวัสดี ขอบคุณ ขอโทษ หนึ่ง สอง สาม สี่ ห้า หก เจ็ด แปด เก้า สิบ ร้อย พัน หมื่น แสน ล้าน
    """,
)
