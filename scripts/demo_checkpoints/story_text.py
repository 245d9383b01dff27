"""The text that demo:stories learns: a small grammar of stories, counting, and questions with answers.

``RULES`` maps a symbol to its expansions; ``{symbol}`` inside one is expanded in turn, unless the document
has bound the name (its hero, the thing that is lost, ...), so that a document agrees with itself. Earlier
expansions are likelier than later ones (weight 1 / (place + 1)): greedy decoding then has a clear
favourite, and sampling still has something to choose from.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import TypeVar

from demo_checkpoints.number_words import english

T = TypeVar("T")

NAMES = {
    "he": ["Tom", "Max", "Ben", "Otto", "Leo", "Finn", "Sam", "Hugo"],
    "she": ["Lily", "Mia", "Ruby", "Anna", "Zoe", "Clara", "Nora", "Ida"],
}
KINDS = ["fox", "bear", "rabbit", "mouse", "cat", "dog", "hedgehog", "duck"]
PLACES = ["forest", "river", "garden", "mountain", "village", "lake", "meadow", "sea"]
COLOURS = ["red", "blue", "green", "yellow", "white", "black"]
THINGS = ["ball", "kite", "hat", "book", "boat", "lamp", "drum", "cup"]
FOODS = ["apple", "cake", "pear", "carrot", "nut", "plum"]

RULES = {
    "story": [
        "{opening} {habit} {errand} {meeting} {help} {evening} {moral}",
        "{opening} {errand} {trouble} {sorrow} {meeting} {search} {evening} {moral}",
        "{opening} {habit} {trouble} {meeting} {search} {evening}",
        "{opening} {habit} {errand} {meeting} {feast} {evening} {moral}",
    ],
    "opening": [
        "Once upon a time there was a little {kind} named {hero}.",
        "Once upon a time, in a house near the {place}, there lived a {mood} {kind}. {His} name was {hero}.",
        "There once was a {mood} {kind} who was called {hero}.",
        "Long ago a {kind} named {hero} lived near the {place}.",
    ],
    "mood": ["happy", "brave", "clever", "shy", "curious"],
    "habit": [
        "{He} lived in a small house near the {place}.",
        "Every morning {he} walked to the {place} and sang a song.",
        "{He} had a {colour} {thing}, and {he} loved it very much.",
        "{He} liked to sit under a tree and count the clouds.",
    ],
    "errand": [
        "One day {hero} wanted to go to the {goal}.",
        "One sunny morning {hero} took {his} {colour} {thing} and went to the {goal}.",
        "One cold morning {hero} said, \"Today I will go to the {goal}.\"",
        "One day the wind was strong, but {hero} went to the {goal} all the same.",
    ],
    "trouble": [
        "But on the way {he} lost {his} {colour} {thing}.",
        "Then the wind blew and took {his} {colour} {thing} away.",
        "But when {he} came to the {goal}, {his} {colour} {thing} was gone.",
    ],
    "sorrow": [
        "{hero} was very sad.",
        "{hero} sat down and cried.",
        "\"Oh no!\" said {hero}. \"Where is my {thing}?\"",
    ],
    "meeting": [
        "On the way {he} met {his} friend {friend} the {friend_kind}.",
        "Near the {goal} {he} met a {friend_kind} named {friend}.",
        "Just then {friend} the {friend_kind} came by and said, \"Hello, {hero}!\"",
    ],
    "help": [
        "{friend} was carrying a heavy basket, so {hero} helped {friend_him}.",
        "\"I am hungry,\" said {friend}. So {hero} gave {friend_him} {food}.",
        "\"Will you play with me?\" asked {friend}. \"Yes,\" said {hero}, and they played all day.",
    ],
    "search": [
        "\"I will help you,\" said {friend}. They looked and looked, and they found the {thing} {where}.",
        "\"Do not be sad,\" said {friend}. \"I saw your {thing} {where}.\" And there it was!",
        "{friend} gave {hero} {food} and helped {him} to find the {thing}. It was {where}.",
    ],
    "where": ["under a tree", "behind a stone", "in the tall grass", "near the old bridge"],
    "food": ["an apple", "a piece of cake", "two pears", "some nuts"],
    "feast": [
        "{friend} had {food}, and {hero} had {food}. They sat down and ate together.",
        "They made a fire near the {goal} and told each other stories.",
    ],
    "evening": [
        "In the evening they went home, and {hero} was happy.",
        "When the moon came up, {hero} went home and slept.",
        "They were friends from that day on.",
        "At night {hero} looked at the stars and said, \"What a good day!\"",
    ],
    "moral": ["The end.", "It is good to have a friend.", "A good friend is better than gold."],
    "fact": [
        "What colour is the sky?|The sky is blue.",
        "What colour is the grass?|The grass is green.",
        "What colour is the snow?|The snow is white.",
        "What colour is the sun?|The sun is yellow.",
        "What does a cow say?|A cow says moo.",
        "What does a dog say?|A dog says woof.",
        "What does a cat say?|A cat says meow.",
        "What does a duck say?|A duck says quack.",
        "Where does a fish live?|A fish lives in the water.",
        "Where does a bird live?|A bird lives in a nest.",
        "What do bees make?|Bees make honey.",
        "How many legs does a dog have?|A dog has four legs.",
        "How many legs does a bird have?|A bird has two legs.",
        "How many days are in a week?|There are seven days in a week.",
        "When do the stars shine?|The stars shine at night.",
        "What do we drink when we are thirsty?|We drink water.",
    ],
}  # fmt: skip


def documents(seed: int, count: int) -> list[str]:
    """``count`` documents, the same ones for the same seed."""
    rng = random.Random(seed)
    kinds = [_story, _counting, _question]
    return [rng.choices(kinds, weights=[5, 2, 3])[0](rng) for _ in range(count)]


def favour(rng: random.Random, choices: Sequence[T]) -> T:
    """One of ``choices``, the one in place i with weight 1 / (i + 1)."""
    return rng.choices(choices, weights=[1 / (place + 1) for place in range(len(choices))])[0]


def expand(rng: random.Random, text: str, bound: dict[str, str]) -> str:
    """Replaces every ``{symbol}`` by its binding, or by one of its rule's expansions."""

    def one(match: re.Match[str]) -> str:
        symbol = match[1]
        return bound[symbol] if symbol in bound else expand(rng, favour(rng, RULES[symbol]), bound)

    return re.sub(r"\{(\w+)\}", one, text)


