"""OpenAI's API before the preview server, by the official client: answers are those of transformers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import openai
import pytest
import torch
import transformers

from exporter.deployment import write_serving_configs
from exporter.exporting.pipeline import export
from exporter.gateway.app import Gateway
from exporter.gateway.models import Models, read_manifests
from exporter.gateway.running import beside
from exporter.gateway.settings import Settings
from exporter.options import make_options
from exporter.preview import PreviewServer, ServerConfig, files_beside
from tests.reference import byte_level_bpe, save_checkpoint

pytestmark = [pytest.mark.end_to_end, pytest.mark.full]

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SCHEMA = {
    "type": "object",
    "properties": {"fox": {"type": "boolean"}},
    "required": ["fox"],
    "additionalProperties": False,
}
CHAT: list[Any] = [
    {"role": "system", "content": "You are kind."},
    {"role": "user", "content": "Où est <|im_end|>?"},
    {"role": "assistant", "content": "three blind mice"},
    {"role": "user", "content": "東京"},
]
MOST = 24


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("gateway") / "checkpoint"
    tokenizer = byte_level_bpe()
    tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    config = transformers.GPT2Config(
        vocab_size=tokenizer.get_vocab_size(),
        n_positions=160,
        n_embd=32,
        n_layer=2,
        n_head=4,
        initializer_range=0.3,
        bos_token_id=0,
        eos_token_id=0,
    )
    torch.manual_seed(3)
    save_checkpoint(transformers.GPT2LMHeadModel(config).eval(), path, tokenizer)
    file = path / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "chat_template": TEMPLATE}))
    return path


@pytest.fixture(scope="module")
def client(checkpoint: Path) -> Iterator[openai.OpenAI]:
    """Of a gateway before a server that batches, as deployed."""
    options = {
        "model": str(checkpoint),
        "name": "talker",
        "max_new_tokens": MOST,
        "prompt_lengths": [128],
        "batch_sizes": [8],
        "extra_signatures": ["generate_tokens", "resume"],
        "guides": {"record": {"json": SCHEMA}},
        "generation": {"logprobs": 2},
        "warmup": "none",
        "verify": "none",
    }
    out = checkpoint.parent / "out"
    export(make_options(options), out)
    write_serving_configs(out)
    config = out / "serving" / "models.config"
    files = files_beside(config)
    with PreviewServer(
        ServerConfig(model_config_file=config, rest_port=None, grpc_port=0, **files)
    ) as server:
        models = Models.open(read_manifests([str(out)]), [f"grpc://{server.grpc_target}"])
        gateway = Gateway(models, Settings())
        with (
            beside(gateway, host="127.0.0.1", port=0) as url,
            openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0) as made,
        ):
            yield made


@pytest.fixture(scope="module")
def reference(checkpoint: Path) -> tuple[Any, Any]:
    load = transformers.AutoTokenizer.from_pretrained, transformers.AutoModelForCausalLM.from_pretrained
    return load[0](checkpoint), load[1](checkpoint)


def expected(reference: tuple[Any, Any], ids: list[int], ends: list[int]) -> list[int]:
    """The reference's greedy answer."""
    with torch.no_grad():
        found = reference[1].generate(
            torch.tensor([ids]), max_new_tokens=MOST, do_sample=False, eos_token_id=ends, pad_token_id=0
        )
    return [int(token) for token in found[0][len(ids) :]]


def test_completions_are_the_references(client: openai.OpenAI, reference: tuple[Any, Any]) -> None:
    tokenizer = reference[0]
    for prompt in ("the quick brown fox", "Où est-ce? 東京"):
        ids = expected(reference, tokenizer(prompt)["input_ids"], [0])
        answer = client.completions.create(model="talker", prompt=prompt, max_tokens=MOST, logprobs=1)
        (choice,) = answer.choices
        assert choice.text == tokenizer.decode(ids, skip_special_tokens=True)
        assert answer.usage is not None
        assert answer.usage.completion_tokens == len(ids)
        assert choice.logprobs is not None
        assert len(choice.logprobs.tokens or ()) == len(ids)


def test_chats_are_the_references(client: openai.OpenAI, reference: tuple[Any, Any]) -> None:
    tokenizer = reference[0]
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    clean = [{**message, "content": message["content"].replace("<|im_end|>", "!")} for message in CHAT]
    ids = tokenizer.apply_chat_template(clean, add_generation_prompt=True, return_dict=False)
    answer = client.chat.completions.create(model="talker", messages=clean)
    found = expected(reference, list(ids), [0, end])
    assert answer.choices[0].message.content == tokenizer.decode(found, skip_special_tokens=True)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == len(ids)


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 1.0, "seed": 11}, {"stop": ["e"]}, {"logit_bias": {"5": -100}, "n": 2}]
)
def test_pieces_make_the_whole_answer(client: openai.OpenAI, options: dict[str, Any]) -> None:
    asked: dict[str, Any] = {"model": "talker", "messages": CHAT, **options}
    whole = client.chat.completions.create(**asked)
    texts = dict.fromkeys(range(len(whole.choices)), "")
    for chunk in client.chat.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == {choice.index: choice.message.content for choice in whole.choices}


def test_an_answer_follows_its_schema(client: openai.OpenAI) -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "any", "schema": SCHEMA}}
    answer = client.chat.completions.create(model="talker", messages=CHAT, response_format=form)
    jsonschema.validate(json.loads(answer.choices[0].message.content or ""), SCHEMA)


def test_32_streams_at_once(client: openai.OpenAI) -> None:
    prompts = [f"number {number}" for number in range(32)]
    alone = client.completions.create(model="talker", prompt=prompts, max_tokens=20)

    async def one(other: openai.AsyncOpenAI, prompt: str) -> str:
        stream = await other.completions.create(model="talker", prompt=prompt, max_tokens=20, stream=True)
        return "".join([chunk.choices[0].text async for chunk in stream])

    async def every() -> list[str]:
        async with openai.AsyncOpenAI(base_url=client.base_url, api_key="x", max_retries=0) as other:
            return await asyncio.gather(*(one(other, prompt) for prompt in prompts))

    assert asyncio.run(every()) == [choice.text for choice in alone.choices]
