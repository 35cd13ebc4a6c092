"""Model folders that mean harm, or are damaged, made by a grammar and a seed; sound ones among them.

    cases(300)      Case: which folder, what was done to it, and how a command has to end
    run(case, ...)  one command in a process of its own, with limits: what is wrong with how it ended, or None
    python -m tests.hostile 300     tried and held, kind by kind

A case is held when the command ends within 30 seconds, with an exit code and without a traceback; when it is refused
in one sentence, or runs where the folder is sound; and when nothing outside was written and no code of the folder ran.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

MOST_SECONDS = 30.0
MOST_BYTES = 6 << 30  # in addition to what is imported; a command that takes more is ended by its own error

Right = Literal["refused", "runs", "either"]  # either: a sentence or an answer, as long as nothing worse happens
Harm = Callable[[Path, random.Random], Right]


@dataclass(frozen=True)
class Case:
    kind: str
    number: int

    def __str__(self) -> str:
        return f"{self.kind} {self.number}"

    def make(self, folder: Path) -> Right:
        """Harms the sound model in `folder`."""
        return KINDS[self.kind](folder, random.Random(f"{self.kind}-{self.number}"))


def cases(count: int) -> Iterator[Case]:
    """`count` cases, the kinds in turn."""
    names = list(KINDS)
    for number in range(count):
        yield Case(names[number % len(names)], number // len(names))


# ------------------------------------------------------------------------------------------------------ config.json


def edit(folder: Path, name: str, **changes: Any) -> None:
    path = folder / name
    table = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(table | changes))


def somewhere(draw: random.Random, changes: dict[str, Any]) -> dict[str, Any]:
    """The keys at the top, or inside of a table as models of several parts have."""
    return changes if draw.random() < 0.7 else {draw.choice(["text_config", "decoder", "rope_parameters"]): changes}


def attention(folder: Path, draw: random.Random) -> Right:
    key = draw.choice(["_attn_implementation", "attn_implementation", "_attn_implementation_internal",
                       "_experts_implementation", "_attn_implementation_autoset_implementation"])  # fmt: skip
    value = draw.choice(["someone/kernel", "kernels-community/flash-attn:f", "flash_attention_9", "a/b@main:c.d",
                         {"": "someone/kernel"}, 7, ["sdpa", "x/y"]])  # fmt: skip
    edit(folder, "config.json", **somewhere(draw, {key: value}))
    return "refused"


def code(folder: Path, draw: random.Random) -> Right:
    (folder / "theirs.py").write_text(f"import pathlib\npathlib.Path({str(folder.parent / 'ran')!r}).touch()\n")
    where = draw.choice(["config.json", "tokenizer_config.json", "generation_config.json"])
    classes = draw.sample(["AutoConfig", "AutoModelForCausalLM", "AutoTokenizer", "AutoModel"], 2)
    change: dict[str, Any] = draw.choice([
        {"auto_map": dict.fromkeys(classes, "theirs.Anything")},
        {"auto_map": dict.fromkeys(classes, "someone/repository--theirs.Anything")},
        {"trust_remote_code": True},
        {"auto_map": {classes[0]: "theirs.A"}, "trust_remote_code": True, "model_type": "theirs"},
        {"custom_pipelines": {"text-generation": {"impl": "theirs.A", "pt": ["AutoModel"]}}},
        {"transformers_weights": "../theirs.safetensors"},
    ])  # fmt: skip
    edit(folder, where, **somewhere(draw, change))
    return "refused"


SIZES = ["num_hidden_layers", "num_attention_heads", "num_key_value_heads", "hidden_size", "intermediate_size",
         "vocab_size", "head_dim"]  # fmt: skip
HUGE = [10**5, 10**7, 10**9, 10**12, 10**18, 10**30, 2**63, -1, -(10**9)]


def size(folder: Path, draw: random.Random) -> Right:
    key = draw.choice(SIZES)
    edit(folder, "config.json", **{key: draw.choice(HUGE)})
    return "refused"


def counted(folder: Path, draw: random.Random) -> Right:
    """Numbers that are no side of a weight: they cost memory, time, or sense."""
    key = draw.choice(["num_labels", "max_position_embeddings", "num_experts", "num_return_sequences", "rms_norm_eps",
                       "initializer_range", "rope_theta", "pad_token_id", "eos_token_id", "num_beams"])  # fmt: skip
    edit(folder, "config.json", **{key: draw.choice([*HUGE, 0, 1e308, float("nan"), float("inf")])})
    return "either"


def wrong_type(folder: Path, draw: random.Random) -> Right:
    config = json.loads((folder / "config.json").read_text())
    key = draw.choice(sorted(config))
    config[key] = draw.choice(["32", [32], {"a": 1}, True, 1.5, "", "\u0000", "a" * 5000, None, [[[[]]]], {"": None}])
    (folder / "config.json").write_text(json.dumps(config))
    return "either"


def model_type(folder: Path, draw: random.Random) -> Right:
    kind = draw.choice(["no-such-type", "", "../llama", 3, None, ["llama"], "LLAMA", "os.system", "clip", "whisper",
                        "t5", "bert", "gpt2", "mamba"])  # fmt: skip
    edit(folder, "config.json", model_type=kind)
    return "refused"


def precision(folder: Path, draw: random.Random) -> Right:
    name = draw.choice(["float8_e4m3fn", "int8", "os", "nn", "load", "", "float", "complex64", 7, {"": "bool"}, "nan"])
    edit(folder, "config.json", **somewhere(draw, {draw.choice(["dtype", "torch_dtype"]): name}))
    return "refused"


def quantized(folder: Path, draw: random.Random) -> Right:
    method = draw.choice(["gptq", "awq", "fp8", "hqq", "aqlm", "compressed-tensors", "quanto", "bitnet", "mxfp4",
                          "torchao", "eetq", "higgs", "no-such", None, 4])  # fmt: skip
    config: Any = {"quant_method": method, "bits": draw.choice([2, 3, 4, 8]), "group_size": 128}
    if draw.random() < 0.3:
        config = draw.choice([
            {"quant_method": "luthier_int4", "modules_to_not_convert": ["(a+)+$" * 9]},
            {"quant_method": "luthier_int4", "modules_to_not_convert": "lm_head"},
            {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "os.system"},
            {"quant_method": "bitsandbytes", "load_in_8bit": True, "llm_int8_skip_modules": [".*" * 40 + "x"]},
            [], "gptq", 4,
        ])  # fmt: skip
    key = "quantization_config" if draw.random() < 0.85 else "compression_config"
    edit(folder, "config.json", **somewhere(draw, {key: config}))
    return "refused"


def text_of_config(folder: Path, draw: random.Random) -> Right:
    name = draw.choice(["config.json", "config.json", "generation_config.json", "tokenizer_config.json"])
    whole = (folder / name).read_bytes()
    damage = draw.choice([
        whole[: draw.randrange(len(whole) - 1)], b"", b"[1, 2]", b"null", b"\xff\xfe" + whole, b"[" * 200_000,
        b'{"a":' * 50_000, b'{"model_type": ' + b"9" * 5000 + b"}", whole.replace(b"{", b"{{", 1), b"\x00" * 100,
    ])  # fmt: skip
    (folder / name).write_bytes(damage)
    return "refused"


# ---------------------------------------------------------------------------------------------------------- weights


def header(folder: Path) -> tuple[dict[str, Any], bytes]:
    raw = (folder / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    return json.loads(raw[8 : 8 + length]), raw[8 + length :]


def write_header(folder: Path, table: dict[str, Any], data: bytes) -> None:
    text = json.dumps(table).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)


def weights(folder: Path, draw: random.Random) -> Right:
    path = folder / "model.safetensors"
    raw = path.read_bytes()
    table, data = header(folder)
    name = draw.choice(sorted(set(table) - {"__metadata__"}))
    how = draw.randrange(9)
    if how == 0:
        path.write_bytes(raw[: draw.randrange(len(raw) - 1)])
    elif how == 1:
        path.write_bytes(struct.pack("<Q", draw.choice([0, 2**63, len(raw), 10**9])) + raw[8:])
    elif how == 2:
        path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    elif how == 3:
        write_header(folder, table | {name: table[name] | {"shape": [draw.choice([10**9, -1, 0, 3])]}}, data)
    elif how == 4:
        write_header(
            folder, table | {name: table[name] | {"dtype": draw.choice(["F8_E4M3", "F4", "C64", "X", 7])}}, data
        )
    elif how == 5:
        write_header(folder, {key: value for key, value in table.items() if key != name}, data)
    elif how == 6:
        write_header(folder, table | {name: draw.choice([None, [], {"dtype": "F32"}, "x"])}, data)
    elif how == 7:
        path.rename(folder / "pytorch_model.bin")
    else:
        os.truncate(path, 0)
    return "refused"


def numbers(folder: Path, draw: random.Random) -> Right:
    """NaN or infinity in a weight, often a single one."""
    table, data = header(folder)
    name = draw.choice(sorted(set(table) - {"__metadata__"}))
    start, end = table[name]["data_offsets"]
    spot = start + 4 * draw.randrange((end - start) // 4)
    bad = struct.pack("<f", draw.choice([float("nan"), float("inf"), float("-inf")]))
    write_header(folder, table, data[:spot] + bad + data[spot + 4 :])
    return "refused"


def index(folder: Path, draw: random.Random) -> Right:
    table, _ = header(folder)
    names = sorted(set(table) - {"__metadata__"})
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    if draw.random() < 0.2:
        files: Any = "model-00001-of-00001.safetensors"
        table = {"metadata": {}, "weight_map": dict.fromkeys(names, files)}
        (folder / "model.safetensors.index.json").write_text(json.dumps(table))
        return "runs"
    shutil.copy(folder / "model-00001-of-00001.safetensors", folder.parent / "outside.safetensors")
    files = draw.choice(["../outside.safetensors", str(folder.parent / "outside.safetensors"), "missing.safetensors",
                         "", 7, "model-00001-of-00001.bin", None, ".."])  # fmt: skip
    whole: Any = draw.choice([{"weight_map": dict.fromkeys(names, files)}, {"weight_map": {}}, {}, {"weight_map": 3}])
    (folder / "model.safetensors.index.json").write_text(json.dumps(whole))
    return "refused"


def adapter(folder: Path, draw: random.Random) -> Right:
    config = {"peft_type": draw.choice(["LORA", "IA3", "X"]), "r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM",
              "target_modules": draw.choice([["q_proj"], "(a+)+$"]), "auto_mapping": None}  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config) if draw.random() < 0.8 else "{")
    if draw.random() < 0.7:
        (folder / draw.choice(["adapter_model.safetensors", "adapter_model.bin"])).write_bytes(b"\x80\x04N.")
    return "refused"


# -------------------------------------------------------------------------------------------------------- tokenizer


def tokenizer(folder: Path, draw: random.Random) -> Right:
    path = folder / "tokenizer.json"
    table = json.loads(path.read_text())
    how = draw.randrange(8)
    if how == 0:
        path.unlink()
        (folder / "tokenizer_config.json").unlink()
    elif how == 1:
        path.write_bytes(path.read_bytes()[: draw.randrange(1, 2000)])
    elif how == 2:
        table["model"]["type"] = draw.choice(["Foo", 7, None, "bpe", "WordPiece"])
    elif how == 3:
        table["added_tokens"].append(table["added_tokens"][0] | {"id": 380 + draw.randrange(3), "content": "dentist"})
        table["added_tokens"].append(table["added_tokens"][0] | {"id": 381 + draw.randrange(9), "content": "harbour"})
    elif how == 4:
        table["model"]["vocab"] |= {"zzz": draw.choice([400, 10**6, 2**31])}
    elif how == 5:
        table["model"]["merges"] = draw.choice([[["a"]], [["q", "no-such"]], 7, "x"])
    elif how == 6:
        table["pre_tokenizer"] = draw.choice([{"type": "Foo"}, {"type": "Split", "pattern": {"Regex": "("}}, 3])
    else:
        table = draw.choice([[], {}, {"version": "1.0"}, None])  # type: ignore[assignment]
    if how > 1:
        path.write_text(json.dumps(table))
    return "refused"


def tokenizer_config(folder: Path, draw: random.Random) -> Right:
    change: dict[str, Any] = draw.choice([
        {"tokenizer_class": "os.system"}, {"tokenizer_class": 7}, {"tokenizer_class": "NoSuchTokenizer"},
        {"eos_token": 7}, {"eos_token": {"a": 1}}, {"eos_token": None},
        {"extra_special_tokens": {"conversations": "x"}},
        {"extra_special_tokens": {"messages": "x", "tools": "y"}}, {"model_max_length": "many"}, {"pad_token": []},
        {"model_specific_special_tokens": {"chat_template": "x"}}, {"added_tokens_decoder": {"x": 1}},
        {"added_tokens_decoder": {"999999999": {"content": "a", "special": True}}}, {"backend": "no-such"},
    ])  # fmt: skip
    edit(folder, "tokenizer_config.json", **change)
    return "either"


def generation(folder: Path, draw: random.Random) -> Right:
    change: dict[str, Any] = draw.choice([
        {"eos_token_id": "abc"}, {"eos_token_id": [1, "x"]}, {"eos_token_id": {"a": 1}}, {"bos_token_id": "x"},
        {"pad_token_id": [None, "x"]}, {"decoder_start_token_id": "x"}, {"eos_token_id": True},
    ])  # fmt: skip
    edit(folder, "generation_config.json", **change)
    return "refused"


# --------------------------------------------------------------------------------------------------- chat templates

WHOLE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def put_template(folder: Path, text: str, draw: random.Random) -> None:
    if draw.random() < 0.7:
        (folder / "chat_template.jinja").write_text(text)
    else:
        (folder / "chat_template.jinja").unlink()
        edit(folder, "tokenizer_config.json", chat_template=text)


def when(draw: random.Random, body: str) -> str:
    """The body always, or only for long texts, many turns, or one of the two ways to render."""
    condition = draw.choice([None, None, "messages[0].content | length > 300", "messages | length > 3",
                             "add_generation_prompt", "messages[-1].role == 'user'"])  # fmt: skip
    return f"{{% if {condition} %}}{body}{{% endif %}}" if condition else body


def hangs(folder: Path, draw: random.Random) -> Right:
    depth, inner = draw.randint(3, 6), draw.choice(["x", "{{ loop.index }}", "{% set y = loop.index %}"])
    names = "abcdef"[:depth]
    body = "".join(f"{{% for {name} in range(99999) %}}" for name in names) + inner + "{% endfor %}" * depth
    text = when(
        draw, draw.choice([body, "{% set n = [1] %}{% for i in range(99999) %}{% set _ = n %}" + body + "{% endfor %}"])
    )
    put_template(folder, draw.choice([text + WHOLE, WHOLE + text]), draw)
    return "refused"


def swells(folder: Path, draw: random.Random) -> Right:
    big = draw.choice([2 * 10**9, 10**10, 10**12])
    body = draw.choice([
        f"{{{{ 'a' * {big} }}}}", f"{{{{ ('ab' * 1000000) * {big // 10**6} }}}}", f"{{{{ 'a' | center({big}) }}}}",
        f"{{{{ ([1] * {big}) | length }}}}", f"{{{{ '%{big}d' % 1 }}}}", "{{ 9 ** 9 ** 9 }}{{ 7 ** 99999999 }}",
        "{% set n = namespace(x='a') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
        f"{{{{ 'a' | indent({big}) | indent({big}, true) }}}}",
        "{% for i in range(99999) %}{% for j in range(999) %}{{ 'aaaaaaaaaaaaaaaa' }}{% endfor %}{% endfor %}",
    ])  # fmt: skip
    put_template(folder, when(draw, body) + WHOLE, draw)
    return "refused"


def recurs(folder: Path, draw: random.Random) -> Right:
    deep = draw.choice([1500, 20_000])
    body = draw.choice([
        "{% macro f(x) %}{{ f(x + 1) }}{% endmacro %}{{ f(1) }}",
        "{% macro f(x) %}{{ g(x) }}{% endmacro %}{% macro g(x) %}{{ f([x]) }}{% endmacro %}{{ g(1) }}",
        "{{ " + "(" * deep + "1" + ")" * deep + " }}", "{{ " + "[" * deep + "]" * deep + " }}",
        "{% for x in [1] recursive %}{{ loop([x]) }}{% endfor %}", "{% if 1 %}" * deep + "{% endif %}" * deep,
        "{{ " + "not " * deep + "1 }}", "{{ 1" + " + 1" * deep + " }}",
    ])  # fmt: skip
    put_template(folder, when(draw, body) + WHOLE, draw)
    return "either"


def breaks(folder: Path, draw: random.Random) -> Right:
    body = draw.choice([
        "{{ raise_exception('A system message must come first') }}", "{{ 1 / 0 }}", "{{ nothing.at.all }}",
        "{{ messages | no_such_filter }}", "{% include '/etc/passwd' %}", "{% import 'os' as os %}", "{% for m in %}",
        "{{ messages[99] .content }}", "{{ messages() }}", "{% extends 'x' %}", "{{ 'a' + 1 }}",
        "{% for m in messages %}", "{{ tools[0].name }}", "{{ '{' }}{{ }}", "{% endfor %}", "{{ int('x') }}",
        "{{ 'a'.encode('no-such') }}", "{{ {}['x']['y'] }}", "{% no_such_tag %}", "{{ messages | map('x') | sum }}",
    ])  # fmt: skip
    put_template(folder, body + WHOLE, draw)
    return "refused"


def escapes(folder: Path, draw: random.Random) -> Right:
    ran = folder.parent / "ran"
    first = draw.choice(["''.__class__", "messages.__class__", "cycler.__init__", "namespace.__init__", "joiner",
                         "raise_exception", "strftime_now", "(messages | attr('__class__'))", "dict", "self",
                         "messages.append"])  # fmt: skip
    then = draw.choice([
        ".__mro__[1].__subclasses__()", f".__globals__['os'].system('touch {ran}')",
        f".__globals__.__builtins__['open']('{ran}', 'w')", f" | attr('__globals__') | attr('x')('{ran}')",
        ".__init__.__globals__", "._TemplateReference__context", f".__call__.__globals__['Path']('{ran}').touch()",
        ".format.__func__", ".__reduce_ex__(2)",
    ])  # fmt: skip
    put_template(folder, "{{ " + first + then + " }}" + (WHOLE if draw.random() < 0.5 else ""), draw)
    return "either"


def drops(folder: Path, draw: random.Random) -> Right:
    """The input does not stand in the prompt, or is not what it was."""
    content = draw.choice(["", "{{ m.content[:2] }}", "{{ m.content | upper }}", "{{ m.text }}", "Hello",
                           "{{ m.content | length }}", "{{ m.content | reverse }}", "{{ m.content.split()[0] }}",
                           "{{ m.content | replace('e', '') }}", "{{ m.content | wordcount }}",
                           "{{ m.content | urlencode }}"])  # fmt: skip
    put_template(folder, "{% for m in messages %}<|im_start|>" + content + "<|im_end|>{% endfor %}", draw)
    return "refused"


def changes(folder: Path, draw: random.Random) -> Right:
    """Another prompt each time."""
    body = draw.choice(["{{ [1, 2, 3] | random }}", "{{ range(9) | random }}", "{{ lipsum(n=2) }}",
                        "{{ ['a', 'b'] | random }}", "{{ messages | random }}{{ range(99) | random }}"])  # fmt: skip
    put_template(folder, body + WHOLE, draw)
    return "refused"


def no_template(folder: Path, draw: random.Random) -> Right:
    """A chat template that is none."""
    (folder / "chat_template.jinja").unlink()
    value: Any = draw.choice([7, [1], {"tool_use": WHOLE}, [{"name": "rag", "template": "x"}], [{"template": WHOLE}],
                              True, [["default", WHOLE]], {"default": 7}, [None], {"default": ["x"]}])  # fmt: skip
    edit(folder, "tokenizer_config.json", chat_template=value)
    return "refused"


# ------------------------------------------------------------------------------------------------------ sound models

SOUND_TEMPLATES = [
    WHOLE,
    WHOLE.replace("message['content']", "message['content'] | trim"),
    "{{ bos_token }}" + WHOLE,
    "{% if messages[0].role == 'system' %}{{ messages[0].content }}{% endif %}" + WHOLE,
    "{{- '<|im_start|>system\nToday is ' + strftime_now('%d %b %Y') + '.<|im_end|>\n' }}" + WHOLE,
    "{% if strftime_now is defined %}{% set day = strftime_now('%Y-%m-%d') %}{% else %}{% set day = 'x' %}{% endif %}"
    "{{ day }}" + WHOLE,
    WHOLE.replace("message['content']", "message['content'][0]['text']"),
    "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}{{ p.text }}"
    "{% endfor %}{% endif %}<|im_end|>{% endfor %}",
    "{% set ns = namespace(first=true) %}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
    "{% else %}{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}{% endif %}{% endfor %}",
    "{% macro turn(m) %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endmacro %}{% for m in messages %}"
    "{{ turn(m) }}{% if loop.index > 999 %}{% break %}{% endif %}{% endfor %}",
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) and messages[0].role != 'system' %}"
    "{{ raise_exception('Roles must alternate') }}{% endif %}{{ m.role }}: {{ m.content }}<|im_end|>{% endfor %}",
    "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content "
    "+ '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
]


def sound_template(folder: Path, draw: random.Random) -> Right:
    put_template(folder, draw.choice(SOUND_TEMPLATES), draw)
    return "runs"


def sound_config(folder: Path, draw: random.Random) -> Right:
    change: dict[str, Any] = draw.choice([
        {"_attn_implementation": "eager"}, {"_attn_implementation": "sdpa"}, {"attn_implementation": None},
        {"dtype": "bfloat16"}, {"torch_dtype": "torch.float32", "dtype": None}, {"_name_or_path": "someone/model"},
        {"auto_map": {}}, {"trust_remote_code": False}, {"quantization_config": None}, {"my_own_note": [1, {"a": 2}]},
        {"architectures": None}, {"max_position_embeddings": 2**20}, {"rope_theta": 5_000_000},
        {"id2label": {"0": "a", "1": "b"}, "label2id": {"a": 0, "b": 1}}, {"use_cache": False},
    ])  # fmt: skip
    edit(folder, "config.json", **change)
    return "runs"


KINDS: dict[str, Harm] = {
    one.__name__.replace("_", " "): one
    for one in (
        attention, hangs, size, sound_template, weights, drops, code, tokenizer, breaks, sound_config, quantized,
        numbers, swells, model_type, escapes, counted, index, recurs, precision, wrong_type, adapter, changes,
        text_of_config, tokenizer_config, no_template, generation,
    )
}  # fmt: skip


# -------------------------------------------------------------------------------------------------------------- runs

ROWS = "dialogue,summary\n" + "".join(f"Ann: May I come at {i}?,Ann asks for {i}.\n" for i in range(1, 25))


@dataclass(frozen=True)
class Place:
    """Where cases run: a sound model, a task, and folders in which nothing may change."""

    root: Path
    sound: Path

    @classmethod
    def new(cls, root: Path) -> Place:
        from luthier.model.quiet import quiet
        from tests import tiny
        from tests.commands import type_in

        (root / "rows.csv").write_text(ROWS)
        type_in(
            ["init", str(root / "task"), "--from", str(root / "rows.csv"), "--input", "dialogue", "--target", "summary"]
        )
        with quiet():
            tiny.save("decoder-chat", root / "sound")
        return cls(root, root / "sound")


def run(case: Case, place: Place) -> str | None:
    """Runs a command on the case's folder; what is wrong with how it ended, or None."""
    desk = Path(tempfile.mkdtemp(dir=place.root))
    folder = Path(shutil.copytree(place.sound, desk / "model"))
    right = case.make(folder)
    before = listing(desk)
    verb = ["check", str(place.root / "task"), "--model", str(folder)]
    if case.number % 2:
        verb = ["ask", str(folder), "Ann: May I come at nine?"]
    code, said, seconds = in_a_process(verb, desk)
    wrong = problem(right, verb[0], code, said, seconds)
    if listing(desk) != before:
        wrong = f"changed files: {sorted(listing(desk) ^ before)[:3]}"
    shutil.rmtree(desk)
    return wrong


