"""What a text praises: pairs of a praising word and the thing it is said of. English, by rule.

Two forms: "friendly waiting staff" and "the staff were really friendly"; both give (friendly, staff).
What is denied ("not a great room") is no praise. It does not count.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

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
# Neither a thing nor a part of its name: grammar, and verbs that often stand beside praise.
_OTHER = frozenset(
    """about above across after again against all almost alone along already also although always
    among and another any anyone anything anywhere are around became because become been before behind
    being below beside besides between beyond both but can cannot could did does doing don done down
    during each either else enough even ever every everyone everywhere few for from further had has have having
    hence her here hers him his how however into its itself just last least less like made many may maybe
    meanwhile might mine more moreover most mostly much must myself namely neither never nevertheless next nobody
    none nor not now nowhere off often once one only onto other others otherwise our ours out over own per
    perhaps please quite rather really same see seem seemed seems several she should since some somehow
    someone something sometimes somewhere still such than that the their theirs them then there therefore
    these they this those though through throughout thus together too toward towards under until upon use
    used using very via was well were what whatever when whenever where whereas wherever whether which
    while who whoever whole whom whose why will with within without would yet you your yours
    two three four five six ten able came come enjoyed get gets getting given going got know let liked
    little look looked looking lots love loved make makes making need needed non overall priced prepared quality
    recommend run said saw say served stayed super sure take things think thought today tonight took tried
    try trying want wanted went wish worth yes cooked located decorated seasoned flavored sized
    considering compared thanks thank big small old new long lot hot cold different busy local real""".split()
)
_LOOK_BACK = 3


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
        and word not in _OTHER
        and word not in PRAISE
        and not word.endswith("ly")
    )
