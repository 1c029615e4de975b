"""Templates with the texts that Jinja2 makes of them, in the environment of transformers' apply_chat_template.

    python make_vectors.py [--seed N] [--random N] > vectors.json

Needs transformers, with jinja2 3.1.6 or later. `written` cases name one construct each; `random` ones are made by a
grammar of expressions, filters, tests and statements. A case that Jinja2 refuses has "refused" instead of "text".
Cases whose text would show what no other implementation can have (an address, a generator) are left out.
"""

import argparse
import datetime
import json
import random
import re
import sys

import jinja2
import transformers
from transformers.utils import chat_template_utils

DATE = "2024-07-26"

CONTEXT = {
    "n": 3, "m": -7, "z": 0, "x": 2.5, "y": -0.1, "big": 1e16, "small": 1e-5, "t": True, "f": False, "none_value": None,
    "s": "Hello World", "e": "", "w": "  padded\t\n ", "u": "h\u00e9llo \u65e5\u672c \U0001f999", "q": "it's \"so\"",
    "l": [3, 1, 2], "k": ["b", "A", "c", "B"], "empty": [], "nested": [[1, 2], [3, [4]]],
    "d": {"b": 1, "a": [1, {"c": None}], "items": "shadow", "1": True}, "o": {},
    "rows": [{"name": "x", "age": 3, "tag": {"id": 1}}, {"name": "Y", "age": 1, "tag": {"id": 2}},
             {"name": "z", "age": 2, "tag": {"id": 1}}, {"name": "y", "age": 1}],
    "messages": [{"role": "system", "content": " Be brief. "}, {"role": "user", "content": "Hi\n"},
                 {"role": "assistant", "content": "", "tool_calls": [
                     {"type": "function", "function": {"name": "f", "arguments": {"a": 1.0, "b": "\u00fc<&>"}}}]},
                 {"role": "tool", "content": "[1, 2]", "name": "f"}],
}


