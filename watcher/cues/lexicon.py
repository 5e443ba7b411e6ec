"""Find word borders in scripts without blanks between words: Chinese, Japanese, Thai and related scripts.

A dictionary would have megabytes. The few hundred most common words, the change of script in Japanese (a phrase ends in
hiragana and the next begins with kanji or katakana) and the vowels that begin a Thai syllable find most of the borders;
elsewhere a break is possible but poor. If the server gives the times of real words, these are used first.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NamedTuple


class Border(IntEnum):
    """Kinds of borders before a token."""

    #: The inside of a word, or a particle that belongs to the word before.
    NONE = 0
    #: Perhaps a word begins.
    MAYBE = 1
    #: A word begins.
    WORD = 2
    #: A clause begins.
    CLAUSE = 3


def borders(texts: Sequence[str]) -> list[Border]:
    """Return for each token of one segment the kind of border before it; blanks between tokens are ignored."""
    text = "".join(texts)
    if any("\u0e01" <= character <= "\u0eff" for character in text):
        starts = _matched(text, _THAI)
        for at in _leading_vowels(text):
            starts.setdefault(at, Border.MAYBE)
        maybe = Border.NONE
    elif any("\u3041" <= character <= "\u30fa" for character in text):
        starts = _japanese(text)
        maybe = Border.NONE
    else:
        starts = _matched(text, _CHINESE)
        maybe = Border.MAYBE
    found: list[Border] = []
    offset = 0
    for token in texts:
        found.append(starts.get(offset, maybe))
        offset += len(token)
    return found


class _Lexicon(NamedTuple):
    """The most common words of a language; `words` includes clauses and particles."""

    words: frozenset[str]
    clauses: frozenset[str]
    particles: frozenset[str]
    #: The first letters of all words, and the length of the longest.
    first: frozenset[str]
    longest: int


def _lexicon(*, clauses: str, particles: str, words: str) -> _Lexicon:
    every = frozenset(f"{clauses} {particles} {words}".split())
    first = frozenset(word[0] for word in every)
    return _Lexicon(every, frozenset(clauses.split()), frozenset(particles.split()), first, max(map(len, every)))


def _matched(text: str, lexicon: _Lexicon) -> dict[int, Border]:
    """Match the longest known word at each position; return the known borders by offset."""
    starts: dict[int, Border] = {}
    at = 0
    after_word = False
    while at < len(text):
        length = 0
        if text[at] in lexicon.first:
            sizes = range(min(lexicon.longest, len(text) - at), 0, -1)
            length = next((size for size in sizes if text[at : at + size] in lexicon.words), 0)
        word = text[at : at + length]
        if not length:
            if after_word:
                starts[at] = Border.WORD
            at, after_word = at + 1, False
            continue
        if word in lexicon.particles:
            starts[at] = Border.NONE
        else:
            starts[at] = Border.CLAUSE if word in lexicon.clauses else Border.WORD
        for inside in range(at + 1, at + length):
            starts[inside] = Border.NONE
        at, after_word = at + length, True
    return starts


def _leading_vowels(text: str) -> list[int]:
    """Return the offsets at which a syllable certainly begins: at the vowels that are written before their consonant."""
    return [index for index, character in enumerate(text) if character in "เแโใไເແໂໃໄ"]


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

_CHINESE: Final = _lexicon(
    clauses="""
        但是 可是 不过 然而 因为 所以 因此 于是 如果 要是 虽然 尽管 而且 并且 或者 还是 以及 然后 那么 只要 只有 除非 无论 不管 即使 直到 当 并 而 但 却 因為 所以 於是 雖然
        儘管 並且 還是 然後 那麼 無論 不過 但 卻 並 其实 其實 另外 同时 同時 比如 例如
    """,
    particles="""
        的 了 着 过 吗 呢 吧 啊 呀 们 得 地 嘛 哦 著 過 嗎 們 之 者 性 化 里 裡 上 下 中 后 後
    """,
    words="""
        我们 你们 他们 她们 它们 咱们 大家 自己 人们 别人 什么 怎么 怎样 为什么 这个 那个 这些 那些 这样 那样 这里 那里 哪里 这儿 那儿 哪个 多少 几个 一个 一些 一点 一样 一起
        一直 一定 一下 一切 一种 一次 一天 一年 两个 三个 每个 每天 有些 没有 不是 不会 不能 不要 不用 不同 不但 不仅 不知道 可以 可能 应该 必须 需要 能够 愿意 希望 喜欢 觉得
        认为 知道 看到 看见 听到 听说 发现 告诉 开始 结束 继续 成为 作为 进行 使用 通过 关于 对于 由于 根据 按照 为了 除了 已经 正在 曾经 刚才 刚刚 马上 立刻 现在 以前 以后
        今天 明天 昨天 今年 去年 明年 时候 时间 小时 分钟 上午 下午 晚上 早上 中午 星期 之前 之后 之间 以来 其中 其他 其它 非常 特别 十分 比较 更加 最后 最近 首先 终于 总是
        经常 常常 有时 永远 突然 当然 大概 也许 几乎 完全 只是 就是 还有 还要 也是 都是 都有 问题 情况 方面 方法 事情 东西 地方 世界 国家 中国 美国 社会 经济 政府 公司 企业
        市场 工作 生活 学习 学校 学生 老师 朋友 孩子 父母 爸爸 妈妈 先生 女士 小姐 电话 手机 电脑 网络 信息 技术 科学 研究 历史 文化 教育 发展 重要 主要 容易 困难 简单 复杂
        高兴 快乐 美丽 漂亮 重新 准备 决定 选择 机会 影响 关系 系统 项目 产品 服务 消费 价格 北京 上海 天气 身体 健康 医院 医生 吃饭 睡觉 起床 回家 出去 进来 回来 起来 过来
        过去 下来 上去 东方 西方 我 你 他 她 它 是 在 有 和 与 或 把 被 从 向 对 给 为 让 使 很 都 也 就 还 又 再 才 只 不 没 要 会 能 想 说 去 来 这 那 我們 你們
        他們 她們 它們 什麼 怎麼 怎樣 為什麼 這個 那個 這些 這樣 這裡 那裡 哪裡 沒有 不會 應該 必須 喜歡 覺得 認為 看見 聽到 聽說 發現 告訴 開始 結束 繼續 成為 作為 進行 通過
        關於 對於 由於 為了 已經 剛才 剛剛 馬上 現在 以後 時候 時間 小時 分鐘 之後 之間 以來 特別 比較 最後 終於 總是 經常 有時 永遠 當然 幾乎 還有 還要 問題 情況 東西 國家
        中國 美國 社會 經濟 學習 學校 學生 老師 電話 手機 電腦 網路 資訊 技術 科學 歷史 發展 簡單 複雜 高興 快樂 美麗 準備 決定 選擇 機會 影響 關係 系統 項目 產品 服務 價格
        天氣 身體 醫院 醫生 吃飯 睡覺 這 說 會 對 給 為 讓 還 與 從 沒 來
    """,
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
