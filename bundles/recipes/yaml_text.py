"""YAML as this project writes it: key order kept, no aliases, texts of several lines as blocks."""

import yaml

# Mappings with these keys alone are written on one line, as docs/bundle-format.md shows them.
SHORT = {"path", "bytes", "sha256", "kl_mean", "kl_worst", "nll_difference_mean", "top1_agreement"}


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        """Always true: readers of untrusted YAML refuse aliases, and people would have to resolve them."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


def _list(dumper: yaml.SafeDumper, values: list) -> yaml.Node:
    flat = all(isinstance(value, str | int) for value in values)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=flat)


def _mapping(dumper: yaml.SafeDumper, mapping: dict) -> yaml.Node:
    short = all(key in SHORT or key.isdigit() for key in mapping)
    return dumper.represent_mapping("tag:yaml.org,2002:map", mapping.items(), flow_style=short)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)
_Dumper.add_representer(dict, _mapping)


def to_yaml(content: dict, width: int = 1000) -> str:
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=width)
