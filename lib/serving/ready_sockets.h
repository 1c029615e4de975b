#pragma once
// Waits for the sockets of libcurl at a cost that depends only on how many became ready, not on how many are open.
// (curl_multi_perform() and curl_multi_poll() visit every open request at every call.)

#include <curl/curl.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

#include "core/file.h"
#include "core/result.h"

namespace secondsource {

class ReadySockets {
 public:
  /// Errors: kIo.
  static Result<ReadySockets> create();

  /// Makes `multi` report its sockets and its next deadline to this object, which must outlive it and must not be
  /// moved.
  void attach(CURLM* multi);
  /// Lets libcurl do what is due: start an added request, give up one that took too long. Returns true if anything was
  /// due. Errors: kInternal.
  Result<bool> work_due();
  /// Waits until a socket is ready, libcurl has something to do or `until_ns` is reached; then lets libcurl read, write
  /// and do what is due. Errors: kInternal.
  Result<void> work(std::int64_t until_ns);

 private:
  struct Watched {
    int events = -1;  ///< the epoll set
    std::uint32_t index = 0;
    CURLM* multi = nullptr;
    std::optional<std::int64_t> deadline_ns{};  ///< when libcurl wants to be called although no socket is ready
  };
  explicit ReadySockets(FileDescriptor events) : events_(std::move(events)) {}
  static int on_socket(CURL* easy, curl_socket_t socket, int what, void* watched, void* known);
  static int on_deadline(CURLM* multi, long in_ms, void* watched);

  FileDescriptor events_;
  std::deque<Watched> watched_;  ///< libcurl has the addresses of its elements
};

}  // namespace secondsource
