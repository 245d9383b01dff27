"""What the files beside a tokenizer.json add to it: tokens and settings, applied as transformers 4.57 did.

A checkpoint's tokenizer is its tokenizer.json together with tokenizer_config.json, special_tokens_map.json
and added_tokens.json: that is what its model was trained with. Where tokenizer_config.json lists its tokens
by id (``added_tokens_decoder``) the other two are not read. Where nothing stands beside it, nothing changes.

Source: ``PreTrainedTokenizerBase._from_pretrained`` and ``PreTrainedTokenizerFast.__init__``, 4.57.6.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, TypeAdapter, ValidationError
from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers, processors

from exporter.errors import CheckpointError
from exporter.tokenizer.classes import tokenizer_class

ROLES = tuple(f"{role}_token" for role in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))


class Token(BaseModel):
    """A token with the flags that a file gives it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    content: str
    single_word: StrictBool = False
    lstrip: StrictBool = False
    rstrip: StrictBool = False
    normalized: StrictBool = True
    special: StrictBool = False

    def made(self) -> AddedToken:
        """The library's object, which has its own defaults for flags that are not given."""
        return AddedToken(**self.model_dump(exclude_unset=True))


_Text = str | Token


class Settings(BaseModel):
    """What is read of tokenizer_config.json, with the other files' tokens where those count."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    tokenizer_class: str | None = None
    added_tokens_decoder: dict[int, Token] | None = None
    additional_special_tokens: list[_Text] | None = None
    extra_special_tokens: dict[str, _Text] | list[_Text] | None = None
    extra_ids: int | None = Field(default=None, ge=0)
    bos_token: _Text | None = None
    eos_token: _Text | None = None
    unk_token: _Text | None = None
    sep_token: _Text | None = None
    pad_token: _Text | None = None
    cls_token: _Text | None = None
    mask_token: _Text | None = None
    split_special_tokens: StrictBool | None = None
    add_prefix_space: StrictBool | None = None
    add_bos_token: StrictBool | None = None
    add_eos_token: StrictBool | None = None
    clean_up_tokenization_spaces: StrictBool | None = None
    clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output: StrictBool | None = None
    do_lower_case: StrictBool | None = None
    strip_accents: StrictBool | None = None
    tokenize_chinese_chars: StrictBool | None = None
    backend: str | None = None


class Neighbours:
    """The files beside a tokenizer.json, read and checked.

    Attributes:
      settings: what tokenizer_config.json says; special_tokens_map.json over it where that is read.
      kind: the class that it names, as its defaults.
    """

    def __init__(self, directory: Path) -> None:
        """Raises CheckpointError naming the file, the key, its value and what is allowed."""
        self._path = directory / "tokenizer_config.json"
        config, mapped, ids = (
            _object(directory / f"{name}.json")
            for name in ("tokenizer_config", "special_tokens_map", "added_tokens")
        )
        self._present = any(found is not None for found in (config, mapped, ids))
        self.settings: Settings = _checked(_SETTINGS, config or {}, self._path)
        self._ids: dict[str, int] = {}
        if self.settings.added_tokens_decoder is None:
            self._ids = _checked(_IDS, ids or {}, directory / "added_tokens.json")
            self._map(mapped or {}, directory / "special_tokens_map.json")
        # Version 5 writes "backend", and a tokenizer.json that holds everything: its classes add nothing.
        self._follows_class = config is not None and self.settings.backend is None
        self.kind = tokenizer_class(self.settings.tokenizer_class if self._follows_class else None)

    def _map(self, mapped: dict[str, Any], path: Path) -> None:
        """special_tokens_map.json over tokenizer_config.json; its list is joined to that one's."""
        found: Settings = _checked(_SETTINGS, {key: mapped[key] for key in _MAPPED if key in mapped}, path)
        update = {name: _specially(getattr(found, name)) for name in found.model_fields_set}
        before, more = self.settings.additional_special_tokens or [], found.additional_special_tokens or []
        if more:
            joined = [*before, *(_specially(token) for token in more if token not in before)]
            update["additional_special_tokens"] = joined
        self.settings = self.settings.model_copy(update=update)

    def role(self, name: str) -> str | None:
        """The content of a special token, such as ``bos_token``; None without."""
        value = self._role(name)
        return value.content if isinstance(value, Token) else value or None

    def _role(self, name: str) -> _Text | None:
        if self._gives(name):
            return getattr(self.settings, name)  # type: ignore[no-any-return]
        return self.kind.roles.get(name)

    def _gives(self, name: str) -> bool:
        """Whether a file names this setting, be it as null."""
        return name in self.settings.model_fields_set

    def apply(self, tokenizer: Tokenizer) -> set[str]:
        """Changes ``tokenizer``; returns the sections of tokenizer.json that it now holds otherwise."""
        if not self._present:
            return set()
        tokens = self._tokens(tokenizer)
        if tokens:
            tokenizer.add_tokens(tokens)
        steps = {
            "pre_tokenizer": self._set_prefix_space,
            "normalizer": self._set_case,
            "post_processor": self._set_affixes,
        }
        return {section for section, step in steps.items() if step(tokenizer)}

    def _tokens(self, tokenizer: Tokenizer) -> list[AddedToken]:
        """The tokens to add: the listed ones by id, then the special ones that the tokenizer lacks."""
        held = tokenizer.get_added_tokens_decoder()
        found = self._listed(held)
        known = {token.content for token in (*held.values(), *found)}
        special: dict[str, str | AddedToken] = {}
        for token in self._special({token.content: token for token in found}):
            special.setdefault(str(token), token)
        for content, value in special.items():
            # A token that comes with flags is added again, unless it is listed just so.
            if isinstance(value, AddedToken) and value not in found:
                found.append(value)
            elif isinstance(value, str) and content not in known:
                found.append(AddedToken(content, special=True))
        for token in found:
            token.special = token.special or token.content in special
        return [token for token in found if token.content]

    def _listed(self, held: dict[int, AddedToken]) -> list[AddedToken]:
        """The tokens that a file lists by id, in that order; else those of added_tokens.json and ``held``."""
        if self.settings.added_tokens_decoder is not None:
            return [token.made() for _, token in sorted(self.settings.added_tokens_decoder.items())]
        names = {str(token) for token in self._special({})}
        added = {
            index: AddedToken(name, normalized=name not in names, special=name in names)
            for name, index in self._ids.items()
        }
        return [token for _, token in sorted((added | held).items())]

    def _special(self, listed: Mapping[str, AddedToken]) -> Iterator[str | AddedToken]:
        """Every special token, in the reference's order; a role's token as ``listed``, where it is."""
        for name in ROLES:
            value = self._role(name)
            if value is None:
                continue
            content = value if isinstance(value, str) else value.content
            if self._gives(name) and content in listed:
                yield listed[content]
            elif name == "mask_token" and isinstance(value, str) and self.kind.mask is not None:
                yield AddedToken(value, **self.kind.mask)
            else:
                yield _made(value)
        yield from map(_made, self._additional())
        extra = self.settings.extra_special_tokens or []
        yield from map(_made, extra.values() if isinstance(extra, dict) else extra)

    def _additional(self) -> Iterator[_Text]:
        """``additional_special_tokens``, and T5's sentinels where it names none."""
        named = self.settings.additional_special_tokens or []
        yield from named
        if self.kind.extra_ids and not any("<extra_id_" in str(_made(token)) for token in named):
            count = self.settings.extra_ids
            yield from (f"<extra_id_{n}>" for n in range(self.kind.extra_ids if count is None else count))

    def _set_prefix_space(self, tokenizer: Tokenizer) -> bool:
        """``add_prefix_space``, false if not given: of a ByteLevel, and for some classes of inner ones."""
        node, given = tokenizer.pre_tokenizer, self._gives("add_prefix_space")
        wanted = self.settings.add_prefix_space if given else False
        if wanted is None or node is None or not (given or self._follows_class):
            return False
        inside = wanted and self.kind.inner_prefix_space
        if not inside and not isinstance(node, pre_tokenizers.ByteLevel):
            return False
        before, flags = node.__getstate__(), (b'"add_prefix_space":%s' % word for word in (b"false", b"true"))
        old, new = flags if wanted else reversed(tuple(flags))
        node.__setstate__(before.replace(old, new))
        tokenizer.pre_tokenizer = node
        return before != node.__getstate__()  # type: ignore[no-any-return]

    def _set_case(self, tokenizer: Tokenizer) -> bool:
        """BERT's settings of its normalizer, whose defaults come with the class."""
        settings = self.settings
        if not self.kind.lowercases or not isinstance(tokenizer.normalizer, normalizers.BertNormalizer):
            return False
        state = json.loads(tokenizer.normalizer.__getstate__())
        tokenizer.normalizer = normalizers.BertNormalizer(
            clean_text=state["clean_text"],
            lowercase=settings.do_lower_case is not False,
            strip_accents=settings.strip_accents,
            handle_chinese_chars=settings.tokenize_chinese_chars is not False,
        )
        return True

    def _set_affixes(self, tokenizer: Tokenizer) -> bool:
        """``add_bos_token`` and ``add_eos_token``, of classes that write the post-processor from them."""
        if self.kind.affixes is None:
            return False
        before, after = (
            self._affix(tokenizer, role, default)
            for role, default in zip(("bos", "eos"), self.kind.affixes, strict=True)
        )
        tokenizer.post_processor = processors.TemplateProcessing(
            single=[*before, "$A", *after],
            special_tokens=[(token, tokenizer.token_to_id(token)) for token in {*before, *after}],
        )
        return True

    def _affix(self, tokenizer: Tokenizer, role: str, default: bool) -> list[str]:
        name = f"add_{role}_token"
        if not (getattr(self.settings, name) if self._gives(name) else default):
            return []
        token = self.role(f"{role}_token")
        if token is None or tokenizer.token_to_id(token) is None:
            raise CheckpointError(f"{self._path}: {name}: true needs a {role}_token, and there is none")
        return [token]


