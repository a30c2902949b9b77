"""Simple English sentences by rules: who does what to what, where and when.

The space of all the sentences that people write is too wide for a few thousand examples; that of
these is narrow and evenly filled, so that what a sentence space learns of them holds between them
too (compare dSentences, Mercatali & Freitas 2021).
"""

from __future__ import annotations

import random
from collections.abc import Sequence


def _words(line: str) -> tuple[str, ...]:
    return tuple(line.split())


_PEOPLE = _words(
    "man woman boy girl child teacher doctor farmer king queen soldier sailor student painter "
    "baker lawyer nurse driver singer writer neighbour stranger friend brother sister mother "
    "father uncle aunt grandmother prince thief policeman waiter cook captain dentist engineer "
    "scientist judge"
)
_ANIMALS = _words(
    "dog cat horse bird fox rabbit cow mouse wolf bear lion duck goat sheep pig monkey"
)
_MOODS = _words(
    "old young tall little tired happy angry quiet kind clever poor rich strange lonely brave "
    "hungry sleepy proud famous nervous"
)
_LOOKS = _words(
    "old new small large red blue green heavy broken beautiful expensive cheap strange dark "
    "bright empty dirty clean wooden golden"
)
_THINGS = _words(
    "book letter key hat coat lamp chair table cup bottle knife box bag clock map picture "
    "phone ring coin basket umbrella violin guitar newspaper ladder mirror blanket rope "
    "bicycle camera"
)
_NAMES = _words("Mary John Anna Peter Tom Alice Henry Emma Jack Sarah")
_MANNERS = _words("slowly quickly quietly carefully happily sadly suddenly alone")
_FOOD = (
    "bread",
    "soup",
    "cheese",
    "an apple",
    "cake",
    "fish",
    "rice",
    "meat",
    "chocolate",
    "honey",
    "an egg",
    "pizza",
    "salad",
    "pie",
    "sandwich",
)
_PLACES = (
    "in the garden",
    "in the kitchen",
    "at the station",
    "in the forest",
    "by the river",
    "on the beach",
    "at school",
    "in the city",
    "at the market",
    "in the park",
    "on the roof",
    "in the church",
    "near the lake",
    "at the hospital",
    "in the library",
    "under the bridge",
    "on the hill",
    "in the village",
    "at home",
    "in the castle",
    "behind the house",
    "in the old theatre",
    "on the train",
    "at the airport",
    "in the desert",
    "on the farm",
)
_GOALS = (
    "to the river",
    "to the market",
    "to the station",
    "home",
    "to the city",
    "to school",
    "into the forest",
    "to the beach",
    "to the castle",
    "into the house",
    "to the hospital",
    "across the bridge",
    "up the hill",
    "to the village",
    "into the garden",
    "to the library",
    "to the sea",
    "out of the room",
)
_PAST = (
    "yesterday",
    "last night",
    "last week",
    "this morning",
    "on Monday",
    "last summer",
    "two days ago",
    "in the evening",
    "after lunch",
    "before dinner",
)
_ALWAYS = (
    "every day",
    "every morning",
    "on Sundays",
    "in winter",
    "at night",
    "every summer",
    "sometimes",
    "after work",
)
_FUTURE = (
    "tomorrow",
    "next week",
    "tonight",
    "next year",
    "soon",
    "on Friday",
    "in the morning",
)
# Base, third person, past, and the participle where there is one to be used.
_GO = (
    ("walk", "walks", "walked", ""),
    ("run", "runs", "ran", ""),
    ("go", "goes", "went", ""),
    ("drive", "drives", "drove", ""),
    ("come", "comes", "came", ""),
    ("ride", "rides", "rode", ""),
    ("hurry", "hurries", "hurried", ""),
    ("return", "returns", "returned", ""),
    ("climb", "climbs", "climbed", ""),
    ("travel", "travels", "travelled", ""),
)
_REST = (
    ("sleep", "sleeps", "slept", "sleeping"),
    ("wait", "waits", "waited", "waiting"),
    ("sing", "sings", "sang", "singing"),
    ("dance", "dances", "danced", "dancing"),
    ("work", "works", "worked", "working"),
    ("cry", "cries", "cried", "crying"),
    ("laugh", "laughs", "laughed", "laughing"),
    ("play", "plays", "played", "playing"),
    ("sit", "sits", "sat", "sitting"),
    ("stand", "stands", "stood", "standing"),
    ("rest", "rests", "rested", "resting"),
    ("live", "lives", "lived", "living"),
)
_HANDLE = (
    ("buy", "buys", "bought", "buying"),
    ("sell", "sells", "sold", "selling"),
    ("find", "finds", "found", "finding"),
    ("lose", "loses", "lost", "losing"),
    ("steal", "steals", "stole", "stealing"),
    ("carry", "carries", "carried", "carrying"),
    ("break", "breaks", "broke", "breaking"),
    ("need", "needs", "needed", ""),
    ("want", "wants", "wanted", ""),
    ("like", "likes", "liked", ""),
    ("bring", "brings", "brought", "bringing"),
    ("hide", "hides", "hid", "hiding"),
    ("repair", "repairs", "repaired", "repairing"),
    ("see", "sees", "saw", ""),
    ("hold", "holds", "held", "holding"),
    ("take", "takes", "took", "taking"),
    ("clean", "cleans", "cleaned", "cleaning"),
    ("forget", "forgets", "forgot", ""),
)
_EAT = (
    ("eat", "eats", "ate", "eating"),
    ("cook", "cooks", "cooked", "cooking"),
    ("buy", "buys", "bought", "buying"),
    ("like", "likes", "liked", ""),
    ("want", "wants", "wanted", ""),
    ("make", "makes", "made", "making"),
    ("share", "shares", "shared", "sharing"),
    ("hate", "hates", "hated", ""),
)
_MEET = (
    ("love", "loves", "loved", ""),
    ("hate", "hates", "hated", ""),
    ("help", "helps", "helped", ""),
    ("know", "knows", "knew", ""),
    ("meet", "meets", "met", ""),
    ("visit", "visits", "visited", ""),
    ("see", "sees", "saw", ""),
    ("call", "calls", "called", ""),
    ("fear", "fears", "feared", ""),
    ("follow", "follows", "followed", ""),
    ("remember", "remembers", "remembered", ""),
    ("thank", "thanks", "thanked", ""),
)
_PRONOUNS = (
    ("he", True, "him"),
    ("she", True, "her"),
    ("they", False, "them"),
    ("we", False, "us"),
    ("I", False, "me"),
    ("you", False, "you"),
)
_OWNERS = ("my", "his", "her", "our", "their")
_DISHES = ("cake", "pizza", "salad", "pie", "sandwich", "fish")