def problem(right: Right, verb: str, code: int | None, said: str, seconds: float) -> str | None:
    last = next((line for line in reversed(said.splitlines()) if line.strip()), "")[:160]
    if code is None:
        return f"hangs: {seconds:.0f} s"
    if "Traceback" in said or code not in (0, 1, 2):
        return f"exit code {code}: {last}"
    sentences = [line for line in said.splitlines() if not line.startswith("check: tokens: ")]  # the bar of a check
    if code == 2 and (len(sentences) != 1 or not sentences[0].startswith("luthier: ")):
        return f"no single sentence: {said[:200]!r}"
    if right == "refused" and code == 0:
        return "a wrong success"
    return f"a sound model is refused: {last}" if right == "runs" and code != 0 else None


def listing(root: Path) -> set[tuple[str, int, int]]:
    """Every file below, with its size and the time of its last change."""
    found = [(path, path.lstat()) for path in root.rglob("*") if path.name not in ("out", "err")]
    return {(str(path), state.st_size if path.is_file() else 0, state.st_mtime_ns) for path, state in found}


def in_a_process(verb: list[str], desk: Path) -> tuple[int | None, str, float]:
    """(exit code or None when it was ended, what it said on standard error, seconds). Forked, to save the imports."""
    began = time.monotonic()
    child = os.fork()
    if child == 0:
        _command(verb, desk)
    code: int | None = None
    while time.monotonic() - began < MOST_SECONDS:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            break
        time.sleep(0.01)
    else:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    said = (desk / "err").read_text(errors="replace") if (desk / "err").exists() else ""
    return code, said, time.monotonic() - began


def _command(verb: list[str], desk: Path) -> None:
    """The command line as this process, which ends with it."""
    code = 99
    try:
        os.setsid()
        pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 0
        if pages:
            most = pages * os.sysconf("SC_PAGE_SIZE") + MOST_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (most, most))
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(desk / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        os.environ["COLUMNS"] = "2000"
        sys.argv = ["luthier", *verb]
        from luthier.cli import app

        try:
            app.main()
        except SystemExit as end:
            code = int(end.code or 0)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def main(count: int) -> None:
    os.environ["LUTHIER_PRECISION"] = "fp32"
    import luthier.studies.study  # noqa: F401 - imported once, before every fork

    tried, held = Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as root:
        os.environ["LUTHIER_CACHE"] = f"{root}-cache"
        place = Place.new(Path(root))
        for case in cases(count):
            tried[case.kind] += 1
            if wrong := run(case, place):
                print(f"{case}: {wrong}", flush=True)
            else:
                held[case.kind] += 1
    for kind, number in tried.items():
        print(f"{kind:18} {held[kind]:3} of {number:3} held")
    print(f"{'all':18} {held.total():3} of {tried.total():3} held")


if __name__ == "__main__":
    main(int(sys.argv[1]))
