"""Which language a review is written in, and what to say where the model does not read it.

Detection is CLD2's (Google's compact detector): of 3,973 English reviews it calls one another
language, rightly; it declines on "Bad." instead of guessing (figures: trainer/LOG.md). A
wrong "not English" would silence a review, so what is not sure has no language and is read. It does
not know queues, stores or models.
"""

from __future__ import annotations

from collections.abc import Sequence

# Percent of the text that must be in the language, and CLD2 must call it reliable. Chosen on 8,149
# English sentences: 16 of them are called another language at 90, 2 at 99; whole reviews, none.
SURE_PERCENT = 95
# Fewer letters than this are not judged: "gr8 app", "Meh", "RIP" are nobody's language.
MINIMUM_LETTERS = 15
# What the packaged matcher reads: its encoder, all-MiniLM, and its playbook are English.
MATCHER_LANGUAGES = ("en",)
NAMES = {
    "ar": "Arabic",
    "am": "Amharic",
    "bg": "Bulgarian",
    "ca": "Catalan",
    "cs": "Czech",
    "da": "Danish",
    "de": "German",
    "el": "Greek",
    "en": "English",
    "es": "Spanish",
    "fi": "Finnish",
    "fr": "French",
    "he": "Hebrew",
    "hi": "Hindi",
    "hr": "Croatian",
    "hu": "Hungarian",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "no": "Norwegian",
    "pl": "Polish",
    "pt": "Portuguese",
    "ro": "Romanian",
    "ru": "Russian",
    "sv": "Swedish",
    "th": "Thai",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "vi": "Vietnamese",
    "zh": "Chinese",
}
_OTHER_CODES = {"iw": "he", "nb": "no"}  # CLD2 keeps the codes of 1988 for these


def detect(text: str) -> str | None:
    """The ISO 639-1 code of the language that nearly all of `text` is written in; None where that is not sure."""
    import pycld2

    if not _enough(text):
        return None
    # CLD2 refuses what is not printable UTF-8: lone surrogates, format characters of emoji.
    if not text.isprintable():
        text = "".join(c for c in text if c.isprintable() or c.isspace())
    try:
        reliable, _, found = pycld2.detect(text.encode("utf-8", "ignore"))
    except pycld2.error:
        return None
    code, percent = found[0][1].split("-")[0], found[0][2]
    if not reliable or percent < SURE_PERCENT or len(code) != 2 or code == "un":
        return None
    return str(_OTHER_CODES.get(code, code))


def _enough(text: str) -> bool:
    """Whether there is enough to judge by.

    The webhook asks this of every review: a long one is not read to its end.
    """
    weight = 0
    for c in text:
        if c.isalpha():
            # Ideographs say more than letters: four of them are a sentence.
            weight += 4 if c >= "\u2e80" else 1
            if weight >= MINIMUM_LETTERS:
                return True
    return False


def language_of(text: str, stated: object = None) -> str | None:
    """What the text says of its language, else what the platform stated ("pt-BR", "en_US", "es"), else None.

    The text comes first: platforms state the language of an account, and a Spanish review stands
    under an English one.
    """
    found = detect(text)
    if found is None and isinstance(stated, str):
        code = stated.strip().lower().replace("_", "-").split("-")[0]
        found = code if code in NAMES else None
    return found


def name_of(code: str) -> str:
    """The language's English name, or its code."""
    return NAMES.get(code, f"the language {code!r}")


def why_not_read(language: str | None, read: Sequence[str]) -> str | None:
    """Why a review in `language` is not read by a model that reads the languages `read`; None: it is read.

    A model that reads nothing in particular (`read` is empty) is taken at its word, and so is a
    review of no certain language.
    """
    if not read or language is None or language in read:
        return None
    names = " and ".join(name_of(code) for code in read)
    return f"written in {name_of(language)}: this model reads {names}"