_SETTINGS = TypeAdapter(Settings)
_IDS = TypeAdapter(dict[str, Annotated[int, Field(ge=0, strict=True)]])
_MAPPED = (*ROLES, "additional_special_tokens")


def _made(token: _Text) -> str | AddedToken:
    return token.made() if isinstance(token, Token) else token


def _specially(value: Any) -> Any:
    """A token with flags in special_tokens_map.json is special whatever it says."""
    return (
        Token(**{**value.model_dump(exclude_unset=True), "special": True})
        if isinstance(value, Token)
        else value
    )


def _object(path: Path) -> dict[str, Any] | None:
    """A JSON object; None where there is no such file."""
    if not path.is_file():
        return None
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not a readable JSON object: {error}") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{path}: not a readable JSON object: it holds a {type(data).__name__}")
    return data


def _checked(adapter: TypeAdapter[Any], data: dict[str, Any], path: Path) -> Any:
    """The typed form; CheckpointError for the first value of a wrong type."""
    try:
        return adapter.validate_python(data)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"] if part not in _TYPES)
        raise CheckpointError(f"{path}: {place}: {problem['msg']}, got {problem['input']!r:.60}") from None


#: Names of a union's members, which pydantic puts into the place of an error.
_TYPES = {"str", "Token", "dict[str,union[str,Token]]", "list[union[str,Token]]", "[key]"}
