#pragma once
// The SQLite file of a history: its tables, its version, and what an earlier release did not store.

#include <filesystem>

#include "core/result.h"
#include "history/database.h"

namespace secondsource {

/// Opens the file of a history, and completes one of an earlier release. A file that is only read stays as it is: the connection alone has
/// the tables and columns that it lacks. Errors: kInvalidInput for a file that is absent or no history of this version; kIo.
Result<Database> open_history_file(const std::filesystem::path& path, DatabaseAccess access);

}  // namespace secondsource
