#pragma once
// SQLite with Results instead of status codes: one connection, statements that end with their scope, transactions that
// roll back unless they are committed. This file is independent of what is stored.
//
//   SS_TRY(Statement insert, database.prepare("INSERT INTO runs(run_id) VALUES (?)"));
//   SS_TRY_VOID(insert.run({run_id}));

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "core/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace secondsource {

/// A parameter or a column of a statement. Texts are copied.
using SqlValue = std::variant<std::nullptr_t, std::int64_t, double, std::string>;

/// Converts nullopt to NULL.
template <typename T>
[[nodiscard]] SqlValue sql_value(const std::optional<T>& value) {
  return value ? SqlValue(*value) : SqlValue(nullptr);
}

/// What a file is opened for.
enum class DatabaseAccess : std::uint8_t {
  kRead,    ///< only reading, also by a user who may write neither the file nor its folder
  kWrite,   ///< reading and writing of a file that is there
  kCreate,  ///< likewise; a missing file is created
};

class Statement {
 public:
  /// Resets the statement and sets its parameters from the first on.
  Result<void> bind(std::initializer_list<SqlValue> values);
  /// Moves to the next row; returns false at the end. Errors: as for Database::open().
  Result<bool> step();
  /// bind() and step() for a statement without result rows.
  Result<void> run(std::initializer_list<SqlValue> values = {});

  // These return columns of the current row, counted from 0.
  [[nodiscard]] std::int64_t integer(int column) const;
  [[nodiscard]] std::optional<double> number(int column) const;
  [[nodiscard]] std::string text(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  Statement(sqlite3_stmt* statement, std::string name) : statement_(statement), name_(std::move(name)) {}
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  std::string name_;
};

class Database {
 public:
  /// Opens a file. Waits up to 30 s for another process that writes to it. Errors: kInvalidInput when the file is damaged
  /// or no database; kIo for a full disk, a lock that is held too long, or a file or folder that the access does not
  /// suffice for.
  static Result<Database> open(const std::filesystem::path& path, DatabaseAccess access);

  /// Runs SQL statements that have no parameters and no result rows.
  Result<void> execute(const std::string& sql);
  Result<Statement> prepare(std::string_view sql);
  /// Runs a query whose result is one number.
  Result<std::int64_t> integer(std::string_view sql);
  /// The first column of the first row as text; empty without a row.
  Result<std::string> text(std::string_view sql);
  /// Number of rows that the last statement changed.
  [[nodiscard]] std::int64_t n_changed() const;
  [[nodiscard]] const std::string& name() const noexcept { return name_; }

 private:
  struct Close {
    void operator()(sqlite3* connection) const;
  };
  static Result<Database> connect(const std::string& file, int flags, const std::string& name);
  Database(sqlite3* connection, std::string name) : connection_(connection), name_(std::move(name)) {}
  std::unique_ptr<sqlite3, Close> connection_;
  std::string name_;
};

/// Holds SQLite's single write lock from begin() to its end. Changes that were not committed are rolled back.
class Transaction {
 public:
  static Result<Transaction> begin(Database& database);
  ~Transaction();
  Transaction(Transaction&& other) noexcept : database_(std::exchange(other.database_, nullptr)) {}
  Transaction& operator=(Transaction&&) = delete;
  Result<void> commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

}  // namespace secondsource
