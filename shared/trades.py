"""The trade of a business from how a platform, a file or a user names it. Pure."""

from __future__ import annotations

import re

from shared.review import TRADES, Trade

# Words of common category names (Google Business, Yelp, Shopify, app stores), by trade. The first
# trade that knows a word has it: "hotel restaurant" is a place to stay.
_WORDS: dict[Trade, str] = {
    "lodging": "hotels?|hostels?|motels?|resorts?|lodging|accommodations?|inns?|bed and breakfast|guest ?house|apartments?",
    "food": "restaurants?|caf[eé]s?|coffee|bars?|pubs?|food|pizza|pizzeria|bakery|bakeries|diner|bistro|brewery|grill|kitchen"
    "|catering|ice cream|sushi|burgers?",
    "clothing": "clothing|clothes|apparel|fashion|shoes?|footwear|jewell?e?ry|dresses|boutique",
    "app": "apps?|software|games?|mobile|saas|website|banking|fintech",
    "travel": "airlines?|flights?|travel|tours?|trains?|buses|cruises?|car rental|airport|taxi",
    "attraction": "attractions?|theme parks?|amusement|museums?|zoos?|cinemas?|theat(?:er|re)s?|parks?|events?|concerts?|stadium",
    "product": "products?|electronics|books?|bookstore|toys?|furniture|shop|store|retail|grocery|groceries|supermarket"
    "|appliances?|hardware|beauty products?|marketplace",
    "service": "services?|salons?|spas?|hair|barber|dentist|doctors?|clinic|health|medical|auto|repair|cleaning|plumb(?:er|ing)"
    "|gym|fitness|bank|insurance|lawyer|real estate|school|education|delivery|moving|mattress",
}  # fmt: skip
_PATTERNS = {trade: re.compile(rf"\b(?:{words})\b", re.I) for trade, words in _WORDS.items()}


def trade_of(category: str | None) -> Trade | None:
    """The trade that a category means, or None: then the models infer it from the text.

    Args:
        category: one of TRADES, or any platform's words for a kind of business.
    """
    text = (category or "").strip().lower()
    if text in TRADES:
        return text  # type: ignore[return-value]
    return next((trade for trade, words in _PATTERNS.items() if words.search(text)), None)
