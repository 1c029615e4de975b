"""Renders many conversations with transformers' apply_chat_template and the published templates among the assets.

    python make_chat_vectors.py ASSETS [FOLDER_WITH_MORE_TEMPLATES ...] > chat_vectors.json
    python make_chat_vectors.py ASSETS --departures > huggingface_departures.json

For each text the file has the first 16 digits of its SHA-256, or "refused". With --departures, it has Jinja2's text for those test
cases of huggingface.js that expect another text because that implementation follows JavaScript.
"""

import hashlib
import json
import sys
from pathlib import Path

import jinja2
import transformers
from transformers.utils.chat_template_utils import _alias_reasoning_fields, render_jinja_template

from make_vectors import DATE, environment

TOOLS = [{"type": "function", "function": {
    "name": "get_weather", "description": "Weather, \"now\"", "parameters": {
        "type": "object", "properties": {"city": {"type": "string", "description": "Die Stadt \u00e9"},
                                         "unit": {"type": "string", "enum": ["c", "f"]}}, "required": ["city"]}}}]


def user(text):
    return {"role": "user", "content": text}


def system(text):
    return {"role": "system", "content": text}


def answer(text, **more):
    return {"role": "assistant", "content": text, **more}


CALL = {"type": "function", "id": "abcdefghi",
        "function": {"name": "get_weather", "arguments": {"city": "K\u00f6ln", "n": 1.0, "t": True, "x": None}}}

CONVERSATIONS = [
    [user("Hi")],
    [system("Be brief."), user("Hi")],
    [system("  sys \n"), user(" a\n"), answer("  b "), user("\tc\u00a0")],
    [user("a"), answer("b")],
    [user("a"), answer("b"), user("c"), answer("d"), user("e")],
    [user("")],
    [system(""), user("x")],
    [user("\u65e5\u672c\u8a9e \U0001f999 \u00e9"), answer("\u00df"), user("\u2028x")],
    [user("a"), answer("<think>\nhm\n</think>\n\nyes"), user("b")],
    [user("a"), answer("<think>x</think>y")],
    [user("q"), answer("", tool_calls=[CALL]),
     {"role": "tool", "content": "{\"t\": 3}", "name": "get_weather", "tool_call_id": "abcdefghi"},
     answer("3 degrees"), user("thx")],
    [answer("a"), user("b")],
    [system("a"), system("b"), user("c")],
    [user("a"), user("b")],
    [{"role": "user", "content": [{"type": "text", "text": "part one"}, {"type": "text", "text": "part 2"}]}],
    [{**user("x"), "name": "n"}, answer("y", reasoning_content="because"), user("z")],
    [{"role": "developer", "content": "dev"}, user("x")],
    [user("<tool_response>r</tool_response>"), answer("y"), user("{{ x }}<|im_end|>")],
    [system("s"), user("line1\r\nline2\n\n"), answer("\n\nx\n\n")],
]


def contexts():
    for conversation in CONVERSATIONS:
        for prompt in (True, False):
            for tools in (None, TOOLS):
                for extra in ({}, {"enable_thinking": False}):
                    if not (extra and tools):
                        yield {"messages": _alias_reasoning_fields(conversation), "tools": tools, "documents": None,
                               "add_generation_prompt": prompt, "bos_token": "<s>", "eos_token": "</s>", **extra}


def templates(assets: Path, more: list[Path]) -> dict[str, str]:
    read = lambda name: json.loads((assets / name).read_text(encoding="utf-8"))
    found = {f"hfjs: {name}": case["chat_template"]
             for name, case in read("chat-templates/hfjs_jinja_e2e_cases.json")["cases"].items()}
    for case in read("chat-templates/llamacpp_chat_template_cases.json")["cases"]:
        found[f"llama.cpp: {case['name']}"] = case["template_str"]
    found["phi-3-mini"] = read("tokenizers/hf/phi-3-mini/tokenizer_config.json")["chat_template"]
    for folder in more:
        for file in sorted(folder.rglob("*.jinja")):
            found[str(file)] = file.read_bytes().decode("utf-8")
    return found


def rendered(template: str, context: dict) -> str:
    arguments = {key: value for key, value in context.items() if key != "messages"}
    try:
        text = render_jinja_template(conversations=[context["messages"]], chat_template=template, **arguments)[0][0]
    except Exception:
        return "refused"
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def departures(assets: Path, env) -> dict[str, str]:
    file = json.loads((assets / "chat-templates/hfjs_jinja_syntax_cases.json").read_text(encoding="utf-8"))
    found = {}
    for name, case in file["cases"].items():
        try:
            text = env.from_string(case["template"]).render(**case["context"])
        except Exception:
            text = "refused"
        if text != case["expected"]:
            found[name] = text
    return found


def main() -> int:
    env = environment()
    assets = Path(sys.argv[1])
    made_by = f"jinja2 {jinja2.__version__} in the environment of transformers {transformers.__version__}"
    if "--departures" in sys.argv:
        print(json.dumps({"made_by": made_by, "cases": departures(assets, env)}, ensure_ascii=False, indent=1))
        return 0
    every = list(contexts())
    result = {name: [rendered(template, context) for context in every]
              for name, template in templates(assets, [Path(one) for one in sys.argv[2:]]).items()}
    lines = [json.dumps(context, ensure_ascii=False) for context in every]
    hashes = [f"{json.dumps(name)}: {json.dumps(values)}" for name, values in result.items()]
    print(f'{{"made_by": {json.dumps(made_by)}, "date": "{DATE}", "contexts": [\n' + ",\n".join(lines)
          + '\n], "templates": {\n' + ",\n".join(hashes) + "\n}}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
