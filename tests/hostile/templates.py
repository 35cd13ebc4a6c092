"""Chat templates that hang, swell, recur, break, escape or leave something out; and sound ones."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from tests.hostile.folders import Right, edit

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