Verb = tuple[str, str, str, str]


def sentences(count: int, seed: int) -> tuple[str, ...]:
    """`count` different sentences; the same seed gives the same."""
    maker = _Maker(random.Random(seed))
    found: dict[str, None] = {}
    while len(found) < count:
        found[maker.sentence()] = None
    return tuple(found)


class _Maker:
    """Draws one sentence after the other."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self._tense = "past"
        self._singular = True
        self._subject = ""
        self._negated = False

    def sentence(self) -> str:
        draw = self._draw
        self._tense = draw.choice(("past", "past", "now", "future"))
        self._negated = draw.random() < 0.12
        if draw.random() < 0.3:
            self._subject, self._singular, _ = draw.choice(_PRONOUNS)
        else:
            self._subject, self._singular = self._living(), True
        makers = (
            self._going,
            self._resting,
            self._handling,
            self._handling,
            self._eating,
            self._meeting,
            self._doing,
            self._being,
            self._standing,
            self._asking,
        )
        text = draw.choice(makers)()
        return text[0].upper() + text[1:] + ("" if text.endswith("?") else ".")

    # --- whole sentences -------------------------------------------------------------------------

    def _going(self) -> str:
        manner = self._maybe(_MANNERS, 0.25)
        return self._said(self._verb(_GO) + manner + " " + self._one(_GOALS) + self._when(0.3))

    def _resting(self) -> str:
        return self._said(self._verb(_REST) + self._where(0.75) + self._when(0.35))

    def _handling(self) -> str:
        where, when = self._where(0.25), self._when(0.25)
        return self._said(f"{self._verb(_HANDLE)} {self._thing()}{where}{when}")

    def _eating(self) -> str:
        return self._said(f"{self._verb(_EAT)} {self._food()}{self._where(0.3)}{self._when(0.3)}")

    def _meeting(self) -> str:
        whom = self._person() if self._draw.random() < 0.75 else self._draw.choice(_PRONOUNS)[2]
        return self._said(f"{self._verb(_MEET)} {whom}{self._where(0.2)}{self._when(0.2)}")

    def _doing(self) -> str:
        verb = self._draw.choice([one for one in _REST + _HANDLE + _EAT if one[3]])
        what = (
            f" {self._thing()}" if verb in _HANDLE else f" {self._food()}" if verb in _EAT else ""
        )
        past = self._tense == "past"
        if self._draw.random() < 0.2:
            return f"{self._be(past)} {self._subject} {verb[3]}{what}{self._where(0.5)}?"
        return self._said(f"{self._be(past)}{self._not()} {verb[3]}{what}{self._where(0.45)}")

    def _being(self) -> str:
        past = self._draw.random() < 0.5
        what = self._one(_PLACES)
        if self._draw.random() < 0.6:
            what = self._one(("very ", "too ", "", "", "")) + self._one(_MOODS)
        when = self._maybe(_PAST[:6], 0.25) if past else ""
        return self._said(f"{self._be(past)}{self._not()} {what}{when}")

    def _standing(self) -> str:
        verb = self._one(("was", "is"))
        if self._draw.random() < 0.5:
            thing = self._of(self._described(_THINGS, _LOOKS, 0.2))
            place = self._one(_LOOKS) if self._draw.random() < 0.5 else self._one(_PLACES)
            return f"{thing} {verb}{self._not()} {place}"
        looks = ("small", "large", "strange", "beautiful", "old", "young")
        what = self._described(_THINGS + _PEOPLE + _ANIMALS, looks, 0.4)
        return f"there {verb} {_a(what)} {self._one(_PLACES)}"

    def _asking(self) -> str:
        verb = self._draw.choice(_HANDLE + _EAT)
        what = self._thing() if verb in _HANDLE else self._food()
        if self._draw.random() < 0.4:
            do = "does" if self._singular else "do"
            first = {"past": "did", "future": "will", "now": do}[self._tense]
            return f"{first} {self._subject} {verb[0]} {what}{self._where(0.2)}?"
        wish = self._draw.choice((("want", "wants", "wanted", ""), ("try", "tries", "tried", "")))
        act = f"{verb[0]} {what}"
        if self._draw.random() < 0.4:
            act = f"{self._draw.choice(_GO)[0]} {self._one(_GOALS)}"
        return self._said(f"{self._verb((wish,))} to {act}")

    # --- their parts -----------------------------------------------------------------------------

    def _said(self, rest: str) -> str:
        return f"{self._subject} {rest}"

    def _one(self, words: Sequence[str]) -> str:
        return self._draw.choice(words)

    def _maybe(self, words: Sequence[str], chance: float) -> str:
        return f" {self._one(words)}" if self._draw.random() < chance else ""

    def _when(self, chance: float) -> str:
        return self._maybe({"past": _PAST, "now": _ALWAYS, "future": _FUTURE}[self._tense], chance)

    def _where(self, chance: float) -> str:
        return self._maybe(_PLACES, chance)

    def _not(self) -> str:
        return " not" if self._negated else ""

    def _described(self, nouns: Sequence[str], looks: Sequence[str], chance: float) -> str:
        look = f"{self._one(looks)} " if self._draw.random() < chance else ""
        return look + self._one(nouns)

    def _of(self, noun: str) -> str:
        chance = self._draw.random()
        if chance < 0.55:
            return f"the {noun}"
        return _a(noun) if chance < 0.7 else f"{self._one(_OWNERS)} {noun}"

    def _person(self) -> str:
        if self._draw.random() < 0.12:
            return self._one(_NAMES)
        return self._of(self._described(_PEOPLE, _MOODS, 0.35))

    def _living(self) -> str:
        if self._draw.random() < 0.8:
            return self._person()
        return self._of(self._described(_ANIMALS, _MOODS, 0.25))

    def _thing(self) -> str:
        return self._of(self._described(_THINGS, _LOOKS, 0.35))

    def _food(self) -> str:
        food = self._one(_FOOD)
        if " " in food:
            return food
        return self._one(("the ", "some ", "", "a " if food in _DISHES else "the ")) + food

    def _be(self, past: bool) -> str:
        if self._subject == "I":
            return "was" if past else "am"
        if self._singular:
            return "was" if past else "is"
        return "were" if past else "are"

    def _verb(self, verbs: Sequence[Verb]) -> str:
        base, third, past, _ = self._draw.choice(verbs)
        if self._tense == "future":
            return f"will not {base}" if self._negated else f"will {base}"
        if self._tense == "past":
            return f"did not {base}" if self._negated else past
        if self._negated:
            return f"{'does' if self._singular else 'do'} not {base}"
        return third if self._singular else base


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
