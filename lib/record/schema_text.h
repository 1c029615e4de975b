#pragma once
// Some states were published as plain strings before their names were fixed. Their schemas still say "string", so that
// the published schemas stay unchanged; readers accept only the known names.

#define SS_SCHEMA_SAYS_STRING(Enum) \
  constexpr void schema_says_string(Enum) {}
