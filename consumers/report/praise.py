"""What a text praises: pairs of a praising word and the thing it is said of. English, by rule.

Two forms: "friendly waiting staff" and "the staff were really friendly"; both give (friendly, staff).
What is denied ("not a great room") is no praise. It does not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

_CLAUSE = re.compile(r"[.!?;:,()\"“”\n]+|\s[-–—]+\s|\bbut\b")
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
PRAISE = frozenset(
    """accommodating adorable affordable amazing attentive authentic awesome beautiful best better brilliant
    caring charming cheerful clean comfortable comfy convenient cosy courteous cozy creative crispy cute
    delicious delightful easy efficient elegant enjoyable entertaining excellent exceptional exquisite
    fabulous fair fantastic fast favorite favourite fine flavorful flawless fresh friendly fun generous
    gentle genuine good gorgeous gracious great handy happy healthy heavenly helpful high homemade honest
    hospitable ideal immaculate impeccable impressive incredible inexpensive informative inviting juicy kind
    knowledgeable large lively lovely luxurious magical magnificent marvellous marvelous memorable moist neat
    nice outstanding patient peaceful perfect personable phenomenal pleasant polished polite prime
    professional prompt quick quiet reasonable refreshing relaxed relaxing reliable responsive rich
    satisfying scrumptious smooth soft solid spacious spectacular speedy spotless sparkling stellar
    stunning stylish sublime succulent superb superior sweet tasty tender terrific thoughtful top
    unbeatable unforgettable unique useful warm welcoming wonderful yummy""".split()
)
# Things that say nothing when praised: "great place", "good time", "best part".
_NOTHING = frozenset(
    """bet bit case chance choice choices condition customer customers day days deal definition enough
    evening everything example experience experiences eye feeling fit friend friends gem girl group guy guys half
    heart hour hours idea job joint kick lady life lot lots luck man minute minutes month months
    morning name news night notch note number numbers occasion occasions one ones option options order part
    people person piece pieces place places point purchase reason result review reviews score sense side size sort
    spot spots star stars start store stop stuff surprise thing things time times town trip true value
    visit visits way ways week weekend weeks woman word words work world year years business company home
    end inside outside fact family husband wife kid kids city state country area hand hands move try date""".split()
)
_IS = frozenset(
    "is are was were looks looked smelled smells tasted tastes been be feels felt".split()
)
_VERY = frozenset(
    "absolutely always also all both consistently extremely exceptionally incredibly just "
    "particularly pretty quite rather really simply so super truly very totally definitely "
    "especially and too as well as equally".split()
)
_NOT = frozenset(
    "no not never nothing hardly without isn't wasn't aren't weren't ain't nor".split()
)
_LOOK_BACK = 3
# The list that scikit-learn carries (of the Glasgow Information Retrieval Group). Written out:
# importing it there would cost a dashboard 80 MB and its first reader three seconds.
_STOP_WORDS = frozenset(
    """a about above across after afterwards again against all almost alone along already also although
    always am among amongst amoungst amount an and another any anyhow anyone anything anyway anywhere
    are around as at back be became because become becomes becoming been before beforehand behind being
    below beside besides between beyond bill both bottom but by call can cannot cant co con could
    couldnt cry de describe detail do done down due during each eg eight either eleven else elsewhere
    empty enough etc even ever every everyone everything everywhere except few fifteen fifty fill find
    fire first five for former formerly forty found four from front full further get give go had has
    hasnt have he hence her here hereafter hereby herein hereupon hers herself him himself his how
    however hundred i ie if in inc indeed interest into is it its itself keep last latter latterly least
    less ltd made many may me meanwhile might mill mine more moreover most mostly move much must my
    myself name namely neither never nevertheless next nine no nobody none noone nor not nothing now
    nowhere of off often on once one only onto or other others otherwise our ours ourselves out over own
    part per perhaps please put rather re same see seem seemed seeming seems serious several she should
    show side since sincere six sixty so some somehow someone something sometime sometimes somewhere
    still such system take ten than that the their them themselves then thence there thereafter thereby
    therefore therein thereupon these they thick thin third this those though three through throughout
    thru thus to together too top toward towards twelve twenty two un under until up upon us very via
    was we well were what whatever when whence whenever where whereafter whereas whereby wherein
    whereupon wherever whether which while whither who whoever whole whom whose why will with within
    without would yet you your yours yourself yourselves""".split()
)


def praised(text: str) -> Iterator[tuple[str, str]]:
    """(praising word, thing) in order of the text, lower case; a thing has one or two words."""
    for clause in _CLAUSE.split(text.lower().replace("’", "'")):
        words = _WORD.findall(clause)
        for at, word in enumerate(words):
            if word not in PRAISE or _NOT & set(words[max(0, at - _LOOK_BACK) : at]):
                continue
            thing = _after(words, at) or _before(words, at)
            if thing:
                yield word, thing


def _after(words: list[str], at: int) -> str:
    """What follows: the run of up to two words that can name something."""
    run = []
    for word in words[at + 1 : at + 3]:
        if not _names(word):
            break
        run.append(word)
    return "" if not run or run[-1] in _NOTHING else " ".join(run)


def _before(words: list[str], at: int) -> str:
    """What it was said of: the word before "was", over any "really"."""
    place = at - 1
    while place >= 0 and words[place] in _VERY | PRAISE:
        place -= 1
    if place < 1 or words[place] not in _IS:
        return ""
    thing = words[place - 1]
    return thing if _names(thing) and thing not in _NOTHING else ""


def _names(word: str) -> bool:
    return (
        len(word) > 2
        and "'" not in word
        and word not in _other_words()
        and word not in PRAISE
        and not word.endswith("ly")
    )


@cache
def _other_words() -> frozenset[str]:
    more = """able came come did don enjoyed even ever get gets getting going got just know let like
    liked look looked looking love loved make makes making maybe need needed non overall priced prepared
    quality really recommend said saw say seemed served stayed super sure take things think thought
    today tonight took tried try trying used want wanted went wish worth yes yet use using lots
    run cooked located decorated seasoned flavored sized given considering compared thanks thank
    little big small old new long lot hot cold different busy local looking real whole"""
    return _STOP_WORDS | frozenset(more.split())
