#pragma once
// Checks a Result in a test: REQUIRE_OK(f()) stops with the error's message; CHECK_ERROR(f(), code, "part of the
// message").
#include "core/result.h"
#include "support/catch.h"

#define REQUIRE_OK(expression)                                               \
  do {                                                                       \
    const auto& ss_result = (expression);                                    \
    if (!ss_result) FAIL("unexpected error: " << ss_result.error().message); \
    SUCCEED();                                                               \
  } while (false)

#define CHECK_ERROR(expression, expected_code, expected_part)                            \
  do {                                                                                   \
    const auto& ss_result = (expression);                                                \
    if (ss_result) {                                                                     \
      FAIL_CHECK("expected an error with \"" << (expected_part) << "\", found success"); \
    } else {                                                                             \
      CAPTURE(ss_result.error().message);                                                \
      CHECK(ss_result.error().code == (expected_code));                                  \
      CHECK(ss_result.error().message.find(expected_part) != std::string::npos);         \
    }                                                                                    \
  } while (false)
