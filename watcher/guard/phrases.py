# ruff: noqa: RUF001 -- phrases in many scripts
"""Phrases that Whisper writes over silence and music: lines of the subtitles it was trained on.

Two kinds. A credit speaks of the subtitles themselves ("Untertitel der Amara.org-Community"): nobody says that aloud. A
courtesy ("Thanks for watching", "Thank you") is said by people every day, and is a phantom only where something else
says so too. A phrase of one language turns up on sound of another (amicalhq/amical#71, PocketShell-io/pocketshell#452),
so all lists apply everywhere. Everything is compared as a whole segment, never as a part of one, as `key` leaves it:
NFKC, lower case, only letters, digits and single blanks.

Sources: openai/whisper discussions #679, #928, #2412, #2608 and PR #1838; JSchmie/ScrAIbe scraibe/hallucinations.py;
Vexa-ai/vexa#617; ufal/whisper_streaming#179; BurnHair/docs#59; McCloudS/subgen#21; voquill/voquill#446;
amicalhq/amical#71; PocketShell-io/pocketshell#452; blogminhquy/javis-os#321; EdF2021/ithaka#96; rpickz/jarvix#191;
bssoft-dev/stt-api-server-2315 lnp/vocabraries.py. Lines marked * are the same courtesy in another language and were
not found in a report.
"""

import re
import unicodedata
from typing import Final

from watcher.text import folded


def key(text: str) -> str:
    """Return the form of a text that is compared."""
    compared = folded(text)
    if not compared.isascii():
        # Vowel signs that are written or left out at will, and the dot that a folded Turkish İ leaves.
        compared = "".join(character for character in compared if unicodedata.category(character) != "Mn")
    return " ".join(_WORDS.findall(compared))


_WORDS: Final = re.compile(r"[^\W_]+", re.UNICODE)

#: Matched against a whole `key`.
CREDITS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        # Amara.org, in whatever language: a word for subtitles or a community, and the name.
        (
            r"(?=.*(?:sub|sous|tit|nap|legend|fels|alt|under|teks|субт|суб|字幕|자막|ترجم|υποτ|community|comun|gemeen)).{0,60}"
            r"\bamara ?org\b.{0,30}"
        ),
        r"(?:中文)?字幕(?:由)? ?amara ?org ?(?:社区|社區|社群)(?:提供)?",
        r"(?:中文)?字幕(?:志愿者|志願者|制作人|製作人|by) ?.{0,12}",
        r"(?:请|請)不吝(?:点赞|點贊|點讚) ?(?:订阅|訂閱) ?(?:转发|轉發) ?(?:打赏|打賞)支持(?:明镜|明鏡)(?:与|與)(?:点点|點點)(?:栏目|欄目)",
        # German broadcasters.
        r"untertitel(?:ung)?(?: im auftrag)? (?:des|von|vom) (?:zdf|swr|wdr|ndr|br|ard)(?: für funk)?(?: \d{4})?",
        r"untertitel(?:ung)? (?:von|by) stephanie geiges",
        r"untertitelung aufgrund der amara org community",
        r"(?:copyright )?(?:wdr|swr) \d{4}",
        # French.
        r"(?:sous titrage )?st ?501",
        r"sous titrage (?:société radio canada|src|fr)(?: .{0,20})?",
        r"(?:.{0,20} )?par soustitreur com",
        r"sous titres? (?:réalisés?|faits?) (?:par|pour) .{0,40}",
        # English. Not "translated by": readers of audiobooks say that.
        r"(?:subtitles?|subs|captions?) by .{2,40}",
        r"transcri(?:bed|ption) by (?:(?:https )?otter ai|castingwords|eso translation by)",
        r"(?:w{3} )?mooji org",
        r"(?:transcript|transcription) emily beynon",
        # Spanish, Portuguese, Italian, Dutch, Polish, Romanian.
        r"subtítulos (?:realizados|creados|hechos) por .{2,40}",
        r"más información (?:w{3} )?alimmenta com",
        r"legendas? (?:por|pela|feitas? por) .{2,40}",
        r"sottotitoli (?:e revisione )?(?:a cura di|di|creati da[l ]*) ?.{2,40}",
        r"(?:ondertiteld|ondertiteling|ondertitels) (?:door|ingediend door) .{2,40}",
        r"napisy (?:stworzone|wykonane|przez) .{2,40}",
        r"(?:w{3} )?multi moto eu",
        # Russian, Ukrainian.
        r"субтитры (?:сделал|делал|создавал|создал|подготовил|подогнал|добавил|предоставил)а? .{2,40}",
        r"редактор субтитров .{2,30}(?: корректор .{2,30})?",
        r"субтитри .{2,40} amara org",
        # Turkish, Arabic, Scandinavian.
        r"altyazı m ?k",
        r"ترجمة نانسي قنقر",
        r"(?:undertekster|teksting|tekstet) (?:av|af|ved) .{2,40}",
    )
)

