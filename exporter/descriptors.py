"""Protocol buffer messages from their text, in a pool of their own.

    messages = Messages("example", '''
        message Point { int32 x = 1; repeated string names = 2; }
    ''')
    messages.new("Point", x=1).SerializeToString()

The published definitions may be registered in the default pool by another package of the same process
(TensorFlow's are), or be absent, or differ between its releases: a pool of one's own meets none of them, and
messages of the same fields have the same bytes. Text: the part of proto3 that is used here, that is messages,
enums, oneofs, maps and fields, without options, reserved numbers and services.

Imports nothing but protobuf.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from google.protobuf import any_pb2, descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

_TOKEN = re.compile(r"[\w.]+|[{}=;<>,]")
_COMMENT = re.compile(r"//.*")
_SCALARS = ("double", "float", "int32", "int64", "uint32", "uint64", "bool", "string", "bytes")
_KNOWN_FILES = (any_pb2, wrappers_pb2)


class Messages:
    """The messages of ``package``, made when first asked for.

    Args:
      package: the protocol buffer package; it is part of every message's full name.
      text: the definitions.
      imports: other messages, whose types may be named in full.
    """

    def __init__(self, package: str, text: str, imports: Messages | None = None) -> None:
        self.package = package
        self._text = text
        self._imports = imports

    @cached_property
    def pool(self) -> Any:
        """The ``DescriptorPool`` with these messages and the imported ones, which share it."""
        if self._imports is not None:
            pool = self._imports.pool
        else:
            pool = descriptor_pool.DescriptorPool()
            for known in _KNOWN_FILES:
                pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
        pool.Add(self._file)
        return pool

    def descriptor(self, name: str) -> Any:
        """The descriptor of a message by its name within the package."""
        return self.pool.FindMessageTypeByName(f"{self.package}.{name}")

    def message(self, name: str) -> Any:
        """The class of a message."""
        return message_factory.GetMessageClass(self.descriptor(name))

    def new(self, name: str, **fields: Any) -> Any:
        """A message, e.g. ``new("Point", x=1)``."""
        return self.message(name)(**fields)

    def names(self) -> list[str]:
        """The names of the messages at the package's top."""
        return [message.name for message in self._file.message_type]

    @cached_property
    def _file(self) -> Any:
        file = descriptor_pb2.FileDescriptorProto(
            name=f"genserve/{self.package}.proto", package=self.package, syntax="proto3"
        )
        file.dependency.extend(known.DESCRIPTOR.name for known in _KNOWN_FILES)
        if self._imports is not None:
            file.dependency.append(self._imports._file.name)
        _Reader(self._text).read(file)
        return file


class _Reader:
    """Reads definitions into a FileDescriptorProto; the texts are ours, so that a mistake is an assertion."""

    def __init__(self, text: str) -> None:
        self._tokens: Iterator[str] = iter(_TOKEN.findall(_COMMENT.sub("", text)))

    def read(self, file: Any) -> None:
        for kind in self._tokens:
            if kind == "message":
                self._message(file.message_type.add())
            else:
                assert kind == "enum", kind
                self._enum(file.enum_type.add())

    def _next(self, *expected: str) -> str:
        token = next(self._tokens)
        assert not expected or token in expected, (token, expected)
        return token

    def _message(self, message: Any) -> None:
        message.name = self._next()
        self._next("{")
        while (token := self._next()) != "}":
            if token == "message":
                self._message(message.nested_type.add())
            elif token == "enum":
                self._enum(message.enum_type.add())
            elif token == "oneof":
                self._oneof(message)
            else:
                self._field(message, token)

    def _oneof(self, message: Any) -> None:
        message.oneof_decl.add(name=self._next())
        self._next("{")
        while (token := self._next()) != "}":
            self._field(message, token).oneof_index = len(message.oneof_decl) - 1

    def _enum(self, enum: Any) -> None:
        enum.name = self._next()
        self._next("{")
        while (name := self._next()) != "}":
            self._next("=")
            enum.value.add(name=name, number=int(self._next()))
            self._next(";")

    def _field(self, message: Any, kind: str) -> Any:
        field = message.field.add()
        field.label = field.LABEL_REPEATED if kind in ("repeated", "map") else field.LABEL_OPTIONAL
        if kind == "map":
            self._next("<")
            key, _, value, _ = self._next(), self._next(","), self._next(), self._next(">")
        elif kind == "repeated":
            kind = self._next()
        field.name = self._next()
        self._next("=")
        field.number = int(self._next())
        self._next(";")
        if kind == "map":
            kind = _map_entry(message, field.name, key, value)
        _set_type(field, kind)
        return field


def _set_type(field: Any, kind: str) -> None:
    if kind in _SCALARS:
        field.type = getattr(field, f"TYPE_{kind.upper()}")
    else:  # the pool looks names up from the inside out, and knows messages from enums
        field.type_name = kind


def _map_entry(message: Any, name: str, key: str, value: str) -> str:
    """A map on the wire is a repeated message of keys and values; returns that message's name."""
    entry = message.nested_type.add(name="".join(part.capitalize() for part in name.split("_")) + "Entry")
    entry.options.map_entry = True
    for number, (field_name, kind) in enumerate((("key", key), ("value", value)), 1):
        field = entry.field.add(name=field_name, number=number, label=1)
        _set_type(field, kind)
    return str(entry.name)