class FixedDate(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromisoformat(DATE)


def environment():
    """The Jinja2 environment of transformers, with a strftime_now that returns a fixed date."""
    chat_template_utils.datetime = FixedDate
    return chat_template_utils._compile_jinja_template("").environment


def case(env, template: str) -> dict | None:
    try:
        text = env.from_string(template).render(**json.loads(json.dumps(CONTEXT)))
    except RecursionError:
        return None
    except Exception:
        return {"template": template, "refused": True}
    if len(text) > 4000 or re.search(r" at 0x| At 0x| AT 0X|Function |<(generator|class|function|built-in|Macro|bound|list_|dict_|reversed|map|itertools)", text):
        return None
    if re.search(r"dict_(keys|values|items)\(|range\(|Markup|Namespace|_GroupTuple|LoopContext", text):
        return None
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return None
    return {"template": template, "text": text}


WRITTEN = r"""
{{ 1 }}{{ 1.0 }}{{ 1e16 }}{{ 1e15 }}{{ 0.0001 }}{{ 0.00001 }}{{ 1_000 }}{{ 0x1F }}{{ 0b101 }}{{ 0o17 }}{{ 1.5e-7 }}{{ 1e100 }}
{{ true }}{{ True }}{{ none }}{{ None }}{{ false }}{{ [true, none, 1.0, 'a'] }}
{{ 'a\n\t\'\"\\ \x41 \u00e9 \U0001f999 \101 \d' }}
{{ "a" 'b' "c" }}
{{ ['it\'s', "say \"x\"", 'both \' "', '\n', 'é', '\x00', '\x7f', '\u200b'] }}
{{ (1,) }}{{ () }}{{ (1, 2) }}{{ {} }}{{ {'a': 1, 2: 'b', 2.5: none, (1, 2): 3} }}
{{ {1: 'a', true: 'b', 1.0: 'c'} }}
{{ 7 // 2 }}{{ -7 // 2 }}{{ 7 % 3 }}{{ -7 % 3 }}{{ 7 % -3 }}{{ 7.5 // 2 }}{{ -7.5 % 2 }}{{ 2 ** 10 }}{{ 2 ** -1 }}{{ 2 ** 0.5 }}{{ 7 / 2 }}{{ 6 / 2 }}
{{ 2 ** 3 ** 2 }}{{ -2 ** 2 }}{{ 1 - 2 - 3 }}{{ 10 / 2 / 5 }}
{{ 1 ~ 2 ~ 'a' ~ none ~ missing ~ 1.0 }}
{{ 'a' * 3 }}{{ 3 * 'a' }}{{ [1] * 2 }}{{ 'a' * -1 }}{{ [1, 2] + [3] }}{{ (1,) + (2,) }}
{{ 1 < 2 < 3 }}{{ 1 < 3 < 2 }}{{ 1 == 1.0 == true }}{{ 'a' < 'b' }}{{ [1, 2] < [1, 3] }}{{ (1, 2) == [1, 2] }}
{{ 1 in [1, 2] }}{{ 3 not in [1, 2] }}{{ 'a' in 'abc' }}{{ 'a' in {'a': 1} }}{{ 'x' in missing }}{{ 1 in (1,) }}
{{ not true and false or true }}{{ not not 1 }}{{ 1 and 2 }}{{ 0 or 'x' }}{{ '' and missing.foo }}
{{ 'yes' if t else 'no' }}{{ 'yes' if f }}{{ 'a' if f else 'b' if f else 'c' }}
{{ missing }}{{ missing is defined }}{{ missing|default('d') }}{{ none_value|default('d') }}{{ none_value|default('d', true) }}{{ e|default('d', boolean=true) }}
{{ missing == missing2 }}{{ missing == none }}{{ [missing] }}{{ missing|list }}{{ missing|length }}{{ missing|upper }}|{{ missing|join(',') }}
{{ missing.foo }}
{{ missing + 1 }}
{{ missing() }}
{{ -missing }}
{{ d.b }}{{ d['b'] }}{{ d.nope }}{{ d['nope'] }}{{ d.items() | list | length }}{{ d['items'] }}{{ d.get('b') }}{{ d.get('x') }}{{ d.get('x', 5) }}
{{ d.a[1].c }}{{ d.a.1.c }}{{ l.0 }}{{ l[-1] }}{{ l[10] }}{{ s[0] }}{{ s[-1] }}{{ s[100] }}{{ u[1] }}{{ u[-1] }}
{{ s[1:3] }}{{ s[:3] }}{{ s[3:] }}{{ s[::-1] }}{{ s[::2] }}{{ s[-3:] }}{{ s[5:2] }}{{ l[::-1] }}{{ l[1:] }}{{ l[:-1] }}{{ u[6:8] }}{{ u[::-1] }}{{ (1, 2, 3)[1:] }}
{{ l[1:2:0] }}
{{ l['a':] }}
{{ 1 / 0 }}
{{ 'a' + 1 }}
{{ 1 < 'a' }}
{{ none < 1 }}
{{ l.append(4) }}
{{ d.update({'x': 1}) }}
{{ d.pop('b') }}
{{ s.__class__ }}
{{ ''.__class__.__mro__ }}
{{ s.upper() }}{{ s.lower() }}{{ s.title() }}{{ s.capitalize() }}{{ s.swapcase() }}{{ 'straße'.upper() }}{{ 'ÀÉ'.lower() }}
{{ w.strip() }}|{{ w.lstrip() }}|{{ w.rstrip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'abcba'.strip('ab') }}|{{ 'éaé'.strip('é') }}|{{ '\u00a0a\u3000'.strip() }}
{{ s.split() }}{{ s.split('o') }}{{ s.split('o', 1) }}{{ ' a  b '.split() }}{{ ' a  b '.split(' ') }}{{ 'a,b,c'.rsplit(',', 1) }}{{ ' a b c '.split(none, 1) }}{{ ' a b c '.rsplit(none, 1) }}{{ ''.split() }}{{ ''.split(',') }}
{{ 'a'.split('') }}
{{ 'a\nb\r\nc\x0bd\u2028e'.splitlines() }}{{ 'a\n'.splitlines() }}{{ 'a\nb'.splitlines(true) }}{{ '\n\n'.splitlines() }}
{{ s.replace('o', '0') }}{{ s.replace('o', '0', 1) }}{{ 'aaa'.replace('', '-') }}{{ 'aaa'.replace('a', '', 2) }}{{ 'é'.replace('', '.') }}{{ 'abc'.replace('', '-', 2) }}
{{ s.startswith('He') }}{{ s.endswith(('x', 'ld')) }}{{ s.startswith('llo', 2) }}{{ s.startswith('He', 0, 1) }}{{ ''.startswith('') }}
{{ s.find('o') }}{{ s.rfind('o') }}{{ s.find('zz') }}{{ s.find('o', 5) }}{{ s.index('W') }}{{ s.count('l') }}{{ u.find('日') }}{{ 'aaa'.count('aa') }}{{ 'abc'.count('') }}{{ 'abc'.find('', 5) }}
{{ s.index('zz') }}
{{ ','.join(['a', 'b']) }}{{ ','.join('abc') }}
{{ ','.join([1]) }}
{{ 'a\tbc\td\n\té\r\tf'.expandtabs() }}|{{ 'a\tbc'.expandtabs(4) }}|{{ 'a\tb'.expandtabs(0) }}|{{ 'a\tb'.expandtabs(tabsize=-3) }}
{{ 'Straße ẞ ﬁ Σς İ \u0345'.casefold() }}{{ ''.casefold() }}
{{ [(1, [2]), 3] | unique | list }}
{{ [[1], [1]] | unique | list }}
{{ {(1, [2]): 3} }}
{{ 'abc'.center(8, '*') }}{{ 'abcd'.center(7, '*') }}{{ 'abc'.ljust(5) }}|{{ 'abc'.rjust(5, '.') }}{{ '-5'.zfill(4) }}{{ '5'.zfill(3) }}
{{ 'a.b.c'.partition('.') }}{{ 'a.b.c'.rpartition('.') }}{{ 'abc'.partition('x') }}{{ 'abc'.rpartition('x') }}
{{ 'prefix-x'.removeprefix('prefix-') }}{{ 'x.txt'.removesuffix('.txt') }}
{{ 'abc'.isalpha() }}{{ '12'.isdigit() }}{{ 'a1'.isalnum() }}{{ ' '.isspace() }}{{ 'AB'.isupper() }}{{ 'ab1'.islower() }}{{ 'Ab Cd'.istitle() }}{{ ''.isalpha() }}{{ '½'.isnumeric() }}{{ '½'.isdecimal() }}{{ 'é'.isascii() }}
{{ '{} and {}'.format(1, 'b') }}{{ '{1}{0}'.format('a', 'b') }}{{ '{x}'.format(x=5) }}{{ '{{}}'.format() }}
{{ '{} {}'.format(1) }}
{{ '%s is %d' % ('x', 5) }}{{ '%5d|%-5d|%05d' % (1, 2, 3) }}{{ '%.2f' % 3.14159 }}{{ '%r' % 'a' }}{{ '%x' % 255 }}{{ '%%' % () }}{{ '%(a)s' % {'a': 1} }}{{ '%s' % 'a' }}{{ '%e' % 12345.678 }}{{ '%g' % 0.00001 }}{{ '%5.1f|' % 2.25 }}{{ '%+d' % 5 }}
{{ '%d' % 'a' }}
{{ '%s %s' % 'a' }}
{{ '%s' % (1, 2) }}
{{ [1, 2, 2].count(2) }}{{ [1, 2].index(2) }}{{ (1, 2).count(1) }}{{ [1].copy() }}{{ {'a': 1}.copy() }}
{{ d.keys() | list }}{{ d.values() | list }}{{ d.items() | list }}{{ d | list }}{{ 'b' in d.keys() }}{{ d | items | list }}
{{ range(3) | list }}{{ range(1, 4) | list }}{{ range(5, 0, -2) | list }}{{ range(0) | list }}{{ range(10)[2:4] | list }}{{ range(5)[1] }}{{ range(5) | length }}
{{ range(1, 2, 0) }}
{{ range(100001) | length }}
{{ 'abc' | upper }}{{ 'ABC' | lower }}{{ 'hello wORLD-foo (bar)' | title }}{{ 'hELLO' | capitalize }}{{ ' a ' | trim }}|{{ 'xax' | trim('x') }}{{ 5 | upper }}{{ none | upper }}
{{ 'abc' | length }}{{ u | length }}{{ l | length }}{{ d | count }}{{ 'abc' | first }}{{ l | first }}{{ l | last }}{{ empty | first }}{{ empty | last }}{{ 'abc' | last }}
{{ 5 | length }}
{{ l | sort }}{{ l | sort(reverse=true) }}{{ k | sort }}{{ k | sort(case_sensitive=true) }}{{ rows | sort(attribute='age') | map(attribute='name') | list }}{{ rows | sort(attribute='age,name') | map(attribute='name') | join }}
{{ [1, 'a'] | sort }}
{{ k | unique | list }}{{ k | unique(case_sensitive=true) | list }}{{ rows | unique(attribute='age') | map(attribute='name') | list }}
{{ l | min }}{{ l | max }}{{ k | min }}{{ k | max }}{{ rows | max(attribute='age') }}{{ empty | max }}{{ l | sum }}{{ rows | sum(attribute='age') }}{{ [1.5, 2] | sum }}{{ l | sum(start=10) }}
{{ d | dictsort }}
{{ {'b': 1, 'A': 2, 'c': 0} | dictsort }}{{ {'b': 1, 'A': 2} | dictsort(true) }}{{ {'b': 1, 'A': 2} | dictsort(by='value') }}{{ {'b': 1, 'A': 2} | dictsort(reverse=true) }}
{% for g, v in rows | groupby('age') %}{{ g }}:{{ v | map(attribute='name') | join(',') }};{% endfor %}{% for x in rows | groupby('name') %}{{ x.grouper }}{{ x.list | length }}{% endfor %}{{ rows | groupby('tag.id', default=0) | map(attribute='grouper') | list }}
{{ [1, 2, 3, 4, 5] | batch(2) | list }}{{ [1, 2, 3] | batch(2, 'x') | list }}{{ [1, 2, 3, 4, 5] | slice(2) | list }}{{ [1, 2, 3] | slice(2, 'x') | list }}
{{ l | reverse | list }}{{ 'abc' | reverse }}{{ [1, [2]] | reverse | list }}
{{ l | join }}{{ l | join('-') }}{{ rows | join(',', attribute='name') }}{{ ['a', none, 1.0] | join(' ') }}{{ 'abc' | join('.') }}
{{ l | map('string') | list }}{{ k | map('upper') | join }}{{ rows | map(attribute='tag.id') | list }}{{ rows | map(attribute='tag', default='none') | list }}{{ ['1', 'x'] | map('int', default=7) | list }}
{{ l | select('odd') | list }}{{ l | reject('odd') | list }}{{ l | select('gt', 1) | list }}{{ [0, 1, '', 'a'] | select | list }}{{ [0, 1] | reject | list }}{{ rows | selectattr('age', 'equalto', 1) | map(attribute='name') | list }}{{ rows | rejectattr('tag') | list | length }}{{ rows | selectattr('tag.id', 'defined') | list | length }}
{{ l | select('nope') | list }}
{{ l | map('nope') | list }}
{{ l | nope }}
{{ l is nope }}
{{ '3' | int }}{{ '3.7' | int }}{{ 'x' | int }}{{ 'x' | int(-1) }}{{ 3.9 | int }}{{ -3.9 | int }}{{ true | int }}{{ '0x1f' | int(base=16) }}{{ '1f' | int(0, 16) }}{{ ' 12 ' | int }}{{ '1_000' | int }}{{ none | int }}{{ '101' | int(base=2) }}
{{ '3.5' | float }}{{ 'x' | float }}{{ 'x' | float(1.5) }}{{ 3 | float }}{{ true | float }}{{ '1e3' | float }}{{ 'inf' | float }}{{ 'nan' | float }}{{ '-inf' | float }}
{{ -3 | abs }}{{ (-3) | abs }}{{ -2.5 | abs }}{{ 2.5 | round }}{{ 3.5 | round }}{{ 2.567 | round(2) }}{{ 2.5 | round(0, 'ceil') }}{{ 2.5 | round(method='floor') }}{{ 5 | round }}{{ 42.55 | round(1, 'floor') }}{{ -2.5 | round }}{{ 2.675 | round(2) }}{{ 1234 | round(-2) }}{{ 1234.5 | round(-2) }}
{{ 'a<b>&"\'' | escape }}{{ 'a<b' | e }}{{ 'a<b' | safe }}{{ 5 | string }}{{ none | string }}
{{ 'a b c' | replace(' ', '_') }}{{ 'a b c' | replace(' ', '_', 1) }}{{ 5 | replace('5', 'x') }}
{{ 'a\nb\n\nc' | indent }}{{ 'a\nb' | indent(2, true) }}{{ 'a\n\nb' | indent(2, blank=true) }}{{ 'a\nb' | indent('> ') }}{{ '' | indent }}|{{ 'a\n' | indent }}|
{{ 'hello big world' | truncate(9) }}{{ 'hello big world' | truncate(9, true) }}{{ 'hello big world' | truncate(11, false, '..', 0) }}{{ 'foo' | truncate(3) }}
{{ 'a b  c-d' | wordcount }}{{ 'abc' | center(9) }}|{{ '%s-%s' | format('a', 1) }}{{ '%(x)s' | format(x=3) }}
{{ 'a b/c?é&=' | urlencode }}{{ {'a b': 'c/d', 'e': 1} | urlencode }}{{ 1000 | filesizeformat }}{{ 1 | filesizeformat }}{{ 123456789 | filesizeformat }}{{ 1024 | filesizeformat(true) }}{{ 5 | filesizeformat }}
{{ d | tojson }}{{ d | tojson(indent=2) }}{{ rows | tojson(indent=4) }}{{ empty | tojson(indent=2) }}{{ o | tojson(indent=2) }}{{ [[], {}] | tojson(indent=1) }}
{{ u | tojson }}{{ u | tojson(ensure_ascii=true) }}{{ q | tojson }}{{ '\n\t\r\x08\x0c\x01\x7f/<>&\u2028' | tojson }}{{ '\x7f\u2028' | tojson(ensure_ascii=true) }}
{{ 1.0 | tojson }}{{ 1e20 | tojson }}{{ 'inf' | float | tojson }}{{ none | tojson }}{{ true | tojson }}{{ (1, 2) | tojson }}{{ {1: 2, none: 3, true: 4, 1.5: 5} | tojson }}
{{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }}{{ d | tojson(separators=(',', ':')) }}{{ d | tojson(indent=2, separators=(', ', ' : ')) }}{{ l | tojson(indent='--') }}
{{ missing | tojson }}
{{ [missing] | tojson }}
{{ {'a': l | map('string')} | tojson }}
{{ d | attr('b') }}|{{ s | attr('upper') is callable }}
{{ 1 is odd }}{{ 2 is even }}{{ 6 is divisibleby 3 }}{{ 6 is divisibleby(4) }}{{ 'a' is string }}{{ 1 is number }}{{ 1.0 is float }}{{ 1 is integer }}{{ true is integer }}{{ true is number }}{{ true is boolean }}{{ none is none }}{{ l is iterable }}{{ 5 is iterable }}{{ d is mapping }}{{ l is sequence }}{{ 'a' is sequence }}{{ d is sequence }}{{ 5 is sequence }}
{{ 'a' is lower }}{{ 'A' is upper }}{{ 1 is sameas 1 }}{{ true is sameas true }}{{ 1 is sameas true }}{{ none is sameas none }}{{ 1 is true }}{{ true is true }}{{ false is false }}{{ 0 is false }}
{{ 1 is eq 1 }}{{ 1 is equalto 1.0 }}{{ 1 is ne 2 }}{{ 1 is lt 2 }}{{ 2 is ge 2 }}{{ 1 is in [1] }}{{ 1 is not in [2] }}{{ 'upper' is filter }}{{ 'nope' is filter }}{{ 'odd' is test }}{{ missing is undefined }}{{ s is defined }}{{ s is not defined }}{{ 1 is gt 0 and 2 is lessthan 3 }}
{{ raise_exception is callable }}{{ s is callable }}{{ missing is callable }}{{ 'a' is escaped }}
{{ raise_exception('no') }}
{{ strftime_now('%d %b %Y') }}|{{ strftime_now('%Y-%m-%d %H:%M:%S %A %B %j %-d %%') }}|{{ strftime_now('%e %I %p %y %a') }}
{% set x = 1 %}{{ x }}{% set x, y = 2, 3 %}{{ x }}{{ y }}{% set (a, b) = [4, 5] %}{{ a }}{{ b }}{% set c = 1, 2 %}{{ c }}
{% set a, b = [1] %}
{% set ns = namespace(a=1) %}{% set ns.a = ns.a + 1 %}{{ ns.a }}{% set ns.b = 'x' %}{{ ns.b }}{{ ns.c }}{{ ns['a'] }}
{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}{{ ns is mapping }}
{% set d.b = 2 %}
{% set ns = namespace(_x=1) %}
{% set ns = namespace() %}{% set ns._x = 1 %}
{% set x = 0 %}{% for i in l %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}
{% set ns = namespace(x=0) %}{% for i in l %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}
{% if f %}a{% elif t %}b{% else %}c{% endif %}{% if f %}a{% endif %}{% if t %}{% set inside = 1 %}{% endif %}{{ inside }}
{% for i in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.depth }}{{ loop.cycle('a', 'b') }};{% endfor %}
{% for i in [1, 1, 2] %}{{ loop.changed(i) }}{% endfor %}
{% for i in empty %}x{% else %}none{% endfor %}{% for i in missing %}x{% else %}none{% endfor %}{% for i in l if i > 1 %}{{ i }}{{ loop.index }}/{{ loop.length }}{% else %}n{% endfor %}{% for i in l if i > 9 %}{{ i }}{% else %}none{% endfor %}
{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }}{% endfor %}{% for c in 'héy' %}{{ c }}.{% endfor %}{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}
{% for i in none_value %}x{% endfor %}
{% for i in 5 %}x{% endfor %}
{% for i in l %}{% if i == 1 %}{% continue %}{% endif %}{{ i }}{% endfor %}{% for i in l %}{% if i == 1 %}{% break %}{% endif %}{{ i }}{% else %}e{% endfor %}
{% break %}
{% for x in nested recursive %}{% if x is iterable %}[{{ loop(x) }}]{{ loop.depth }}{% else %}{{ x }}{% endif %}{% endfor %}
{% for i in l %}{% for j in l %}{{ loop.index }}{% endfor %}{{ loop.index }};{% endfor %}{{ loop }}
{% for i in 1, 2, 3 %}{{ i }}{% endfor %}{% for i in l | sort %}{{ i }}{% endfor %}
{% macro m(a, b=2, c=b) %}{{ a }}{{ b }}{{ c }}{% endmacro %}{{ m(1) }}|{{ m(1, 3) }}|{{ m(b=5, a=4) }}|{{ m() }}|{{ m.name }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(x=2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}
{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}
{% macro m() %}{{ late }}{% endmacro %}{% set late = 'L' %}{{ m() }}
{% macro m(a) %}<{{ caller() }}{{ a }}>{% endmacro %}{% call m(1) %}body{{ s }}{% endcall %}
{% macro m() %}{{ caller(1, 2) }}{% endmacro %}{% call(a, b) m() %}{{ a }}-{{ b }}{% endcall %}
{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}
{% macro m() %}{{ caller is defined }}{% endmacro %}{{ m() }}
{% macro fact(n) %}{{ 1 if n < 2 else n * (fact(n - 1) | int) }}{% endmacro %}{{ fact(5) }}
{% for i in l %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}{{ m is defined }}
{% set t2 %}a{{ s }}{% set hidden = 1 %}b{% endset %}{{ t2 }}{{ hidden }}{% set up | upper %}abc{% endset %}{{ up }}{% set r | replace('a', 'b') | trim %} aa {% endset %}[{{ r }}]
{% filter upper %}abc{{ s }}{% endfilter %}{% filter replace('a', 'b') | trim %} aa {% endfilter %}
{% with a = 1, b = 2 %}{{ a }}{{ b }}{% endwith %}{{ a }}{% with %}{% set q2 = 1 %}{{ q2 }}{% endwith %}{{ q2 }}
{% generation %}a{{ s }}{% set gg = 1 %}{% endgeneration %}{{ gg }}
{% raw %}{{ not }} {% tags %}{% endraw %}{%- raw -%}  {{ x }}  {%- endraw -%}  !
{# a comment #}x{#- another -#}  y
{% print 1, 'a' %}{% if t: %}x{% endif %}
{{ joiner is defined }}{% set j = joiner('|') %}{{ j() }}{{ j() }}
{{ dict(a=1, b=2) }}{{ dict([('x', 1)]) }}{{ dict({'a': 1}, b=3) }}
{{ foo(*[1]) }}
{% macro m(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ m(*[1, 2]) }}{{ m(**{'a': 3, 'b': 4}) }}{{ m(1, *[5]) }}
{% include 'x' %}
{% nope %}
{% if %}{% endif %}
{% for i in l %}
{% endfor %}
{{ 1 + }}
{{ (1 }}
{{ 1 if }}
{% set 1 = 2 %}
{% set none = 2 %}
{{ 'a
{{ a b }}
{{ messages[0].content }}{{ messages[0]['role'] }}{{ messages[1:] | length }}{{ messages[-1].name }}{{ messages[2].tool_calls[0].function.arguments | tojson }}
{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ (messages | last).role }}{{ messages | map(attribute='role') | join(' ') }}
{% for m in messages %}{% if m['role'] == 'user' %}<u>{{ m['content'] | trim }}</u>{% elif m.tool_calls is defined and m.tool_calls %}<c>{% for c in m.tool_calls %}{{ c.function.name }}({{ c.function.arguments | tojson }}){% endfor %}</c>{% elif m.role != 'system' %}[{{ m.role }}]{% endif %}{% endfor %}
{{ messages[10].content }}
{{ messages[10] is defined }}{{ messages[0].nope is defined }}{{ messages[0].nope.x is defined }}
{{ 9223372036854775807 }}{{ -9223372036854775807 }}
{{ (l | select('odd')) is iterable }}{% if l | select('gt', 9) %}true{% endif %}{% set g = l | select('odd') %}{{ g | list }}{{ g | list }}
{{ [1, 2, 3] | select('odd') | length }}
{{ (l | map('string'))[0] }}
{{ 'a' in k | map('lower') }}{{ l | list | string | length }}
{{ 5 % 0 }}
{{ 1.5 % 0 }}
{{ 0 ** -1 }}
{{ 1e308 * 10 }}{{ -1e308 * 10 }}
{{ 3.0 }}{{ 3.10 }}{{ 100000000000000000.0 }}{{ 123456789012345.6 }}{{ 1e22 }}{{ 5e-324 }}{{ 0.1 + 0.2 }}{{ -0.0 }}
{{ [1, 2] == [1, 2] }}{{ {'a': 1} == {'a': 1.0} }}{{ 'a' == 1 }}{{ none == false }}{{ [] == () }}
{{ ('a', 1) in [('a', 1)] }}{{ [1] in [[1]] }}
{{ {'a': 1}['a'] }}{{ {[1]: 2} }}
{{ l | first | string ~ 'x' }}{{ not l | length > 2 }}{{ 1 + 2 | string | length }}{{ -1 | abs }}{{ 'a' ~ 'b' | upper }}
{{ 1 if true else 2 ~ 'x' }}{{ [1 if f else 2, 3] }}
{{ s.split(' ')[0].upper()[::-1] | lower }}{{ (s | upper).lower() }}{{ ('a', 'b')[1] }}{{ 'abc'[1] }}{{ [1, 2][0] }}{{ {'a': {'b': 1}}.a.b }}
{{ l|length }}{{l|length}}{{-n}}{{- n -}}{{n+1}}{{n-1}}{{n -1}}{{n*-1}}
"""

WHITESPACE = [
    "a\n{% if t %}\nb\n{% endif %}\nc\n", "a\n  {% if t %}  \n  b\n  {% endif %}\nc", "  {{ n }}  \n  x", "a {%- if t -%} b {%- endif -%} c",
    "a\n  {%+ if t %}b{% endif +%}\nc", "{% set x = 1 %}\n\n{{ x }}\n\n", "\n{% for i in l %}\n  - {{ i }}\n{% endfor %}\n",
    "{# c #}\nx", "  {# c #}\nx", "x {# c #} y", "a\n\n  {#- c -#}\n\n b", "{%- for i in l %}\n\t{{- i -}}\n{%- endfor %}", "a\r\n{% if t %}\r\nb{% endif %}\rc",
    "{{ n }}\n", "{{ n }}\n\n", "\n", "", " ", "x\n", "{{ '\n' }}\n", "  {% raw %}  {{ x }}\n {% endraw %}\ny", "{% raw -%}\n  x {%- endraw %}\nz",
    "\u00a0{%- if t %}x{% endif %}", "\u2003\n\u2003{% if t %}x{% endif %}", "a\x0b{%- if t %}b{% endif %}", "{% if t %}{% if t %}\n{% endif %}\n{% endif %}\nend",
    "line {% if t -%}\n   x\n{%- endif %}\n end", "{{- n }} {{ n -}} \n {{- n -}}\n", "{%if t%}x{%endif%}", "{{n}}{{s}}", "a{#\n\n#}\nb", "{#-#}x", "x {#--#} y", "{% set a %}\n  x\n{% endset %}[{{ a }}]",
    "{{ {'a': {'b': 1}} }}", "{{ {'a': {}} }}", "{{ '}}' }}{{ '%}' }}", "{% if '%}' %}x{% endif %}", "{ { % # } }", "{", "{{", "{%", "{#", "}}", "%}",
]


class Grammar:
    """Random templates over CONTEXT: most are valid, and many are refused when they run. Three properties of Jinja2's compiler are
    avoided: a name of the context that is set later in the same block is undefined in an earlier loop; constant expressions are
    evaluated even where they are never reached; and a slice of an empty constant is undefined."""

    def __init__(self, seed: int) -> None:
        self.r = random.Random(seed)

    def pick(self, *options):
        choice = self.r.choice(options)
        return choice() if callable(choice) else choice

    def name(self):
        return self.r.choice([k for k in CONTEXT] + ["missing"])

    def literal(self):
        return self.pick("0", "1", "2", "-1", "3.5", "1e3", "true", "none", "'a'", "'b c'", "''", "'é'", "[]", "[1, 'a']", "{}", "{'a': 1}", "(1, 2)")

    def expression(self, depth=3):
        if depth <= 0:
            return self.pick(self.name, self.name, self.literal)
        e = lambda: self.expression(depth - 1)
        one = self.r.randrange(18)
        if one < 3:
            return self.name()
        if one == 3:
            return self.literal()
        if one == 4:
            return f"({e()} {self.pick('+', '-', '*', '/', '//', '%', '~')} {e()})"
        if one == 5:
            return f"({e()} {self.pick('==', '!=', '<', '>', '<=', '>=', 'in', 'not in')} {e()})"
        if one == 6:
            return f"({e()} {self.pick('and', 'or')} {e()})"
        if one == 7:
            return f"({e()} if {e()} else {e()})"
        if one == 8:
            return f"(not {e()})"
        if one == 9:
            return f"({self.name()})[{self.pick('1:', ':2', '::-1')}]" if self.r.random() < 0.3 else f"({e()})[{self.pick('0', '1', '-1', chr(39) + 'a' + chr(39), e)}]"
        if one == 10:
            return f"({e()}).{self.pick('a', 'b', 'name', 'upper', 'items', 'nope', '0')}"
        if one == 11:
            return f"({e()}).{self.method()}"
        if one in (12, 13, 14):
            return f"({e()} | {self.filter()})"
        if one == 15:
            return f"({e()} is {self.test()})"
        if one == 16:
            return f"[{', '.join(e() for _ in range(self.r.randrange(4)))}]"
        return "{" + ", ".join(f"{self.pick(chr(39) + 'k' + chr(39), '1', 'none', '(1, 2)', chr(39) + 'b' + chr(39))}: {e()}" for _ in range(self.r.randrange(3))) + "}"

    def method(self):
        return self.pick("strip()", "upper()", "split()", "split('l')", "replace('l', 'L')", "startswith('H')", "title()", "find('o')", "get('a')", "get('zz', 1)",
                         "keys() | list", "values() | list", "items() | list", "count('a')", "join(['x', 'y'])", "isdigit()", "rstrip('d')", "lstrip()", "zfill(5)", "splitlines()")

    def filter(self):
        e = lambda: self.expression(1)
        return self.pick("upper", "lower", "title", "capitalize", "trim", "length", "first", "last", "list", "string", "int", "float", "abs", "round", "round(1)", "sort", "sort(reverse=true)",
                         "unique | list", "reverse | list", "join(',')", "join", "sum", "min", "max", "tojson", "tojson(indent=2)", "escape", "default('D')", "default('D', true)",
                         "map('string') | list", "map(attribute='name') | list", "select | list", "reject('none') | list", "select('string') | list", "selectattr('age') | list", "rejectattr('age', 'gt', 1) | list",
                         "dictsort", "items | list", "replace('a', 'X')", "indent(2)", "truncate(5, true)", "batch(2) | list", "slice(2) | list", "wordcount", "center(12)", "urlencode", "groupby('age') | map('first') | list",
                         lambda: f"default({e()})", lambda: f"join({e()})", lambda: f"replace({e()}, {e()})", lambda: f"int({e()})")

    def test(self):
        return self.pick("defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "mapping", "sequence", "iterable", "odd", "even", "true", "false", "lower", "upper", "callable",
                         "divisibleby 2", "in [1, 2, 'a']", "eq 1", "sameas none", "not defined", "not none", "gt 1", "not string")

    def statement(self, depth=2):
        body = lambda: self.body(depth - 1)
        e = lambda: self.expression(2)
        if depth <= 0:
            return "{{ " + e() + " }}"
        return self.pick(
            lambda: "{{ " + self.expression() + " }}", lambda: "{{ " + e() + " }}",
            lambda: f"{{% if {e()} %}}{body()}{{% else %}}{body()}{{% endif %}}", lambda: f"{{% if {e()} %}}{body()}{{% elif {e()} %}}{body()}{{% endif %}}",
            lambda: f"{{% for i in {e()} %}}{body()}{{{{ i }}}}{{{{ loop.index }}}}{{% else %}}{body()}{{% endfor %}}",
            lambda: f"{{% for i in l if {e()} %}}{body()}{{% endfor %}}", lambda: f"{{% for a, b in d.items() %}}{{{{ a }}}}{body()}{{% endfor %}}",
            lambda: f"{{% set {self.pick('v', 'v2')} = {e()} %}}", lambda: f"{{% set v %}}{body()}{{% endset %}}{{{{ v }}}}",
            lambda: f"{{% macro mac(a, b={e()}) %}}{body()}{{{{ a }}}}{{{{ b }}}}{{% endmacro %}}{{{{ mac({e()}) }}}}",
            lambda: f"{{% filter {self.pick('upper', 'trim', 'title', 'length')} %}}{body()}{{% endfilter %}}",
            lambda: f"{{% with n = {e()} %}}{body()}{{% endwith %}}",
            lambda: self.pick("text", " text\n", "\n  ", "  ", "{# c #}", "{%- if t %} x {% endif -%}\n", "{{- n -}} "),
            lambda: f"{{% for i in l %}}{{% if {e()} %}}{self.pick('{% break %}', '{% continue %}')}{{% endif %}}{{{{ i }}}}{{% endfor %}}")

    def body(self, depth):
        return "".join(self.statement(depth) for _ in range(self.r.randrange(1, 3)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--random", type=int, default=4000)
    options = parser.parse_args()
    env = environment()
    grammar = Grammar(options.seed)
    written = [line for line in WRITTEN.split("\n") if line] + WHITESPACE
    made = [grammar.body(2) for _ in range(options.random)]
    made = list(dict.fromkeys(template for template in made if len(template) < 400))
    header = {"made_by": f"tests/data/jinja/make_vectors.py with jinja2 {jinja2.__version__} in the environment of transformers {transformers.__version__}",
              "date": DATE, "context": CONTEXT}
    lines = [json.dumps(one, ensure_ascii=False) for template in written + made if (one := case(env, template))]
    sys.stdout.write(json.dumps(header, ensure_ascii=False)[:-1] + ',"cases":[\n' + ",\n".join(lines) + "\n]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