def _story(rng: random.Random) -> str:
    he, friend_he = favour(rng, ["he", "she"]), favour(rng, ["he", "she"])
    hero = rng.choice(NAMES[he])
    kind, friend_kind = rng.sample(KINDS, 2)
    place, goal = rng.sample(PLACES, 2)
    his, him = {"he": ("his", "him"), "she": ("her", "her")}[he]
    bound = {
        "hero": hero, "kind": kind, "place": place, "goal": goal,
        "he": he, "He": he.capitalize(), "his": his, "His": his.capitalize(), "him": him,
        "friend": rng.choice([name for name in NAMES[friend_he] if name != hero]),
        "friend_kind": friend_kind, "friend_him": {"he": "him", "she": "her"}[friend_he],
        "thing": rng.choice(THINGS), "colour": rng.choice(COLOURS),
    }  # fmt: skip
    return expand(rng, "{story}", bound)


def _counting(rng: random.Random) -> str:
    return favour(rng, [_count_up, _count_things, _count_down, _count_by])(rng)


def _count_up(rng: random.Random) -> str:
    last = rng.randint(3, 20)
    return f"Let us count to {english(last)}. {_listed(range(1, last + 1))}"


def _count_down(rng: random.Random) -> str:
    first = rng.randint(3, 12)
    return f"Let us count down from {english(first)}. {_listed(range(first, -1, -1))}"


def _count_by(rng: random.Random) -> str:
    step, steps = rng.choice([2, 5, 10]), rng.randint(3, 6)
    return f"Let us count by {english(step)}s to {english(step * steps)}. " + _listed(
        range(step, step * steps + 1, step)
    )


def _count_things(rng: random.Random) -> str:
    name, thing, total = rng.choice(rng.choice(list(NAMES.values()))), rng.choice(FOODS), rng.randint(2, 8)
    counted = ", ".join(_amount(number, thing) for number in range(1, total + 1))
    return f"{name} counts the {thing}s: {counted}. There are {_amount(total, thing)}."


def _question(rng: random.Random) -> str:
    """A question, its answer, and now and then a second pair."""
    pairs = [favour(rng, [_how_many, _fact, _sum, _after])(rng) for _ in range(rng.choice([1, 1, 2]))]
    return " ".join(f"{context}Question: {question} Answer: {answer}" for context, question, answer in pairs)


def _fact(rng: random.Random) -> tuple[str, str, str]:
    question, answer = rng.choice(RULES["fact"]).split("|")
    return "", question, answer


def _sum(rng: random.Random) -> tuple[str, str, str]:
    left, right = rng.randint(1, 9), rng.randint(1, 9)
    total = f"{english(left)} plus {english(right)}"
    return "", f"What is {total}?", f"{total.capitalize()} is {english(left + right)}."


def _after(rng: random.Random) -> tuple[str, str, str]:
    number = rng.randint(1, 19)
    return (
        "",
        f"What comes after {english(number)}?",
        f"{english(number + 1).capitalize()} comes after {english(number)}.",
    )


def _how_many(rng: random.Random) -> tuple[str, str, str]:
    name = rng.choice(rng.choice(list(NAMES.values())))
    things = rng.sample(THINGS, 2)
    amounts = [_amount(rng.randint(1, 9), thing) for thing in things]
    asked = rng.randrange(2)
    return (
        f"{name} has {amounts[0]} and {amounts[1]}. ",
        f"How many {things[asked]}s does {name} have?",
        f"{name} has {amounts[asked]}.",
    )


def _amount(number: int, thing: str) -> str:
    return f"{english(number)} {thing}{'' if number == 1 else 's'}"


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(english(number) for number in numbers).capitalize() + "."
