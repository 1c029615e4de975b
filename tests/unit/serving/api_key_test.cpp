#include "serving/api_key.h"

#include <cstdlib>

#include "core/file.h"
#include "support/catch.h"
#include "support/result.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

TEST_CASE("a key comes from a variable or from the first line of a file") {
  const ScratchFolder scratch;
  ::setenv("SECONDSOURCE_TEST_KEY", "from-env", 1);
  CHECK(ApiKey::read({.environment = "SECONDSOURCE_TEST_KEY", .file = {}})->authorization() == "Bearer from-env");
  REQUIRE_OK(write_file(scratch.path() / "key", "from-file\r\nsecond line\n"));
  CHECK(ApiKey::read({.environment = {}, .file = scratch.path() / "key"})->authorization() == "Bearer from-file");
  CHECK(ApiKey::read({})->is_empty());
}

TEST_CASE("a key that cannot be one is refused, and its text is not repeated") {
  const ScratchFolder scratch;
  ::unsetenv("SECONDSOURCE_TEST_KEY");
  CHECK_ERROR(ApiKey::read({.environment = "SECONDSOURCE_TEST_KEY", .file = {}}), ErrorCode::kInvalidInput,
              "SECONDSOURCE_TEST_KEY: expected it to hold the API key, found it not set");
  ::setenv("SECONDSOURCE_TEST_KEY", "a secret with spaces", 1);
  const auto spaces = ApiKey::read({.environment = "SECONDSOURCE_TEST_KEY", .file = {}});
  CHECK_ERROR(spaces, ErrorCode::kInvalidInput, "printable characters");
  CHECK(spaces.error().message.find("secret") == std::string::npos);
  REQUIRE_OK(write_file(scratch.path() / "empty", "\n"));
  CHECK_ERROR(ApiKey::read({.environment = {}, .file = scratch.path() / "empty"}), ErrorCode::kInvalidInput, "nothing");
}

TEST_CASE("a key is cut from texts, wherever it stands") {
  ::setenv("SECONDSOURCE_TEST_KEY", "s3cret", 1);
  const auto key = ApiKey::read({.environment = "SECONDSOURCE_TEST_KEY", .file = {}});
  REQUIRE_OK(key);
  CHECK(key->cut_from("Bearer s3cret and s3crets3cret") == "Bearer [key] and [key][key]");
  CHECK(ApiKey().cut_from("nothing to cut") == "nothing to cut");
}
