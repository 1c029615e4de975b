#pragma once
// The processes of a server that this program starts, those included that left its process group: a helper may begin a
// session of its own. While an object of this class lives, a process whose parent ends becomes a child of this program
// instead of init's (PR_SET_CHILD_SUBREAPER), so that it can be found and ended.
//
//   ServerProcesses processes;                 // before the server is started
//   processes.belong_to(server.group());
//   ... processes.look(); ...                  // while it runs
//   const std::string left = processes.end();  // when the server's first process has ended

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "host/process_tree.h"

namespace secondsource {

class ServerProcesses {
 public:
  ServerProcesses();
  ~ServerProcesses();
  ServerProcesses(const ServerProcesses&) = delete;
  ServerProcesses& operator=(const ServerProcesses&) = delete;

  /// The server's first process, a child of this one that nobody has waited for yet.
  void belong_to(std::int64_t first);
  /// Remembers the processes that descend from the first one now.
  void look();
  /// Ends what is left of the server except its first process, and waits for a few seconds. Other children of this program
  /// are left alone. Returns the processes that remain, as "12 (name), 34 (name)"; empty: none does.
  std::string end();

 private:
  [[nodiscard]] std::vector<ProcessStat> left() const;

  std::int64_t first_ = 0;
  std::int64_t first_started_ticks_ = 0;
  std::map<std::int64_t, std::int64_t> known_;  ///< when each process that belongs to the server started, by its id
};

}  // namespace secondsource
