#include "history/database.h"

#include <fmt/format.h>
#include <sqlite3.h>

#include <cerrno>
#include <cstring>
#include <system_error>

namespace secondsource {
namespace {

constexpr int kBusyTimeoutMs = 30'000;

/// Classifies an error by its cause: the file, the machine, or this program.
ErrorCode code_of(int status) {
  switch (status & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_FORMAT:
      return ErrorCode::kInvalidInput;
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return ErrorCode::kIo;
    case SQLITE_NOMEM:
      return ErrorCode::kOutOfMemory;
    default:
      return ErrorCode::kInternal;
  }
}

/// What the system said when SQLite could not read or write a file, since "disk I/O error" alone hides that the disk is
/// full; 0 if that is not known. SQLite does not keep it where a transaction fails at its end; errno has it then.
int cause_of(int status, sqlite3* connection, int last_errno) {
  const int primary = status & 0xff;
  if (connection == nullptr || (primary != SQLITE_IOERR && primary != SQLITE_CANTOPEN)) return 0;
  if (const int kept = sqlite3_system_errno(connection); kept != 0) return kept;
  const bool is_of_writing =
      last_errno == ENOSPC || last_errno == EDQUOT || last_errno == EFBIG || last_errno == EIO || last_errno == EROFS;
  return is_of_writing ? last_errno : 0;
}

Error error_of(int status, sqlite3* connection, std::string_view name) {
  const int cause = cause_of(status, connection, errno);
  const ErrorCode code = code_of(status);
  const char* message = connection != nullptr ? sqlite3_errmsg(connection) : sqlite3_errstr(status);
  const char* kind =
      code == ErrorCode::kInvalidInput ? "expected a history, found a damaged or foreign file" : "SQLite";
  const std::string said = cause == 0 ? "" : fmt::format(": {}", std::strerror(cause));
  return Error{code, fmt::format("{}: {}: {}{}", name, kind, message, said)};
}

/// The URI of a file that nobody writes while it is read, so that SQLite needs no lock and no file beside it.
std::string immutable_uri(const std::filesystem::path& path) {
  std::string uri = "file:";
  for (const char c : std::filesystem::absolute(path).string()) {
    const bool is_special = c == '%' || c == '?' || c == '#';
    uri += is_special ? fmt::format("%{:02x}", c) : std::string(1, c);
  }
  return uri + "?immutable=1";
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

Result<void> Statement::bind(std::initializer_list<SqlValue> values) {
  sqlite3_stmt* statement = statement_.get();
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);
  int index = 0;
  for (const SqlValue& value : values) {
    ++index;
    int status = SQLITE_OK;
    if (const auto* integer = std::get_if<std::int64_t>(&value)) {
      status = sqlite3_bind_int64(statement, index, *integer);
    } else if (const auto* number = std::get_if<double>(&value)) {
      status = sqlite3_bind_double(statement, index, *number);
    } else if (const auto* text = std::get_if<std::string>(&value)) {
      status = sqlite3_bind_text64(statement, index, text->data(), text->size(), SQLITE_TRANSIENT, SQLITE_UTF8);
    }
    if (status != SQLITE_OK) return error_of(status, sqlite3_db_handle(statement), name_);
  }
  return {};
}

Result<bool> Statement::step() {
  const int status = sqlite3_step(statement_.get());
  if (status == SQLITE_ROW) return true;
  if (status == SQLITE_DONE) return false;
  return error_of(status, sqlite3_db_handle(statement_.get()), name_);
}

Result<void> Statement::run(std::initializer_list<SqlValue> values) {
  SS_TRY_VOID(bind(values));
  SS_TRY([[maybe_unused]] const bool has_row, step());
  sqlite3_reset(statement_.get());
  return {};
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}

std::optional<double> Statement::number(int column) const {
  if (sqlite3_column_type(statement_.get(), column) == SQLITE_NULL) return std::nullopt;
  return sqlite3_column_double(statement_.get(), column);
}

std::string Statement::text(int column) const {
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  const int n = sqlite3_column_bytes(statement_.get(), column);
  return bytes == nullptr ? std::string() : std::string(bytes, static_cast<std::size_t>(n));
}

void Database::Close::operator()(sqlite3* connection) const {
  sqlite3_close_v2(connection);
}

Result<Database> Database::connect(const std::string& file, int flags, const std::string& name) {
  sqlite3* connection = nullptr;
  const int status = sqlite3_open_v2(file.c_str(), &connection, flags | SQLITE_OPEN_EXRESCODE, nullptr);
  Database database(connection, name);  // closes the connection even after a failure
  if (status != SQLITE_OK) return error_of(status, connection, name);
  sqlite3_busy_timeout(connection, kBusyTimeoutMs);
  return database;
}

Result<Database> Database::open(const std::filesystem::path& path, DatabaseAccess access) {
  const std::string name = path.string();
  if (access == DatabaseAccess::kCreate) return connect(name, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, name);
  if (access == DatabaseAccess::kWrite) return connect(name, SQLITE_OPEN_READWRITE, name);
  SS_TRY(Database database, connect(name, SQLITE_OPEN_READONLY, name));
  // A file in WAL mode has its newest pages in another one, and readers keep an index of it beside both. Where the index
  // is missing and cannot be made, the file itself still has everything as long as the other one is empty.
  const int status =
      sqlite3_exec(database.connection_.get(), "PRAGMA schema_version", nullptr, nullptr, nullptr) & 0xff;
  if (status != SQLITE_CANTOPEN && status != SQLITE_READONLY) return database;
  std::error_code absent;
  const std::filesystem::path log = name + "-wal";
  const std::uintmax_t n_bytes = std::filesystem::file_size(log, absent);
  if (!absent && n_bytes > 0) {
    return Error{
        ErrorCode::kIo,
        fmt::format("{}: cannot be read without writing beside it, since {} has changes that are not in it yet: "
                    "read it once as a user who may write into its folder",
                    name, log.string())};
  }
  return connect(immutable_uri(path), SQLITE_OPEN_READONLY | SQLITE_OPEN_URI, name);
}

Result<void> Database::execute(const std::string& sql) {
  const int status = sqlite3_exec(connection_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (status != SQLITE_OK) return error_of(status, connection_.get(), name_);
  return {};
}

Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int status =
      sqlite3_prepare_v2(connection_.get(), sql.data(), static_cast<int>(sql.size()), &statement, nullptr);
  if (status != SQLITE_OK) return error_of(status, connection_.get(), name_);
  return Statement(statement, name_);
}

Result<std::string> Database::text(std::string_view sql) {
  SS_TRY(Statement statement, prepare(sql));
  SS_TRY(const bool has_row, statement.step());
  return has_row ? statement.text(0) : std::string();
}

Result<std::int64_t> Database::integer(std::string_view sql) {
  SS_TRY(Statement statement, prepare(sql));
  SS_TRY(const bool has_row, statement.step());
  return has_row ? statement.integer(0) : 0;
}

std::int64_t Database::n_changed() const {
  return sqlite3_changes64(connection_.get());
}

Result<Transaction> Transaction::begin(Database& database) {
  // IMMEDIATE takes the write lock at once. A transaction that upgrades from reading to writing would fail instead of
  // waiting when another one writes.
  SS_TRY_VOID(database.execute("BEGIN IMMEDIATE"));
  return Transaction(database);
}

Transaction::~Transaction() {
  if (database_ != nullptr) (void)database_->execute("ROLLBACK");
}

Result<void> Transaction::commit() {
  SS_TRY_VOID(database_->execute("COMMIT"));
  database_ = nullptr;
  return {};
}

}  // namespace secondsource
