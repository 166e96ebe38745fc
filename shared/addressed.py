"""Does a review address a machine rather than the business? Patterns of a dozen languages; it judges texts.

What it finds is no proof of ill will, and what it misses may be hostile all the same: the fence, the
grammar and the guard must hold without it. Where it finds something, nothing that a language model
wrote for that review leaves, and no teacher is asked about it.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata

# What hides words from patterns and not from readers: zero-width characters, soft hyphens, invisible
# tags (read as the ASCII they stand for), combining marks in heaps.
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\u0300-\u036f]")
_TAGS = {0xE0000 + code: chr(code) for code in range(0x20, 0x7F)}
# Cyrillic and Greek letters that look like Latin ones.
_LOOKALIKES = str.maketrans("АВЕЅІЈКМНОРСТХаеѕіјорсухԁһαερο", "ABESIJKMHOPCTXaesijopcyxdhaepo")
_MIXED = re.compile(r"\b(?=\w{0,40}[A-Za-z])(?=\w{0,40}[\u0400-\u04ff])\w{3}")
_LEET = str.maketrans("013457@$", "oieastas")

_ORDERS = (
    r"\b(?:ignor(?:e|ing)|disregard|forget|overrides?|obey)\b.{0,40}?"
    r"\b(?:instructions?|prompts?|rules|guidelines|everything you|the above|what it says)\b",
    r"\b(?:new task\s{0,3}:|override code|debug mode|policy update|developer message)",
    r"\bsystem (?:prompt|note|message)\b",
    r"\bfrom now on (?:reply|answer|write|say|all problems)\b",
    r"\bthe following is from the company\b|\bthis is the owner speaking\b",
    r"\byou are (?:now (?!stuck|able|going)\w+ and|an? (?:ai|assistant|language model|pirate))\b",
    r"\byou are obliged to answer\b|\bas (?:an ai|the developer of)\b|\bdear ai\b",
    r"\b(?:if|as) you are a language model\b",
    r"(?:^|[\n{<])[ \t]{0,9}(?:system|assistant|user|human|model|developer|tool result)\s{0,3}:\s",
    r"\b(?:system|assistant)\s{0,3}:\s",
    r"\byour (?:system prompt|prompt|instructions|guidelines)\b|\binstructions into\b",
    r"\bin your reply that\b|\byour (?:answer|reply) (?:will contain|must|is the)\b",
    r"\bthe (?:correct|required) (?:theme|problem|reply|answer)\b|\bthe api key\b",
    r"\b(?:write|print|output|answer|reply|respond|say it|echo)\s{1,3}(?:with\s{1,3}|back\s{1,3})?"
    r"(?:only|exactly|(?:the|a) (?:single )?(?:word|text|poem)\b|in one word|in public)",
    r"\b(?:repeat|print|list|summarise|translate) (?:the words|everything between|all reviews|your)\b",
    r"\b(?:write|answer|output|print|reply|say)\s{0,3}(?:that\s{0,3})?:?\s{1,3}['\"“‘«]?(?-i:[A-Z][A-Z0-9-]{3,})\b",
    r"\b(?:say|state|confirm|write|promise) (?:that|here|the code|the text|the sentence)\b.{0,40}?"
    r"\b(?:every|public|money|closed|inspector|poisoned)\b",
    r"\b(?:say|write) ['\"“‘][^'\"”’]{3,60}['\"”’](?: exactly| now|\.|\n|$)",
    r"\b(?:decode|rot13|base64|read backwards|pig ?latin)\b|\bdo so now\b|\bsay that sentence\b",
    r"(?:^|[.!?]\s{1,3})promise to (?:pay|refund|give|compensate)\b|\bsay it now\b|\breaders of this reply\b",
    r"\b(?:put|add|place)\b.{0,60}?\b(?:in(?:to)?|to) (?:the|your|every) (?:action|output|evidence|field)",
)
_FORMS = (
    r"<\|?/?\s{0,3}(?:im_|endof|start_of|end_of|system|sys\b|inst|assistant|instruction|review)",
    r"\[/?(?:INST|assistant)\b|<</?SYS|</?s>|###\s{0,3}(?:instruction|system|response)",
    r"<<<|>>>|›››|‹‹‹|```|\"\"\"|\"role\"\s{0,3}:|\]\]>|---\s{0,3}(?:begin|end) of",
    r"(?:^|[*.;])[ \t]{0,9}(?:\d\. )?(?:evidence|theme|problem|action|acción|aktion|urgency|flags|adapter)"
    r"\*{0,3}\s{0,3}[:=：]",
    r"[-=\[*\x22] ?end of (?:review|data|document)\b|\A\s{0,9}none\s{0,9}\Z",
    r"(?:&#\d+;){3,}|%[0-9a-f]{2}%[0-9a-f]{2}%|\\u00|(?:[.-]{2,5} ){3,}|\b[01]{8} [01]{8}\b",
    r"<script|<iframe|onerror\s{0,3}=|onload\s{0,3}=|javascript:|<!--|\{\{|\$\{|<%=|!\[[^\]]*\]\(",
    r"(?:\b[a-z] {1,2}){8,}",
)
_FOREIGN = (
    r"\bignor\w+\s.{0,30}?\b(?:anweisung|instruccion|istruzion|instruç|consigne|instruktion|indicacion"
    r"|regeln|reglas|règles|regole|regras|polece)",
    r"\b(?:schreibe?|écrivez|écris|escribe|escriba|scrivi|escreva|schrijf|napisz|skriv) "
    r"(?:nur|seulement|solo|sólo|apenas|alleen|tylko|bara)\b",
    r"\bnegeer\b.{0,30}instructies|zignoruj|polecenia i napisz|yok say|talimat",
    r"(?:игнорируй|забудь|ігноруй)|напиши (?:только|лише)",
    r"忽略.{0,10}(?:指令|指示|说明)|只写|無視して|とだけ書|무시하고|라고만",
    r"تجاهل.{0,20}(?:التعليمات|تعليمات)|اكتب فقط|अनदेखा|केवल .{0,12} लिखो",
    r"bỏ qua .{0,20}(?:chỉ dẫn|hướng dẫn)|chỉ viết",
    r"système\s{0,3}:|instrucción del sistema|sistema\s{0,3}:",
)
_PATTERNS = tuple(
    re.compile("|".join(parts), flags)
    for parts, flags in (
        (_ORDERS, re.I | re.S),
        (_FORMS, re.I | re.M),
        (_FOREIGN, re.I | re.S),
    )
)
_BASE64 = re.compile(r"[A-Za-z0-9+/]{24,}={0,2}")


def addresses_machine(text: str) -> bool:
    """Whether some of it looks like an order to a program, a forged turn or label, or hidden text."""
    if any(0xE0000 <= ord(c) <= 0xE007F for c in text) or _MIXED.search(text):
        return True
    plain = unicodedata.normalize("NFKD", text.translate(_TAGS))
    plain = unicodedata.normalize("NFC", _INVISIBLE.sub("", plain)).translate(_LOOKALIKES)
    return (
        any(pattern.search(plain) or pattern.search(text) for pattern in _PATTERNS)
        or bool(_PATTERNS[0].search(plain.translate(_LEET)))
        or any(_hides_text(run) for run in _BASE64.findall(plain))
    )


def _hides_text(run: str) -> bool:
    try:
        found = base64.b64decode(run + "=" * (-len(run) % 4)).decode()
    except (binascii.Error, ValueError):
        return False
    return found.isprintable() and " " in found
