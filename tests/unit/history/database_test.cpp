#include "history/database.h"

#include <sys/resource.h>

#include <csignal>

#include "core/file.h"
#include "support/result.h"
#include "support/scratch_folder.h"

using namespace secondsource;
using namespace secondsource::test;

TEST_CASE("what is bound comes back, and no value stays none") {
  const ScratchFolder scratch;
  auto database = Database::open(scratch.path() / "a.db", DatabaseAccess::kCreate);
  REQUIRE_OK(database);
  REQUIRE_OK(database->execute("CREATE TABLE t(a INTEGER, b REAL, c TEXT)"));
  auto insert = database->prepare("INSERT INTO t VALUES (?, ?, ?)");
  REQUIRE_OK(insert);
  const std::string text("it's \0 \"text\"", 13);
  REQUIRE_OK(insert->run({std::int64_t{7}, 0.1, text}));
  REQUIRE_OK(insert->run({nullptr, sql_value(std::optional<double>()), std::string()}));
  auto select = database->prepare("SELECT a, b, c FROM t ORDER BY rowid");
  REQUIRE_OK(select);
  REQUIRE(*select->step());
  CHECK(select->integer(0) == 7);
  CHECK(select->number(1) == 0.1);
  CHECK(select->text(2) == text);
  REQUIRE(*select->step());
  CHECK_FALSE(select->number(1));
  CHECK(select->text(2).empty());
  CHECK_FALSE(*select->step());
  CHECK(*database->integer("SELECT count(*) FROM t") == 2);
}

TEST_CASE("a transaction that is not committed never was") {
  const ScratchFolder scratch;
  auto database = Database::open(scratch.path() / "a.db", DatabaseAccess::kCreate);
  REQUIRE_OK(database);
  REQUIRE_OK(database->execute("CREATE TABLE t(a)"));
  {
    auto transaction = Transaction::begin(*database);
    REQUIRE_OK(transaction);
    REQUIRE_OK(database->execute("INSERT INTO t VALUES (1)"));
  }
  CHECK(*database->integer("SELECT count(*) FROM t") == 0);
  {
    auto transaction = Transaction::begin(*database);
    REQUIRE_OK(transaction);
    REQUIRE_OK(database->execute("INSERT INTO t VALUES (1)"));
    REQUIRE_OK(transaction->commit());
  }
  CHECK(*database->integer("SELECT count(*) FROM t") == 1);
}

TEST_CASE("an error says whose fault it is: the file's, the machine's, ours") {
  const ScratchFolder scratch;
  const auto path = scratch.path() / "not.db";
  REQUIRE_OK(write_file(path, std::string(4096, 'x')));
  auto database = Database::open(path, DatabaseAccess::kWrite);
  REQUIRE_OK(database);  // SQLite reads the file only at the first statement
  CHECK_ERROR(database->integer("PRAGMA user_version"), ErrorCode::kInvalidInput,
              "not.db: expected a history, found a damaged");
  CHECK_ERROR(Database::open(scratch.path() / "absent.db", DatabaseAccess::kWrite), ErrorCode::kIo, "absent.db");
  auto good = Database::open(scratch.path() / "good.db", DatabaseAccess::kCreate);
  REQUIRE_OK(good);
  CHECK_ERROR(good->execute("nonsense"), ErrorCode::kInternal, "syntax error");
  REQUIRE_OK(good->execute("PRAGMA page_size = 512; PRAGMA max_page_count = 4; CREATE TABLE t(a)"));
  const Result<void> full = good->execute("INSERT INTO t VALUES (zeroblob(100000))");
  CHECK_ERROR(full, ErrorCode::kIo, "full");
}

TEST_CASE("an error of the disk says what the system said") {
  const ScratchFolder scratch;
  CHECK_ERROR(Database::open(scratch.path() / "absent.db", DatabaseAccess::kWrite), ErrorCode::kIo,
              "No such file or directory");
  auto database = Database::open(scratch.path() / "a.db", DatabaseAccess::kCreate);
  REQUIRE_OK(database);
  REQUIRE_OK(database->execute("CREATE TABLE t(a)"));
  struct rlimit before {};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const struct rlimit small { .rlim_cur = 64 << 10, .rlim_max = before.rlim_max };
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  const Result<void> written = database->execute("INSERT INTO t VALUES (zeroblob(1000000))");
  REQUIRE(setrlimit(RLIMIT_FSIZE, &before) == 0);
  std::signal(SIGXFSZ, handler);
  CHECK_ERROR(written, ErrorCode::kIo, "a.db: SQLite: disk I/O error: File too large");
}
