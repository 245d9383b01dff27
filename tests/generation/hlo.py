"""Reads the text of an optimised HLO program: its loops, and which run for a known number of turns."""

from __future__ import annotations

import re
from typing import NamedTuple

# What a condition that only counts is made of.
_COUNTING = {"parameter", "get-tuple-element", "constant", "compare", "and", "fusion", "copy", "bitcast"}

# The type of a tuple, of others too.
_TUPLE = r"\([^()]*(?:\([^()]*\)[^()]*)*\)"


class Instruction(NamedTuple):
    """``name = type opcode(operands), attributes``; the operands' names, everything after them as text."""

    name: str
    opcode: str
    operands: tuple[str, ...]
    rest: str


class Computation(NamedTuple):
    """Instructions by name."""

    entry: bool
    instructions: dict[str, Instruction]


def parse(program: str) -> dict[str, Computation]:
    """The computations of a program by name."""
    found: dict[str, Computation] = {}
    current: dict[str, Instruction] = {}
    for line in program.splitlines():
        head = re.match(r"(ENTRY )?(%?[\w.-]+) \(.*\{$", line)
        if head:
            current = {}
            found[head[2]] = Computation(bool(head[1]), current)
        made = re.match(r"\s+(?:ROOT )?(%?[\w.-]+) = (.*)$", line)
        called = made and re.match(
            r"(?:\([^()]*(?:\([^()]*\)[^()]*)*\)|\S+) ([\w-]+)\(([^)]*)\)(.*)", made[2]
        )
        if made and called:
            operands = tuple(re.findall(r"%[\w.-]+", called[2]))
            current[made[1]] = Instruction(made[1], called[1], operands, called[3])
    return found


def attribute(instruction: Instruction, name: str) -> str:
    """A computation that the instruction calls, such as ``condition``."""
    value = re.search(rf"{name}=(%?[\w.-]+)", instruction.rest)
    assert value, instruction
    return value[1]


def loops(computations: dict[str, Computation]) -> list[tuple[Computation, Instruction]]:
    """Every ``while`` with the computation it stands in."""
    return [
        (computation, instruction)
        for computation in computations.values()
        for instruction in computation.instructions.values()
        if instruction.opcode == "while"
    ]


def uncounted_loops(program: str) -> list[str]:
    """The bodies of the loops whose trip count XLA does not know.

    Known is what ``known_trip_count`` says; or where the condition looks at a counter alone, which starts at
    a constant, and compares it with constants (XLA:CPU says which one the counter is, not how far it goes).
    """
    computations = parse(program)
    return [
        attribute(loop, "body")
        for inside, loop in loops(computations)
        if "known_trip_count" not in loop.rest and not _counts(computations, inside, loop)
    ]


def _counts(computations: dict[str, Computation], inside: Computation, loop: Instruction) -> bool:
    counter = re.search(r'"known_induction_variable":\{"tuple_index":"(\d+)"', loop.rest)
    looked_at, opcodes = _condition(computations, attribute(loop, "condition"))
    if counter is None or looked_at != {int(counter[1])} or not opcodes <= _COUNTING:
        return False
    variables = inside.instructions[loop.operands[0]]
    if variables.opcode != "tuple":
        return False
    start = inside.instructions[variables.operands[int(counter[1])]]
    while start.opcode in ("copy", "bitcast"):
        start = inside.instructions[start.operands[0]]
    return start.opcode == "constant"


def _condition(computations: dict[str, Computation], name: str) -> tuple[set[int], set[str]]:
    """Which loop variables a condition looks at, and the opcodes in it and in its fusions."""
    looked_at, opcodes = set(), set()
    for instruction in computations[name].instructions.values():
        opcodes.add(instruction.opcode)
        if instruction.opcode == "get-tuple-element":
            looked_at.add(int(re.findall(r"index=(\d+)", instruction.rest)[0]))
        if instruction.opcode == "fusion":
            opcodes |= _condition(computations, attribute(instruction, "calls"))[1]
    return looked_at, opcodes


def trip_counts(program: str) -> list[int | None]:
    """Each loop's number of passes, None where XLA does not say it."""
    found = [re.search(r'"known_trip_count":\{"n":"(\d+)"\}', loop.rest) for _, loop in loops(parse(program))]
    return [int(count[1]) if count else None for count in found]
