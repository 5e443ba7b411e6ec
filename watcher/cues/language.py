# ruff: noqa: RUF001 -- words in many scripts
"""Small words by language: those before which a line may break, and those that should not be at a line's end.

Only closed classes (articles, prepositions, conjunctions, pronouns, auxiliaries, negations, postpositions), from lists
in grammars; a missing word causes a slightly worse break, never a wrong caption. All words are lower case.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final


@dataclass(frozen=True, slots=True)
class Grammar:
    """Small words of one language, by their effect on breaks."""

    #: Conjunctions, relatives, question words: a clause begins here.
    clause: frozenset[str]
    #: Prepositions: a phrase begins here.
    phrase: frozenset[str]
    #: Prepositions that tie a noun to the one before: "a set of samples".
    ties: frozenset[str]
    #: Articles, possessives, subject pronouns, auxiliaries, negations: not to be separated from the next word.
    binds: frozenset[str]
    #: Postpositions, particles and object pronouns: not to be separated from the word before.
    clings: frozenset[str]
    #: Pronouns, also in `binds`, that are subjects as well as objects.
    either: frozenset[str]
    #: Two words of one expression: "non plus", "instead of".
    pairs: frozenset[tuple[str, str]]
    #: Abbreviations before a name or a number; their full stop ends no sentence.
    titles: frozenset[str]
    #: A number with a full stop is an ordinal ("3. Oktober"), not the end of a sentence.
    ordinals: bool
    #: Whether all nouns have a capital, so that capitals do not show names.
    nouns_capitalised: bool


def detect(words: Iterable[str]) -> str:
    """Return the code of the language whose small words are most frequent among `words`; "" if there are none."""
    counts: dict[str, int] = {}
    for word in words:
        for code in _owners().get(word, ()):
            counts[code] = counts.get(code, 0) + 1
    return max(counts, key=lambda code: (counts[code], code == "en"), default="")


@lru_cache(maxsize=1)
def _owners() -> dict[str, list[str]]:
    owners: dict[str, list[str]] = {}
    for code in _WORDS:
        known = grammar(code)
        for word in known.clause | known.phrase | known.ties | known.binds | known.clings:
            owners.setdefault(word, []).append(code)
    return owners


@lru_cache(maxsize=32)
def grammar(code: str) -> Grammar:
    """Return the grammar of a language; empty sets if it is not in the table."""
    sets: dict[str, set[str]] = {name: set() for name in ("clause", "phrase", "ties", "binds", "clings", "either")}
    current: set[str] = set()
    for word in _WORDS.get(code, "").split():
        if word.endswith(":"):
            current = sets[word[:-1]]
        else:
            current.add(word)
    titles = frozenset(_TITLES.get(code, "").split()) | _TITLES_ANYWHERE
    pairs = (pair.split() for pair in _PAIRS.get(code, "").split(","))
    return Grammar(
        **{name: frozenset(words) for name, words in sets.items()},
        pairs=frozenset((pair[0], pair[1]) for pair in pairs if pair),
        titles=titles,
        ordinals=code in _ORDINALS,
        nouns_capitalised=code == "de",
    )


_ORDINALS: Final = frozenset(
    {"de", "da", "no", "nb", "nn", "fi", "cs", "sk", "sl", "hr", "sr", "pl", "hu", "tr", "et", "lv"}
)

#: Common to many languages. Those that may also end a sentence are left out: "no.", "art.", "st." of a street.
_TITLES_ANYWHERE: Final = frozenset({"dr", "prof", "mr", "mrs", "ms", "vs"})
_TITLES: Final = {
    "en": "st rev hon gen capt lt sgt sen gov messrs mt vol approx dept",
    "de": "hr fr frl st dipl bzw ca evtl ggf inkl vgl abs jh mio mrd",
    "fr": "mm mme mmes mlle pr me ste av env cf",
    "es": "sr sra srta sres dra dña ud uds pág núm ej",
    "it": "sig sigg dott avv ing egr gent pag",
    "pt": "sr sra dra eng exmo pág núm",
    "nl": "dhr mevr mw drs ir bijv ca evt incl",
    "pl": "mgr inż np tzw tj godz",
    "ru": "гг им ул стр тыс млн млрд проф акад",
    "uk": "рр ім вул стор тис млн млрд проф акад",
    "sv": "ca kl",
    "da": "hr fru ca kl",
    "no": "ca kl",
    "cs": "mgr ing sv tj tzv např",
    "tr": "doç av sn bkz örn",
}

#: Two words of one expression. Where the first one `binds`, or begins a clause or a phrase, they stay together without an entry.
_PAIRS: Final = {
    "en": """
        instead of, front of, ahead of, kind of, sort of, lot of, lots of, bit of, couple of, number of, pair of, part of, one of, none of,
        half of, due to, according to, next to, close to, thanks to, able to, going to, want to, wants to, wanted to, used to, ought to,
        need to, followed by, made by, well as, long as, soon as, far as, one another, let alone, years old, years ago
    """,
    "fr": """
        non plus, ainsi que, alors que, tel que, telle que, autre que, près de, loin de, beaucoup de, peu de, plein de, cause de, lieu de,
        façon de, côté de, grâce à, quant à, face à
    """,
    "de": "immer noch, gar nicht, gar kein, gar keine",
    "es": """
        así que, tal vez, antes de, después de, pesar de, tiene que, tienen que, tengo que, tenemos que, hay que, además de, acerca de, cerca
        de, lejos de, dentro de, fuera de, debajo de, encima de, detrás de, delante de, gracias a, junto a, frente a
    """,
    "it": "invece di, causa di, grazie a, insieme a, vicino a, fino a, oltre a",
    "pt": """
        antes de, depois de, apesar de, além de, acerca de, perto de, longe de, dentro de, fora de, ter que, temos que, graças a, junto a,
        assim que, ainda que
    """,
    "nl": "plaats van",
    "ru": "то есть, сих пор, друг друга, друг другу, друг с, том числе, тем более",
}

_WORDS: Final = {
    "en": """
        clause: and or but nor yet so because although though while whereas if unless until since when whenever where
            wherever after before as than that which who whom whose whether how why what once except lest
        phrase: about above across against along among around at behind below beneath beside between beyond by despite down
            during for from in inside into like near off on onto opposite out outside over past per regarding round
            through throughout till to toward towards under underneath up upon via with within without using including
        ties: of
        binds: a an the this these those my your his her its our their some any no every each either neither another such i
            you he she it we they there is am are was were be been being do does did have has had having will would
            shall should can could may might must not n't don't doesn't didn't won't can't couldn't wouldn't shouldn't
            isn't aren't wasn't weren't i'm i've i'd i'll you're you've you'll he's she's it's we're we've we'll they're
            they've they'll that's there's very too more most less least quite rather much many few several all both
            only just also even never always let's mr mrs ms dr other own same
        clings: me him them us
        either: you it her
        """,
    "de": """
        clause: und oder aber sondern denn doch weil obwohl während wenn falls als dass daß ob bevor nachdem bis seit damit
            sodass indem wie wo wohin woher wer was wann warum weshalb wofür womit der's die's welche welcher welches
            deren dessen sobald solange sowie sowohl entweder weder noch
        phrase: ab an am ans auf aus bei beim bis durch für gegen gegenüber hinter hinterm im in ins mit nach neben ohne per
            seit trotz über um unter vor wegen während zu zum zur zwischen innerhalb außerhalb statt anstatt
        ties: von vom
        binds: der die das den dem des ein eine einen einem einer eines kein keine keinen keinem keiner keines mein meine
            meinen meinem meiner dein deine deinen sein seine seinen seinem seiner ihr ihre ihren ihrem ihrer unser
            unsere unseren euer eure dieser diese dieses diesen diesem jeder jede jedes jeden jedem jener jene alle
            allen viele manche einige mehrere ich du er sie es wir man bin bist ist sind seid war waren wird werden
            wurde wurden habe hast hat haben hatte hatten kann können konnte muss müssen musste soll sollen sollte will
            wollen wollte darf dürfen mag möchte nicht nie sehr zu so ganz mehr nur auch schon noch sich mich dich uns
            euch
        """,
    "fr": """
        clause: et ou mais donc car ni or que qu' lorsqu' puisqu' qui quoi dont où quand lorsque puisque parce comme si quoique bien pourquoi
            comment lequel laquelle lesquels lesquelles tandis afin avant après pendant
        phrase: à au aux avec chez contre dans depuis derrière dès devant durant en entre envers hors jusque jusqu' jusqu'à
            jusqu'au malgré par parmi pendant pour sans selon sous sur vers via
        ties: de d' du des
        binds: le la les l' un une ce cet cette ces mon ma mes ton ta tes son sa ses notre nos votre vos leur leurs quelque
            quelques chaque plusieurs tout toute tous toutes aucun aucune je j' tu il elle on nous vous ils elles me te
            se lui y en ne n' pas plus jamais est suis es sommes êtes sont était étaient a ai as avons avez ont avait
            avaient sera seront serait peut peuvent doit doivent va vont fait très trop si aussi c'est n'est est-ce n'est-ce qu'est-ce qu'il
            qu'elle qu'on d'un d'une s'est j'ai bien
        """,
    "es": """
        clause: y e o u pero sino mas aunque porque pues que quien quienes cual cuales cuyo cuya donde cuando como si
            mientras ni según apenas luego qué quién cómo cuándo dónde para
        phrase: a al ante bajo cabe con contra desde durante en entre hacia hasta mediante para por según sin sobre
            tras
        ties: de del
        binds: el la los las un una unos unas lo este esta estos estas ese esa esos esas aquel aquella mi mis tu tus su sus
            nuestro nuestra nuestros nuestras vuestro vuestra algún alguna algunos algunas ningún ninguna cada todo toda
            todos todas otro otra otros otras mucho mucha muchos muchas yo tú él ella usted nosotros ellos ellas ustedes
            me te se le les nos os no nunca jamás es soy eres somos son era eran fue fueron ser ha he has hemos han
            había habían está estoy están estaba va van puede pueden debe muy más menos tan también ya sólo solo
        """,
    "it": """
        clause: e ed o oppure ma però perché poiché che chi cui quale quali dove quando come se mentre benché affinché né
            anche dunque quindi infatti sebbene finché
        phrase: a ad al allo alla all' ai agli alle da dall' nell' sull' dal dallo dalla dai dagli dalle in nel
            nello nella nei negli nelle con su sul sullo sulla sui sugli sulle per tra fra sotto sopra verso contro
            senza durante presso dopo prima
        ties: di del dello della dell' dei degli delle d'
        binds: il lo la i gli le l' un uno una un' questo questa questi queste quel quello quella quei quegli quelle mio
            mia miei mie tuo tua suo sua suoi sue nostro nostra vostro vostra loro ogni qualche alcuni alcune tutto
            tutta tutti tutte altro altra altri altre molto molti molte io tu lui lei noi voi essi mi ti si ci vi ne non
            mai è sono sei siamo siete era erano fu ha ho hai abbiamo avete hanno aveva avevano sarà può possono deve
            devono va più meno così anche solo già c'è
        """,
    "pt": """
        clause: e ou mas porém porque pois que quem qual quais cujo cuja onde quando como se enquanto embora nem logo
            portanto conforme caso
        phrase: a ao aos à às ante após até com contra desde durante em no na nos nas num numa entre para
            pra pelo pela pelos pelas perante por sem sob sobre trás
        ties: de do da dos das
        binds: o os as um uma uns umas este esta estes estas esse essa esses essas aquele aquela isto isso meu minha meus
            minhas teu tua seu sua seus suas nosso nossa nossos nossas algum alguma alguns algumas nenhum nenhuma cada
            todo toda todos todas outro outra outros outras muito muita muitos eu tu ele ela você nós eles elas vocês me
            te lhe lhes não nunca jamais é sou és somos são era eram foi foram ser há tem têm tinha está estou estão
            estava vai vão pode podem deve mais menos tão também já só
        """,
    "nl": """
        clause: en of maar want dus omdat doordat hoewel terwijl als indien toen nadat voordat totdat zodat dat die wie wat
            waar wanneer hoe waarom welke noch zodra sinds
        phrase: aan achter bij binnen boven buiten door gedurende in langs met na naar naast om onder op over per rond sinds
            te tegen ten ter tijdens tot tussen uit vanaf vanuit via volgens voor zonder
        ties: van
        binds: de het een 't deze dit mijn jouw je zijn haar ons onze jullie hun uw geen elk elke ieder iedere sommige alle
            veel enkele andere ik jij u hij zij ze wij we er is ben bent was waren wordt worden werd heb hebt heeft
            hebben had hadden zal zullen zou zouden kan kunnen kon moet moeten mag wil willen niet nooit heel erg zeer
            te meer meest ook nog al zich
        """,
    "pl": """
        clause: i oraz a ale lecz albo lub czy bo ponieważ gdyż że żeby aby gdy kiedy jeśli jeżeli choć chociaż jak jako niż
            który która które którzy których którym którą co kto gdzie dlaczego więc zatem ani dopóki zanim
        phrase: bez dla do dzięki ku między na nad o od po pod podczas poza przeciw przed przez przy spod u w we wobec wśród
            z ze za według zza
        binds: ten ta to ci te tego tej tym tych mój moja moje twój jego jej nasz nasza wasz ich swój swoją każdy każda
            jakiś jakaś pewien wszystkie wszyscy ja ty on ona ono my wy oni one się nie nigdy jest są był była było byli
            będzie będą może mogą ma mają bardzo zbyt tak też tylko już jeszcze by
        clings: się by li
        """,
    "ru": """
        clause: и а но или либо да зато однако потому что чтобы если когда пока хотя как будто словно чем который которая
            которое которые которого которой которых где куда откуда кто почему зачем ли поэтому ни
        phrase: без в во для до за из из-за изо к ко кроме между на над надо о об обо около от ото перед по под подо после
            при про против ради с со сквозь среди у через
        binds: этот эта это эти того той тот та те мой моя моё мои твой твоя его её их наш наша наши ваш ваша свой своя
            свою каждый каждая всякий весь вся всё все другой другая я ты он она оно мы вы они не ни никогда был была
            было были будет будут есть может могут должен должна очень слишком более самый так тоже только уже ещё
        clings: ли же бы б
        """,
    "uk": """
        clause: і й та а але або чи проте однак бо тому що щоб якщо коли поки хоча як наче ніж який яка яке які якого якої
            де куди звідки хто чому отже ні
        phrase: без в у для до за з із зі зо к крім між на над о об біля від перед по під після при про проти ради серед
            через
        binds: цей ця це ці той та те ті мій моя моє мої твій його її їх наш наша ваш свій своя кожен кожна весь вся все
            всі інший інша я ти він вона воно ми ви вони не ні ніколи був була було були буде будуть є може можуть дуже
            надто більш так теж тільки вже ще
        clings: ж же би б
        """,
    "el": """
        clause: και κι ή είτε αλλά όμως γιατί επειδή διότι ότι πως που να για αν εάν όταν ενώ αφού πριν μέχρι όπως ώστε
            όποιος όποια ποιος ποια πού πώς πότε ούτε
        phrase: από για με σε χωρίς προς μέχρι ως κατά μετά παρά αντί στο στη στην στον στα στις στους στου της
        binds: ο η το οι τα του της των τον την τους τις ένας ένα μια μία ενός μιας αυτός αυτή αυτό αυτοί αυτές αυτά
            εκείνος κάθε κάποιος κάποια όλοι όλες όλα άλλος άλλη εγώ εσύ εμείς εσείς μου σου μας σας με σε δεν δε μην μη
            ποτέ θα είναι είμαι είσαι είμαστε ήταν έχει έχω έχουν είχε είχαν πολύ πιο τόσο και μόνο ήδη ακόμα
        clings: μου σου του της μας σας τους
        """,
    "tr": """
        clause: ve veya ya ama fakat ancak çünkü eğer ki oysa hâlbuki yani hem ne nasıl neden niçin nerede kim zira
        binds: bir bu şu o her bazı bütün tüm hiç çok daha en pek ben sen biz siz onlar değil
        clings: ile için gibi kadar göre doğru karşı rağmen sonra önce beri dolayı üzere mi mı mu mü da de ki bile ise değil
            diye
        """,
    "sv": """
        clause: och eller men utan för att så eftersom därför medan när om innan sedan tills fast än som vilken vilket vilka
            där vart hur varför vem vad både varken
        phrase: bakom bland efter enligt framför från för före genom hos i inför innan inom kring med mellan mot om
            omkring på sedan till trots under upp ur utan utanför vid över åt
        ties: av
        binds: en ett den det de dessa denna detta min mitt mina din ditt dina sin sitt sina hans hennes vår vårt våra er
            ert deras varje någon något några ingen inget inga alla många jag du han hon vi ni dom man är var vara blir
            blev har hade ska skulle kan kunde måste vill ville får inte aldrig mycket väldigt mer mest också bara redan
        clings: mig dig honom henne oss sig
        """,
    "da": """
        clause: og eller men for at så fordi derfor mens når da hvis om inden siden indtil selvom end som der hvor hvordan
            hvorfor hvem hvad både hverken
        phrase: ad bag blandt efter foran fra for før gennem hos i inden indenfor langs med mellem mod om omkring over på
            til trods uden udenfor under ved
        ties: af
        binds: en et den det de disse denne dette min mit mine din dit dine sin sit sine hans hendes vores jeres deres hver
            nogen noget nogle ingen intet alle mange jeg du han hun vi i man er var være bliver blev har havde skal
            skulle kan kunne må vil ville får ikke aldrig meget mere mest også bare kun
        clings: mig dig ham hende os sig
        """,
    "no": """
        clause: og eller men for at så fordi derfor mens når da hvis om før siden til selv enn som hvor hvordan hvorfor hvem
            hva både verken
        phrase: bak blant etter foran fra for før gjennom hos i innen innenfor langs med mellom mot om omkring over på
            til tross uten utenfor under ved
        ties: av
        binds: en ei et den det de disse denne dette min mitt mine din ditt dine sin sitt sine hans hennes vår vårt våre
            deres hver noen noe ingen alle mange jeg du han hun vi dere man er var være blir ble har hadde skal skulle
            kan kunne må vil ville får ikke aldri mye mer mest også bare
        clings: meg deg ham henne oss seg
        """,
    "fi": """
        clause: ja tai vai mutta vaan sillä koska että jotta jos kun vaikka kuin joka jotka mikä mitä missä mihin miten
            miksi kuka sekä eli niin
        phrase: ilman ennen kohti vailla
        binds: tämä nämä tuo se ne minun sinun hänen meidän teidän heidän joka jokainen eräs kaikki moni minä sinä hän me
            te he on olen olet oli ovat olivat ei en et emme ette eivät voi pitää hyvin erittäin liian myös vain jo
            vielä
        clings: kanssa jälkeen takia vuoksi aikana mukaan kohdalla alla päällä edessä takana vieressä
        """,
    "cs": """
        clause: a i ale nebo anebo či avšak neboť protože že aby když jestli jestliže pokud ačkoli ačkoliv zatímco než jako
            jak který která které kteří kterého kde kam odkud kdo co proč proto tak
        phrase: bez do dle k ke kolem kromě mezi mimo na nad o od ode po pod pro proti před přes při s se skrz u v ve vedle
            z za ze
        binds: ten ta to ti ty tento tato toto tito můj moje tvůj jeho její náš naše váš jejich svůj každý každá nějaký
            všechny všichni já my vy on ona ono oni se si ne nikdy je jsem jsi jsme jste jsou byl byla bylo byli bude
            budou může mohou má mají velmi příliš také jen už ještě by bych
        clings: se si by bych bys
        """,
    "ro": """
        clause: și sau ori dar însă ci deci căci pentru că să dacă când cum unde fiindcă deși care cine ce cât până nici
        phrase: cu din dintre la lângă pe prin peste spre sub fără despre după în într într-un într-o între până pentru
            contra
        ties: de
        binds: un o unui unei niște acest această acești aceste acel acea al a ai ale meu mea mei mele tău ta său sa nostru
            noastră fiecare orice toți toate alt altă eu tu el ea noi voi ei ele nu niciodată este e sunt ești suntem
            era erau am are au avea va vor poate pot trebuie foarte mai prea și doar deja se îi îl
        """,
    "hu": """
        clause: és meg vagy de azonban hanem mert hogy ha mikor amikor mint míg bár habár aki amely ami akik amelyek ahol
            ahová hol hova ki mi miért hogyan tehát sem pedig
        binds: a az egy ez azok ezek minden néhány sok én te ő mi ti ők nem ne soha van vagyok volt lesz lehet nagyon túl
            még már csak is
        clings: alatt alá felett fölött mellett mögött előtt után között közé miatt szerint nélkül iránt ellen által felé is
        """,
    "ar": """
        clause: و أو أم لكن ولكن بل ثم لأن لأنه لأنها أن إن إذا لو عندما حين حيث كما لكي كي حتى الذي التي الذين اللذين ما من
            كيف لماذا متى أين هل وقد وهو وهي
        phrase: في من إلى على عن مع بين عند لدى منذ خلال قبل بعد فوق تحت أمام وراء حول دون بدون ضد نحو عبر
        binds: هذا هذه ذلك تلك هؤلاء كل بعض أي جميع أنا أنت هو هي نحن هم لا لم لن ليس ليست ما قد كان كانت كانوا يكون سوف
            غير جدا أكثر يا
        """,
    "he": """
        clause: ו או אבל אך אלא כי ש אם כאשר כש למרות בגלל כדי עד מי מה איפה מתי למה איך אשר לכן וגם
        phrase: ב ל מ של על אל עם מן בין אצל לפני אחרי תחת מעל מול בלי ללא נגד דרך כמו לפי אחר את
        binds: זה זו זאת אלה אלו כל כמה הרבה אני אתה את הוא היא אנחנו אתם הם הן לא אין אל יש היה הייתה היו יהיה מאוד יותר
            רק גם כבר עוד
        """,
    "hi": """
        clause: और या लेकिन मगर परंतु किंतु क्योंकि कि अगर यदि जब जबकि ताकि जो जिस जिसे जिसका जहाँ कैसे क्यों कब कहाँ तो
            इसलिए
        phrase: बिना
        binds: यह वह ये वे इस उस एक हर सब सभी कुछ कई मेरा मेरी मेरे तेरा आपका आपकी उसका उसकी हमारा हमारी अपना अपनी अपने मैं
            तुम आप हम नहीं न मत बहुत सबसे
        clings: का के की को से में पर ने तक है हैं हूँ हो था थे थी थीं गा गे गी भी ही तो लिए साथ बाद पहले द्वारा
        """,
    "id": """
        clause: dan atau tetapi tapi namun karena sebab bahwa jika kalau ketika saat sementara meskipun walaupun sehingga
            agar supaya yang siapa apa mana bagaimana mengapa sebelum sesudah setelah
        phrase: di ke pada kepada dengan untuk bagi oleh tentang dalam antara tanpa sampai hingga sejak menurut seperti
        ties: dari
        binds: ini itu para sang si sebuah seorang setiap semua beberapa banyak saya aku kamu anda dia ia kami kita mereka
            tidak bukan belum sudah telah akan sedang bisa dapat harus boleh sangat lebih paling juga hanya
        clings: lah kah pun ini itu
        """,
    "vi": """
        clause: và hoặc hay nhưng mà vì bởi nên nếu khi lúc trong dù mặc để rằng là thì ai gì đâu sao cho
        phrase: ở tại từ đến với cho về trên dưới trong ngoài giữa theo bằng qua
        ties: của
        binds: một các những mọi mỗi cái con chiếc người cuốn tôi bạn anh chị em ông bà nó chúng họ ta không chưa chẳng đã
            đang sẽ có được bị rất quá hơn nhất cũng chỉ còn
        clings: này kia ấy đó nữa rồi ạ
        """,
}
