#!/usr/bin/env python3
"""Makes the chat template goldens with transformers' apply_chat_template machinery (5.23.0 made the
committed ones; jinja2 3.1.6).

usage: make_chat_templates.py FOLDER TOKENIZER_CONFIG...    (writes cases.json beside itself)

FOLDER holds *.jinja files: trl 1.16.0's trl/chat_templates (Apache-2.0), from its wheel. Each
TOKENIZER_CONFIG is a model's tokenizer_config.json with a chat_template. cases.json holds the
templates, the conversations and for each case what is rendered and which parts {% generation %}
marks (bytes), or that transformers refuses.
"""

import datetime
import json
import os
import pathlib
import re
import sys
import warnings

warnings.filterwarnings("ignore")
os.environ["TZ"] = "UTC"
from transformers.utils import chat_template_utils as reference  # noqa: E402

HERE = pathlib.Path(__file__).parent
NOW_S = 1700000000
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
UNICODE = "Grüße 😀 <b>&\"'\\ \t日本語"
GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
# One of each family and form; others differ from them in words.
KEPT = """cohere cohere2_training deepseek_r1_distill deepseekv3_training gemma3 gemma3_training gemma4_v5
glm4moe_training gptoss idefics3_training lfm2_2_5_v2 llama3_1 llama3_training llava_next
muse_glimmer_training nemotron_3_nano phi3_5 qwen2_5 qwen2_5_vl_training qwen3 qwen3_training
qwen3_5_think qwen3_config""".split()
LONGEST = 400  # bytes of a text that is kept as it is; of longer ones a hash


class FixedClock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.datetime.fromtimestamp(NOW_S, datetime.timezone.utc)


reference.datetime = FixedClock

TOOLS = [
    {"type": "function", "function": {
        "name": "get_weather", "description": "Weather & \"wind\" é",
        "parameters": {"type": "object", "properties": {
            "city": {"type": "string", "description": "the city"},
            "days": {"type": "integer", "enum": [1, 2.5, None]},
            "opts": {"type": "object", "properties": {
                "a": {"type": ["string", "null"]},
                "b": {"type": "array", "items": {"type": "number"}}}}},
            "required": ["city"]},
        "return": {"type": "string", "description": "text"}}},
    {"type": "function", "function": {
        "name": "noop", "description": "nothing",
        "parameters": {"type": "object", "properties": {}}}}]
ARGUMENTS = {"city": "Köln", "days": 2, "x": 1.5, "y": True, "z": None, "l": [1, "a"],
             "d": {"q": "w"}}


def call(content="", arguments=None, **more):
    function = {"name": "get_weather", "arguments": ARGUMENTS if arguments is None else arguments}
    return {"role": "assistant", "content": content, **more,
            "tool_calls": [{"id": "call_123", "type": "function", "function": function}]}


def said(role, content, **more):
    return {"role": role, "content": content, **more}


def answer(content):
    return said("tool", content, name="get_weather", tool_call_id="call_123")


def part(text):
    return {"type": "text", "text": text}


CONVERSATIONS = {
    "user": [said("user", "Hi")],
    "multi": [said("user", "Hi "), said("assistant", " Hello\n"), said("user", UNICODE),
              said("assistant", "bye")],
    "system": [said("system", " Be brief.\n"), said("user", "Hi"), said("assistant", "x"),
               said("user", "y")],
    "thinking": [said("user", "q"), said("assistant", "<think>\nhm\n</think>\n\nA"),
                 said("user", "r"), said("assistant", "B", reasoning_content="because\n")],
    "tools": [said("system", "S"), said("user", "weather?"), call(), answer("sunny"),
              said("assistant", "It is sunny."), said("user", "thx")],
    "steps": [said("user", "weather?"), call("let me see", reasoning_content="thinking"),
              answer('{"t": 1}'), call(arguments={}), answer("b")],
    "parts": [said("user", [part("part one"), part(" two")]), said("assistant", [part("ok")]),
              said("user", [{"type": "image"}, part("see")])],
    "twice": [said("assistant", "first", name=None), said("assistant", "second")],
    "strange": [said("bogus", "x"), said("user", "")],
}


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def render(template, case):
    messages = [{key: value for key, value in message.items() if value is not None}
                for message in CONVERSATIONS[case["conversation"]]]
    marks = bool(GENERATION.search(template)) and not case["continue"]
    try:
        texts, spans = reference.render_jinja_template(
            [messages], tools=TOOLS if case["tools"] else None, chat_template=template,
            add_generation_prompt=case["prompt"], continue_final_message=case["continue"],
            return_assistant_tokens_mask=marks, **TOKENS, **case["variables"])
    except Exception:  # whatever a template raises
        return {"refused": True}
    text = texts[0]
    bytes_of = lambda count: len(text[:count].encode())
    spans = [[bytes_of(begin), bytes_of(end)] for begin, end in (spans[0] if spans else [])]
    shown = {"text": text} if len(text.encode()) <= LONGEST else {"hash": fnv1a(text.encode())}
    return {**shown, **({"generated": spans} if marks else {})}


def cases_of(name, template):
    for conversation in CONVERSATIONS:
        for tools in (False, True):
            if tools and conversation in ("thinking", "twice", "strange"):
                continue
            for prompt, goes_on in ((False, False), (True, False), (False, True)):
                for variables in ({}, {"enable_thinking": False}):
                    if variables and not (prompt and "enable_thinking" in template):
                        continue
                    case = {"template": name, "conversation": conversation, "tools": tools,
                            "prompt": prompt, "continue": goes_on, "variables": variables}
                    result = render(template, case)
                    yield {key: value for key, value in case.items() if value} | result


def main():
    templates = {path.stem: path.read_text() for path in pathlib.Path(sys.argv[1]).glob("*.jinja")}
    for path in sys.argv[2:]:
        config = json.loads(pathlib.Path(path).read_text())
        templates[pathlib.Path(path).parent.name + "_config"] = config["chat_template"]
    templates = {name: templates[name] for name in KEPT}
    cases = [case for name, text in templates.items() for case in cases_of(name, text)]
    document = {"now_s": NOW_S, "tokens": TOKENS, "tools": TOOLS, "templates": templates,
                "conversations": CONVERSATIONS, "cases": cases}
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    (HERE / "cases.json").write_text(text + "\n")
    print(len(templates), "templates,", len(cases), "cases,",
          sum("refused" in case for case in cases), "refused,", len(text), "bytes")


main()