#: Whole keys.
COURTESIES: Final = frozenset(
    key(line)
    for line in """
        thank you for watching
        thanks for watching
        thank you so much for watching
        thank you very much for watching
        thank you for watching and see you next time
        thank you for watching this video
        thanks for watching this video
        thank you so much for watching this video
        thank you
        thank you very much
        thanks
        you
        bye
        bye bye
        goodbye
        the end
        see you next time
        see you in the next video
        i ll see you next time
        i ll see you in the next video
        we ll see you next time
        we ll see you in the next video
        please subscribe
        please subscribe to my channel
        please subscribe to the channel
        subscribe to my channel
        don t forget to subscribe
        don t forget to like and subscribe
        like and subscribe
        谢谢观看
        感谢观看
        感谢收看
        谢谢大家
        谢谢
        謝謝觀看
        感謝觀看
        謝謝大家
        謝謝
        下集再见
        下次再见
        我们下期再见
        请订阅我的频道
        ご視聴ありがとうございました
        ご視聴ありがとうございます
        ご清聴ありがとうございました
        ありがとうございました
        ありがとうございます
        おやすみなさい
        次の動画でお会いしましょう
        また次の動画でお会いしましょう
        チャンネル登録お願いします
        チャンネル登録よろしくお願いします
        チャンネル登録をお願いいたします
        見てくれてありがとう
        시청해주셔서 감사합니다
        시청해 주셔서 감사합니다
        감사합니다
        다음 영상에서 만나요
        다음 시간에 만나요
        구독과 좋아요 부탁드립니다
        이 시각 세계였습니다
        mbc 뉴스 김수근입니다
        mbc 뉴스 이덕영입니다
        이 영상은 유료 광고를 포함하고 있습니다
        vielen dank
        vielen dank fürs zuschauen
        danke fürs zuschauen
        bis zum nächsten mal
        tschüss
        merci d avoir regardé cette vidéo
        merci d avoir regardé
        merci
        abonnez vous
        n oubliez pas de vous abonner
        cliquez vous sur les sous titres et abonnez vous à la chaîne d amara org
        gracias por ver el vídeo
        gracias por ver el video
        gracias por ver
        gracias
        suscríbete al canal
        suscríbete
        nos vemos en el próximo video
        obrigado por assistir
        obrigada por assistir
        obrigado
        inscreva se no canal
        grazie per aver guardato il video
        grazie per aver guardato
        grazie per la visione
        grazie
        iscrivetevi al canale
        bedankt voor het kijken
        dank u wel
        dziękuję za obejrzenie
        dziękuję za oglądanie
        dziękuję
        dzięki za oglądanie
        zapraszam do subskrypcji
        продолжение следует
        спасибо за просмотр
        спасибо за внимание
        спасибо
        подписывайтесь на канал
        подпишись на канал
        дякую за перегляд
        дякую
        abone olmayı unutmayın
        izlediğiniz için teşekkürler
        izlediğiniz için teşekkür ederim
        teşekkürler
        beğenmeyi yorum yapmayı ve abone olmayı unutmayın
        hãy subscribe cho kênh ghiền mì gõ để không bỏ lỡ những video hấp dẫn
        hãy đăng ký kênh để không bỏ lỡ những video hấp dẫn
        cảm ơn các bạn đã theo dõi
        اشتركوا في القناة
        اشترك في القناة
        لا تنسوا الاشتراك في القناة
        شكرا للمشاهدة
        شكرا على المشاهدة
        شكرا
        תודה רבה
        תודה על הצפייה
        ευχαριστώ που παρακολουθήσατε
        ευχαριστώ
        nu uitați să dați like și subscribe
        nu uitati sa da ti like si subscribe
        mulțumesc pentru vizionare
        tack för att du har tittat på den här videon
        tack för att ni tittade
        takk for at du så på
        tak fordi du så med
        kiitos kun katsoit
        köszönöm hogy megnézted
        děkuji za pozornost
        děkujeme za sledování
        terima kasih telah menonton
        terima kasih
        देखने के लिए धन्यवाद
        धन्यवाद
        ขอบคุณที่รับชม
        ขอบคุณครับ
        ขอบคุณค่ะ
    """.splitlines()
    if line.strip()
)
